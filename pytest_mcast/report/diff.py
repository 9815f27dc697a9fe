"""What has changed from one record to another, and whether anything got worse: for gates in CI.

A regression is a cell that was as expected in the old record and is not in the new one: it fails, is an error, says that it
is unsupported, was skipped, or was not run. No regression is what the file now declares: planned, or another expectation
that is met, or of what happens as before; nor what the new record does not have, because it was not selected.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .grouping import label, word
from .record import Cell, Record
from .rows import escape, one_line

__all__ = ["Difference", "compare", "diff_lines"]

_SECTIONS = {
    "regressions": "Regressions",
    "repaired": "Repaired",
    "changed": "Changed otherwise",
    "expectations": "Expected otherwise",
    "versions": "Versions and facts",
    "reported": "Reported with another version of IGMP or MLD",
    "evidence": "Shown with less evidence",
    "added": "Added",
    "removed": "Removed",
}
_LONGEST = 300  # characters of a reason
_MOST = 200  # lines of a section in Markdown
_VARYING = re.compile(r"[0-9a-f]*(?:[:.][0-9a-f]*){2,}(?:%\w+)?|\d+", re.IGNORECASE)  # addresses and numbers


@dataclass(frozen=True)
class Difference:
    """Lines for each kind of change; ``regressions`` is what a gate is for.

    ``known`` is the number of cells of the old record, ``compared`` of those that are in both.
    """

    regressions: list[str] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    expectations: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    reported: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    known: int = 0
    compared: int = 0

    @property
    def failed(self) -> bool:
        """Whether a gate is to stay shut: for regressions, and where there was something to compare, and nothing was."""
        return bool(self.regressions) or (self.known > 0 and self.compared == 0)


def compare(old: Record, new: Record, *, complete: bool = False) -> Difference:
    """Return what is different, cell by cell and fact by fact.

    With ``complete`` the new record is to have all cells: one that is gone, and was as expected, is a regression.
    """
    before = {cell.identity: cell for cell in old.cells}
    after = {cell.identity: cell for cell in new.cells}
    result = Difference(known=len(before), compared=len(before.keys() & after.keys()))
    for cell in sorted(new.cells, key=label):
        if cell.identity in before:
            _compare(before[cell.identity], cell, result)
        else:
            result.added.append(f"{label(cell)}: {word(cell)}{_why(cell)}")
    for cell in sorted(old.cells, key=label):
        if cell.identity in after:
            continue
        if complete and _good(cell):
            result.regressions.append(f"{label(cell)}: was {word(cell)}, and is gone")
        else:
            result.removed.append(f"{label(cell)}: was {word(cell)}")
    result.versions.extend(_facts(old, new))
    return result


def diff_lines(difference: Difference, *, markdown: bool = False) -> Iterator[str]:
    """Yield the lines of a text, or of a document in Markdown."""
    count = len(difference.regressions)
    head = f"{difference.compared} cells in both records, {count or 'no'} regression{'' if count == 1 else 's'}."
    if difference.known and not difference.compared:
        head += " Nothing was compared: the new record has none of the cells of the old one."
    if markdown:
        yield "# Multicast matrix: what has changed"
        yield ""
    yield head
    for name, title in _SECTIONS.items():
        lines: Sequence[str] = getattr(difference, name)
        if lines:
            yield ""
            yield f"## {title} ({len(lines)})" if markdown else f"{title} ({len(lines)}):"
            if markdown:
                yield ""
            shown = lines[:_MOST] if markdown else lines
            yield from (f"- {escape(line)}" if markdown else f"  {one_line(line)}" for line in shown)
            if len(shown) < len(lines):
                yield f"- and {len(lines) - len(shown)} more"


def _compare(old: Cell, new: Cell, result: Difference) -> None:
    name = label(new)
    change = f"{name}: {word(old)} -> {word(new)}{_why(new)}"
    if _good(old) and not _good(new) and new.outcome not in ("planned", "pass", old.outcome):
        result.regressions.append(change)
    elif not _good(old) and (_good(new) or new.outcome == "pass"):
        result.repaired.append(change)
    elif old.outcome != new.outcome:
        result.changed.append(change)
    if old.expectation != new.expectation:
        reason = f": {one_line(new.expected_reason, _LONGEST)}" if new.expected_reason else ""
        result.expectations.append(f"{name}: {old.expectation} -> {new.expectation}{reason}")
    if old.reported != new.reported and old.reported and new.reported:
        result.reported.append(f"{name}: {old.reported} -> {new.reported}")
    if _good(old) and _good(new):
        have = {_VARYING.sub("#", line) for line in new.evidence}
        gone = [line for line in old.evidence if _VARYING.sub("#", line) not in have]
        result.evidence.extend(f"{name}: no more: {line}" for line in gone)


def _good(cell: Cell) -> bool:
    """Whether the cell is as expected."""
    return cell.outcome == cell.expectation or (cell.outcome == "pass" and cell.sometimes)


def _why(cell: Cell) -> str:
    reason = cell.expected_reason if word(cell) == "expected fail" and cell.expected_reason else cell.reason
    return f": {one_line(reason, _LONGEST)}" if reason else ""


def _facts(old: Record, new: Record) -> Iterator[str]:
    yield from _changed("receive core", old.subjects, new.subjects)
    for name in sorted(old.files.keys() & new.files.keys()):
        before, after = old.files[name], new.files[name]
        yield from _changed(f"{name}: host", before.hosts, after.hosts)
        yield from _changed(f"{name}: implementation", before.subjects, after.subjects)
    for fact in sorted(
        {fact for record in (old, new) for run in record.runs for fact in run.environment} - _OF_ONE_RUN
    ):
        sets = [sorted({run.environment.get(fact, "") for run in record.runs}) for record in (old, new)]
        if sets[0] != sets[1]:
            yield f"{fact}: {_joined(sets[0])} -> {_joined(sets[1])}"


_OF_ONE_RUN = {"job", "job_url", "shard", "place"}


def _changed(what: str, old: Mapping[str, Mapping[str, str]], new: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    for name in sorted(old.keys() & new.keys()):
        for fact in sorted(old[name].keys() | new[name].keys()):
            before, after = old[name].get(fact, ""), new[name].get(fact, "")
            if before != after:
                yield f"{what} {name}: {fact} {before or 'unknown'} -> {after or 'unknown'}"


def _joined(values: Sequence[str]) -> str:
    return ", ".join(value or "unknown" for value in values) or "unknown"
