"""``pytest-mcast report``: views of result records, records put together, records compared."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from pytest_mcast.core.lines import OutputLost, discard

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from pytest_mcast.report import Record

__all__ = ["add_parser"]

_NO_READER = 141  # as of a program that SIGPIPE ends


def add_parser(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the sub-command."""
    parser = commands.add_parser(
        "report",
        help="tables of result records, merge and diff",
        description="Reads records that pytest --mcast-report PATH has written. Several are merged first.",
    )
    views = parser.add_subparsers(required=True, metavar="VIEW")
    view = _view(views, "markdown", _markdown, "tables in Markdown", "Prints the tables in Markdown.")
    _records(view)
    page = _view(views, "html", _html, "tables as a page", "Writes a page that needs nothing else.")
    page.add_argument("-o", dest="out", type=Path, required=True, metavar="OUT", help="the page to write")
    _records(page)
    together = _view(
        views, "merge", _merge, "one record of several", "Puts the records of machines, jobs or shards together."
    )
    together.add_argument("-o", dest="out", type=Path, required=True, metavar="OUT", help="the record to write")
    _records(together)
    change = _view(
        views,
        "diff",
        _diff,
        "what has changed",
        "Prints what has changed. The exit code is 1 if a cell that was as expected no longer is, or no cell is in both.",
    )
    change.add_argument("--markdown", action="store_true", help="print Markdown")
    change.add_argument(
        "--complete", action="store_true", help="a cell that was as expected and is gone is a regression as well"
    )
    change.add_argument("old", type=Path, metavar="OLD", help="the record before")
    change.add_argument("new", type=Path, metavar="NEW", help="the record now")
    cases = _view(
        views,
        "conformance",
        _conformance,
        "the document of conformance cases",
        "Prints what each conformance case is, why, and what the cores of the records do, in Markdown.",
    )
    cases.add_argument("files", type=Path, nargs="+", metavar="FILE", help="a record for each core")


def _view(views: Any, name: str, function: Any, brief: str, description: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = views.add_parser(name, help=brief, description=description)
    parser.set_defaults(run=lambda options: _guarded(function, options))
    return parser


def _records(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="the record; several are merged first")


def _guarded(function: Any, options: argparse.Namespace) -> int:
    """Run a view: its exit code, or 2 with the reason when a file cannot be read or written, or files contradict each other.

    141 if nobody reads what is printed.
    """
    from pytest_mcast.report import MergeError, RecordError

    try:
        result: int = function(options)
    except (RecordError, MergeError) as error:
        _say(str(error))
    except OutputLost as lost:
        if isinstance(lost.args[0], BrokenPipeError):
            return _NO_READER
        _say(f"cannot write: {lost.args[0].strerror}")
    except OSError as error:
        _say(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    else:
        return result
    return 2


def _markdown(options: argparse.Namespace) -> int:
    from pytest_mcast.report import markdown

    _print(markdown(_merged(options.files), symbols=_has_symbols(getattr(sys.stdout, "encoding", None))))
    return 0


def _has_symbols(encoding: str | None) -> bool:
    try:
        "✅".encode(encoding or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True


def _html(options: argparse.Namespace) -> int:
    from pytest_mcast.report import RecordError
    from pytest_mcast.report.html import html_page
    from pytest_mcast.report.store import write_text

    record = _merged(options.files, options.out)
    if options.out.exists() and any(options.out.samefile(file) for file in options.files):
        raise RecordError(
            options.out, "-o names a record that is read, which the page would replace; name another file"
        )
    write_text(options.out, html_page(record))
    _print([_told(options.out, record)])
    return 0


def _merge(options: argparse.Namespace) -> int:
    from pytest_mcast.report import write

    record = _merged(options.files, options.out)
    write(record, options.out)
    _print([_told(options.out, record)])
    return 0


def _told(out: Path, record: Record) -> str:
    left = sum(cell.outcome == "not-run" for cell in record.cells)
    return f"{out}: {len(record.runs)} run{'s' * (len(record.runs) != 1)}, {len(record.cells)} cells, {left} of them not run"


def _diff(options: argparse.Namespace) -> int:
    from pytest_mcast.report import compare, diff_lines, read

    difference = compare(read(options.old), read(options.new), complete=options.complete)
    _print(diff_lines(difference, markdown=options.markdown))
    return 1 if difference.failed else 0


def _conformance(options: argparse.Namespace) -> int:
    from pytest_mcast.catalogue import describe_cases
    from pytest_mcast.report import conformance_document, read

    _print(conformance_document([read(file) for file in options.files], describe_cases()))
    return 0


def _merged(files: Sequence[Path], out: Path | None = None) -> Record:
    """Return the record of all files, with artifacts as seen from ``out``."""
    from pytest_mcast.report import Source, merge, read

    records = [(file, read(file)) for file in files]
    if out is not None:
        records = [(file, _moved(record, file.parent, out.parent)) for file, record in records]
    return records[0][1] if len(records) == 1 else merge([Source(str(file), record) for file, record in records])


def _moved(record: Record, old: Path, new: Path) -> Record:
    """Return a record whose artifacts are found from another directory."""
    if old.resolve() == new.resolve():
        return record
    cells = [
        replace(cell, artifacts=tuple(_path(old / artifact, new) for artifact in cell.artifacts))
        if cell.artifacts
        else cell
        for cell in record.cells
    ]
    return replace(record, cells=tuple(cells))


def _path(path: Path, start: Path) -> str:
    try:
        return Path(os.path.relpath(path, start)).as_posix()
    except ValueError:  # on another drive
        return path.resolve().as_posix()


def _print(lines: Iterable[str]) -> None:
    """Print lines; raises ``OutputLost``."""
    try:
        if sys.stdout is None:  # closed by who started us
            raise BrokenPipeError
        _write(lines, sys.stdout)
    except OSError as error:
        discard(sys.stdout)
        raise OutputLost(error) from error


def _say(text: str) -> None:
    if sys.stderr is not None:
        try:
            _write([f"pytest-mcast report: {text}"], sys.stderr)
        except OSError:  # where nobody listens
            discard(sys.stderr)


def _write(lines: Iterable[str], stream: TextIO) -> None:
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")  # names may be in any script, the terminal may not
    for line in lines:
        print(line, file=stream)
    stream.flush()  # else it fails when the interpreter ends
