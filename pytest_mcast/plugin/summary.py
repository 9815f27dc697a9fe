"""What is told at the end of a run: where the fixtures lived, and the tables of the scenario files."""

from __future__ import annotations

from typing import Any

import pytest

from .stash import NO_LAB

__all__ = ["Summary"]


class Summary:
    """Collects from the reports of all workers; it exists in the controller only."""

    def __init__(self) -> None:
        self._places: set[str] = set()
        self._cells: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a report tells."""
        data = getattr(report, "mcast", None)
        if data is None:
            return
        if data["place"] is not None:
            self._places.add(data["place"])
        if data["cell"] is not None:
            outcome = _outcome(report)
            if outcome is not None:
                self._cells[report.nodeid] = {**data["cell"], "outcome": outcome}

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        """Print it."""
        if self._cells:
            from pytest_mcast.report.table import tables

            terminalreporter.section("multicast matrix")
            for line in tables(list(self._cells.values())):
                terminalreporter.line(line)
        if NO_LAB in config.stash:
            terminalreporter.line(config.stash[NO_LAB])
        if self._places:
            terminalreporter.line("mcast: the fixtures lived on " + " and ".join(sorted(self._places)))


def _outcome(report: pytest.TestReport) -> str | None:
    """Return what a report says of its cell; None when it says nothing new."""
    if report.when == "call":
        return {"passed": "pass", "failed": "fail"}.get(report.outcome, report.outcome)
    if report.skipped:
        return "skipped"
    return "error" if report.failed else None
