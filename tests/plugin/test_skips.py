"""What is missing, in words and as data: one line for each test, and the causes with their cures at the end."""

from __future__ import annotations

import json
import sys

from ..conftest import Runner

PYTEST = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", "-W", "error", "-rs"]

SUITE = """
    import pytest
    from pytest_mcast import MissingCapability

    @pytest.fixture
    def desert():
        raise MissingCapability("packets", "this is a desert", "bring a network")

    def test_in_setup(desert):
        pass

    def test_in_call():
        missing = MissingCapability("packets", "this is a desert", "bring a network")
        missing.cause = "network.desert"
        raise missing

    @pytest.mark.parametrize("kind", ["ipv4-asm", "ipv6-asm"])
    def test_of_one_cause(kind):
        missing = MissingCapability(kind, f"{kind} does not work in a desert", "bring a network")
        missing.cause = "network.desert"
        raise missing

    def test_of_something_else():
        raise MissingCapability("programs", "there is no cargo", "install it")

    @pytest.mark.xfail
    def test_expected_to_fail():
        assert False

    def test_skips_itself():
        pytest.skip("for another reason")
"""
# Writes what the controller gets of each report.
CONFTEST = """
    import json
    import os

    def pytest_runtest_logreport(report):
        missing = getattr(report, "mcast", {}).get("missing")
        if missing and "PYTEST_XDIST_WORKER" not in os.environ:
            with open("missing.json", "a") as file:
                print(json.dumps([report.nodeid.rpartition("::")[2], report.outcome, missing]), file=file)
"""


def _missing(runner: Runner) -> dict[str, dict[str, str]]:
    path = runner.home / "missing.json"
    found = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    path.unlink()
    return {name: {**missing, "outcome": outcome} for name, outcome, missing in found}


def _grouped(output: str) -> list[str]:
    """Return the lines of the summary that say what is missing, without what became of the tests."""
    lines = [line for line in output.splitlines() if line.startswith(("mcast: ", "  cure: "))]
    kept = [line for line in lines if "test" in line.partition(":")[2].split(":")[0] or line.startswith("  cure")]
    return [line.replace(" skipped: ", " : ").replace(" failed: ", " : ") for line in kept]


def test_the_summary_groups_by_cause_and_required_says_the_same(home: Runner) -> None:
    home.write(SUITE)
    home.write(CONFTEST, "conftest.py")
    skipped = home(PYTEST)
    assert "6 skipped, 1 xfailed" in skipped.stdout, skipped.stdout
    lines = skipped.stdout.splitlines()
    start = lines.index("mcast: 3 tests skipped: ipv4-asm does not work in a desert; also ipv6-asm, packets")
    assert lines[start : start + 6] == [
        lines[start],
        "  cure: bring a network",
        "mcast: 1 test skipped: there is no cargo",
        "  cure: install it",
        "mcast: 1 test skipped: this is a desert",
        "  cure: bring a network",
    ]
    assert sum("SKIPPED" in line and "mcast: this is a desert; bring a network" in line for line in lines) in (1, 2)
    data = _missing(home)
    assert data.keys() == {
        *("test_in_setup", "test_in_call", "test_of_something_else"),
        *("test_of_one_cause[ipv4-asm]", "test_of_one_cause[ipv6-asm]"),
    }
    assert data["test_in_call"] == {
        "outcome": "skipped",
        "capability": "packets",
        "cause": "network.desert",
        "reason": "this is a desert",
        "remedy": "bring a network",
    }
    assert data["test_in_setup"]["cause"] == ""
    failed = home([*PYTEST, "--mcast-require=all", "-n1"])
    assert "4 failed, 1 skipped, 1 xfailed, 1 error" in failed.stdout, failed.stdout
    assert set(_grouped(failed.stdout)) == set(_grouped(skipped.stdout)) != set()
    for name, missing in _missing(home).items():
        assert missing == {**data[name], "outcome": "failed"}
        assert f"{missing['capability']} is required by --mcast-require: {missing['reason']}; {missing['remedy']}" in (
            failed.stdout
        )


def test_cells_and_conformance_cases_are_told_as_well(home: Runner) -> None:
    home.write(CONFTEST, "record.py")  # no conftest.py, which would not be told of tests that are elsewhere
    home.write(
        """
        import pytest
        from pytest_mcast import MissingCapability
        from pytest_mcast.lab import VirtualHost

        @pytest.fixture(autouse=True)
        def no_packet_sockets(monkeypatch):
            def refuse(self, interface=None):
                raise MissingCapability("packets", "there are none", "get some")
            monkeypatch.setattr(VirtualHost, "injector", refuse)
        """,
        "no_packets.py",
    )
    home.write("hosts: {a: virtual, b: virtual}\nmatrix: {family: [ipv4], mode: [ssm]}\n", "a.mcast.yaml")
    command = [
        "env",
        f"PYTHONPATH={home.home}",  # where the plugins are
        *PYTEST,
        "-p",
        "record",
        "-p",
        "no_packets",
        "--mcast-lab",
        "a.mcast.yaml",
        "--pyargs",
        "pytest_mcast.conformance",
    ]
    result = home([*command, "-k", "mcast.yaml or ssm.wrong-source-ipv4-ssm"])
    assert "mcast: 3 tests skipped: there are none\n  cure: get some\n" in result.stdout, result.stdout
    names = _missing(home).keys()
    assert names == {"ipv4-ssm[a->b]", "ipv4-ssm[b->a]", "test_case[ssm.wrong-source-ipv4-ssm]"}
