"""Tables of sender x receiver for the terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from .grouping import Table, group, shared_parameters, summary
from .record import Record
from .rows import one_line, pad, width

__all__ = ["tables"]

_INDENT = "  "
_BETWEEN = "  "
# What GitHub Actions and Azure Pipelines would obey in a log, in their two halves: "::" at the beginning of a line, "##["
# and "##vso[" anywhere. See https://github.com/actions/runner/blob/main/src/Runner.Common/ActionCommand.cs
_COMMAND = re.compile(r"(?<=#)(?=#(?:vso)?\[)|(?<=^:)(?=:)|(?<=^  :)(?=:)")


def tables(record: Record, columns: int = 80) -> Iterator[str]:
    """Yield the lines of one table per file, family and mode: senders down, receivers across, outcomes inside.

    ``columns`` is the width of the terminal: receivers that do not fit stand in another block below. No line is a command
    to the CI system that reads it in a log, whatever the names.
    """
    for line in _tables(record, columns):
        yield _COMMAND.sub(" ", line)


def _tables(record: Record, columns: int) -> Iterator[str]:
    for file, title, here in group(record):
        yield one_line(f"{title} ({file})" if title else file)
        shared = shared_parameters(here)
        if shared:
            yield one_line(f"cells of one pair differ in {shared}")
        for table in here:
            yield ""
            yield from _table(table, columns - len(_INDENT), shared=bool(shared))
        yield ""


def _table(table: Table, columns: int, *, shared: bool) -> Iterator[str]:
    if table.parameters and not shared:
        yield _INDENT + one_line(f"cells of one pair differ in {table.parameters}")
    lines = [[one_line(f"{table.family}-{table.mode}"), *(one_line(f"to {name}") for name in table.receivers)]]
    lines += [
        [
            one_line(f"from {sender}"),
            *(summary(table.places.get((sender, receiver), ())) for receiver in table.receivers),
        ]
        for sender in table.senders
    ]
    # Not narrower than "skipped", so that the tables of one file look alike.
    widths = [max(len("skipped"), *map(width, column)) for column in zip(*lines, strict=True)]
    for number, block in enumerate(_blocks(widths, columns)):
        if number:
            yield ""
        for line in lines:
            yield _INDENT + _BETWEEN.join(pad(line[column], widths[column]) for column in (0, *block)).rstrip()


def _blocks(widths: Sequence[int], columns: int) -> Iterator[list[int]]:
    """Yield the receivers' columns that stand side by side, one at least."""
    block: list[int] = []
    left = columns - widths[0]
    for column, size in enumerate(widths[1:], 1):
        if block and left < len(_BETWEEN) + size:
            yield block
            block, left = [], columns - widths[0]
        block.append(column)
        left -= len(_BETWEEN) + size
    yield block
