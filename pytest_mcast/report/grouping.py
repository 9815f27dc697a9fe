"""What the tables have in common: which there are, and what stands in them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from .conformance import is_conformance
from .record import Cell, Record
from .rows import one_line

__all__ = [
    "WORDS",
    "Table",
    "axes_of",
    "describe",
    "group",
    "label",
    "natural",
    "odd_version",
    "shared_parameters",
    "summary",
    "word",
    "words",
]

#: All words that ``word`` has, the worst first, with a symbol and what they mean.
WORDS: dict[str, tuple[str, str]] = {
    "error": ("💥", "the test itself broke, nothing is known"),
    "fail": ("❌", "it does not work"),
    "unexpected pass": ("❗", "it works, where something else is expected"),
    "not-run": ("⬜", "no run of this record got to it"),
    "skipped": ("⚪", "the environment cannot"),
    "expected fail": ("🟡", "it does not work, which is known"),
    "unsupported": ("🚫", "the implementation does not claim to"),
    "planned": ("⏳", "there is no machine for it yet"),
    "pass": ("✅", "it works"),
}  # fmt: skip

_KNOWN = ("file", "family", "mode", "sender", "receiver")
_AXES = ("scope", "size", "ttl", "loopback", "steps")  # in the order of the ids of scenario cells
_USUAL = ("", "IGMPv3", "MLDv2")
_NAMED = 4  # combinations that are named one by one


@dataclass(frozen=True)
class Table:
    """Senders down, receivers across; in each place the cells of that pair, which differ in further ``axes``."""

    family: str
    mode: str
    places: Mapping[tuple[str, str], tuple[Cell, ...]]

    @cached_property
    def senders(self) -> list[str]:
        """Their names, sorted."""
        return sorted({sender for sender, _ in self.places}, key=natural)

    @cached_property
    def receivers(self) -> list[str]:
        """Their names, sorted."""
        return sorted({receiver for _, receiver in self.places}, key=natural)

    @cached_property
    def cells(self) -> list[Cell]:
        """All of them."""
        return [cell for cells in self.places.values() for cell in cells]

    @cached_property
    def parameters(self) -> str:
        """The values of the further axes, of which a result is a summary; empty if there are none."""
        return "; ".join(f"{name} {', '.join(values)}" for name, values in axes_of(self.cells).items())


def group(record: Record) -> Iterator[tuple[str, str, list[Table]]]:
    """Yield each file with its title and its tables, one per family and mode; not those of the conformance suite."""
    tables: dict[str, dict[tuple[str, str], dict[tuple[str, str], list[Cell]]]] = {}
    for cell in record.cells:
        key = cell.key
        if not is_conformance(cell):
            table = tables.setdefault(key["file"], {}).setdefault((key["family"], key["mode"]), {})
            table.setdefault((key["sender"], key["receiver"]), []).append(cell)
    for file, kinds in sorted(tables.items()):
        yield (
            file,
            record.files[file].title if file in record.files else "",
            [
                Table(*kind, {place: tuple(cells) for place, cells in places.items()})
                for kind, places in sorted(kinds.items())
            ],
        )


def shared_parameters(tables: Sequence[Table]) -> str:
    """Return the parameters that all tables of a file have; empty if they differ."""
    parameters = {table.parameters for table in tables}
    return parameters.pop() if len(parameters) == 1 else ""


def word(cell: Cell) -> str:
    """Return one of ``WORDS``: what happened, and whether that was to be expected if the cell was not meant to pass."""
    if cell.outcome == "pass" and cell.expectation != "pass" and not cell.sometimes:
        return "unexpected pass"
    return "expected fail" if cell.outcome == cell.expectation == "fail" else cell.outcome


def words(cells: Sequence[Cell]) -> dict[str, int]:
    """Return how often each word is there, the best first."""
    counts = Counter(map(word, cells))
    return {name: counts[name] for name in reversed(WORDS) if counts[name]}


def summary(cells: Sequence[Cell]) -> str:
    """Return one phrase for the cells of a place: ``pass``, or ``11 pass, 1 fail``; with a version such as IGMPv2."""
    counts = words(cells)
    parts = list(counts) if len(counts) == 1 else [f"{count} {name}" for name, count in counts.items()]
    return ", ".join([*parts, *sorted({odd_version(cell) for cell in cells} - {""})])


def odd_version(cell: Cell) -> str:
    """Return the version of IGMP or MLD that the receiver's host fell back to; empty if it did not."""
    name = one_line(cell.reported.removesuffix(" (kernel)"), 20)
    return "" if name in _USUAL else name


def describe(some: Sequence[Cell], cells: Sequence[Cell]) -> str:
    """Say which of the cells of a place some are, by their further axes: ``size 8192, ttl 1 or 7``; empty for all."""
    axes = axes_of(cells)
    chosen = {cell.identity for cell in some}
    values = {name: {cell.key.get(name, "") for cell in some} for name in axes}
    block = [cell for cell in cells if all(cell.key.get(name, "") in allowed for name, allowed in values.items())]
    if {cell.identity for cell in block} == chosen:
        return ", ".join(
            f"{name} {' or '.join(sorted(allowed, key=natural))}"
            for name, allowed in values.items()
            if len(allowed) < len(axes[name])
        )
    named = [", ".join(f"{name} {cell.key.get(name, '')}" for name in axes) for cell in some[:_NAMED]]
    more = [f"and {len(some) - _NAMED} more"] if len(some) > _NAMED else []
    return "; ".join([*named, *more])


def axes_of(cells: Sequence[Cell]) -> dict[str, list[str]]:
    """Return the values of each further axis of cells."""
    names = sorted(
        {name for cell in cells for name in cell.key if name not in _KNOWN},
        key=lambda name: (_AXES.index(name) if name in _AXES else len(_AXES), name),
    )
    return {name: sorted({cell.key.get(name, "") for cell in cells}, key=natural) for name in names}


def label(cell: Cell) -> str:
    """Return the name of a cell in lists: ``FILE ipv4-ssm[one->two,size=1472]``, or of a conformance case."""
    key = cell.key
    if is_conformance(cell):
        return f"{key['receiver']} {key['case']} {key['family']}-{key['mode']}"
    more = "".join(f",{name}={values[0]}" for name, values in axes_of([cell]).items())
    return f"{key['file']} {key['family']}-{key['mode']}[{key['sender']}->{key['receiver']}{more}]"


def natural(text: str) -> list[tuple[int, str]]:
    """Return a key by which 9 stands before 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", text)]
