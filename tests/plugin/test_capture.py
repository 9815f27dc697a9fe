"""``--mcast-capture`` and ``--mcast-output``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ..conftest import Runner
from ..support.pytests import run_here
from ..support.wireshark import fields

PYTEST = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", "-W", "error"]

SUITE = """
    import socket
    import pytest

    def test_passes(mcast_receiver, mcast_sender):
        mcast_sender.send(b"plain " + mcast_sender.channel.mode.encode())
        mcast_receiver.recv()

    @pytest.mark.mcast(family="ipv4", mode="asm")
    def test_fails(mcast_receiver, mcast_sender):
        mcast_sender.send(b"failing")
        assert mcast_receiver.recv().payload == b"passing"

    def test_lab(mcast_lab):
        a, b = mcast_lab.host("a"), mcast_lab.host("b")
        with b.capture() as capture:
            a.sender(mcast_lab.channel()).send(b"in the lab")
            capture.wait_for("udp", comment="has come")
        with a:
            assert not "reached"

    def test_own_sockets():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            sock.sendto(b"own", sock.getsockname())

    def test_of_no_network():
        pass

    @pytest.mark.xfail
    def test_fails_as_expected(mcast_sender):
        assert False

    @pytest.mark.skip
    def test_skipped(mcast_sender):
        pass
"""


def _tree(directory: Path) -> dict[str, list[str]]:
    return {path.name: sorted(file.name for file in path.iterdir()) for path in directory.iterdir()}


def _payloads(path: Path) -> set[str]:
    """Return the last bytes of what hosts sent by UDP (for `on lo` what came in), as text."""
    found = fields(path, "frame.interface_name", "frame.packet_flags_direction", "udp.payload")
    return {
        bytes.fromhex(payload).decode()
        for interface, direction, payload in found
        if payload and (direction == "0x00000002" or interface.endswith(":lo"))
    }


def test_failures_alone_leave_a_file_which_their_report_names(run: Runner) -> None:
    run.write(SUITE)
    options = ["-n2", "--mcast-lab"] if run.ordinary else []  # either with everything else
    result = run([*PYTEST, "--mcast-require=all", "--mcast-capture=retain-on-failure", *options])
    assert "2 failed" in result.stdout, result.stdout
    output = run.home / "mcast-output"
    assert _tree(output) == {
        "test_it.py-test_fails[ipv4-asm]": ["capture.pcapng"],
        "test_it.py-test_lab": ["capture.pcapng"],
    }
    lab = output / "test_it.py-test_lab" / "capture.pcapng"
    assert _payloads(output / "test_it.py-test_fails[ipv4-asm]" / "capture.pcapng") == {"failing"}
    rows = fields(lab, "frame.interface_name", "frame.comment", "udp.length")
    assert ("a:eth0", "", "18") in rows
    assert ("b:eth0", "has come", "18") in rows
    assert "- mcast capture -" in result.stdout
    for part in ("test_fails[ipv4-asm]/capture.pcapng: ", "test_lab/capture.pcapng: "):
        (line,) = [line for line in result.stdout.splitlines() if part in line]
        assert line.startswith("mcast-output/test_it.py-test_")
        assert line.endswith(" frames")


def test_on_writes_for_every_test_and_the_sessions_own_host_is_in_it(run: Runner) -> None:
    run.write(SUITE)
    result = run([*PYTEST, "--mcast-lab", "--mcast-capture=on", "--mcast-output=here/and there"])
    assert "2 failed, 6 passed, 4 skipped, 4 xfailed" in result.stdout
    output = run.home / "here" / "and there"
    plain = {f"test_it.py-test_passes[{family}-{mode}]" for family in ("ipv4", "ipv6") for mode in ("asm", "ssm")}
    xfailed = {f"test_it.py-test_fails_as_expected[{kind[len('test_it.py-test_passes[') : -1]}]" for kind in plain}
    others = {f"test_it.py-test_{name}" for name in ("fails[ipv4-asm]", "lab", "own_sockets", "of_no_network")}
    assert set(_tree(output)) == plain | xfailed | others
    for name in plain:
        assert _payloads(output / name / "capture.pcapng") == {"plain " + name[-4:-1]}
    assert _payloads(output / "test_it.py-test_own_sockets" / "capture.pcapng") == {"own"}
    rows = fields(output / "test_it.py-test_passes[ipv4-asm]" / "capture.pcapng", "frame.interface_name", "udp.length")
    assert {row for row in rows if row[1] == "17"} == {("sender:eth0", "17"), ("session:eth0", "17")}


def test_off_does_nothing(home: Runner) -> None:
    home.write("""
        def test_it(mcast_receiver_host, mcast_receiver, mcast_sender, mcast_lab, request):
            assert mcast_receiver_host.captures == mcast_lab.host().captures == []
            assert not request.config.pluginmanager.has_plugin("mcast-watch")
            assert False
    """)
    result = home([*PYTEST, "--mcast-lab", "--mcast-doctor=off"])
    assert "4 failed" in result.stdout
    assert "mcast capture" not in result.stdout
    assert not (home.home / "mcast-output").exists()


def test_what_comes_in_teardown_is_in_the_file_and_a_failure_there_is_one(home: Runner) -> None:
    home.write("""
        import pytest

        @pytest.fixture
        def said(mcast_lab):
            sender = mcast_lab.host("one").sender(mcast_lab.channel())
            sender.send(b"set-up")
            yield
            sender.send(b"teardown")

        @pytest.fixture
        def late(said):
            yield
            assert False

        @pytest.fixture
        def early(said):
            assert False

        def test_fails(said):
            assert False

        def test_fails_late(late):
            pass

        def test_fails_early(early):
            pass
    """)
    result = home([*PYTEST, "--mcast-lab", "--mcast-capture=retain-on-failure"])
    assert "1 failed, 1 passed, 2 errors" in result.stdout
    files = [
        home.home / "mcast-output" / f"test_it.py-test_fails{when}" / "capture.pcapng"
        for when in ("", "_late", "_early")
    ]
    assert [_payloads(file) for file in files] == [{"set-up", "teardown"}] * 3
    assert result.stdout.count("- mcast capture -") == 3


def test_hosts_of_the_users_own_fixtures_and_scenarios(home: Runner) -> None:
    home.write("""
        import pytest

        @pytest.fixture(scope="session")
        def mine(mcast_receiver_host):  # any host that a fixture gives
            return mcast_receiver_host

        @pytest.mark.parametrize("number", range(2))
        def test_it(mine, number):
            from pytest_mcast import Channel
            mine.sender(Channel("239.1.2.3", 5000)).send(b"%d" % number)
            assert False

        @pytest.fixture
        def early(mcast_channel, mcast_sender_host):
            mcast_sender_host.sender(mcast_channel).send(b"early")

        @pytest.mark.mcast(family="ipv4", mode="asm")
        def test_set_up(early):
            pass
    """)
    home.write("hosts: {one: virtual, two: virtual}\nmatrix: {mode: [asm], family: [ipv4]}", "a.mcast.yaml")
    result = home([*PYTEST, "--mcast-lab", "--mcast-capture=on"])
    assert "2 failed, 5 passed" in result.stdout, result.stdout
    output = home.home / "mcast-output"
    assert _payloads(output / "test_it.py-test_set_up[ipv4-asm]" / "capture.pcapng") == {"early"}
    for number in range(2):
        assert _payloads(output / f"test_it.py-test_it[{number}]" / "capture.pcapng") == {str(number)}
    (cell,) = output.glob("a.mcast.yaml-ipv4-asm?one-_two?-*")
    interfaces = {interface for (interface,) in fields(cell / "capture.pcapng", "frame.interface_name")}
    assert {"one:eth0", "two:eth0"} <= interfaces


@pytest.mark.parametrize("options", [[], ["-n1"]], ids=" ".join)
def test_every_attempt_has_a_file_and_another_run_begins_anew(home: Runner, options: list[str]) -> None:
    home.write("""
        import os

        def test_it(mcast_lab):
            mcast_lab.host().sender(mcast_lab.channel()).send(os.environ["WHAT"].encode())
            with open("attempts", "a+") as file:
                file.write("x")
                file.seek(0)
                attempt = len(file.read())
            assert attempt == 3
    """)
    command = [*PYTEST, "--mcast-lab", "--reruns=2", "--mcast-capture=retain-on-failure", *options]
    result = home(["env", "WHAT=first", *command])
    assert "1 passed, 2 rerun" in result.stdout
    directory = home.home / "mcast-output" / "test_it.py-test_it"
    assert _tree(home.home / "mcast-output") == {directory.name: ["capture-2.pcapng", "capture.pcapng"]}
    assert b"test_it.py::test_it, attempt 2" in (directory / "capture-2.pcapng").read_bytes()
    (home.home / "attempts").write_text("x")
    assert "1 passed, 1 rerun" in home(["env", "WHAT=second", *command]).stdout
    assert _tree(home.home / "mcast-output") == {directory.name: ["capture.pcapng"]}
    assert _payloads(directory / "capture.pcapng") == {"second"}
    (home.home / "attempts").write_text("xx")
    assert "1 passed" in home(["env", "WHAT=third", *command]).stdout
    assert _tree(home.home / "mcast-output") == {directory.name: []}


def test_what_a_worker_has_written_before_it_crashed_is_of_this_run(tmp_path: Path) -> None:
    run = Runner(tmp_path)
    run.write("""
        import os

        def test_it(mcast_lab):
            with open("attempts", "a+") as file:
                file.write("x")
                file.seek(0)
                attempt = len(file.read())
            mcast_lab.host().sender(mcast_lab.channel()).send(b"%d" % attempt)
            if attempt == 2:
                os._exit(1)
            assert False
    """)
    result = run([*PYTEST, "-n1", "--mcast-lab", "--reruns=2", "--mcast-capture=retain-on-failure"])
    assert "1 failed" in result.stdout, result.stdout
    directory = tmp_path / "mcast-output" / "test_it.py-test_it"
    files = [directory / name for name in ("capture.pcapng", "capture-2.pcapng")]
    assert [_payloads(file) for file in files] == [{"1"}, {"3"}]


@pytest.mark.parametrize("options", [[], ["-n1"]], ids=" ".join)
def test_reports_carry_the_paths(home: Runner, options: list[str]) -> None:
    home.write(SUITE)
    home.write(
        """
        class Controller:
            def pytest_runtest_logreport(self, report):
                if getattr(report, "mcast", None) and report.mcast["artifacts"]:
                    with open(f"artifacts.{report.when}", "a") as file:
                        print(report.nodeid, *report.mcast["artifacts"], file=file)

        def pytest_configure(config):
            if not hasattr(config, "workerinput"):
                config.pluginmanager.register(Controller())
        """,
        "conftest.py",
    )
    home([*PYTEST, "--mcast-lab", "--mcast-capture=retain-on-failure", "--mcast-output=out", *options])
    expected = [
        "test_it.py::test_fails[ipv4-asm] test_it.py-test_fails[ipv4-asm]/capture.pcapng",
        "test_it.py::test_lab test_it.py-test_lab/capture.pcapng",
    ]
    for when in ("call", "teardown"):
        assert sorted((home.home / f"artifacts.{when}").read_text().splitlines()) == expected


def test_a_host_of_this_machine_is_not_captured_and_the_report_says_so(home: Runner) -> None:
    home.write(SUITE)
    result = home([*PYTEST, "--mcast-iface=lo", "--mcast-capture=retain-on-failure", "-k", "test_fails"])
    assert "\nnone: virtual hosts are captured, not local\n" in result.stdout
    assert not (home.home / "mcast-output").exists()


def test_without_packet_sockets_there_is_a_warning(tmp_path: Path) -> None:
    run = Runner(tmp_path)
    run.write(SUITE)
    run.write(
        """
        import ctypes
        libc = ctypes.CDLL(None)
        header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        assert libc.capget(header, data) == 0
        for field in range(3):
            data[field] &= ~(1 << 13)  # CAP_NET_RAW
        assert libc.capset(header, data) == 0
        """,
        "conftest.py",
    )
    result = run([*PYTEST, "-W", "default", "--mcast-capture=on", "-k", "test_fails[ or test_passes"])
    assert "1 failed, 4 passed" in result.stdout, result.stdout
    reason = "--mcast-capture: packets: this process may not open packet sockets"
    assert f"PytestWarning: {reason}" in result.stdout
    assert f"- mcast capture -{'-' * 30}" in result.stdout
    assert f"\n{reason}" in result.stdout
    assert not (run.home / "mcast-output").exists()


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    run = Runner(tmp_path)
    run.write(SUITE)
    (tmp_path / "mcast-output").mkdir()
    (tmp_path / "mcast-output" / "test_it.py-test_lab").write_text("in the way")
    result = run([*PYTEST, "--mcast-lab", "--mcast-capture=retain-on-failure", "-k", "test_lab"])
    assert "1 failed" in result.stdout
    assert "\nit cannot be written: [Errno 17] File exists: " in result.stdout


class TestSettings:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--mcast-capture=yes"], "--mcast-capture: 'yes' is not one of off, on, retain-on-failure"),
            (["-o", "mcast_capture=1"], "mcast_capture in -o: '1' is not one of off, on, retain-on-failure"),
            (
                ["--mcast-output=it.ini"],
                "--mcast-output: 'it.ini' cannot be a directory of ours: there is a file *it.ini",
            ),
            (["--mcast-output=it.ini/x"], "--mcast-output: 'it.ini/x' cannot be * there is a file *it.ini"),
        ],
    )
    def test_refusals(self, pytester: pytest.Pytester, options: list[str], message: str) -> None:
        pytester.path.joinpath("it.ini").write_text("[pytest]\n")
        result = run_here(pytester, "-c", "it.ini", *options)
        result.stderr.fnmatch_lines([f"ERROR: {message}"])
        assert result.ret == pytest.ExitCode.USAGE_ERROR

    def test_a_directory_that_we_may_not_write_to(self, run_as_user: Runner) -> None:
        result = run_as_user([*PYTEST, "--mcast-output=/proc/mine"])
        assert "--mcast-output: '/proc/mine' cannot be a directory of ours: we may not write to /proc" in result.stderr

    @pytest.mark.parametrize(
        ("ini", "variable", "option", "expected"),
        [
            ("from-ini", None, None, "sub/from-ini"),
            ("from-ini", "from-env", None, "from-env"),
            ("from-ini", "from-env", "from-option", "from-option"),
            (None, None, None, "sub/mcast-output"),
        ],
    )
    def test_what_a_path_is_relative_to(
        self,
        pytester: pytest.Pytester,
        monkeypatch: pytest.MonkeyPatch,
        ini: str | None,
        variable: str | None,
        option: str | None,
        expected: str,
    ) -> None:
        (pytester.path / "sub").mkdir()
        text = "[pytest]\nmcast_capture = on\n" + (f"mcast_output = {ini}\n" if ini else "")
        (pytester.path / "sub" / "pytest.ini").write_text(text)
        (pytester.path / "sub" / "test_it.py").write_text("def test_it(mcast_lab): mcast_lab.host()")
        if variable:
            monkeypatch.setenv("PYTEST_MCAST_OUTPUT", variable)
        result = run_here(pytester, "sub", *([f"--mcast-output={option}"] if option else []))
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines([f"mcast: capture on to *{expected} (mcast_capture in pytest.ini)*"])
        assert _tree(pytester.path / expected) == {"test_it.py-test_it": ["capture.pcapng"]}
