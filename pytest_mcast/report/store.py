"""Records in files: read and checked, written as a whole."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .form import read_record, text
from .journal import take_journal
from .record import FORMAT, VERSION, Record, RecordError

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

__all__ = ["read", "schema", "why_not", "write", "write_text"]

_OLD = 1  # the version before
_LONGEST = 1_000_000_000  # seconds, 31 years, as the schema has it


def schema(version: int = VERSION) -> dict[str, Any]:
    """Return the JSON Schema of the format (also for others: it is in the package as ``schema.json``)."""
    name = "schema.json" if version == VERSION else f"schema-{version}.json"
    result: dict[str, Any] = json.loads((Path(__file__).parent / name).read_text(encoding="utf-8"))
    return result


def read(path: Path) -> Record:
    """Read and check a record of any version, with the journal of a run that did not end; raises ``RecordError``, and ``OSError``."""
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
    if version not in (_OLD, VERSION) or isinstance(version, bool):
        newer = isinstance(version, int) and version > VERSION
        cure = "; a newer pytest-mcast wrote it" if newer else ""
        raise RecordError(path, f"version {version!r:.60} is not understood, only {_OLD} and {VERSION}{cure}")
    if version == VERSION:
        document = take_journal(path, document)
    _validate(path, document)
    record = read_record(_upgrade(document) if version == _OLD else document)
    _check(path, record)
    return record


def write(record: Record, path: Path) -> None:
    """Write a record, all of it or nothing; raises ``OSError``.

    A reader sees the old file or the new one: it is replaced at once, and needs a writable directory for that.
    """
    write_text(path, text(record))


def write_text(path: Path, content: str) -> None:
    r"""Write a file as UTF-8, in the same way; half a surrogate pair is written as ``\ud800``. Raises ``OSError``.

    What is no file, such as a pipe or ``/dev/stdout``, is written to.
    """
    target = Path(os.path.realpath(path))  # a symbolic link stays
    if path.exists() and not path.is_file() and not path.is_dir():
        path.write_text(content, encoding="utf-8", errors="backslashreplace")
        return
    draft = _draft(target)
    try:
        draft.write_text(content, encoding="utf-8", errors="backslashreplace")
        os.replace(draft, target)
    except BaseException as error:  # whatever it is: let go, and pass it on
        with contextlib.suppress(OSError):
            draft.unlink()
        if isinstance(error, OSError):
            error.filename, error.filename2 = str(path), None  # nobody has heard of the draft
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

    if _good_timelines(document.get("cells")):  # which are most of a record, and take the validator very long
        document = {**document, "cells": [{**cell, "timeline": []} for cell in document["cells"]]}
    validator = jsonschema.Draft202012Validator(schema(document["version"]))
    errors = sorted(validator.iter_errors(document), key=lambda error: [str(step) for step in error.absolute_path])
    if errors:
        raise RecordError(path, _explain(errors[0]))


def _good_timelines(cells: Any) -> bool:
    """Whether all cells have a timeline that is as the schema says."""
    return isinstance(cells, list) and all(
        isinstance(cell, dict)
        and isinstance(cell.get("timeline"), list)
        and all(isinstance(event, dict) and _good_event(event) for event in cell["timeline"])
        for cell in cells
    )


def _good_event(event: Mapping[str, Any]) -> bool:
    time = event.get("time_s")
    return (
        event.keys() == {"time_s", "host", "what", "kind"}
        and isinstance(time, (int, float))
        and not isinstance(time, bool)
        and -_LONGEST <= time <= _LONGEST
        and isinstance(event["host"], str)
        and isinstance(event["what"], str)
        and event["kind"] in ("packet", "note")
    )


def _explain(error: ValidationError) -> str:
    where = ".".join(map(str, error.absolute_path)) or "the document"
    if error.validator == "enum":
        choices: Any = error.validator_value
        return f"{where}: {error.instance!r:.60} is not one of {', '.join(choices)}"
    message = " ".join(error.message.split())
    return f"{where}: {message if len(message) <= 160 else '... ' + message[-156:]}"


def _upgrade(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document of version 1 as version 2 says it."""
    run = {**document["run"], "environment": document["environment"]}
    files = {name: {**value, "notes": "", "hosts": {}, "subjects": {}} for name, value in document["files"].items()}
    cells = [{**cell, "run": run["id"], "timeline": ()} for cell in document["cells"]]
    return {**document, "runs": [run], "files": files, "cells": cells}


def _check(path: Path, record: Record) -> None:
    """Refuse what the schema cannot."""
    ids = {run.id for run in record.runs}
    if len(ids) != len(record.runs):
        raise RecordError(path, "runs: two of them have the same id")
    seen: set[frozenset[tuple[str, str]]] = set()
    for number, cell in enumerate(record.cells):
        if cell.identity in seen:
            raise RecordError(path, f"cells.{number}: another cell has the key {dict(cell.key)!r}")
        if cell.run and cell.run not in ids:
            raise RecordError(path, f"cells.{number}.run: there is no run {cell.run!r:.60}")
        seen.add(cell.identity)
