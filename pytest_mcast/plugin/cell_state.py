"""What is known of one cell, from the reports of its test, one after the other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from pytest_mcast.report.record import Cell, Event

__all__ = ["CellState"]

_NOT_RUN = "the run did not get to it"
_NOT_ENDED = "the run ended before it did"
# Of two results of one attempt the heavier counts, of equals the first: an error in the tear-down after a failure is
# not the news, after a pass it is.
_WEIGHT = {"": -1, "not-run": 0, "pass": 1, "planned": 2, "unsupported": 2, "skipped": 2, "fail": 3, "error": 3}
_PHASES = ("setup", "call", "teardown")
_GAVE_UP = ".XFailed: "  # what pytest.xfail() and xfail(run=False) raise
_STRICT = "[XPASS(strict)]"
_OURS = re.compile(
    r"pytest_mcast(\.\w+)+\.(?=[A-Z]\w*: )"
)  # the module of an exception of ours, which tells nobody anything
_MOST = 1000  # lines of a log, events of a timeline ...
_LONGEST = 2000  # ... and characters of each


@dataclass
class CellState:
    """The state of a cell while the run goes on."""

    key: Mapping[str, str]
    outcome: str = ""  # nothing is known
    expectation: str = "pass"
    sometimes: bool = False
    expected_reason: str = ""
    reason: str = ""
    attempts: int = 0
    duration_s: float = 0.0
    reported: str = ""
    notes: str = ""
    line: int = 0
    artifacts: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    timeline: tuple[Event, ...] = ()
    log: tuple[str, ...] = ()
    failure: tuple[str, ...] = ()  # the text of it
    marked: str | None = None  # xfail, and why
    running: bool = False  # an attempt has begun and not ended
    again: bool = False  # the attempt failed, and another is to follow
    before: list[str] = field(default_factory=list)  # what became of the attempts before

    def describe(self, details: Mapping[str, Any]) -> None:
        """Take what the cell's file says of it, and what was seen when it ran."""
        self.expectation = str(details.get("expectation", self.expectation))
        self.sometimes = bool(details.get("sometimes", self.sometimes))
        self.expected_reason = str(details.get("expected_reason", self.expected_reason))
        self.notes = str(details.get("notes", self.notes))
        self.line = int(details.get("line", self.line))
        self.reported = str(details.get("reported") or self.reported)
        self.log = _lines(details.get("log", ())) or self.log
        events = [Event(float(time), str(host), str(what)[:_LONGEST], kind) for time, host, what, kind in
                  details.get("timeline", ())[:_MOST]]  # fmt: skip
        self.timeline = tuple(events) or self.timeline

    def take(self, report: pytest.TestReport, data: Mapping[str, Any]) -> None:
        """Take what a report says; ``data`` is its attribute ``mcast``."""
        if report.when == "setup" or not self.running:
            self._begin()
        if report.when not in _PHASES[:2]:  # crashed, or the last one
            self.running = False
        if str(report.outcome) == "rerun":  # of pytest-rerunfailures
            self.again = True
        self.duration_s += report.duration
        self.describe(data.get("details", {}))
        self.evidence = tuple(data.get("evidence", ())) or self.evidence
        self.artifacts = tuple(data.get("artifacts", ())) or self.artifacts
        outcome = _outcome(report, data)
        if outcome is not None and _WEIGHT[outcome] > _WEIGHT[self.outcome]:
            self.outcome, self.reason = outcome, _reason(report, outcome)
            self.failure = _lines(report.longreprtext.splitlines()) if outcome in ("fail", "error") else ()
        if _expected_to_fail(report):
            self.marked = _why_expected(report)

    @property
    def ended(self) -> bool:
        """Whether an attempt has ended, and no other is to follow."""
        return bool(self.attempts) and not self.running and not self.again

    def cell(self, nodeid: str, run: str) -> Cell:
        """Return the cell as the record has it."""
        reason = self.reason if self.outcome else _NOT_ENDED if self.attempts else self.reason or _NOT_RUN
        marked = self.marked is not None and self.expectation == "pass"
        return Cell(
            key=self.key,
            outcome=self.outcome or "not-run",
            nodeid=nodeid,
            run=run,
            expectation="fail" if marked else self.expectation,
            sometimes=self.sometimes,
            expected_reason=self.expected_reason or (self.marked or "" if marked else ""),
            reason="; ".join(filter(None, [reason, *self.before])),
            attempts=self.attempts,
            duration_s=round(self.duration_s, 6),
            reported=self.reported,
            notes=self.notes,
            line=self.line,
            artifacts=self.artifacts,
            evidence=self.evidence,
            timeline=self.timeline,
            log=self.log if self.failure[-1:] == self.log[-1:] else self.log + self.failure,
        )

    def _begin(self) -> None:
        if self.again:
            self.before.append(": ".join(filter(None, [f"attempt {self.attempts}", self.outcome, self.reason])))
            self.outcome = self.reason = self.reported = ""
            self.marked = None
            self.evidence = self.timeline = self.log = self.failure = ()
        self.attempts += 1
        self.running, self.again = True, False


def _lines(lines: Iterable[Any]) -> tuple[str, ...]:
    """Return the last of these lines, none of them endless."""
    return tuple(str(line)[:_LONGEST] for line in list(lines)[-_MOST:])


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
    # Whatever the outcome: pytest-rerunfailures makes it "rerun".
    return isinstance(report.longrepr, str) and report.longrepr.startswith(_STRICT)


def _why_expected(report: pytest.TestReport) -> str:
    if _is_strict_xpass(report):
        return _message(report).removeprefix(_STRICT).strip()
    return "" if _GAVE_UP in _message(report) else str(getattr(report, "wasxfail", "")).removeprefix("reason: ")


def _reason(report: pytest.TestReport, outcome: str) -> str:
    """Return one line: why it was skipped, or the first line of the failure."""
    if outcome == "pass":
        return ""
    if report.when not in _PHASES:
        return f"worker {report.node.gateway.id} crashed" if hasattr(report, "node") else "the worker crashed"
    line = _message(report)
    _, gave_up, why = line.partition(_GAVE_UP)
    if gave_up:
        line = why
    elif report.when != "call" and not report.skipped:
        line = f"{report.when}: {line}"
    return line.encode(errors="backslashreplace").decode()  # lone surrogates have no place in a text file


def _message(report: pytest.TestReport) -> str:
    longrepr: Any = report.longrepr
    if isinstance(longrepr, tuple):
        text = str(longrepr[2]).removeprefix("Skipped: ").removeprefix("mcast: ")
    else:
        text = str(getattr(getattr(longrepr, "reprcrash", None), "message", longrepr))
    line = next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")
    return _OURS.sub("", line, count=1) if _OURS.match(line) else line
