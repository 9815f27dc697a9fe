"""``mcast_probe``, and what becomes of a missing capability."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from ..conftest import Runner
from ..support.pytests import run_here

PYTEST = [
    sys.executable,
    "-m",
    "pytest",
    "-pno:cacheprovider",
    "--mcast-lab",
    "--mcast-require=all",
    "--mcast-timeout=3",
]
PROBE = """
    import pytest

    def test_cases(mcast_probe, mcast_channel):
        for case in ("legitimate", "group.other", "checksum.bad"):
            mcast_probe(case).check()
        other = mcast_probe(source="other")
        assert other.delivered == (mcast_channel.mode == "asm")
        assert mcast_probe.timeout == 3

    def test_a_failure(mcast_probe):
        with pytest.raises(AssertionError, match="delivered: 64 bytes from"):
            mcast_probe(ttl=9).expect_not_delivered()
"""


def test_it_works_in_four_kinds(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PROBE)
    result = run_here(pytester, "--mcast-require=all", "--mcast-timeout=3", "-v")
    result.assert_outcomes(passed=8)
    for kind in ("ipv4-asm", "ipv4-ssm", "ipv6-asm", "ipv6-ssm"):
        result.stdout.fnmatch_lines([f"*::test_cases?{kind}? PASSED*"])
    result.stdout.fnmatch_lines(["mcast: the fixtures lived on virtual hosts"])


@pytest.mark.parametrize("options", [[], ["-n1"]], ids=["one process", "workers"])
def test_it_works_in_a_private_network(run: Runner, options: list[str]) -> None:
    run.write(PROBE)
    result = run([*PYTEST, *options])
    assert result.returncode == 0, result.stdout + result.stderr
    assert "8 passed" in result.stdout


def test_where_there_is_no_other_host_it_is_skipped(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PROBE)
    result = run_here(pytester, "--mcast-iface=lo", "-rs")
    result.assert_outcomes(skipped=8)
    result.stdout.fnmatch_lines(
        ["SKIPPED *: lo of this machine cannot carry a packet that only another host could send; *with --mcast-lab"]
    )


@pytest.mark.parametrize("what", ["packets", "all"])
def test_where_it_is_required_that_is_a_failure(pytester: pytest.Pytester, what: str) -> None:
    pytester.makepyfile(PROBE)
    result = run_here(pytester, "--mcast-iface=lo", f"--mcast-require={what}")
    result.assert_outcomes(errors=8)
    result.stdout.fnmatch_lines(["*mcast: packets is required by --mcast-require: lo of this machine cannot carry*"])


def test_a_probe_that_turns_up_late_fails_the_test_at_its_end(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest

        @pytest.mark.mcast(family="ipv4", mode="asm")
        def test_it(mcast_probe, mcast_receiver):
            verdict = mcast_probe()
            mcast_probe._subjects[0].judged[mcast_probe._crafter._number - 1] = "the probe", False
            mcast_receiver.give_back(verdict.datagrams)
    """)
    result = run_here(pytester, "--mcast-require=all")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*Delivered: delivered late, after the verdict was that it was not: the probe*"])


MISSING = """
    import unittest
    import pytest
    from pytest_mcast import MissingCapability

    def lack():
        raise MissingCapability("packets", "this is a desert", "bring a network")

    @pytest.fixture
    def lacking():
        lack()

    @pytest.fixture
    def lacking_at_the_end():
        yield
        lack()

    def test_body():
        lack()

    def test_fixture(lacking):
        pass

    class TestOfUnittest(unittest.TestCase):
        def test_method(self):
            lack()

    class TestOfUnittestSetUp(unittest.TestCase):
        def setUp(self):
            lack()

        def test_method(self):
            pass

    class TestOfUnittestClass(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
            lack()

        def test_method(self):
            pass

    @pytest.mark.xfail(raises=ZeroDivisionError)
    def test_expected_failure():
        lack()
"""
UNAFFECTED = """
    import pytest
    from pytest_mcast import MissingCapability

    def test_that_catches_it():
        with pytest.raises(MissingCapability, match="desert"):
            raise MissingCapability("packets", "this is a desert", "bring a network")

    def test_that_fails():
        raise RuntimeError("another error")
"""


def test_it_is_a_skip_wherever_a_test_meets_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(MISSING)
    result = run_here(pytester, "-rs")
    result.assert_outcomes(skipped=6)
    result.stdout.fnmatch_lines(["SKIPPED *mcast: this is a desert; bring a network"])


def test_all_of_this_works_in_workers(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_probe=PROBE, test_missing=MISSING)
    pytester.runpytest_subprocess("--mcast-timeout=3", "-n2").assert_outcomes(passed=8, skipped=6)


def test_a_sub_test_is_skipped_too(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import unittest
        from pytest_mcast import MissingCapability

        class TestOfUnittest(unittest.TestCase):
            def test_method(self):
                with self.subTest("here"):
                    raise MissingCapability("packets", "this is a desert", "bring a network")
    """)
    result = run_here(pytester, "-rs")
    assert "failed" not in result.stdout.lines[-1], result.stdout.str()


def test_when_required_it_is_a_failure_wherever_a_test_meets_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(MISSING.replace("@pytest.mark.xfail(raises=ZeroDivisionError)", ""))
    result = run_here(pytester, "--mcast-require=packets")
    result.assert_outcomes(failed=4, errors=2)
    result.stdout.fnmatch_lines(
        ["*mcast: packets is required by --mcast-require: this is a desert; bring a network*"] * 2
    )
    run_here(pytester, "--mcast-require=namespaces").assert_outcomes(skipped=6)


def test_other_tests_are_not_affected(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(UNAFFECTED)
    run_here(pytester, "--mcast-require=all").assert_outcomes(passed=1, failed=1)


def test_the_debugger_is_not_entered_for_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(MISSING)
    pytester.runpytest_subprocess("--pdb").assert_outcomes(skipped=6)


def test_the_doctor_looks_at_packet_sockets(run: Runner) -> None:
    result = run([sys.executable, "-m", "pytest_mcast", "doctor"])
    line = next(line for line in result.stdout.splitlines() if line.split()[:1] == ["packets"])
    # Who may make namespaces may open packet sockets in them, and the other way round.
    namespaces = next(line for line in result.stdout.splitlines() if line.split()[:1] == ["namespaces"])
    assert line.split()[1] == namespaces.split()[1]


def test_the_doctor_says_what_is_missing(tmp_path: Path) -> None:
    runner = Runner(tmp_path)
    runner.write(
        """
        import ctypes, struct, sys
        from pytest_mcast.cli import main

        libc = ctypes.CDLL(None, use_errno=True)
        header, data = struct.pack("=Ii", 0x20080522, 0), ctypes.create_string_buffer(24)
        assert libc.capget(header, data) == 0
        words = list(struct.unpack("=6I", data.raw))
        words[0] &= ~(1 << 13)  # CAP_NET_RAW
        assert libc.capset(header, struct.pack("=6I", *words)) == 0
        main(["doctor", "--wait", "0"])
        """,
        "doctor.py",
    )
    result = runner([sys.executable, "doctor.py"])
    words = " ".join(result.stdout.split())  # they are wrapped
    assert re.search(r"packets NO: this process may not open packet sockets.* cure: give it CAP_NET_RAW", words), words


def test_what_builds_packets_is_imported_when_one_is_sent(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import sys

        def test_it(mcast_probe):
            before = "scapy" in sys.modules
            mcast_probe()
            assert "scapy" in sys.modules
            print("before", before)
    """)
    result = pytester.runpytest_subprocess("-s", "--mcast-require=all", "-k", "ipv4-asm")
    result.assert_outcomes(passed=1, deselected=3)
    result.stdout.fnmatch_lines(["*before False*"])


def test_scapy_of_the_user_keeps_its_routes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        from scapy.all import conf

        def test_it(mcast_probe):
            mcast_probe()
            assert conf.route.routes
            assert conf.route6.routes
    """)
    pytester.runpytest_subprocess("--mcast-require=all", "-k", "ipv4-asm").assert_outcomes(passed=1, deselected=3)


def test_elsewhere_than_on_linux_it_is_skipped(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("""
        import sys

        import pytest
        from pytest_mcast.core import system

        @pytest.fixture
        def mcast_receiver(mcast_receiver, monkeypatch):
            monkeypatch.setattr(system, "LINUX", False)
            monkeypatch.setitem(sys.modules, "pytest_mcast.packets", None)  # it cannot be imported there
            return mcast_receiver
    """)
    pytester.makepyfile("""
        import pytest

        @pytest.mark.mcast(family="ipv4", mode="asm")
        def test_it(mcast_probe):
            mcast_probe()
    """)
    result = pytester.runpytest_subprocess("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*mcast: linux has no virtual hosts; run the tests on Linux"])
