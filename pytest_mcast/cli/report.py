"""``pytest-mcast report``: views of a result record."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import _SubParsersAction

__all__ = ["add_parser", "run"]


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


def run(options: argparse.Namespace) -> int:
    """Print the view and return 0; 2 when the file is not a record, or cannot be read."""
    from pytest_mcast.report import RecordError, markdown, read

    try:
        record = read(options.file)
    except RecordError as error:
        print(f"pytest-mcast report: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"pytest-mcast report: {options.file}: {error.strerror}", file=sys.stderr)
        return 2
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names may be in any script, the terminal may not
    for line in markdown(record):
        print(line)
    return 0
