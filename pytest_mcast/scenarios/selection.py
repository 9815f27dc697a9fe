"""Which cells a part of a file means: an exclude, or the cells of a rule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_mcast.documents import Document, choices, name_of, show

from .model import Cell
from .parties import Parties

__all__ = ["Selection", "as_text"]


def as_text(value: Any) -> str:
    """Return a value of an axis as it stands in the key of a cell."""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else str(int(value))


class Selection:
    """Finds cells by values of their keys, without looking at each."""

    def __init__(self, cells: Iterable[Cell], parties: Parties) -> None:
        self._parties = parties
        self._numbers: dict[str, dict[str, set[int]]] = {}
        for number, cell in enumerate(cells):
            for axis, value in cell.as_dict().items():
                self._numbers.setdefault(axis, {}).setdefault(value, set()).add(number)

    def find(self, document: Document, where: Sequence[Any], part: Mapping[str, Any]) -> set[int]:
        """Return the numbers of the cells that have one of the values of each axis in the part.

        Raises ``ScenarioError`` for a value that no cell has, and when no cell is left.
        """
        found: set[int] | None = None
        for axis, values in part.items():
            at = [*where, axis]
            if isinstance(values, list):
                numbers = set().union(*(self._of(document, [*at, n], axis, value) for n, value in enumerate(values)))
            else:
                numbers = self._of(document, at, axis, values)
            found = numbers if found is None else found & numbers
        if not found:
            raise document.failure(where, f"{name_of(where)}: {show(dict(part))} matches no cell")
        return found

    def _of(self, document: Document, where: Sequence[Any], axis: str, value: Any) -> set[int]:
        if axis in ("sender", "receiver"):
            self._parties.find(document, where, value, axis)
        known = self._numbers.get(axis, {})
        text = as_text(value)
        if text not in known:
            what = choices(text, list(known)) if known else f"none has a {axis}; name some in matrix.{axis}"
            raise document.failure(where, f"{name_of(where)}: {axis} {show(value)} matches no cell; {what}")
        return known[text]
