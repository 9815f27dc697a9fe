"""What is told at the end of a run: where the fixtures lived, what was missing, and the tables of the scenario files."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .recorder import Recorder
from .stash import NO_LAB

__all__ = ["Summary"]


class Summary:
    """A view of what was recorded; it exists in the controller only."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        # What tests have met that is missing: by what became of them, the cause and the remedy.
        self._missing: dict[tuple[str, str, str], list[dict[str, str]]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what was missing."""
        missing = (getattr(report, "mcast", None) or {}).get("missing")
        if missing and report.outcome in ("skipped", "failed") and not hasattr(report, "wasxfail"):
            # Where no check has found the cause, the reason itself tells two from each other.
            key = (report.outcome, missing["cause"] or missing["reason"], missing["remedy"])
            self._missing.setdefault(key, []).append(missing)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        """Print it."""
        record = None if config.option.collectonly else self._recorder.record()
        if record is not None:
            from pytest_mcast.report import conformance_summary, tables

            for title, lines in (
                ("multicast matrix", tables(record, max(80, config.get_terminal_writer().fullwidth))),
                ("multicast conformance", conformance_summary(record)),
            ):
                for number, line in enumerate(lines):
                    if number == 0:
                        terminalreporter.section(title)
                    terminalreporter.line(line)
        if NO_LAB in config.stash:
            terminalreporter.line(config.stash[NO_LAB])
        if self._recorder.places:
            terminalreporter.line("mcast: the fixtures lived on " + " and ".join(sorted(self._recorder.places)))
        for line in self._lacks():
            terminalreporter.line(line)
        if self._recorder.complaint:
            terminalreporter.line(self._recorder.complaint, red=True)

    def _lacks(self) -> Iterator[str]:
        """Yield what was missing, with the number of tests, and what would change that; each in a line, to be copied."""
        for (outcome, _, remedy), found in sorted(self._missing.items()):
            tests = "1 test" if len(found) == 1 else f"{len(found)} tests"
            # In whatever order the workers ran them.
            reasons = {each["capability"]: each["reason"] for each in found}
            first, *others = sorted(reasons)
            yield f"mcast: {tests} {outcome}: {reasons[first]}{'; also ' * bool(others)}{', '.join(others)}"
            yield f"  cure: {remedy}"
