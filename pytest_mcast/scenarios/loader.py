"""Reads scenario files; an error says file, line, column, the value, what is allowed, and the nearest match."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_mcast.core.channels import FAMILIES, MODES
from pytest_mcast.documents import Document, DocumentError, choices, read_schema, show

from .model import Cell, HostSpec, Scenario

__all__ = ["ScenarioError", "load", "schema"]


class ScenarioError(DocumentError):
    """A scenario file that cannot be used; the text starts with ``file:line:column``."""


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the format (also for editors: it is in the package as ``schema.json``)."""
    return read_schema(Path(__file__).parent / "schema.json")


def load(path: Path) -> Scenario:
    """Read and check a file; raises ``ScenarioError``, and ``OSError`` when it cannot be read."""
    document = Document(path, schema(), ScenarioError)
    content = document.content
    hosts = {str(name): _host(str(name), value) for name, value in content["hosts"].items()}
    return Scenario(path, str(content.get("title", "")), hosts, tuple(_cells(document, hosts)))


def _cells(document: Document, hosts: Mapping[str, HostSpec]) -> Iterable[Cell]:
    matrix = document.content.get("matrix", {})
    axes = {
        "sender": matrix.get("sender", list(hosts)),
        "receiver": matrix.get("receiver", list(hosts)),
        "family": matrix.get("family", FAMILIES),
        "mode": matrix.get("mode", MODES),
    }
    for key in ("sender", "receiver"):
        for number, name in enumerate(matrix.get(key, ())):
            _known(document, ["matrix", key, number], name, hosts)
    parts = [
        (kind, number, part) for kind in ("exclude", "include") for number, part in enumerate(matrix.get(kind, ()))
    ]
    for kind, number, part in parts:
        for key in ("sender", "receiver"):
            if key in part:
                _known(document, ["matrix", kind, number, key], part[key], hosts)
    excluded = matrix.get("exclude", ())
    unused = set(range(len(excluded)))
    line = document.position(["matrix" if "matrix" in document.content else "hosts"])[0]
    cells: dict[str, Cell] = {}
    for values in itertools.product(*axes.values()):
        chosen = dict(zip(axes, map(str, values), strict=True))
        hit = {number for number, part in enumerate(excluded) if part.items() <= chosen.items()}
        unused -= hit
        if not hit:
            cell = Cell(**chosen, line=line)
            cells[cell.id] = cell
    for number in sorted(unused):
        raise document.failure(["matrix", "exclude", number], f"exclude {show(dict(excluded[number]))} matches no cell")
    for number, part in enumerate(matrix.get("include", ())):
        where = ["matrix", "include", number]
        cell = Cell(**{key: str(part[key]) for key in axes}, line=document.position(where)[0])
        if cell.id in cells:
            raise document.failure(where, f"include {cell.id} is a cell of the matrix already")
        cells[cell.id] = cell
    if not cells:
        raise ScenarioError(document.path, line, 1, "no cell is left: everything is excluded")
    return cells.values()


def _known(document: Document, where: Sequence[Any], name: str, hosts: Mapping[str, HostSpec]) -> None:
    if name not in hosts:
        text = f"{'.'.join(map(str, where))}: there is no host {show(name)}; {choices(name, list(hosts))}"
        raise document.failure(where, text)


def _host(name: str, value: Any) -> HostSpec:
    if isinstance(value, str):
        return HostSpec(name, str(value))
    return HostSpec(name, "virtual", str(value["virtual"].get("interface", "eth0")))
