"""Scenario files in a pytest of their own: their cells are tests like any others."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pytest_mcast.report import read

from ..support.pytests import run_here

FILE = """
hosts: {one: virtual, two: virtual}
matrix:
  mode: [ssm]
"""


@pytest.fixture
def scenario(pytester: pytest.Pytester) -> Path:
    path = pytester.path / "a.mcast.yaml"
    path.write_text(FILE)
    return path


def test_cells_are_items_and_a_table_ends_the_run(pytester: pytest.Pytester, scenario: Path) -> None:
    result = run_here(pytester, "-v", "--mcast-require=all")
    result.assert_outcomes(passed=8)
    result.stdout.fnmatch_lines(["a.mcast.yaml::ipv6-ssm?one->two? PASSED*"])
    result.stdout.fnmatch_lines(
        [
            "*= multicast matrix =*",
            "a.mcast.yaml",
            "",
            "  ipv4-ssm  to one   to two",
            "  from one  pass     pass",
            "  from two  pass     pass",
            "",
            "  ipv6-ssm  to one   to two",
            "  from one  pass     pass",
            "  from two  pass     pass",
        ]
    )


def test_node_ids_k_m_xdist_and_junit(pytester: pytest.Pytester, scenario: Path) -> None:
    run_here(pytester, "a.mcast.yaml::ipv4-ssm[one->two]").assert_outcomes(passed=1)
    run_here(pytester, "-k", "ipv6-ssm[two and one]").assert_outcomes(passed=1, deselected=7)
    run_here(pytester, "-m", "not mcast").assert_outcomes(deselected=8)
    result = pytester.runpytest_subprocess("-n2", "--junitxml=out.xml", "--reruns=1")
    result.assert_outcomes(passed=8)
    result.stdout.fnmatch_lines(["  from two  pass     pass"])
    assert 'name="ipv6-ssm[two-&gt;two]"' in (pytester.path / "out.xml").read_text()


def test_failures_are_in_the_table_and_run_again_with_lf(
    pytester: pytest.Pytester, scenario: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeconftest("""
        import os
        import pytest

        @pytest.fixture(autouse=True)
        def of_the_users(request, monkeypatch):
            if os.environ.get("BREAK") and request.node.name == "ipv4-ssm[one->two]":
                monkeypatch.setattr("pytest_mcast.core.sender.Sender.send", lambda self, payload: None)
            if request.node.name == "ipv4-ssm[two->one]":
                pytest.skip("for a reason of the user's")
            if os.environ.get("BREAK") and request.node.name == "ipv4-ssm[two->two]":
                raise RuntimeError("set-up is broken")
    """)
    monkeypatch.setenv("BREAK", "1")
    result = run_here(pytester, "--mcast-timeout=0.2")
    monkeypatch.delenv("BREAK")
    result.assert_outcomes(passed=5, failed=1, skipped=1, errors=1)
    result.stdout.fnmatch_lines(["  from one  pass     fail", "  from two  skipped  error"])
    run_here(pytester, "--lf").assert_outcomes(passed=2)


def test_a_module_scoped_autouse_fixture_of_the_users_works(pytester: pytest.Pytester, scenario: Path) -> None:
    pytester.makeconftest("""
        import pytest

        @pytest.fixture(autouse=True, scope="module")
        def of_the_users(request):
            assert request.module is not None
            yield

        @pytest.fixture(autouse=True, scope="class")
        def of_the_class():
            yield
    """)
    run_here(pytester, "--mcast-require=all").assert_outcomes(passed=8)


def test_a_mistake_is_an_error_of_the_collection(pytester: pytest.Pytester) -> None:
    (pytester.path / "b.mcast.yaml").write_text("hosts: {a: virtul}\n")
    result = run_here(pytester)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*b.mcast.yaml:1:12: hosts.a: 'virtul' is not allowed; did you mean 'virtual'?*"])
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file of which nobody can read the beginning")
def test_a_file_that_cannot_be_read_is_an_error_of_the_collection(pytester: pytest.Pytester) -> None:
    (pytester.path / "b.mcast.yaml").symlink_to("/proc/self/mem")
    result = run_here(pytester)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*b.mcast.yaml: cannot read it: Input/output error"])
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*.py:*")


def test_local_hosts_use_the_interface_named(pytester: pytest.Pytester) -> None:
    (pytester.path / "c.mcast.yaml").write_text("title: Right here\nhosts: {here: local}\nmatrix: {family: [ipv4]}\n")
    result = run_here(pytester, "--mcast-iface=lo")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["Right here (c.mcast.yaml)", "", "  ipv4-asm   to here", "  from here  pass"])
    text = 'hosts: {mac: {remote: "ssh=mac.example"}}\nmatrix: {family: [ipv4], mode: [asm]}\n'
    (pytester.path / "d.mcast.yaml").write_text(text)
    result = pytester.runpytest_subprocess("--mcast-lab", "-p", "no:randomly")
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(
        ["mcast: mac is another machine, to which no way leads from the private network; drop *"]
    )
    result.stdout.fnmatch_lines(["*mcast: a local host is this machine, which the private network hides; drop *"])


def test_a_cell_that_cannot_be_proved_does_not_pass(pytester: pytest.Pytester, scenario: Path) -> None:
    pytester.makeconftest("""
        import pytest
        from pytest_mcast import MissingCapability
        from pytest_mcast.lab import VirtualHost

        @pytest.fixture(autouse=True)
        def no_packet_sockets(monkeypatch):
            def refuse(self, interface=None):
                raise MissingCapability("packets", "there are none", "get some")
            monkeypatch.setattr(VirtualHost, "injector", refuse)
    """)
    run_here(pytester).assert_outcomes(passed=4, skipped=4)  # from a host to itself nothing is to be proved
    result = run_here(pytester, "--mcast-require=packets")
    result.assert_outcomes(passed=4, failed=4)
    result.stdout.fnmatch_lines(["*mcast: packets is required by --mcast-require: there are none; get some"])


@pytest.mark.parametrize("way", [(), ("-n1",)], ids=["plain", "xdist"])
def test_files_of_one_name_outside_of_rootdir_are_two(pytester: pytest.Pytester, way: tuple[str, ...]) -> None:
    root = pytester.mkdir("root")
    pytester.makeini("[pytest]\n").rename(root / "tox.ini")
    for name in ("x", "y"):
        text = f"title: It is {name}\nhosts: {{one: {{status: planned, reason: none yet}}}}\nmatrix: {{family: [ipv4], mode: [asm]}}\n"
        pytester.mkdir(name).joinpath("a.mcast.yaml").write_text(text)
    paths = ["x/a.mcast.yaml::ipv4-asm[one->one]", "y"]
    arguments = (f"--rootdir={root}", "--mcast-report=out.json", *paths, *way)
    result = pytester.runpytest_subprocess(*arguments) if way else run_here(pytester, *arguments)
    result.assert_outcomes(skipped=2)
    cells = read(pytester.path / "out.json").cells
    assert [cell.key["file"] for cell in cells] == ["../x/a.mcast.yaml", "../y/a.mcast.yaml"]
    assert [cell.nodeid for cell in cells] == [f"{cell.key['file']}::ipv4-asm[one->one]" for cell in cells]
    assert {"It is x (../x/a.mcast.yaml)", "It is y (../y/a.mcast.yaml)"} <= set(result.outlines)
