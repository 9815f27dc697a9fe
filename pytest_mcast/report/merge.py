"""Records of several machines, jobs and shards put together; what contradicts is refused, never chosen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_mcast.core.errors import McastError

from .grouping import label
from .record import Cell, Feature, File, Record, Run

__all__ = ["MergeError", "Source", "merge"]

_MOST = 20  # conflicts that are told
# What stands for what, if several runs have the cell: a result for the rest, of which none says what was tested.
_RANK = {"not-run": 0, "planned": 1, "skipped": 2}
_SAME = ("pytest-mcast", "commit")  # facts of a run that all runs have in common
_MACHINE = ("system", "release", "machine", "python")  # facts of a virtual host that are those of its run


@dataclass(frozen=True)
class Source:
    """A record, and what it is called in errors: the path of its file."""

    name: str
    record: Record


class MergeError(McastError, ValueError):
    """Records that contradict each other; ``conflicts`` has a text for each contradiction, the error some of them."""

    def __init__(self, conflicts: Sequence[str]) -> None:
        self.conflicts = tuple(conflicts)
        more = [f"and {len(conflicts) - _MOST} more"] if len(conflicts) > _MOST else []
        super().__init__("\n".join(["these records do not go together:", *conflicts[:_MOST], *more]))


def merge(sources: Sequence[Source]) -> Record:
    """Return one record with the runs and cells of all, in whatever order they are given.

    For each cell the result counts that a run has of it: ``skipped``, ``planned`` and ``not-run`` yield to it, in this
    order. Raises ``MergeError`` when two runs have a result of the same cell, when they are of different commits or versions
    of pytest-mcast, or when facts about the same file, host, implementation or feature differ.
    """
    conflicts: list[str] = []
    runs = _runs(sources, conflicts)
    files = _files(sources, conflicts)
    subjects = _facts("receive core", [(source.name, source.record.subjects) for source in sources], conflicts)
    features = _features(sources, conflicts)
    cells = _cells(sources, [run.id for run in runs], conflicts)
    if conflicts:
        raise MergeError(conflicts)
    return Record(tuple(runs), files, subjects, features, tuple(cells))


def _runs(sources: Sequence[Source], conflicts: list[str]) -> list[Run]:
    runs: dict[str, Run] = {}
    for source in sources:
        for run in source.record.runs:
            known = runs.get(run.id)
            # The same run twice: a copy that was made while it went on is the older one.
            if known is None or (known.exit_code is None, -known.duration_s) > (run.exit_code is None, -run.duration_s):
                runs[run.id] = run
    for name in _SAME:
        values: dict[str, str] = {}
        for source in sources:
            for run in source.record.runs:
                if run.environment.get(name):
                    values.setdefault(run.environment[name], source.name)
        if len(values) > 1:
            text = " and ".join(f"{value} in {where}" for value, where in sorted(values.items()))
            conflicts.append(f"different {_noun(name)}: {text}; run all parts with the same one")
    return sorted(runs.values(), key=lambda run: (run.started, run.id))


def _noun(name: str) -> str:
    return {"commit": "commits", "pytest-mcast": "versions of pytest-mcast"}[name]


def _files(sources: Sequence[Source], conflicts: list[str]) -> dict[str, File]:
    files: dict[str, File] = {}
    for name in sorted({name for source in sources for name in source.record.files}):
        found = [(source.name, source.record.files[name]) for source in sources if name in source.record.files]
        texts = [(where, {"title": file.title, "notes": file.notes}) for where, file in found]
        same = _agree(f"{name}: different", texts, "these are records of different files", conflicts)
        hosts = _facts(f"{name}: host", [(where, _hosts(file)) for where, file in found], conflicts)
        subjects = _facts(f"{name}: implementation", [(where, file.subjects) for where, file in found], conflicts)
        files[name] = File(same.get("title", ""), same.get("notes", ""), hosts, subjects)
    return files


def _hosts(file: File) -> dict[str, Mapping[str, str]]:
    """Return the facts about hosts, of virtual ones only what the file makes them: each run has them on its own machine."""
    return {
        name: {fact: value for fact, value in facts.items() if facts.get("kind") != "virtual" or fact not in _MACHINE}
        for name, facts in file.hosts.items()
    }


def _facts(
    what: str, found: Sequence[tuple[str, Mapping[str, Mapping[str, str]]]], conflicts: list[str]
) -> dict[str, Mapping[str, str]]:
    result: dict[str, Mapping[str, str]] = {}
    for name in sorted({name for _, facts in found for name in facts}):
        own = [(where, facts[name]) for where, facts in found if name in facts]
        result[name] = _agree(f"{what} {name}: different", own, "give what differs another name", conflicts)
    return result


def _agree(
    what: str, found: Iterable[tuple[str, Mapping[str, str]]], advice: str, conflicts: list[str]
) -> dict[str, str]:
    """Return all facts; those that are not empty must be the same wherever they are."""
    result: dict[str, str] = {}
    first: dict[str, str] = {}
    for where, facts in found:
        for name, value in facts.items():
            if not result.get(name):
                result[name], first[name] = value, where
            elif value and value != result[name]:
                told = f"{result[name]!r} in {first[name]} and {value!r} in {where}"
                conflicts.append(f"{what} {name}: {told}; {advice}")
    return result


def _features(sources: Sequence[Source], conflicts: list[str]) -> dict[str, Feature]:
    found = [
        (source.name, {name: {"reference": each.reference, "title": each.title} for name, each in
                       source.record.features.items()})
        for source in sources
    ]  # fmt: skip
    return {name: Feature(**facts) for name, facts in _facts("feature", found, conflicts).items()}


def _cells(sources: Sequence[Source], runs: Sequence[str], conflicts: list[str]) -> list[Cell]:
    order = {run: number for number, run in enumerate(runs)}
    found: dict[frozenset[tuple[str, str]], list[tuple[str, Cell]]] = {}
    for source in sources:
        for cell in source.record.cells:
            found.setdefault(cell.identity, []).append((source.name, cell))
    result = []
    for same in found.values():
        # The best first; of equals what knows more of its cell, then that of the earliest run.
        same.sort(
            key=lambda one: (-_rank(one[1]), not one[1].line, order.get(one[1].run, -1), -one[1].attempts, one[0])
        )
        conflicts.extend(_contradictions(same))
        result.append(_completed([cell for _, cell in same]))
    return sorted(result, key=lambda cell: (cell.nodeid, sorted(cell.key.items())))


def _rank(cell: Cell) -> int:
    return _RANK.get(cell.outcome, len(_RANK))


def _contradictions(same: Sequence[tuple[str, Cell]]) -> Iterator[str]:
    (where, first), *others = same
    for other_where, other in others:
        name = label(first)
        if first.line and other.line and _expected(first) != _expected(other):
            yield (
                f"{name}: expected to {first.expectation} in {where} and to {other.expectation} in {other_where}; "
                "these are records of different files"
            )
        elif _rank(other) < len(_RANK) or _same(first, other):
            continue
        elif other.run == first.run:
            yield f"{name}: {first.outcome} in {where} and {other.outcome} in {other_where}, of the same run {first.run}; drop one"
        else:
            yield (
                f"{name}: {first.outcome} in {where} (run {first.run}) and {other.outcome} in {other_where} (run {other.run}); "
                "only one of them can count: leave a file out, or select different cells for each run (--mcast-shard, -k)"
            )
            return


def _same(one: Cell, other: Cell) -> bool:
    """Whether both are the same result; of one run, copies of its record in other places have other paths to artifacts."""
    return one == other or (one.run == other.run and one == replace(other, artifacts=one.artifacts))


def _expected(cell: Cell) -> tuple[str, bool, str]:
    return cell.expectation, cell.sometimes, cell.expected_reason


def _completed(cells: Sequence[Cell]) -> Cell:
    """Return the first of these cells, with what the file says of it from another one if it was not told."""
    first = cells[0]
    told = next((cell for cell in cells if cell.line), first)
    if first.line or told is first:
        return first
    return replace(
        first,
        line=told.line,
        notes=first.notes or told.notes,
        expectation=told.expectation,
        sometimes=told.sometimes,
        expected_reason=told.expected_reason,
    )
