"""What the plugin does to a project, or a part of it, that does not use it: nothing; and how it presents itself."""

from __future__ import annotations

import json
import re
from importlib.metadata import entry_points
from typing import Any

import pytest

# Other plugins import asyncio, open sockets and start threads of their own.
ALONE = [f"-pno:{plugin.name}" for plugin in entry_points(group="pytest11") if plugin.name != "mcast"]

FIXTURES = {
    "mcast_channel",
    "mcast_echo",
    "mcast_echo_factory",
    "mcast_iface",
    "mcast_lab",
    "mcast_probe",
    "mcast_receiver",
    "mcast_receiver_factory",
    "mcast_receiver_host",
    "mcast_sender",
    "mcast_sender_factory",
    "mcast_sender_host",
}

# Look as late as a project can: after the last test and its reports.
CONFTEST = r"""
import json, os, re, sys, threading
from pathlib import Path
import pytest

def target(descriptor):
    try:
        return re.sub("[0-9]+", "N", os.readlink(f"/proc/self/fd/{descriptor}"))
    except FileNotFoundError:  # the listing's own
        return "listing"

@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    Path("seen.json").write_text(json.dumps({
        "modules": sorted(sys.modules),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "descriptors": sorted(map(target, os.listdir("/proc/self/fd"))),
        "warnings": session.config.pluginmanager.get_plugin("terminalreporter").stats.get("warnings", []),
    }))
"""
TEST = """
def test_arithmetic():
    assert 1 + 1 == 2
"""


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IFACE", "TIMEOUT", "REQUIRE", "EXPORT"):
        monkeypatch.delenv(f"PYTEST_MCAST_{name}", raising=False)


def look(pytester: pytest.Pytester, *options: str) -> tuple[dict[str, Any], pytest.RunResult]:
    """Run the unrelated test and return what it found in its process."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TEST)
    result = pytester.runpytest_subprocess(*ALONE, "-Werror", *options)
    result.assert_outcomes(passed=1)
    seen: dict[str, Any] = json.loads((pytester.path / "seen.json").read_text())
    return seen, result


def test_unrelated_tests_are_left_alone(pytester: pytest.Pytester) -> None:
    without, _ = look(pytester, "-pno:mcast")
    plugged, result = look(pytester)
    assert "pytest_mcast.plugin" not in without["modules"]
    assert "pytest_mcast.plugin" in plugged["modules"]
    added = set(plugged["modules"]) - set(without["modules"])
    assert {name for name in added if not name.startswith("pytest_mcast")} == set()
    for heavy in ("scapy", "ruamel", "jsonschema", "jinja2", "asyncio"):
        assert heavy not in plugged["modules"]
    for unused in ("core", "hosts", "lab", "scenarios"):
        assert f"pytest_mcast.{unused}" not in plugged["modules"]
    for what in ("threads", "descriptors", "warnings"):
        assert plugged[what] == without[what]
    result.stdout.no_fnmatch_line("mcast:*")


def test_every_fixture_has_one_good_line(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess(*ALONE, "--fixtures")
    listing = re.findall(r"^(mcast_\w+)(?: \[\w+ scope\])? -- \S+\n((?:    .*\n)*)", result.stdout.str(), re.MULTILINE)
    assert {name for name, _ in listing} >= FIXTURES
    assert len(listing) == len(dict(listing))
    for name, text in listing:
        assert re.fullmatch(r"    [A-Z].{10,110}\.\n", text), f"{name}: {text}"


def test_marker_is_listed(pytester: pytest.Pytester) -> None:
    lines = pytester.runpytest_subprocess(*ALONE, "--markers").stdout.lines
    (line,) = [line for line in lines if "mcast" in line]
    assert re.fullmatch(r"@pytest\.mark\.mcast\(family=None, mode=None, scope=None, timeout=None\): [A-Z].+", line)
