"""Tables of sender x receiver for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from .grouping import Table, group, word
from .record import Record

__all__ = ["tables"]


def tables(record: Record) -> Iterator[str]:
    """Yield the lines of one table per file, family and mode: senders down, receivers across, outcomes inside."""
    for file, title, here in group(record):
        yield f"{title} ({file})" if title else file
        for table in here:
            yield ""
            yield from _table(table)
        yield ""


def _table(table: Table) -> Iterator[str]:
    name = "-".join((table.family, table.mode, *(f"{key}={value}" for key, value in table.more)))
    words = {place: word(cell) for place, cell in table.cells.items()}
    rows = [[name, *(f"to {receiver}" for receiver in table.receivers)]]
    rows += [
        [f"from {sender}", *(words.get((sender, receiver), "") for receiver in table.receivers)]
        for sender in table.senders
    ]
    # Not narrower than "skipped", so that the tables of one file look alike.
    widths = [max(len("skipped"), *map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
