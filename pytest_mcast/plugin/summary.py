"""What is told at the end of a run: where the fixtures lived, and the tables of the scenario files."""

from __future__ import annotations

import pytest

from .recorder import Recorder
from .stash import NO_LAB

__all__ = ["Summary"]


class Summary:
    """A view of what was recorded; it exists in the controller only."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

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
        if self._recorder.complaint:
            terminalreporter.line(self._recorder.complaint, red=True)
