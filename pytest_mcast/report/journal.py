"""What has finished since the file of a record was written: a line for each cell, beside it, while the run goes on.

The record is rewritten as a whole now and then; a line is written at once, with one call, so that ``kill -9`` loses no
cell that has finished. A line has the form of the record, with what is new in it. At the end of the run the journal goes;
where one is left, ``read`` takes it into account. Against a loss of power nothing is done.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .form import dump, plain
from .record import Cell, Feature, File, RecordError

__all__ = ["Journal", "journal_path", "take_journal"]

_FORMAT = "pytest-mcast journal"
_OPEN = os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NEW = os.O_CREAT | os.O_TRUNC
_MEMBERS = {"cells", "files", "subjects", "features"}  # of a record, which a line may have


def journal_path(record: Path) -> Path:
    """Return where the journal of a record is."""
    target = Path(os.path.realpath(record))
    return target.with_name(f"{target.name}.journal")


class Journal:
    """The journal of the run ``run``; ``error`` is why nothing is written any more, which costs no result by itself."""

    def __init__(self, record: Path, run: str) -> None:
        self.path = journal_path(record)
        self.error: OSError | None = None
        self._write({"format": _FORMAT, "run": run}, _NEW)

    def add(self, cell: Cell | None, facts: Mapping[str, Mapping[str, Any]]) -> None:
        """Write a cell that has finished, and the facts that are new, by the members of a record that hold them."""
        if self.error is None:
            line: dict[str, Any] = {
                member: {
                    name: plain(value) if isinstance(value, (File, Feature)) else value for name, value in part.items()
                }
                for member, part in facts.items()
            }
            self._write(line if cell is None else {**line, "cells": [plain(cell)]})

    def remove(self) -> None:
        """Remove it: everything is in the record."""
        try:
            self.path.unlink()
        except OSError as error:
            self.error = error

    def _write(self, line: Any, flags: int = 0) -> None:
        try:
            _append(self.path, f"{dump(line)}\n".encode(), flags)
        except OSError as error:
            self.error = error


def _append(path: Path, data: bytes, flags: int) -> None:
    # Opened each time: a descriptor that is kept would be in the way of tests that count or close all of them.
    descriptor = os.open(path, _OPEN | flags, 0o666)
    try:
        written = os.write(descriptor, data)
    finally:
        os.close(descriptor)
    if written != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def take_journal(path: Path, document: dict[str, Any]) -> dict[str, Any]:
    """Return the document of a record with what the journal beside it has of the same run, if it has not ended.

    What the journal has is checked with the document. The last line may be cut. Raises ``RecordError`` when another is
    damaged, and ``OSError`` when it is there and cannot be read.
    """
    runs = document.get("runs")
    run = runs[0] if isinstance(runs, list) and len(runs) == 1 else None
    if not isinstance(run, dict) or run.get("exit_code") is not None or not isinstance(document.get("cells"), list):
        return document
    where = journal_path(path)
    try:
        content = where.read_bytes()
    except FileNotFoundError:
        return document
    lines = list(_lines(where, content.split(b"\n")))
    if not lines or lines[0] != {"format": _FORMAT, "run": run.get("id")}:
        return document  # that of another run
    return _overlay(document, lines[1:])


def _lines(path: Path, lines: list[bytes]) -> Iterable[dict[str, Any]]:
    for number, line in enumerate(lines[:-1], 1):  # what stands behind the last end of a line is cut, or nothing
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        good = isinstance(value, dict) and isinstance(value.get("cells", []), list)
        if not good or (number > 1 and not value.keys() <= _MEMBERS):
            raise RecordError(path, f"line {number} is not of a journal; without this file the record can be read")
        yield value


def _overlay(document: dict[str, Any], lines: Iterable[dict[str, Any]]) -> dict[str, Any]:
    result = dict(document)
    cells = {_identity(cell): cell for cell in result.get("cells", ())}
    for line in lines:
        for name, part in line.items():
            if name == "cells":
                cells.update((_identity(cell), cell) for cell in part)
            elif isinstance(part, dict) and isinstance(result.get(name), dict):
                result[name] = {**result[name], **part}
            else:
                result[name] = part  # which the schema refuses
    result["cells"] = list(cells.values())
    return result


def _identity(cell: Any) -> str:
    return json.dumps(cell["key"], sort_keys=True) if isinstance(cell, dict) and "key" in cell else str(id(cell))
