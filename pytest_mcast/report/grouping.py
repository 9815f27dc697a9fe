"""What the tables have in common: which there are, and what stands in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .conformance import is_conformance
from .record import Cell, Record

__all__ = ["Table", "group", "word"]

_KNOWN = ("file", "family", "mode", "sender", "receiver")


@dataclass(frozen=True)
class Table:
    """Senders down, receivers across; ``more`` is what else the keys of these cells have."""

    family: str
    mode: str
    more: tuple[tuple[str, str], ...]
    cells: Mapping[tuple[str, str], Cell]

    @property
    def senders(self) -> list[str]:
        """Their names, sorted."""
        return sorted({sender for sender, _ in self.cells})

    @property
    def receivers(self) -> list[str]:
        """Their names, sorted."""
        return sorted({receiver for _, receiver in self.cells})


def group(record: Record) -> Iterator[tuple[str, str, list[Table]]]:
    """Yield each file with its title and its tables: one per family, mode, and whatever else the keys have."""
    tables: dict[str, dict[tuple[str, str, tuple[tuple[str, str], ...]], dict[tuple[str, str], Cell]]] = {}
    for cell in record.cells:
        key = cell.key
        if is_conformance(cell):
            continue
        more = tuple(sorted((name, value) for name, value in key.items() if name not in _KNOWN))
        table = tables.setdefault(key["file"], {}).setdefault((key["family"], key["mode"], more), {})
        table[key["sender"], key["receiver"]] = cell
    for file, kinds in sorted(tables.items()):
        yield (
            file,
            record.files[file].title if file in record.files else "",
            [Table(*kind, cells) for kind, cells in sorted(kinds.items())],
        )


def word(cell: Cell) -> str:
    """Say what happened, and whether that was to be expected if the cell was not meant to pass."""
    if cell.expectation == "pass":
        return cell.outcome
    if cell.outcome == cell.expectation:
        return f"{cell.outcome} (expected)"
    return f"{cell.outcome} (unexpected)" if cell.outcome == "pass" else cell.outcome
