"""The HTML view: one self-contained page, for browsers with and without scripts. See docs/html-report.md.

Nothing in a record is trusted. Every text is escaped, and what would hide or reorder its neighbours is spelt out; addresses
are links only if they cannot be anything else; the policy in the page allows its own script and style, and no network.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import pytest_mcast

from .conformance import is_conformance
from .grouping import WORDS, axes_of, group, natural, odd_version, word, words
from .markup import artifact_link, clean, linked, markup, quoted, source_hash
from .record import Cell, Event, File, Record, Run

__all__ = ["html_page"]

_HERE = Path(__file__).parent
_KEY = ("file", "family", "mode", "sender", "receiver")
_SPELLINGS = {"ipv4": "IPv4", "ipv6": "IPv6", "asm": "ASM", "ssm": "SSM"}
_LABEL = 80  # characters that a run may be called by
# What repeats a cell: not what is written, which part was run, or whether to wait for a human.
_WITH_VALUE = ("--mcast-iface", "--mcast-timeout", "--mcast-require", "--mcast-core")
_FLAGS = ("--mcast-lab", "--mcast-strict")
_FACT_ORDER = ("version", "kind", "system", "release", "machine", "python")


@dataclass(frozen=True)
class _Grid:
    """A table of links to cells; more than one in a place differ in the further axes."""

    title: str
    corner: Sequence[str]
    cells: Mapping[tuple[str, str], Sequence[Cell]]

    @cached_property
    def rows(self) -> list[str]:
        return sorted({row for row, _ in self.cells}, key=lambda row: self._rank(0, row))

    @cached_property
    def columns(self) -> list[str]:
        return sorted({column for _, column in self.cells}, key=lambda column: self._rank(1, column))

    def _rank(self, side: int, name: str) -> tuple[bool, bool, list[tuple[int, str]]]:
        """Return what sorts names: at the end what is only planned, before it subjects on hosts, then by name."""
        outcomes = {cell.outcome for place, cells in self.cells.items() if place[side] == name for cell in cells}
        return outcomes == {"planned"}, "@" in name, natural(name)

    @property
    def all(self) -> list[Cell]:
        return [cell for cells in self.cells.values() for cell in cells]


@dataclass(frozen=True)
class _Section:
    """A scenario file, or a core with its conformance cases, whose tables are ``folded``: they are many."""

    name: str
    title: str
    grids: Sequence[_Grid]
    notes: str = ""
    hosts: Mapping[str, Mapping[str, str]] | None = None
    subjects: Mapping[str, Mapping[str, str]] | None = None
    folded: bool = False


def html_page(record: Record) -> str:
    """Return the page of a record: one file that loads nothing, to be written as UTF-8.

    Links to artifacts are relative, as in the record: keep the page beside it.
    """
    sections = [*_file_sections(record), *_conformance_sections(record)]
    titles = {section.title for section in sections} - {""}
    page: str = _template().render(
        record=record,
        runs={run.id: run for run in record.runs},
        sections=sections,
        title=titles.pop() if len(titles) == 1 else "Multicast matrix",
        facets=_facets(record.cells),
        meanings={text: meaning for text, (_, meaning) in WORDS.items()},
        style=markup((_HERE / "page.css").read_text(encoding="utf-8")),
        script=markup((_HERE / "page.js").read_text(encoding="utf-8")),
        version=pytest_mcast.__version__,
    )
    return page


@cache
def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        finalize=_finalize,
        loader=jinja2.FileSystemLoader(_HERE),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(_filters())
    return environment.get_template("page.html.j2")


def _filters() -> dict[str, Callable[..., Any]]:
    return {
        "anchor": _anchor,
        "artifact": artifact_link,
        "axes": _axes,
        "columns": _columns,
        "direction": _direction,
        "hash": source_hash,
        "heading": _heading,
        "href": _href,
        "kind": _kind,
        "label": _label,
        "lanes": _lanes,
        "linked": linked,
        "odd_version": odd_version,
        "odd_versions": _odd_versions,
        "quoted": quoted,
        "repeat": _repeat,
        "seconds": _seconds,
        "shell": shlex.join,
        "when": _when,
        "word": word,
        "words": words,
    }


def _file_sections(record: Record) -> Iterator[_Section]:
    for name, title, tables in group(record):
        grids = [_Grid(_spelt(table.family, table.mode), ("sender ↓", "receiver →"), table.places) for table in tables]
        file = record.files.get(name, File())
        yield _Section(name, title, grids, file.notes, file.hosts, file.subjects)


def _conformance_sections(record: Record) -> Iterator[_Section]:
    by_core: dict[str, dict[str, dict[tuple[str, str], list[Cell]]]] = {}
    for cell in record.cells:
        key = cell.key
        if is_conformance(cell):
            grid = by_core.setdefault(key["receiver"], {}).setdefault(key["case"].partition(".")[0], {})
            grid.setdefault((key["case"], _spelt(key["family"], key["mode"])), []).append(cell)
    for core, areas in sorted(by_core.items()):
        tables = [_Grid(area, ("case",), cells) for area, cells in sorted(areas.items())]
        facts = {core: record.subjects[core]} if core in record.subjects else None
        yield _Section(core, "Conformance", tables, subjects=facts, folded=True)


def _facets(cells: Iterable[Cell]) -> dict[str, list[str]]:
    """Return the parts of keys by which there is something to choose, each with its values."""
    values: dict[str, set[str]] = {name: set() for name in _KEY}
    for cell in cells:
        for name, value in cell.key.items():
            if name != "case":  # too many, and the text finds them
                values.setdefault(name, set()).add(value)
    return {name: sorted(found, key=natural) for name, found in values.items() if len(found) > 1}


def _odd_versions(cells: Iterable[Cell]) -> list[tuple[str, int, int]]:
    """Return the versions of IGMP and MLD that are not the current ones, with the number of cells, and of SSM cells."""
    found = [(version, cell.key["mode"]) for cell in cells if (version := odd_version(cell))]
    total, ssm = Counter(version for version, _ in found), Counter(version for version, mode in found if mode == "ssm")
    return [(version, number, ssm[version]) for version, number in sorted(total.items())]


def _kind(text: str) -> str:
    """Return a word as a class of the page, which is the value of its filter, too."""
    return text.replace(" ", "-")


def _anchor(cell: Cell) -> str:
    """Return what finds the cell in the page, the same in every record; the script takes it apart again."""
    key = cell.key
    parts = [quoted(key[name], "@") for name in _KEY[1:]]
    parts += [f"{quoted(name)}={quoted(key[name], '@')}" for name in sorted(key) if name not in _KEY]
    return f"cell={quoted(key['file'], '/')}::{'/'.join(parts)}"


def _href(cell: Cell) -> str:
    return "#" + quoted(_anchor(cell), "/:@=")


def _axes(cell: Cell) -> str:
    """Say what tells a cell from others of its sender and receiver."""
    return ", ".join(f"{name} {value}" for name, (value,) in axes_of([cell]).items() if name != "case")


def _spelt(*parts: str) -> str:
    return " ".join(_SPELLINGS.get(part, part) for part in parts)


def _heading(cell: Cell) -> str:
    key = cell.key
    kind = _spelt(key["family"], key["mode"])
    return (
        f"{key['case']}, {key['receiver']}, {kind}" if "case" in key else f"{key['sender']} → {key['receiver']}, {kind}"
    )


def _repeat(cell: Cell, run: Run | None) -> str:
    """Return the command that runs the cell again, with the options of its run that say where and how."""
    options = [] if run is None else list(_options(run.command[1:]))
    if not is_conformance(cell):
        return shlex.join(["pytest", cell.nodeid, *options])
    test = f"pytest_mcast.conformance.test_cases::{cell.nodeid.partition('::')[2]}"  # wherever it is installed
    core = [] if any(each.startswith("--mcast-core") for each in options) else ["--mcast-core", cell.key["receiver"]]
    return shlex.join(["pytest", "--pyargs", test, *core, *options])


def _options(words: Iterable[str]) -> Iterator[str]:
    """Yield those of a command that what happens in a cell depends on."""
    left = takewhile(lambda each: each != "--", words)  # behind it are only names of files
    for each in left:
        if each.partition("=")[0] in _WITH_VALUE:
            yield from (each,) if "=" in each else (each, *islice(left, 1))
        elif each in _FLAGS:
            yield each


def _label(run: Run) -> str:
    """Say in a few words which run it was."""
    known = run.environment
    where = [known[name] for name in ("ci", "job", "shard") if known.get(name)]
    machine = [known[name] for name in ("system", *([] if where else ["kernel"]), "machine") if known.get(name)]
    # The machine first: the jobs of a matrix may all have one name, and a long one.
    label = ", ".join(filter(None, (" ".join(machine), *where))) or run.id[:8]
    return label if len(label) <= _LABEL else label[:_LABEL] + "…"


def _lanes(cell: Cell) -> list[str]:
    """Return the hosts of the timeline: the sender's, the receiver's, others, and at last the harness."""
    first = [cell.key[name].rpartition("@")[2] for name in ("sender", "receiver")]
    there = dict.fromkeys(event.host for event in cell.timeline)
    return sorted(there, key=lambda host: (not host, first.index(host) if host in first else len(first)))


def _direction(event: Event) -> str:
    """Return n for a note, r for a packet that a host received, s for one that it sent: datagrams, and reports."""
    if event.kind != "packet":
        return "n"
    return "r" if event.what.startswith(("received", "delivered", "heard")) else "s"


def _columns(table: Mapping[str, Mapping[str, str]]) -> list[str]:
    names = dict.fromkeys(name for facts in table.values() for name in facts)
    return sorted(names, key=lambda name: _FACT_ORDER.index(name) if name in _FACT_ORDER else len(_FACT_ORDER))


def _seconds(duration: float) -> str:
    return f"{duration:.2f} s" if duration >= 1 else f"{duration * 1000:.1f} ms"


def _when(started: str) -> str:
    """Return a time of the record, which is UTC, for people."""
    return re.sub(r"T(\d\d:\d\d):\d\d(\.\d+)?Z$", r" \1 UTC", started)


def _finalize(value: Any) -> Any:
    return clean(value) if type(value) is str else value
