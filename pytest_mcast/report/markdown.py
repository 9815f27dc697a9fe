"""The Markdown view: tables of sender x receiver, and a note for whatever is not a plain pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from .conformance import conformance_summary
from .grouping import WORDS, Table, group, odd_version, shared_parameters, summary, words
from .notes import Notes
from .record import Cell, Record, Run
from .rows import escape, one_line, rows

__all__ = ["markdown"]

_FAMILIES = {"ipv4": "IPv4", "ipv6": "IPv6"}
_FIRST = ("version", "kind", "system", "release", "machine", "python")  # of the facts about hosts and subjects
_EVIDENCE = 12  # lines of it
_FACT = 80  # characters of one


def markdown(record: Record, *, symbols: bool = True) -> Iterator[str]:
    """Yield the lines of a document in GitHub's Markdown; without ``symbols`` for where only words can be shown."""
    files = list(group(record))
    cells = [cell for _, _, tables in files for table in tables for cell in table.cells]
    yield "# Multicast matrix"
    yield ""
    yield from _head(record, cells, symbols=symbols)
    number = 1
    for file, title, tables in files:
        notes = Notes(number)
        yield ""
        yield "## " + escape(f"{title} ({file})" if title else file or "Scenario file")
        yield from _about(record, file)
        shared = shared_parameters(tables)
        if shared:
            yield ""
            yield escape(f"Cells of one pair differ in {shared}.")
        family = None
        for table in tables:
            if table.family != family:
                family = table.family
                yield ""
                yield "### " + escape(_FAMILIES.get(family, family))
            yield ""
            yield from _table(table, notes, shared=bool(shared), symbols=symbols)
        if notes.next > number:
            yield ""
            yield from (_numbered(line) for line in notes.lines())
        number = notes.next
        yield from _shown([cell for table in tables for cell in table.cells])
    cases = list(conformance_summary(record))[:-1]  # an empty line
    if cases:
        yield ""
        yield "## Conformance of receive cores"
        yield ""
        yield from (f"    {line}" for line in cases)
    if len(record.runs) > 1:
        yield ""
        yield "## Runs"
        yield ""
        yield from _facts("run", {run.id: _of_run(run) for run in record.runs})


def _head(record: Record, cells: Sequence[Cell], *, symbols: bool) -> Iterator[str]:
    if len(record.runs) == 1:
        run = record.runs[0]
        facts = _of_run(run)
        yield escape(f"Run {run.id} of {facts.pop('started')}, {facts.pop('duration')}, {facts.pop('end')}.")
        if facts:
            yield ""
            yield escape("Environment: " + ", ".join(f"{name} {value}" for name, value in facts.items()))
    else:
        yield escape(f"{len(record.runs)} runs, which are listed at the end.")
    counts = words(cells)
    if counts:
        yield ""
        yield f"{len(cells)} cells: {', '.join(f'{count} {name}' for name, count in counts.items())}."
        yield ""
        yield "; ".join(f"{_symbol(name, symbols=symbols)}*{name}*: {WORDS[name][1]}" for name in counts) + "."
    odd = sorted({odd_version(cell) for cell in cells} - {""})
    if odd:
        yield ""
        yield escape(
            f"{', '.join(odd)}: the version that the receiver's host reported its membership in, where it is not IGMPv3 "
            "or MLDv2. Older versions know no sources."
        )
    if record.subjects:
        yield ""
        yield from _facts("receive core", record.subjects)


def _of_run(run: Run) -> dict[str, str]:
    end = "killed or not yet at its end" if run.exit_code is None else f"exit code {run.exit_code}"
    return {"started": run.started, "duration": f"{run.duration_s:.1f} s", "end": end, **run.environment}


def _about(record: Record, file: str) -> Iterator[str]:
    """Yield the notes of a file, and who took part."""
    about = record.files.get(file)
    if about is None:
        return
    if about.notes.strip():
        yield ""
        yield escape(about.notes)
    for name, facts in (("host", about.hosts), ("implementation", about.subjects)):
        if facts:
            yield ""
            yield from _facts(name, facts)


def _facts(head: str, facts: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Yield a table of facts about each, and a line with those that all have in common."""
    found = dict.fromkeys(name for each in facts.values() for name in each)
    names = sorted(found, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))
    present = [each for each in facts.values() if each.get("kind") != "planned"]
    alike = [name for name in names if len(present) > 1 and len({each.get(name, "") for each in present}) == 1]
    same = [name for name in alike if name not in ("kind", "version")]
    names = [name for name in names if name not in same]
    yield from rows(
        [head, *names],
        [[name, *(_fact(column, each.get(column, "")) for column in names)] for name, each in facts.items()],
    )
    if same:
        yield ""
        yield escape("All: " + ", ".join(f"{name} {present[0][name]}" for name in same) + ".")


def _fact(name: str, value: str) -> str:
    return one_line(value, None if name == "job_url" else _FACT)  # part of an address leads nowhere


def _table(table: Table, notes: Notes, *, shared: bool, symbols: bool) -> Iterator[str]:
    if table.parameters and not shared:
        yield escape(f"Cells of one pair differ in {table.parameters}:")
        yield ""
    yield from rows(
        [table.mode.upper(), *(f"to {receiver}" for receiver in table.receivers)],
        [
            [
                f"from {sender}",
                *(
                    _place(table.places.get((sender, receiver), ()), notes, symbols=symbols)
                    for receiver in table.receivers
                ),
            ]
            for sender in table.senders
        ],
    )


def _place(cells: Sequence[Cell], notes: Notes, *, symbols: bool) -> str:
    if not cells:
        return ""
    counts = words(cells)
    worst = next(name for name in WORDS if name in counts)
    return f"{_symbol(worst, symbols=symbols)}{summary(cells)}{notes.numbers(cells)}"


def _symbol(word: str, *, symbols: bool) -> str:
    return f"{WORDS[word][0]} " if symbols else ""


def _numbered(line: str) -> str:
    number, _, text = line.partition(" ")
    return f"{number} {escape(text)}"


def _shown(cells: Sequence[Cell]) -> Iterator[str]:
    """List what was shown, with the number of cells in which it was."""
    shown = Counter(line for cell in cells for line in cell.evidence).most_common()
    if shown:
        yield ""
        yield "Evidence:"
        yield ""
    for line, count in sorted(shown, key=lambda item: (-item[1], item[0]))[:_EVIDENCE]:
        yield "- " + escape(f"{line}: {count} of {len(cells)} cells")
    if len(shown) > _EVIDENCE:
        yield f"- and {len(shown) - _EVIDENCE} more, which the record has"
