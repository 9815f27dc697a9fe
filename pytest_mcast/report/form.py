"""Records as JSON: what each value looks like there, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .record import FORMAT, VERSION, Cell, Event, Feature, File, Record, Run

__all__ = ["dump", "plain", "read_record", "text"]


def dump(value: Any) -> str:
    """Return a value as JSON on one line, in ASCII; raises ``ValueError`` for what JSON has no number for."""
    return json.dumps(value, allow_nan=False)


def plain(value: Run | File | Feature | Cell) -> dict[str, Any]:
    """Return a value as JSON has it."""
    # Not dataclasses.asdict, which copies deeply and is ten times slower: a run writes its record again and again.
    result = {name: dict(part) if isinstance(part, Mapping) else part for name, part in vars(value).items()}
    if isinstance(value, Cell):
        result.pop("identity", None)  # which is kept where it was asked for
        result["timeline"] = [vars(event) for event in value.timeline]
    return result


def text(record: Record) -> str:
    """Return the document: a line for each run, file, cell and other member, for grep and diff."""
    members = {
        "subjects": {name: dict(facts) for name, facts in record.subjects.items()},
        "features": {name: plain(feature) for name, feature in record.features.items()},
    }
    files = [f"{dump(name)}: {dump(plain(file))}" for name, file in record.files.items()]
    lines = [
        f'"format": {dump(FORMAT)}',
        f'"version": {VERSION}',
        '"runs": [' + ",".join(f"\n{dump(plain(run))}" for run in record.runs) + "\n]",
        '"files": {' + ",".join(f"\n{file}" for file in files) + "\n}",
        *(f"{dump(name)}: {dump(value)}" for name, value in members.items()),
        '"cells": [' + ",".join(f"\n{dump(plain(cell))}" for cell in record.cells) + "\n]",
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _read_cell(cell: Mapping[str, Any]) -> Cell:
    """Return the cell that JSON describes, which has been checked."""
    lists = {name: tuple(cell[name]) for name in ("artifacts", "evidence", "log") if name in cell}
    return Cell(**{**cell, **lists, "timeline": tuple(Event(**event) for event in cell.get("timeline", ()))})


def read_record(document: Mapping[str, Any]) -> Record:
    """Return the record that JSON describes, which has been checked."""
    return Record(
        runs=tuple(Run(**{**run, "command": tuple(run["command"])}) for run in document["runs"]),
        files={name: File(**value) for name, value in document["files"].items()},
        subjects=document["subjects"],
        features={name: Feature(**value) for name, value in document["features"].items()},
        cells=tuple(map(_read_cell, document["cells"])),
    )
