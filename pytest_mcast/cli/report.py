"""``pytest-mcast report``: views of a result record."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from pytest_mcast.report import Record

__all__ = ["add_parser", "run", "run_conformance"]


def add_parser(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the sub-command."""
    parser = commands.add_parser(
        "report",
        help="print the tables of a result record",
        description="Prints views of a record that pytest --mcast-report PATH has written.",
    )
    views = parser.add_subparsers(required=True, metavar="VIEW")
    view = views.add_parser("markdown", help="tables in Markdown", description="Prints the tables in Markdown.")
    view.add_argument("file", type=Path, metavar="FILE", help="the record")
    view.set_defaults(run=run)
    cases = views.add_parser(
        "conformance",
        help="the document of conformance cases",
        description="Prints what each conformance case is, why, and what the cores of the records do, in Markdown.",
    )
    cases.add_argument("files", type=Path, nargs="+", metavar="FILE", help="a record for each core")
    cases.set_defaults(run=run_conformance)


def run(options: argparse.Namespace) -> int:
    """Print the view and return 0; 2 when the file is not a record, or cannot be read."""
    from pytest_mcast.report import markdown

    return _print([options.file], lambda records: markdown(records[0]))


def run_conformance(options: argparse.Namespace) -> int:
    """Print the document and return 0; 2 when a file is not a record, or cannot be read."""
    from pytest_mcast.catalogue import describe_cases
    from pytest_mcast.report import conformance_document

    return _print(options.files, lambda records: conformance_document(records, describe_cases()))


def _print(files: Sequence[Path], view: Callable[[Sequence[Record]], Iterable[str]]) -> int:
    from pytest_mcast.report import RecordError, read

    records = []
    for file in files:
        try:
            records.append(read(file))
        except RecordError as error:
            print(f"pytest-mcast report: {error}", file=sys.stderr)
            return 2
        except OSError as error:
            print(f"pytest-mcast report: {file}: {error.strerror}", file=sys.stderr)
            return 2
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names may be in any script, the terminal may not
    for line in view(records):
        print(line)
    return 0
