"""The hooks."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .logs import add_logs
from .marker import SIGNATURE, read_marker
from .options import add_options
from .session_lab import enter_lab, in_xdist_worker
from .settings import read_lab_setting, read_settings
from .stash import CAPTURES, CORE, DOCTOR, LAB, PLACE, SETTINGS, WATCH, place_of

if TYPE_CHECKING:
    from .watch import Watch

__all__ = [
    "pytest_addhooks",
    "pytest_addoption",
    "pytest_collect_file",
    "pytest_configure",
    "pytest_configure_node",
    "pytest_generate_tests",
    "pytest_itemcollected",
    "pytest_load_initial_conftests",
    "pytest_make_collect_report",
    "pytest_report_header",
    "pytest_runtest_makereport",
    "pytest_runtest_setup",
    "pytest_skip_what_is_missing",
    "pytest_unconfigure",
]

_EXPORTED: pytest.StashKey[dict[str, str | None]] = pytest.StashKey()


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    from . import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    # Here, because the kernel grants a user namespace to a process of one thread only, which this still is, and because
    # xdist's workers inherit it. They enter a network of their own later, in pytest_configure.
    setting = read_lab_setting(early_config)
    asks = early_config.known_args_namespace
    if setting.value != "off" and not in_xdist_worker() and not (asks.help or asks.version):
        setting = read_settings(early_config).lab  # a usage error is to come before anything happens
        if setting.value != "off":
            enter_lab(early_config, setting)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", SIGNATURE)
    settings = config.stash[SETTINGS] = read_settings(config)
    if settings.lab.value != "off" and LAB not in config.stash and not config.option.help:
        # In a worker. Last: pytest-rerunfailures has connected to the controller over 127.0.0.1 by now.
        enter_lab(config, settings.lab)
    if settings.iface.value is not None or settings.export.value:
        _check_and_export(config)
    if settings.capture.value != "off" or settings.pause.value:
        _watch(config)
    if settings.core.given:
        _find_core(config)
    if settings.shard.value is not None:
        from .shard import Sharding

        config.pluginmanager.register(Sharding(settings.shard.value), "mcast-shard")
    if not hasattr(config, "workerinput"):
        from .github import GitHub, on_github
        from .recorder import Recorder
        from .summary import Summary

        recorder = Recorder(config, settings)
        config.pluginmanager.register(recorder, "mcast-recorder")
        config.pluginmanager.register(Summary(recorder), "mcast-summary")
        if on_github(os.environ):
            config.pluginmanager.register(GitHub(recorder), "mcast-github")


def _find_core(config: pytest.Config) -> None:
    from pytest_mcast.core.errors import McastError
    from pytest_mcast.cores import find_core

    setting = config.stash[SETTINGS].core
    more = [core for cores in config.hook.pytest_mcast_cores(config=config) for core in cores]
    try:
        config.stash[CORE] = find_core(setting.value, more)
    except McastError as error:
        raise pytest.UsageError(f"{setting.origin}: {error}") from None


def _watch_of(config: pytest.Config) -> Watch:
    """Return what follows the hosts of the tests, made when it is first asked for."""
    if WATCH not in config.stash:
        from .watch import Watch

        config.stash[WATCH] = Watch()
        config.pluginmanager.register(config.stash[WATCH], "mcast-watch")
    return config.stash[WATCH]


def _watch(config: pytest.Config) -> None:
    """Follow the hosts of the tests, to capture and to pause."""
    settings = config.stash[SETTINGS]
    watch = _watch_of(config)
    if settings.capture.value != "off":
        from .captures import Captures

        since = getattr(config, "workerinput", {}).get("mcast_started", time.time())
        config.stash[CAPTURES] = Captures(settings, watch, since, config.invocation_params.dir)
    if settings.pause.value:
        from .pause import Pause, check_terminal

        check_terminal(config, settings.pause.origin)
        config.pluginmanager.register(Pause(watch), "mcast-pause")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    # pytest-xdist: a worker that replaces another one must know what is of this run.
    captures = node.config.stash.get(CAPTURES, None)
    if captures is not None:
        node.workerinput["mcast_started"] = captures.since


def _check_and_export(config: pytest.Config) -> None:
    """Find the interface that was named, and tell it to the tests by the variables of ``mcast_export``."""
    from pytest_mcast.core.errors import InterfaceError

    from .place import find_interface, loopback

    settings = config.stash[SETTINGS]
    try:
        if settings.iface.value is not None:
            interface = find_interface(settings.iface.value)
        else:
            interface = (
                loopback()
                if config.stash.get(LAB, None) is None
                else find_interface(settings.lab_interfaces.value[0][0])
            )
    except InterfaceError as error:
        raise pytest.UsageError(f"{settings.iface.origin}: {error}") from None
    facts = {
        "interface": interface.name,
        "index": str(interface.index),
        "ipv4": next(iter(interface.ipv4), ""),
        "ipv6": next(iter(interface.ipv6), ""),
    }
    config.stash[_EXPORTED] = {name: os.environ.get(name) for name, _ in settings.export.value}
    for name, template in settings.export.value:
        os.environ[name] = template.format_map(facts)


def pytest_unconfigure(config: pytest.Config) -> None:
    if PLACE in config.stash:
        config.stash[PLACE].close()
        del config.stash[PLACE]
    for name, before in config.stash.get(_EXPORTED, {}).items():
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


def pytest_report_header(config: pytest.Config) -> str | None:
    return config.stash[SETTINGS].header()


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if not file_path.name.endswith(".mcast.yaml"):
        return None
    from .scenario_items import ScenarioFile

    return ScenarioFile.at(parent, file_path)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "mcast_kind" not in metafunc.fixturenames:
        return
    for mark in metafunc.definition.iter_markers("parametrize"):
        names = mark.args[0] if mark.args else mark.kwargs.get("argnames", "")
        if "mcast_kind" in (names.replace(",", " ").split() if isinstance(names, str) else names):
            return  # the test has chosen itself
    kinds = read_marker(metafunc.definition).kinds
    metafunc.parametrize("mcast_kind", kinds, ids=["-".join(kind) for kind in kinds], indirect=True)


def pytest_itemcollected(item: pytest.Item) -> None:
    if any(name.startswith("mcast_") for name in getattr(item, "fixturenames", ())):
        item.add_marker("mcast")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    # Before all other set-up, which may fail: each attempt has evidence of its own.
    if getattr(item, "mcast_evidence", None):
        item.mcast_evidence = []  # type: ignore[attr-defined]
    if hasattr(item, "mcast_forget"):
        item.mcast_forget()
    if item.config.stash[SETTINGS].doctor.value != "off":
        _call_the_doctor(item)
    return (yield)


def _call_the_doctor(item: pytest.Item) -> None:
    """Have the doctor watch a test that has to do with multicast, as far as can be told before it begins."""
    config = item.config
    names = getattr(item, "fixturenames", ())
    ours = config.stash.get(LAB, None) is not None or hasattr(item, "mcast_cell")
    if not (ours or any(name.startswith("mcast_") for name in names)):
        if DOCTOR in config.stash:
            config.stash[DOCTOR].begin(None)
        return
    if DOCTOR not in config.stash:
        from .doctoring import Doctor

        new = WATCH not in config.stash
        watch = _watch_of(config)
        config.stash[DOCTOR] = doctor = Doctor(config.stash[SETTINGS].doctor.value, watch)
        config.pluginmanager.register(doctor, "mcast-doctor")
        doctor.begin(item)
        if new:  # its hook is not called for this test any more
            watch.pytest_runtest_setup(item)
    else:
        config.stash[DOCTOR].begin(item)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, pytest.CollectReport]:
    report: pytest.CollectReport = yield
    mistake = getattr(collector, "mcast_mistake", None)
    if mistake is not None:
        report.mcast = {"mistake": mistake}  # type: ignore[attr-defined] # as those of tests, see below
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, pytest.TestReport]:
    report: pytest.TestReport = yield
    cell = getattr(item, "mcast_cell", None)
    doctor = item.config.stash.get(DOCTOR, None)
    if doctor is not None and report.failed and call.excinfo is not None:
        doctor.examine(item, report, call.excinfo.value)
    if report.failed and WATCH in item.config.stash:
        add_logs(report, item.config.stash[WATCH].hosts)
    captures = item.config.stash.get(CAPTURES, None)
    artifacts = [] if captures is None else captures.follow(item, report)
    missing = getattr(call.excinfo and call.excinfo.value, "mcast_missing", None)
    if cell is not None or PLACE in item.config.stash or artifacts:
        # Attributes of a report travel to the controller of xdist and outlive a crash; plain JSON only.
        report.mcast = {  # type: ignore[attr-defined]
            "place": place_of(item.config).describe(),
            "cell": cell,
            "evidence": getattr(item, "mcast_evidence", []),
            "artifacts": artifacts,
            "facts": getattr(item, "mcast_facts", {}),
            "details": getattr(item, "mcast_details", {}),
            "missing": missing,
            # "error": what ended it says nothing about what was tested.
            "outcome": getattr(call.excinfo and call.excinfo.value, "mcast_outcome", None),
        }
    return report


@pytest.hookimpl(specname="pytest_runtest_makereport")
def pytest_skip_what_is_missing(item: pytest.Item, call: pytest.CallInfo[Any]) -> None:
    """Turn a missing capability, wherever a test met it, into a skip with reason and remedy, or into a failure."""
    # Neither a wrapper nor first: unittest's own hook has put the exceptions of a TestCase into the call by now.
    missing: Any = call.excinfo and call.excinfo.value
    if getattr(missing, "mcast_outcome", None) == "skipped":
        call.excinfo = pytest.CallInfo.from_call(lambda: place_of(item.config).skip(missing), call.when).excinfo
