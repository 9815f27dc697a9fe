"""The result record: one JSON document per run. Every table is a view of it.

Cells are found by their keys, never by their position. The schema is strict: a key that it does not name is refused, so
that nothing is lost by a program that reads a record and writes it again; a new key is a new version. Open to everybody
are the mappings of strings: environment, the facts about a subject, and the keys of cells.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_mcast.core.errors import McastError

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

__all__ = [
    "FORMAT",
    "OUTCOMES",
    "VERSION",
    "Cell",
    "Feature",
    "Record",
    "RecordError",
    "Run",
    "read",
    "schema",
    "why_not",
    "write",
]

FORMAT = "pytest-mcast record"
VERSION = 1
OUTCOMES = ("pass", "fail", "unsupported", "skipped", "error", "planned", "not-run")


class RecordError(McastError, ValueError):
    """A file that is not a record we can read; the text starts with its path."""

    def __init__(self, path: Path, text: str) -> None:
        super().__init__(f"{path}: {text}")


@dataclass(frozen=True)
class Run:
    """A run; ``started`` is UTC in ISO 8601, ``exit_code`` is None while it goes on, or if it was killed."""

    id: str
    started: str
    duration_s: float
    command: tuple[str, ...] = ()
    exit_code: int | None = None


@dataclass(frozen=True)
class Feature:
    """What was tested, and the document that it follows, such as ``RFC 4607 section 3``."""

    reference: str
    title: str


@dataclass(frozen=True)
class Cell:
    """The result of one cell.

    ``key`` has file, sender, receiver, family, mode, and whatever else tells it from others. ``outcome`` is one of
    ``OUTCOMES``, what happened; ``expectation`` is what was to happen. ``duration_s`` is that of all attempts.
    """

    key: Mapping[str, str]
    outcome: str
    nodeid: str
    expectation: str = "pass"
    reason: str = ""
    attempts: int = 0
    duration_s: float = 0.0
    artifacts: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True)
class Record:
    """A record; ``files`` has the titles of the scenario files, ``subjects`` the facts about each."""

    run: Run
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    subjects: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    features: Mapping[str, Feature] = field(default_factory=dict)
    cells: tuple[Cell, ...] = ()


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the format (also for others: it is in the package as ``schema.json``)."""
    text = (Path(__file__).parent / "schema.json").read_text(encoding="utf-8")
    result: dict[str, Any] = json.loads(text)
    return result


def read(path: Path) -> Record:
    """Read and check a record; raises ``RecordError``, and ``OSError`` when the file cannot be read."""
    try:
        document = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
    except RecursionError:
        raise RecordError(path, "not JSON: nested too deeply") from None
    except ValueError as error:
        raise RecordError(path, f"not JSON: {error}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        found = f"its format is {document['format']!r:.60}" if _has(document, "format") else "it has no format"
        raise RecordError(path, f"not a {FORMAT}: {found}")
    version = document.get("version")
    if version != VERSION or isinstance(version, bool):
        newer = isinstance(version, int) and version > VERSION
        cure = "; a newer pytest-mcast wrote it" if newer else ""
        raise RecordError(path, f"version {version!r:.60} is not understood, only {VERSION}{cure}")
    _validate(path, document)
    return _record(path, document)


def write(record: Record, path: Path) -> None:
    """Write a record, all of it or nothing; raises ``OSError``.

    A reader sees the old file or the new one: it is replaced at once, and needs a writable directory for that.
    """
    target = Path(os.path.realpath(path))  # a symbolic link stays
    draft = _draft(target)
    try:
        draft.write_text(_text(record), encoding="utf-8")
        os.replace(draft, target)
    except BaseException:  # whatever it is: let go, and pass it on
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def why_not(path: Path) -> str | None:
    """Say why no record can be written there, having tried; None if it can."""
    target = Path(os.path.realpath(path))
    draft = _draft(target)
    try:
        if stat.S_ISDIR(mode := target.stat().st_mode):
            return "it is a directory"
        if not stat.S_ISREG(mode):
            return "it is not a regular file"
    except (FileNotFoundError, NotADirectoryError):
        if not target.parent.is_dir():
            return f"there is no directory {target.parent}"
    except OSError as error:
        return error.strerror or str(error)
    try:
        draft.touch(exist_ok=False)
        draft.unlink()
    except OSError as error:
        return error.strerror or str(error)
    return None


def _draft(target: Path) -> Path:
    return target.with_name(f".pytest-mcast-{secrets.token_hex(8)}")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number in JSON")


def _has(document: object, key: str) -> bool:
    return isinstance(document, dict) and key in document


def _validate(path: Path, document: Any) -> None:
    import jsonschema

    validator = jsonschema.Draft202012Validator(schema())
    errors = sorted(validator.iter_errors(document), key=lambda error: [str(step) for step in error.absolute_path])
    if errors:
        raise RecordError(path, _explain(errors[0]))


def _explain(error: ValidationError) -> str:
    where = ".".join(map(str, error.absolute_path)) or "the document"
    if error.validator == "enum":
        choices: Any = error.validator_value
        return f"{where}: {error.instance!r:.60} is not one of {', '.join(choices)}"
    message = " ".join(error.message.split())
    return f"{where}: {message if len(message) <= 160 else '... ' + message[-156:]}"


def _record(path: Path, document: Mapping[str, Any]) -> Record:
    cells = tuple(
        Cell(**{**cell, "artifacts": tuple(cell["artifacts"]), "evidence": tuple(cell["evidence"])})
        for cell in document["cells"]
    )
    seen: set[frozenset[tuple[str, str]]] = set()
    for number, cell in enumerate(cells):
        key = frozenset(cell.key.items())
        if key in seen:
            raise RecordError(path, f"cells.{number}: another cell has the key {dict(cell.key)!r}")
        seen.add(key)
    run = document["run"]
    return Record(
        run=Run(**{**run, "command": tuple(run["command"])}),
        environment=document["environment"],
        files={name: value["title"] for name, value in document["files"].items()},
        subjects=document["subjects"],
        features={name: Feature(**value) for name, value in document["features"].items()},
        cells=cells,
    )


def _text(record: Record) -> str:
    """Return the document: a line for each member and each cell, for grep and diff."""
    members = {
        "format": FORMAT,
        "version": VERSION,
        "run": _plain(record.run),
        "environment": dict(record.environment),
        "files": {name: {"title": title} for name, title in record.files.items()},
        "subjects": {name: dict(facts) for name, facts in record.subjects.items()},
        "features": {name: _plain(feature) for name, feature in record.features.items()},
    }
    lines = [f"{json.dumps(name)}: {json.dumps(value, allow_nan=False)}" for name, value in members.items()]
    cells = [json.dumps(_plain(cell), allow_nan=False) for cell in record.cells]
    lines.append('"cells": [' + ",".join(f"\n{cell}" for cell in cells) + "\n]")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _plain(value: Run | Feature | Cell) -> dict[str, Any]:
    # Not dataclasses.asdict, which copies deeply and is ten times slower: a run writes its record again and again.
    return {name: dict(part) if isinstance(part, Mapping) else part for name, part in vars(value).items()}
