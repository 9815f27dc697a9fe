"""A suite that does not use the plugin does not notice it."""

from __future__ import annotations

import sys
import textwrap

import pytest

from ..support.pytests import run_here

LOOK = """
    import os
    import sys
    import threading

    HEAVY = {"scapy", "ruamel", "jsonschema", "jinja2", "asyncio", "ctypes", "selectors", "pytest_mcast.core",
             "pytest_mcast.lab", "pytest_mcast.hosts", "pytest_mcast.scenarios"}

    def test_look():
        print("heavy", sorted(HEAVY & set(sys.modules)))
        print("threads", [thread.name for thread in threading.enumerate()])
        print("descriptors", sorted(os.readlink(f"/proc/self/fd/{fd}").split(":")[0]
              for fd in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{fd}")))
"""


def _seen(pytester: pytest.Pytester, *arguments: str) -> list[str]:
    # Only our plugin: others import what they like.
    code = "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"
    result = pytester.run(sys.executable, "-c", code, "-s", "-q", "--capture=no", "-p", "no:cacheprovider", *arguments)
    assert result.ret == 0, result.outlines + result.errlines
    return [line for line in result.outlines if line.startswith(("heavy", "threads", "descriptors", "mcast"))]


def test_no_heavy_import_no_thread_no_descriptor(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makepyfile(LOOK)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    without = _seen(pytester)
    with_it = _seen(pytester, "-p", "pytest_mcast.plugin")
    assert with_it == without
    # The look can see what it looks for.
    pytester.makepyfile(f"import asyncio, pytest_mcast.core\n{textwrap.dedent(LOOK)}")
    assert _seen(pytester) != without


def test_the_header_has_a_line_only_when_an_option_is_set(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(): pass")
    assert "mcast:" not in pytester.runpytest_subprocess("--strict-config", "--strict-markers", "-Werror").stdout.str()
    result = run_here(pytester, "--mcast-timeout=3", "--mcast-require=ipv4-asm,namespaces")
    result.stdout.fnmatch_lines(["mcast: timeout 3 s (--mcast-timeout), require ipv4-asm,namespaces (--mcast-require)"])


def test_every_fixture_has_one_line_of_help(pytester: pytest.Pytester) -> None:
    result = run_here(pytester, "--fixtures")
    ours = [number for number, line in enumerate(result.outlines) if line.startswith("mcast_")]
    assert len(ours) == 14
    for number in ours:
        text = result.outlines[number + 1]
        assert text.startswith("    ")
        assert len(text) > 20
        assert not result.outlines[number + 2].strip(), result.outlines[number]


def test_the_marker_is_registered(pytester: pytest.Pytester) -> None:
    result = run_here(pytester, "--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.mcast(family=None, mode=None, scope=None, timeout=None): Narrow *"])
