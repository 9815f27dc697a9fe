"""Reads scenario files; an error says file, line, column, the value, what is allowed, and the nearest match."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_mcast.documents import read_schema

from .declarations import read_declarations
from .errors import ScenarioError
from .expand import expand
from .includes import SCHEMA, read_files
from .model import Scenario

__all__ = ["ScenarioError", "load", "schema"]


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the format (also for editors: it is in the package as ``schema.json``)."""
    return read_schema(SCHEMA)


def load(path: Path, *, cores: Sequence[str] = ()) -> Scenario:
    """Read and check a file and those that it includes; nothing in them is executed.

    ``cores`` are names of receive cores besides those of this package.

    Raises ``ScenarioError``, and ``OSError`` when the file cannot be read.
    """
    documents = read_files(path)
    declared = read_declarations(documents, cores)
    document = documents[-1]
    if not declared.hosts:
        raise ScenarioError(path, 1, 1, "the file lacks the key 'hosts', and so do those that it includes")
    content = document.content
    return Scenario(
        path,
        content.get("title", ""),
        declared.hosts,
        expand(document, declared),
        links=declared.links,
        routers=declared.routers,
        subjects=declared.subjects,
        notes=content.get("notes", ""),
    )
