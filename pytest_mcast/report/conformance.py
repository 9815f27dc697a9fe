"""Views of the conformance cells of records: counts by area for the terminal, and the document by case and core."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from .record import Cell, Record
from .rows import escape, one_line, rows

__all__ = ["conformance_document", "conformance_summary", "is_conformance"]

_COLUMNS = ("pass", "fail", "known", "should", "unsupported", "skipped", "error", "not-run")
_HEADS = {"known": "known finding", "should": "SHOULD not met"}
_WORDS = {"pass": "yes", "fail": "no", "known": "no, known", "should": "no (SHOULD)", "unsupported": "n/a"}
_REASON = 240  # characters of one in a note


def is_conformance(cell: Cell) -> bool:
    """Say whether a cell is that of a conformance case."""
    return "case" in cell.key


def conformance_summary(record: Record) -> Iterator[str]:
    """Yield a table for each core: areas down, outcomes across; then what recommendations it does not follow."""
    cells = [cell for cell in record.cells if is_conformance(cell)]
    for core in dict.fromkeys(cell.key["receiver"] for cell in cells):
        own = [cell for cell in cells if cell.key["receiver"] == core]
        counts: dict[str, Counter[str]] = {}
        for cell in own:
            counts.setdefault(cell.key["case"].partition(".")[0], Counter())[_column(cell)] += 1
        used = [column for column in _COLUMNS if any(count[column] for count in counts.values())]
        yield one_line(" ".join(filter(None, (core, record.subjects.get(core, {}).get("version")))))
        total: Counter[str] = sum(counts.values(), Counter())
        body = [
            [one_line(area), *(str(count[column] or "") for column in used)] for area, count in sorted(counts.items())
        ]
        body.append(["all", *(str(total[column] or "") for column in used)])
        table = [["area", *(_HEADS.get(column, column) for column in used)], *body]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for row in table:
            yield "  " + "  ".join(
                text.ljust(width) if number == 0 else text.rjust(width)
                for number, (text, width) in enumerate(zip(row, widths, strict=True))
            )
        for cell in own:
            if _column(cell) == "should":
                what = f"{cell.key['case']} {cell.key['family']}-{cell.key['mode']}: {_sentence(cell)}"
                yield f"  not met: {one_line(what)}"
        yield ""


def conformance_document(
    records: Sequence[Record], described: Sequence[tuple[str, str, str, str, str]]
) -> Iterator[str]:
    """Yield the lines of the document.

    ``described`` has id, level, reference, title and expectation with reason of each case.
    """
    cells = [cell for record in records for cell in record.cells if is_conformance(cell)]
    versions = {name: facts["version"] for record in records for name, facts in record.subjects.items()}
    cores = list(dict.fromkeys(cell.key["receiver"] for cell in cells))
    by_case: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        by_case.setdefault((cell.key["case"], cell.key["receiver"]), []).append(cell)
    yield "# Conformance"
    yield ""
    yield f"{len(described)} cases, each for the kinds of channel that it is about. [How to run them](conformance-suite.md)."
    yield ""
    yield "*yes*: as expected, for every kind; *no*: not as expected; *no, known*: a known finding; *no (SHOULD)*: a recommendation"
    yield "that is not followed; *n/a*: the core does not tell, or do, what the case needs. Where the kinds differ they are named."
    notes: dict[str, int] = {}
    areas = dict.fromkeys(case.partition(".")[0] for case, *_ in described)
    for area in areas:
        yield ""
        yield f"## {area}"
        yield ""
        body = []
        for case, level, reference, title, expected in described:
            if case.partition(".")[0] == area:
                found = [by_case.get((case, core), []) for core in cores]
                body.append([case, level, title, expected, reference, *(_merged(each, notes) for each in found)])
        heads = [" ".join(filter(None, (core, versions.get(core)))) for core in cores]
        yield from rows(["case", "level", "what", "expected", "reference", *heads], body, aligned=False)
    if notes:
        yield ""
        yield "## Notes"
        yield ""
        yield from (f"{number}. {escape(note)}" for note, number in notes.items())
    for run in [run for record in records for run in record.runs][:1]:
        yield ""
        yield escape("Measured with " + ", ".join(f"{name} {value}" for name, value in run.environment.items()) + ".")


def _column(cell: Cell) -> str:
    if cell.outcome == "fail" and cell.expectation == "fail":
        return "should" if "SHOULD: " in (cell.reason[:8], cell.expected_reason[:8]) else "known"
    return cell.outcome if cell.outcome in _COLUMNS else "error"


def _sentence(cell: Cell) -> str:
    return cell.reason.removeprefix("Failed: ").removeprefix("SHOULD: ").removeprefix("known: ")[:_REASON]


def _merged(cells: Sequence[Cell], notes: dict[str, int]) -> str:
    """Return one word for the kinds of channel of a case, or several with the kinds."""
    by_word: dict[str, list[Cell]] = {}
    for cell in cells:
        by_word.setdefault(_column(cell), []).append(cell)
    parts = []
    for column, found in by_word.items():
        kinds = "" if len(by_word) == 1 else " " + ", ".join(f"{one.key['family']}-{one.key['mode']}" for one in found)
        number = ""
        if column not in ("pass", "unsupported"):
            note = f"{found[0].key['receiver']}, {found[0].key['case']}: {_sentence(found[0])}"
            number = f" ({notes.setdefault(note, len(notes) + 1)})"
        parts.append(_WORDS.get(column, column) + kinds + number)
    return "; ".join(parts)
