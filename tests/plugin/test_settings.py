"""Options, environment variables and ini keys: precedence, origin, refusals."""

from __future__ import annotations

import pytest

from pytest_mcast.core import FAMILIES, MODES, SCOPES
from pytest_mcast.doctor import CAPABILITIES
from pytest_mcast.lab import private
from pytest_mcast.plugin import marker, place, settings

from ..support.pytests import run_here

TIMEOUT = """
    import pytest

    @pytest.mark.mcast(family="ipv4", mode="asm")
    def test_it(mcast_receiver):
        print("timeout", mcast_receiver.timeout)
"""


def test_the_copies_of_names_agree_with_the_library() -> None:
    assert (*CAPABILITIES, "all") == settings.REQUIRABLE
    assert (marker.FAMILIES, marker.MODES, marker.SCOPES) == (FAMILIES, MODES, SCOPES)
    assert place.SESSION == private.SESSION


@pytest.mark.parametrize(
    ("option", "variable", "ini", "expected"),
    [
        (None, None, None, "timeout 5.0"),
        (None, None, "4", "timeout 4.0"),
        (None, "3", "4", "timeout 3.0"),
        ("2", "3", "4", "timeout 2.0"),
    ],
)
def test_precedence(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    option: str | None,
    variable: str | None,
    ini: str | None,
    expected: str,
) -> None:
    pytester.makepyfile(TIMEOUT)
    if ini is not None:
        pytester.makeini(f"[pytest]\nmcast_timeout = {ini}\n")
    if variable is not None:
        monkeypatch.setenv("PYTEST_MCAST_TIMEOUT", variable)
    result = run_here(pytester, "-s", "--mcast-require=all", *([f"--mcast-timeout={option}"] if option else []))
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([f"*{expected}*"])


@pytest.mark.parametrize("iface", ["lo", "1", "127.0.0.1", "::1%lo"])
def test_iface_is_found_by_name_index_and_address(pytester: pytest.Pytester, iface: str) -> None:
    pytester.makepyfile("""
        import pytest

        @pytest.mark.mcast(family="ipv4")
        def test_it(mcast_receiver, mcast_sender, mcast_iface):
            mcast_sender.send(b"x")
            assert mcast_receiver.recv().payload == b"x"
            assert (mcast_iface.name, mcast_iface.index) == ("lo", 1)
    """)
    result = run_here(pytester, f"--mcast-iface={iface}", "--mcast-require=all")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [f"mcast: iface {iface} (--mcast-iface)*", "mcast: the fixtures lived on lo of this machine"]
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--mcast-iface=nope0"], "--mcast-iface: no interface is named 'nope0'; there are: lo (index 1, 127.0.0.1*"),
        (["--mcast-iface=4711"], "--mcast-iface: no interface has the index 4711; there are: lo*"),
        (["--mcast-iface=192.0.2.77"], "--mcast-iface: no interface has the address 192.0.2.77; there are: lo*"),
        (["--mcast-timeout=soon"], "--mcast-timeout: 'soon' is not a number of seconds above 0, such as 5 or 0.5"),
        (["--mcast-timeout=0"], "--mcast-timeout: '0' is not a number of seconds above 0*"),
        (["--mcast-timeout=nan"], "--mcast-timeout: 'nan' is not a number*"),
        (["--mcast-require=ipv6"], "--mcast-require: no such capability: 'ipv6'; choose from ipv4-asm, ipv4-ssm, *"),
        (["--mcast-require="], "--mcast-require: no such capability: an empty list; choose from *"),
        (
            ["-o", "mcast_export=A=={interfce}"],
            "mcast_export in -o: 'A=={interfce}' is not VARIABLE=TEXT, *{interface}*",
        ),
        (["-o", "mcast_export=1A={index}"], "mcast_export in -o: '1A={index}' is not VARIABLE=TEXT*"),
        (["-o", "mcast_lab=yes"], "mcast_lab in -o: 'yes' is not one of auto, on, off"),
        (["--mcast-lab", "-o", "mcast_lab_interfaces=lo"], "mcast_lab_interfaces in -o: 'lo' is not NAME or NAME=MAC*"),
        (["--mcast-lab", "-o", "mcast_lab_interfaces=a=01:00:00:00:00:00"], "*'a=01:00:00:00:00:00' is not NAME*"),
        (["--mcast-lab", "-o", "mcast_lab_interfaces=a a"], "*'a a' has a name twice"),
        (
            ["--mcast-lab", "--mcast-iface=lo"],
            "--mcast-iface names an interface of this machine, which --mcast-lab hides; drop one of them",
        ),
    ],
)
def test_a_wrong_value_is_a_usage_error(pytester: pytest.Pytester, arguments: list[str], text: str) -> None:
    pytester.makepyfile("def test_it(): pass")
    result = run_here(pytester, *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {text}"])


def test_a_wrong_value_in_a_file_names_key_and_file(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmcast_timeout = soon\nmcast_lab = off\n")
    result = run_here(pytester)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: mcast_timeout in tox.ini: could not convert string to float: 'soon'"])
    result = run_here(pytester, "-o", "mcast_timeout=3", "-o", "mcast_lab=yes")
    result.stderr.fnmatch_lines(["ERROR: mcast_lab in -o: 'yes' is not one of auto, on, off"])


def test_export_tells_the_interface_and_takes_it_back(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini("""
        [pytest]
        mcast_export =
            MY_IFACE={interface}
            MY_ALL={index} {ipv4} {ipv6}
    """)
    pytester.makeconftest("""
        import os
        import pytest

        @pytest.hookimpl(trylast=True)
        def pytest_unconfigure():
            print("after", os.environ["MY_IFACE"], os.environ.get("MY_ALL"))
    """)
    pytester.makepyfile("""
        import os

        def test_it():
            print("during", os.environ["MY_IFACE"], os.environ["MY_ALL"])
    """)
    monkeypatch.setenv("MY_IFACE", "before")
    result = run_here(pytester, "-s", "--mcast-iface=lo")
    result.stdout.fnmatch_lines(["*during lo 1 127.0.0.1 ::1*", "after before None"])
    result = pytester.runpytest_subprocess("-s", "--mcast-lab")
    result.stdout.fnmatch_lines(["*during eth0 * 10.* fd*", "after before None"])


def test_a_missing_capability_is_a_skip_or_if_required_a_failure(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest

        @pytest.mark.mcast(family="ipv6")
        def test_it(mcast_channel):
            pass
    """)
    # A network of its own, whose loopback has no multicast route for IPv6.
    pytester.makeconftest("""
        from pytest_mcast.lab import netlink
        from pytest_mcast.lab.namespace import CLONE_NEWNET, unshare

        unshare(CLONE_NEWNET)
        netlink.Netlink().run(netlink.link(1, up=True))
    """)
    reason = (
        "ipv6-asm multicast does not work on lo (there is no route to the group by lo, so that the kernel does not know an "
        "interface for it); run pytest with --mcast-lab, or add a route to all groups: ip -6 route add local ff00::/8 dev "
        "lo table local*"
    )
    result = pytester.runpytest_subprocess("-rs", "--mcast-iface=lo")
    result.assert_outcomes(skipped=2)
    result.stdout.fnmatch_lines([f"SKIPPED * mcast: {reason}"])
    result = pytester.runpytest_subprocess("--mcast-iface=lo", "--mcast-require=ipv6-asm")
    result.assert_outcomes(skipped=1, errors=1)
    result.stdout.fnmatch_lines([f"*mcast: ipv6-asm is required by --mcast-require: {reason}"])
    pytester.runpytest_subprocess("--mcast-iface=lo", "--mcast-require=all").assert_outcomes(errors=2)
