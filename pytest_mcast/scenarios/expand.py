"""From what files declare to cells: the matrix, and the rules for it."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_mcast.core.channels import FAMILIES, MODES
from pytest_mcast.documents import Document, name_of, show

from .declarations import Declarations
from .errors import ScenarioError, one_of
from .model import AXES, Cell, Expectation
from .parties import Parties
from .possible import why_not
from .rules import Said, check_marks, read_said
from .selection import Selection, as_text

__all__ = ["expand"]

_MOST = 100_000  # cells of a file: more are a mistake, and would fill the memory


def expand(document: Document, declared: Declarations) -> tuple[Cell, ...]:
    """Return the cells of a file; raises ``ScenarioError`` for what is unknown, impossible, twice, or matches no cell."""
    matrix = document.content.get("matrix", {})
    parties = Parties(declared)
    where = ["matrix" if "matrix" in document.content else "hosts"]
    axes = _axes(document, matrix, declared, parties)
    product = _product(document, document.position(where, of_key=True), axes, declared, parties)
    if "exclude" in matrix:
        selection = Selection(product, parties)
        excluded = set[int]()
        for number, part in enumerate(matrix["exclude"]):
            excluded |= selection.find(document, ["matrix", "exclude", number], part)
        product = [cell for number, cell in enumerate(product) if number not in excluded]
    cells: dict[str, Cell] = {}
    said: list[list[Said]] = []
    for cell in product:
        _check(document, cell, declared, axes)
        cells[cell.id] = cell
        said.append([])
    for number, part in enumerate(matrix.get("include", ())):
        at = ["matrix", "include", number]
        cell = _included(document, at, part, declared, parties)
        if cell.id in cells:
            text = f"{name_of(at)}: {cell.id} is a cell already, of line {cells[cell.id].line}"
            raise document.failure(at, text)
        cells[cell.id] = cell
        said.append([read_said(document, at, part)])
    if not cells:
        raise ScenarioError(
            document.path, *document.position(where, of_key=True), "no cell is left: everything is excluded"
        )
    _obey(document, cells.values(), said, parties)
    return _complete(document, cells.values(), said, declared)


def _axes(
    document: Document, matrix: Mapping[str, Any], declared: Declarations, parties: Parties
) -> dict[str, Sequence[Any]]:
    for role in ("sender", "receiver"):
        for number, text in enumerate(matrix.get(role, ())):
            parties.find(document, ["matrix", role, number], text, role)
    for number, name in enumerate(matrix.get("steps", ())):
        one_of(document, ["matrix", "steps", number], "sequence of steps", name, declared.steps)
    always = {"sender": list(declared.hosts), "receiver": list(declared.hosts), "family": FAMILIES, "mode": MODES}
    axes = {axis: matrix.get(axis, default) for axis, default in always.items()}
    return axes | {axis: matrix[axis] for axis in AXES if axis in matrix}


def _product(
    document: Document,
    place: tuple[int, int],
    axes: Mapping[str, Sequence[Any]],
    declared: Declarations,
    parties: Parties,
) -> list[Cell]:
    count = math.prod(map(len, axes.values()))
    if count > _MOST:
        lengths = " x ".join(f"{len(values)} {axis}" for axis, values in axes.items())
        text = (
            f"matrix: {count:,} combinations ({lengths}), and {_MOST:,} are the most; name fewer, or make several files"
        )
        raise ScenarioError(document.path, *place, text)
    return [
        _cell(document, place, dict(zip(axes, values, strict=True)), declared, parties)
        for values in itertools.product(*axes.values())
    ]


def _included(
    document: Document, where: list[Any], part: Mapping[str, Any], declared: Declarations, parties: Parties
) -> Cell:
    for role in ("sender", "receiver"):
        parties.find(document, [*where, role], part[role], role)
    if "steps" in part:
        one_of(document, [*where, "steps"], "sequence of steps", part["steps"], declared.steps)
    cell = _cell(document, document.position(where), part, declared, parties)
    impossible = why_not(cell, declared)
    if impossible is not None:
        axis, reason = impossible
        raise document.failure([*where, axis], f"{name_of([*where, axis])}: {show(part[axis])}: {reason}")
    return cell


def _cell(
    document: Document,
    place: tuple[int, int],
    values: Mapping[str, Any],
    declared: Declarations,
    parties: Parties,
) -> Cell:
    """Make a cell of values that are known to be good."""
    size, ttl = values.get("size"), values.get("ttl")
    return Cell(
        parties.find(document, (), values["sender"], "sender"),
        parties.find(document, (), values["receiver"], "receiver"),
        values["family"],
        values["mode"],
        document.path,
        *place,
        axes={axis: as_text(values[axis]) for axis in AXES if axis in values},
        scope=values.get("scope"),
        size=None if size is None else int(size),
        ttl=None if ttl is None else int(ttl),
        loopback=values.get("loopback"),
        steps=declared.steps[values.get("steps", "deliver")],
    )


def _check(document: Document, cell: Cell, declared: Declarations, axes: Mapping[str, Sequence[Any]]) -> None:
    impossible = why_not(cell, declared)
    if impossible is None:
        return
    axis, reason = impossible
    number = [as_text(value) for value in axes[axis]].index(cell.as_dict()[axis])
    where = ["matrix", axis, number]
    text = (
        f"{name_of(where)}: {show(axes[axis][number])} with {cell.sender}, {cell.receiver}, {cell.family}, {cell.mode}"
    )
    raise document.failure(where, f"{text}: {reason}; leave such cells out by matrix.exclude")


def _obey(document: Document, cells: Iterable[Cell], said: Sequence[list[Said]], parties: Parties) -> None:
    """Add what the rules say."""
    rules = document.content.get("rules", ())
    if not rules:
        return
    selection = Selection(cells, parties)
    for number, rule in enumerate(rules):
        if list(rule) == ["cells"]:
            text = f"rules.{number} says nothing of its cells; add one of expect, status, requires, marks, notes"
            raise document.failure(["rules", number], text)
        new = read_said(document, ["rules", number], rule)
        for found in selection.find(document, ["rules", number, "cells"], rule["cells"]):
            said[found].append(new)


def _complete(
    document: Document, cells: Iterable[Cell], said: Sequence[list[Said]], declared: Declarations
) -> tuple[Cell, ...]:
    """Put together what the file, the hosts, the subjects and the rules say of each cell."""
    content = document.content
    check_marks(document, ["marks"], content.get("marks", ()))
    everywhere = Said(requires=tuple(content.get("requires", ())), marks=tuple(content.get("marks", ())))
    return tuple(
        _with(cell, [everywhere, *_of_parties(cell, declared), *more]) for cell, more in zip(cells, said, strict=True)
    )


def _of_parties(cell: Cell, declared: Declarations) -> Iterable[Said]:
    """Yield what holds for a cell because of who takes part; the sender's host last: its reason is the first to be told."""
    others = {step.origin: None for step in cell.steps if step.origin}
    for name in dict.fromkeys([*others, cell.receiver.host, cell.sender.host]):
        host = declared.hosts[name]
        yield Said(planned=host.reason or None, requires=host.requires)
    for party in (cell.sender, cell.receiver):
        if party.subject is not None:
            yield Said(requires=declared.subjects[party.subject].requires)


def _with(cell: Cell, said: Iterable[Said]) -> Cell:
    expectation, planned, notes = Expectation(), None, ""
    requires: dict[str, None] = {}
    marks: dict[str, None] = {}
    for one in said:
        expectation = one.expectation or expectation
        planned = one.planned or planned
        notes = notes if one.notes is None else one.notes
        requires |= dict.fromkeys(one.requires)
        marks |= dict.fromkeys(one.marks)
    return dataclasses.replace(
        cell, expectation=expectation, planned=planned, notes=notes, requires=tuple(requires), marks=tuple(marks)
    )
