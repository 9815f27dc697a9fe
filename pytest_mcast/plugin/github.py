"""On GitHub Actions: the tables in the summary of the job, and what is not as expected at the lines of the files.

See https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands. ``-p no:mcast-github`` turns it off.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_mcast.report import Cell, Record

    from .recorder import Recorder

__all__ = ["GitHub", "append_summary", "commands", "on_github"]

_SHOWN = 10  # errors of a step that GitHub shows
_LIMIT = 1024 * 1024  # bytes of a step's summary, above which GitHub drops all of it
_ROOM = 1024  # of them for what others add
_LONGEST = 1000  # characters of a message
_BAD = ("fail", "error", "unexpected pass")


def on_github(environ: Mapping[str, str]) -> bool:
    """Say whether this is a job of GitHub Actions."""
    return environ.get("GITHUB_ACTIONS") == "true"


class GitHub:
    """Tells GitHub what was recorded; it exists in the controller only. That it cannot is never a failure of the run."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._mistakes: list[Mapping[str, Any]] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep what is wrong with a scenario file; xdist tells it once for all workers."""
        mistake = getattr(report, "mcast", {}).get("mistake")
        if mistake is not None:
            self._mistakes.append(mistake)

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        """Print the annotations, and write the summary."""
        record = None if config.option.collectonly else self._recorder.record()
        workspace = os.environ.get("GITHUB_WORKSPACE", "")
        root = config.rootpath
        for line in commands(record, root, Path(workspace) if workspace else root, self._mistakes):
            terminalreporter.ensure_newline()
            terminalreporter.line(line)
        path = os.environ.get("GITHUB_STEP_SUMMARY")
        if path and record is not None:
            from pytest_mcast.report import markdown

            try:
                append_summary(Path(path), markdown(record))
            except OSError as error:
                terminalreporter.line(f"mcast: no summary for GitHub: cannot write {path}: {error.strerror}")


def commands(
    record: Record | None, root: Path, workspace: Path, mistakes: Sequence[Mapping[str, Any]] = ()
) -> Iterator[str]:
    """Yield a workflow command for each mistake and for each cell that is not as expected.

    A mistake in a scenario file has ``path``, ``line``, ``column`` and ``text``. There are as many as are shown, with the
    number of the rest in the last.
    """
    from pytest_mcast.report.grouping import word

    bad = [] if record is None else [cell for cell in record.cells if word(cell) in _BAD]
    told = [_mistake(each, workspace) for each in mistakes]
    told += [_annotation(cell, word(cell), root, workspace) for cell in bad[:_SHOWN]]
    count = len(mistakes) + len(bad)
    if count <= _SHOWN:
        yield from told
        return
    yield from told[: _SHOWN - 1]
    more = count - (_SHOWN - 1)
    what = "cells are" if more <= len(bad) else "files and cells are"
    yield f"::error title=multicast matrix::{more} more {what} not as expected"


def append_summary(path: Path, lines: Iterable[str]) -> None:
    """Append lines to the summary of the step, as many as GitHub takes; raises ``OSError``."""
    left = _LIMIT - _ROOM - (path.stat().st_size if path.exists() else 0)
    chunks: list[bytes] = []
    for line in lines:
        chunk = f"{line}\n".encode(errors="backslashreplace")
        left -= len(chunk)
        if left < 0:
            chunks.append(b"\n\nCut here: GitHub takes 1 MiB. The record has the rest.\n")
            break
        chunks.append(chunk)
    with path.open("ab") as file:
        file.write(b"".join(chunks) + b"\n")


def _mistake(mistake: Mapping[str, Any], workspace: Path) -> str:
    path = Path(mistake["path"])
    where = {"file": _within(path, workspace) or path.as_posix(), "line": mistake["line"], "col": mistake["column"]}
    return _error({**where, "title": f"{path.name}: this file cannot be used"}, mistake["text"])


def _annotation(cell: Cell, what: str, root: Path, workspace: Path) -> str:
    file, _, name = cell.nodeid.rpartition("::")
    properties = {"title": f"{name}: {what}"}
    if cell.line and file:
        where = _within(Path(os.path.normpath(root / file)), workspace) or file
        properties = {"file": where, "line": str(cell.line), **properties}
    return _error(properties, cell.reason or cell.expected_reason or what)


def _within(path: Path, workspace: Path) -> str | None:
    return path.relative_to(workspace).as_posix() if path.is_relative_to(workspace) else None


def _error(properties: Mapping[str, object], message: str) -> str:
    from pytest_mcast.report.rows import one_line

    told = ",".join(f"{key}={_escape(one_line(str(value)), in_property=True)}" for key, value in properties.items())
    return f"::error {told}::{_escape(one_line(message, _LONGEST))}"


def _escape(text: str, *, in_property: bool = False) -> str:
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if in_property else text
