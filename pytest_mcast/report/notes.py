"""The numbered notes of the tables: whatever is no plain pass has one, and what is said again has the same number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .grouping import describe, word
from .record import Cell
from .rows import one_line

__all__ = ["Notes"]

_MOST = 100  # notes of a file
_NUMBERS = 4  # of a place
_LONGEST = 400  # characters of a reason
_REST = "the record has the reasons of more"


class Notes:
    """The notes of one file, numbered from ``first``."""

    def __init__(self, first: int) -> None:
        self._first = first
        self._numbers: dict[str, int] = {}

    @property
    def next(self) -> int:
        """The number of the next note."""
        return self._first + len(self._numbers)

    def numbers(self, cells: Sequence[Cell]) -> str:
        """Return the numbers of the notes on the cells of a place, such as `` (1, 3)``; empty if there is nothing to say."""
        texts = list(_texts(cells))
        if len(texts) > _NUMBERS:
            texts[_NUMBERS - 1 :] = [_REST]
        numbers = sorted({self._number(text) for text in texts})
        return f" ({', '.join(map(str, numbers))})" if numbers else ""

    def lines(self) -> Iterator[str]:
        """Yield the notes, with their numbers."""
        yield from (f"{number}. {text}" for text, number in self._numbers.items())

    def _number(self, text: str) -> int:
        if text not in self._numbers and len(self._numbers) >= _MOST - 1:
            text = _REST
        return self._numbers.setdefault(text, self.next)


def _texts(cells: Sequence[Cell]) -> Iterator[str]:
    """Yield what there is to say of some cells of a place, with those that it is about."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        note = _note(cell)
        if note:
            groups.setdefault((word(cell), note), []).append(cell)
    for (name, note), some in groups.items():
        which = describe(some, cells)
        yield f"{which}: {name}: {note}" if which else note


def _note(cell: Cell) -> str:
    known = cell.outcome == cell.expectation and cell.expected_reason  # of which a measured detail is no news
    parts = [one_line(cell.expected_reason if known else cell.reason, _LONGEST)]
    if word(cell) == "unexpected pass" and cell.expected_reason:
        parts.append(f"expected: {one_line(cell.expected_reason, _LONGEST)}")
    if cell.attempts > 1:
        parts.append(f"{cell.attempts} attempts")
    parts.append(one_line(cell.notes, _LONGEST))
    if cell.artifacts and cell.outcome != "pass":
        parts.append("see " + one_line(", ".join(cell.artifacts), _LONGEST))
    return "; ".join(filter(None, parts))
