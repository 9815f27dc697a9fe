"""Reads YAML files against a JSON Schema; an error says file, line, column, the value, what is allowed, and the nearest match."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_mcast.core.errors import McastError

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

__all__ = ["Document", "DocumentError", "choices", "read_schema", "show"]


class DocumentError(McastError, ValueError):
    """A file that cannot be used; the text starts with ``file:line:column``."""

    def __init__(self, path: Path, line: int, column: int, text: str) -> None:
        super().__init__(f"{path}:{line}:{column}: {text}")
        self.line = line
        self.column = column


def read_schema(path: Path) -> dict[str, Any]:
    """Return the JSON Schema in a file."""
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result


class Document:
    """A YAML 1.2 file that satisfies its schema: its ``content``, and where in the file everything stands.

    Raises ``error`` for what is not YAML, has a key twice or does not satisfy the schema, and ``OSError`` when the file
    cannot be read.
    """

    def __init__(self, path: Path, schema: Mapping[str, Any], error: type[DocumentError] = DocumentError) -> None:
        self.path = path
        self._error = error
        self.content = self._parse(schema)
        self._validate(schema)

    def failure(self, where: Iterable[Any], text: str, *, of_key: bool = False) -> DocumentError:
        """Return the error about the value at a path of keys and numbers, or about its key."""
        return self._error(self.path, *self.position(where, of_key=of_key), text)

    def position(self, where: Iterable[Any], *, of_key: bool = False) -> tuple[int, int]:
        """Return line and column, from 1, of the value at a path; of its key if it is blank or no scalar, or if that is asked for."""
        node: Any = self.content
        position: tuple[int, int] = (0, 0)
        for step in where:
            lines = getattr(node, "lc", None)  # of ruamel.yaml
            if lines is None:
                break
            try:
                inner = node[step]
                if not isinstance(node, Mapping):
                    position = lines.item(step)
                elif of_key or inner is None or isinstance(inner, (Mapping, list)):
                    position = lines.key(step)
                else:
                    position = lines.value(step)
            except (KeyError, IndexError, TypeError):
                break
            node = inner
        return position[0] + 1, position[1] + 1

    def _parse(self, schema: Mapping[str, Any]) -> Any:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import MarkedYAMLError, YAMLError

        try:
            content = YAML(typ="rt").load(self.path.read_text(encoding="utf-8"))
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            text = " ".join(str(error.problem or error.context).split())
            raise self._error(self.path, line, column, f"not YAML: {text}") from None
        except (YAMLError, UnicodeDecodeError) as error:
            raise self._error(self.path, 1, 1, f"not YAML: {' '.join(str(error).split())}") from None
        if not isinstance(content, Mapping):
            what = "empty" if content is None else f"a {_kind(content)}"
            least = ", ".join(schema.get("required", ()))
            raise self._error(self.path, 1, 1, f"the file is {what}; it must be a mapping that has at least {least}")
        return content

    def _validate(self, schema: Mapping[str, Any]) -> None:
        import jsonschema

        validator = jsonschema.Draft202012Validator(schema)
        errors = sorted(validator.iter_errors(self.content), key=lambda error: self.position(error.absolute_path))
        if errors:
            error = errors[0]
            while error.context:  # of alternatives, the one that got furthest tells most
                error = max(error.context, key=_how_far)
            where, text = _explain(error)
            raise self.failure(where, text, of_key=len(where) > len(error.absolute_path))


def choices(value: object, allowed: Sequence[Any]) -> str:
    """Say what is allowed, and which of it is nearest to the value."""
    near = difflib.get_close_matches(str(value), [str(choice) for choice in allowed], n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}allowed: {', '.join(str(choice) for choice in allowed)}"


def show(value: object) -> str:
    """Return a value as it is to be read in an error, at most 60 characters of it."""
    text = repr(str(value)) if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _how_far(error: ValidationError) -> tuple[int, int]:
    """Return how far a value got with an alternative: how deep, and then, where it has the right type, further."""
    return len(error.absolute_path), ["type", "enum"].index(error.validator) if error.validator in (
        "type",
        "enum",
    ) else 2


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
        return [*where, unknown], f"{name} has no key {unknown!r}; {choices(unknown, allowed)}"
    if error.validator == "required":
        missing = next(key for key in rule if key not in value)
        return where, f"{name} lacks the key {missing!r}"
    if error.validator == "enum":
        return where, f"{name}: {show(value)} is not allowed; {choices(value, rule)}"
    if error.validator == "type":
        is_what = " is blank" if value is None else f": {show(value)} is a {_kind(value)}"
        return where, f"{name}{is_what}, where a {_word(rule)} belongs"
    if error.validator in ("minItems", "minProperties"):
        return where, f"{name} is empty"
    if error.validator == "pattern":
        made_of = subschema["$comment"]  # of each pattern in our schemas: what it is in words
        if "propertyNames" in error.absolute_schema_path:
            return [*where, value], f"{name}: the name {show(value)} is not made of {made_of}"
        return where, f"{name}: {show(value)} is not made of {made_of}"
    return where, f"{name}: {error.message}"


def _kind(value: object) -> str:
    if isinstance(value, Mapping):
        return "mapping"
    if isinstance(value, (list, tuple)):
        return "list"
    if isinstance(value, bool):
        return "truth value"
    if isinstance(value, str):
        return "text"
    return "number" if isinstance(value, (int, float)) else type(value).__name__


def _word(kind: str | list[str]) -> str:
    if not isinstance(kind, str):
        return " or ".join(map(_word, kind))
    return {"object": "mapping", "array": "list", "string": "text", "integer": "whole number"}.get(kind, kind)
