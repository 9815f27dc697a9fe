"""Reads scenario files; an error says file, line, column, the value, what is allowed, and the nearest match."""

from __future__ import annotations

import difflib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_mcast.core.channels import FAMILIES, MODES
from pytest_mcast.core.errors import McastError

from .model import Cell, HostSpec, Scenario

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

__all__ = ["ScenarioError", "load", "schema"]


class ScenarioError(McastError, ValueError):
    """A scenario file that cannot be used; the text starts with ``file:line:column``."""

    def __init__(self, path: Path, line: int, column: int, text: str) -> None:
        super().__init__(f"{path}:{line}:{column}: {text}")
        self.line = line
        self.column = column


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the format (also for editors: it is in the package as ``schema.json``)."""
    text = (Path(__file__).parent / "schema.json").read_text(encoding="utf-8")
    result: dict[str, Any] = json.loads(text)
    return result


def load(path: Path) -> Scenario:
    """Read and check a file; raises ``ScenarioError``, and ``OSError`` when it cannot be read."""
    document = _parse(path)
    _validate(path, document)
    hosts = {str(name): _host(str(name), value) for name, value in document["hosts"].items()}
    return Scenario(path, str(document.get("title", "")), hosts, tuple(_cells(path, document, hosts)))


def _parse(path: Path) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        document = YAML(typ="rt").load(path.read_text(encoding="utf-8"))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        text = " ".join(str(error.problem or error.context).split())
        raise ScenarioError(path, line, column, f"not YAML: {text}") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise ScenarioError(path, 1, 1, f"not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, Mapping):
        what = "empty" if document is None else f"a {_kind(document)}"
        raise ScenarioError(path, 1, 1, f"the file is {what}; it must be a mapping that has at least hosts")
    return document


def _validate(path: Path, document: Any) -> None:
    import jsonschema

    validator = jsonschema.Draft202012Validator(schema())
    errors = sorted(validator.iter_errors(document), key=lambda error: _position(document, error.absolute_path))
    if errors:
        error = errors[0]
        while error.context:  # of alternatives, the one that got furthest tells most
            error = max(error.context, key=lambda inner: (len(inner.absolute_path), inner.validator == "enum"))
        where, text = _explain(error)
        of_key = len(where) > len(error.absolute_path)
        raise ScenarioError(path, *_position(document, where, of_key=of_key), text)


def _explain(error: ValidationError) -> tuple[list[Any], str]:
    """Return the path to the culprit (longer than the error's if that is a key) and the sentence."""
    where = list(error.absolute_path)
    name = ".".join(map(str, where)) or "the file"
    value: Any = error.instance
    rule: Any = error.validator_value
    subschema: Any = error.schema
    if error.validator == "additionalProperties":
        allowed = sorted(subschema.get("properties", {}))
        unknown = next(key for key in value if key not in allowed)
        return [*where, unknown], f"{name} has no key {unknown!r}; {_choices(unknown, allowed)}"
    if error.validator == "required":
        missing = next(key for key in rule if key not in value)
        return where, f"{name} lacks the key {missing!r}"
    if error.validator == "enum":
        return where, f"{name}: {_show(value)} is not allowed; {_choices(value, rule)}"
    if error.validator == "type":
        return where, f"{name}: {_show(value)} is a {_kind(value)}, where a {_word(rule)} belongs"
    if error.validator in ("minItems", "minProperties"):
        return where, f"{name} is empty"
    if error.validator == "pattern":
        made_of = "letters, digits, '_', '.' and '-', beginning with a letter"
        return [*where, value], f"{name}: the name {_show(value)} is not made of {made_of}"
    return where, f"{name}: {error.message}"


def _cells(path: Path, document: Any, hosts: Mapping[str, HostSpec]) -> Iterable[Cell]:
    matrix = document.get("matrix", {})
    axes = {
        "sender": matrix.get("sender", list(hosts)),
        "receiver": matrix.get("receiver", list(hosts)),
        "family": matrix.get("family", FAMILIES),
        "mode": matrix.get("mode", MODES),
    }
    for key in ("sender", "receiver"):
        for number, name in enumerate(matrix.get(key, ())):
            _known(path, document, ["matrix", key, number], name, hosts)
    parts = [
        (kind, number, part) for kind in ("exclude", "include") for number, part in enumerate(matrix.get(kind, ()))
    ]
    for kind, number, part in parts:
        for key in ("sender", "receiver"):
            if key in part:
                _known(path, document, ["matrix", kind, number, key], part[key], hosts)
    excluded = matrix.get("exclude", ())
    unused = set(range(len(excluded)))
    line = _position(document, ["matrix"])[0] if "matrix" in document else _position(document, ["hosts"])[0]
    cells: dict[str, Cell] = {}
    for values in itertools.product(*axes.values()):
        chosen = dict(zip(axes, map(str, values), strict=True))
        hit = {number for number, part in enumerate(excluded) if part.items() <= chosen.items()}
        unused -= hit
        if not hit:
            cell = Cell(**chosen, line=line)
            cells[cell.id] = cell
    for number in sorted(unused):
        where = _position(document, ["matrix", "exclude", number])
        raise ScenarioError(path, *where, f"exclude {_show(dict(excluded[number]))} matches no cell")
    for number, part in enumerate(matrix.get("include", ())):
        where = _position(document, ["matrix", "include", number])
        cell = Cell(**{key: str(part[key]) for key in axes}, line=where[0])
        if cell.id in cells:
            raise ScenarioError(path, *where, f"include {cell.id} is a cell of the matrix already")
        cells[cell.id] = cell
    if not cells:
        raise ScenarioError(path, line, 1, "no cell is left: everything is excluded")
    return cells.values()


def _known(path: Path, document: Any, where: Sequence[Any], name: str, hosts: Mapping[str, HostSpec]) -> None:
    if name not in hosts:
        text = f"{'.'.join(map(str, where))}: there is no host {_show(name)}; {_choices(name, list(hosts))}"
        raise ScenarioError(path, *_position(document, where), text)


def _host(name: str, value: Any) -> HostSpec:
    if isinstance(value, str):
        return HostSpec(name, str(value))
    return HostSpec(name, "virtual", str(value["virtual"].get("interface", "eth0")))


def _position(document: Any, where: Iterable[Any], *, of_key: bool = False) -> tuple[int, int]:
    """Return line and column, from 1, of the value at a path; of its key if it is no scalar, or if that is asked for."""
    node: Any = document
    position: tuple[int, int] = (0, 0)
    for step in where:
        lines = getattr(node, "lc", None)  # of ruamel.yaml
        if lines is None:
            break
        try:
            inner = node[step]
            if not isinstance(node, Mapping):
                position = lines.item(step)
            elif of_key or isinstance(inner, (Mapping, list)):
                position = lines.key(step)
            else:
                position = lines.value(step)
        except (KeyError, IndexError, TypeError):
            break
        node = inner
    return position[0] + 1, position[1] + 1


def _choices(value: object, allowed: Sequence[Any]) -> str:
    near = difflib.get_close_matches(str(value), [str(choice) for choice in allowed], n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}allowed: {', '.join(str(choice) for choice in allowed)}"


def _kind(value: object) -> str:
    if isinstance(value, Mapping):
        return "mapping"
    if isinstance(value, (list, tuple)):
        return "list"
    if value is None:
        return "blank"
    return {"str": "text", "bool": "truth value"}.get(_base(value), "number")


def _base(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    return "str" if isinstance(value, str) else "number"


def _word(kind: str) -> str:
    return {"object": "mapping", "array": "list", "string": "text"}.get(kind, kind)


def _show(value: object) -> str:
    text = repr(str(value)) if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
