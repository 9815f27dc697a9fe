"""The Markdown view: tables of sender x receiver, and a note for whatever is not a plain pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from .grouping import Table, group, word
from .record import Cell, Record
from .rows import escape, rows

__all__ = ["markdown"]

_FAMILIES = {"ipv4": "IPv4", "ipv6": "IPv6"}


def markdown(record: Record) -> Iterator[str]:
    """Yield the lines of a document in GitHub's Markdown."""
    yield "# Multicast matrix"
    yield ""
    for run in record.runs:
        yield escape(f"Run {run.id} of {run.started}, {run.duration_s:.1f} s, {_end(run.exit_code)}.")
        if run.environment:
            yield ""
            yield escape("Environment: " + ", ".join(f"{name} {value}" for name, value in run.environment.items()))
    if record.subjects:
        yield ""
        yield from rows(["subject", "version"], [[name, facts["version"]] for name, facts in record.subjects.items()])
    notes: dict[str, int] = {}
    for file, title, tables in group(record):
        yield ""
        yield "## " + escape(f"{title} ({file})" if title else file or "Scenario file")
        family = None
        first = len(notes)
        for table in tables:
            if table.family != family:
                family = table.family
                yield ""
                yield "### " + escape(_FAMILIES.get(family, family))
            yield ""
            yield from _table(table, notes)
        if len(notes) > first:
            yield ""
            yield from (f"{number}. {escape(note)}" for note, number in list(notes.items())[first:])
        yield from _shown([cell for table in tables for cell in table.cells.values()])


def _end(exit_code: int | None) -> str:
    return "killed or not yet at its end" if exit_code is None else f"exit code {exit_code}"


def _table(table: Table, notes: dict[str, int]) -> Iterator[str]:
    corner = ", ".join((table.mode.upper(), *(f"{key} {value}" for key, value in table.more)))
    head = [corner, *(f"to {receiver}" for receiver in table.receivers)]
    yield from rows(
        head,
        [
            [f"from {sender}", *(_cell(table.cells.get((sender, receiver)), notes) for receiver in table.receivers)]
            for sender in table.senders
        ],
    )


def _shown(cells: Sequence[Cell]) -> Iterator[str]:
    """List what was shown, with the number of cells in which it was."""
    shown = Counter(line for cell in cells for line in cell.evidence)
    if shown:
        yield ""
        yield "Evidence:"
        yield ""
    for line, count in sorted(shown.items(), key=lambda item: (-item[1], item[0])):
        yield "- " + escape(f"{line}: {count} of {len(cells)} cells")


def _cell(cell: Cell | None, notes: dict[str, int]) -> str:
    if cell is None:
        return ""
    note = _note(cell)
    return f"{word(cell)} ({notes.setdefault(note, len(notes) + 1)})" if note else word(cell)


def _note(cell: Cell) -> str:
    parts = [cell.reason] if cell.reason else []
    if cell.attempts > 1:
        parts.append(f"{cell.attempts} attempts")
    if cell.artifacts:
        parts.append("see " + ", ".join(cell.artifacts))
    return "; ".join(parts)
