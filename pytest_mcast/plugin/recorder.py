"""Collects the results of the cells from the reports of all workers; exists in the controller only.

It holds the cells that were selected: what ``-k``, ``-m``, ``--lf`` or a node id left out is not in the record, as it
is another run's business. What was selected and never ran is ``not-run``.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .settings import Setting
from .stash import CORE, LAB

if TYPE_CHECKING:
    from pytest_mcast.report.record import Cell, Record
    from pytest_mcast.report.writer import Writer

__all__ = ["Recorder"]

_NOT_RUN = "the run did not get to it"
_NOT_ENDED = "the run ended before it did"
# Of two results of one attempt the heavier counts, of equals the first: an error in the tear-down after a failure is
# not the news, after a pass it is.
_WEIGHT = {"": -1, "not-run": 0, "pass": 1, "planned": 2, "unsupported": 2, "skipped": 2, "fail": 3, "error": 3}
_GAVE_UP = ".XFailed: "  # what pytest.xfail() and xfail(run=False) raise
# scenarios.Cell.id, from which the controller of xdist, which does not collect, learns of cells (a test compares them).
_NODEID = re.compile(
    r"(?P<file>.*)::(?P<family>ipv[46])-(?P<mode>asm|ssm)\[(?P<sender>[\w.-]+)->(?P<receiver>[\w.-]+)\]", re.ASCII
)
# Those of the conformance suite.
_CASE = re.compile(r"::test_case\[(?P<case>[a-z0-9]+\.[a-z0-9-]+)-(?P<family>ipv[46])-(?P<mode>asm|ssm)\]$")


@dataclass
class _State:
    """What is known of one cell so far."""

    key: Mapping[str, str]
    outcome: str = ""  # nothing is known
    expectation: str = "pass"
    reason: str = ""
    attempts: int = 0
    duration_s: float = 0.0
    artifacts: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    running: bool = False  # an attempt has begun and not ended
    again: bool = False  # the attempt failed, and another is to follow
    before: list[str] = field(default_factory=list)  # what became of the attempts before


class Recorder:
    """The results of this run; written to a file while they arrive, if one was named."""

    def __init__(self, config: pytest.Config, path: Setting[str | None]) -> None:
        self._config = config
        self._path = path
        self._writer: Writer | None = None
        self._lock = threading.Lock()  # the thread of the writer looks at what the reports change
        self._cells: dict[str, _State] = {}
        self._titles: dict[str, str] = {}
        self._subjects: dict[str, dict[str, str]] = {}
        self._features: dict[str, dict[str, str]] = {}
        self._id = os.urandom(8).hex()
        self._started = datetime.now(UTC)
        self._begin = time.monotonic()
        self._exit_code: int | None = None
        self.places: set[str] = set()
        if path.value is not None and not config.option.help:
            _check(Path(path.value), path.origin)

    @property
    def complaint(self) -> str | None:
        """Say that the file could not be written; None if it could, or was not asked for."""
        error = None if self._writer is None else self._writer.error
        return (
            None if error is None else f"mcast: {self._path.origin}: cannot write {self._path.value}: {error.strerror}"
        )

    def record(self) -> Record | None:
        """Return what is known now; None when there are no cells."""
        return self._snapshot() if self._cells else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """Begin the file, in place of an older one: there is a session, which ``--fixtures`` and the like have not."""
        if self._path.value is None:
            return
        from pytest_mcast.report.writer import BackgroundWriter, DirectWriter

        kind = BackgroundWriter if self._config.pluginmanager.hasplugin("dsession") else DirectWriter
        self._writer = kind(Path(self._path.value), self._snapshot)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Keep the cells that were selected, without xdist."""
        for item in session.items:
            cell = getattr(item, "mcast_cell", None)
            if cell is not None:
                self._keep(item.nodeid, cell)
        self._changed()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Keep the cells that were selected, which xdist tells by their node ids."""
        for nodeid in ids:
            match = _NODEID.fullmatch(nodeid)
            if match and nodeid not in self._cells:
                self._keep(nodeid, match.groupdict())
            case = _CASE.search(nodeid)
            if case and nodeid not in self._cells:
                core = self._config.stash.get(CORE, None)
                receiver = "builtin" if core is None else core.name
                self._keep(
                    nodeid, {"file": "conformance", "sender": "crafted", "receiver": receiver, **case.groupdict()}
                )
        self._changed()

    def pytest_runtest_logstart(self) -> None:
        """Write before a test begins: it may take long."""
        if self._writer is not None:
            self._writer.catch_up()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a report tells."""
        data: Mapping[str, Any] = getattr(report, "mcast", {})
        if data.get("place"):
            with self._lock:
                self.places.add(data["place"])
        if data.get("cell"):
            self._keep(report.nodeid, data["cell"])
        facts = data.get("facts", {})
        with self._lock:
            self._subjects.update(facts.get("subjects", {}))
            self._features.update(facts.get("features", {}))
        if report.nodeid in self._cells:  # a crashed worker's report has no data
            with self._lock:
                _take(self._cells[report.nodeid], report, data)
            self._changed()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write for the last time; a record that cannot be written fails the run, so that nobody misses it in vain."""
        self._exit_code = int(exitstatus)
        if self._writer is not None:
            self._writer.close()
            if self._writer.error is not None and not exitstatus:
                session.exitstatus = pytest.ExitCode.INTERNAL_ERROR

    def _keep(self, nodeid: str, cell: Mapping[str, str]) -> None:
        title = cell.get("title", "")
        with self._lock:
            if title or cell["file"] not in self._titles:
                self._titles[cell["file"]] = title
            if nodeid not in self._cells:
                names = sorted(cell.keys() - {"title"}, key=lambda name: (name != "file", name))
                self._cells[nodeid] = _State({name: cell[name] for name in names})

    def _place(self) -> str:
        if not self.places and self._config.stash.get(LAB, None) is not None:
            return "a private network"
        return " and ".join(sorted(self.places))

    def _changed(self) -> None:
        if self._writer is not None and self._cells:
            self._writer.changed()

    def _snapshot(self) -> Record:
        from pytest_mcast.report.record import Cell, Feature, File, Record, Run

        with self._lock:
            run = Run(
                id=self._id,
                started=self._started.isoformat(timespec="seconds").replace("+00:00", "Z"),
                duration_s=round(time.monotonic() - self._begin, 3),
                command=("pytest", *map(os.fspath, self._config.invocation_params.args)),
                exit_code=self._exit_code,
                environment=_environment(self._place()),
            )
            return Record(
                runs=(run,),
                files={name: File(title) for name, title in sorted(self._titles.items())},
                subjects=dict(sorted(self._subjects.items())),
                features={name: Feature(**facts) for name, facts in sorted(self._features.items())},
                cells=tuple(_cell(nodeid, state, Cell, self._id) for nodeid, state in sorted(self._cells.items())),
            )


def _check(path: Path, origin: str) -> None:
    from pytest_mcast.report.store import why_not

    reason = why_not(path)
    if reason is not None:
        raise pytest.UsageError(
            f"{origin}: cannot write {str(path)!r}: {reason}; name a file in a directory that can be written to"
        )


def _environment(place: str) -> dict[str, str]:
    import platform

    from pytest_mcast import __version__

    facts = {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "pytest": pytest.__version__,
        "pytest-mcast": __version__,
        "system": platform.system(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "privilege": "root" if getattr(os, "geteuid", lambda: 1)() == 0 else "rootless",
        "place": place,
    }
    return {name: value for name, value in facts.items() if value}


def _cell(nodeid: str, state: _State, kind: type[Cell], run: str) -> Cell:
    reason = state.reason if state.outcome else _NOT_ENDED if state.attempts else _NOT_RUN
    return kind(
        key=state.key,
        outcome=state.outcome or "not-run",
        nodeid=nodeid,
        run=run,
        expectation=state.expectation,
        reason="; ".join(filter(None, [reason, *state.before])),
        attempts=state.attempts,
        duration_s=round(state.duration_s, 6),
        artifacts=state.artifacts,
        evidence=state.evidence,
    )


def _take(state: _State, report: pytest.TestReport, data: Mapping[str, Any]) -> None:
    crashed = report.when not in ("setup", "call", "teardown")
    if report.when == "setup" or not state.running:
        if state.again:
            state.before.append(f"attempt {state.attempts}: {state.outcome}: {state.reason}")
            state.outcome, state.expectation, state.reason, state.evidence = "", "pass", "", ()
        state.attempts += 1
        state.running, state.again = True, False
    if crashed or report.when == "teardown":
        state.running = False
    if str(report.outcome) == "rerun":  # of pytest-rerunfailures
        state.again = True
    state.duration_s += report.duration
    state.evidence = tuple(data.get("evidence", ())) or state.evidence
    state.artifacts = tuple(data.get("artifacts", ())) or state.artifacts
    outcome = _outcome(report, data)
    if outcome is not None and _WEIGHT[outcome] > _WEIGHT[state.outcome]:
        state.outcome, state.reason = outcome, _reason(report, outcome)
    if _expected_to_fail(report):
        state.expectation = "fail"


def _outcome(report: pytest.TestReport, data: Mapping[str, Any]) -> str | None:
    """Return what a report says of its cell; None when it says nothing."""
    xfail = _expected_to_fail(report)
    if report.passed or _is_strict_xpass(report):
        return "pass" if report.when == "call" else None
    if xfail and report.when == "setup" and _GAVE_UP in _message(report):
        return "not-run"
    if report.skipped and not xfail:
        return str(data.get("outcome") or "skipped")
    if report.when == "call":
        return str(data.get("outcome") or "fail")
    return "error"


def _expected_to_fail(report: pytest.TestReport) -> bool:
    return hasattr(report, "wasxfail") or _is_strict_xpass(report)


def _is_strict_xpass(report: pytest.TestReport) -> bool:
    return report.failed and isinstance(report.longrepr, str) and report.longrepr.startswith("[XPASS(strict)]")


def _reason(report: pytest.TestReport, outcome: str) -> str:
    """Return one line: why it was skipped, or the first line of the failure."""
    if outcome == "pass":
        return ""
    if report.when not in ("setup", "call", "teardown"):
        return f"worker {report.node.gateway.id} crashed" if hasattr(report, "node") else "the worker crashed"
    line = _message(report)
    _, gave_up, why = line.partition(_GAVE_UP)
    expected = getattr(report, "wasxfail", "")
    if gave_up:
        line = why
    elif expected:
        line = f"{line} (expected: {expected})"
    elif report.when != "call" and not report.skipped:
        line = f"{report.when}: {line}"
    return line.encode(errors="backslashreplace").decode()  # lone surrogates have no place in a text file


def _message(report: pytest.TestReport) -> str:
    longrepr: Any = report.longrepr
    if isinstance(longrepr, tuple):
        text = str(longrepr[2]).removeprefix("Skipped: ")
    else:
        text = str(getattr(getattr(longrepr, "reprcrash", None), "message", longrepr))
    return next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")
