"""A scenario file and the files that it includes."""

from __future__ import annotations

import os
from pathlib import Path

from pytest_mcast.documents import Document, nearest, show

from .errors import ScenarioError

__all__ = ["SCHEMA", "read_files"]

SCHEMA = Path(__file__).parent / "schema.json"

_DEEPEST = 20


def read_files(path: Path) -> list[Document]:
    """Read a file and all that it includes, each once: a file comes after those that it includes, the one asked for last.

    Raises ``ScenarioError`` for one that cannot be used and for one that includes itself, and ``OSError`` when the file
    that is asked for cannot be read.
    """
    found: dict[Path, Document] = {}
    _read(path, [path], found)
    return list(found.values())


def _read(path: Path, chain: list[Path], found: dict[Path, Document]) -> None:
    document = Document(path, SCHEMA, ScenarioError)
    for number, name in enumerate(document.content.get("include", ())):
        where = ["include", number]
        other = path.parent / name
        if not os.path.isfile(other):  # False also for what cannot be the name of a file
            near = nearest(name, (one.name for one in path.parent.glob("*.yaml") if one != path))
            hint = f"; did you mean {near!r}?" if near else " beside this one"
            raise document.failure(where, f"include.{number}: there is no file {show(name)}{hint}")
        if any(other.resolve() == one.resolve() for one in chain):
            text = " includes ".join(one.name for one in [*chain, other])
            raise document.failure(where, f"include.{number}: {show(name)} ends in itself: {text}")
        if len(chain) > _DEEPEST:
            raise document.failure(where, f"include.{number}: {show(name)} is included through {_DEEPEST} other files")
        if other.resolve() in found:
            continue
        try:
            _read(other, [*chain, other], found)
        except OSError as error:
            raise document.failure(where, f"include.{number}: cannot read {show(name)}: {error.strerror}") from None
    found[path.resolve()] = document
