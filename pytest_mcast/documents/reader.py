"""Reads YAML files against a JSON Schema; an error says file, line, column, the value, what is allowed, and the nearest match."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_mcast.core.errors import McastError

from .content import List, Map, Place, read_content
from .words import explain, kind_of

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

__all__ = ["Document", "DocumentError", "read_schema"]


class DocumentError(McastError, ValueError):
    """A file that cannot be used; the text starts with ``file:line:column``."""

    def __init__(self, path: Path, line: int, column: int, text: str) -> None:
        super().__init__(f"{path}:{line}:{column}: {text}")
        self.path = path
        self.line = line
        self.column = column
        #: What follows the place.
        self.text = text


def read_schema(path: Path) -> dict[str, Any]:
    """Return the JSON Schema in a file."""
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result


class Document:
    """A YAML 1.2 file that satisfies the JSON Schema in the file ``schema``: its ``content``, and where everything stands.

    Raises ``error`` for what is not YAML, has a key twice or does not satisfy the schema, and ``OSError`` when the file
    cannot be read.
    """

    def __init__(self, path: Path, schema: Path, error: type[DocumentError] = DocumentError) -> None:
        self.path = path
        self._error = error
        self.content: Any = read_content(path.read_bytes(), lambda place, text: error(path, *place, text))
        validator = _validator(schema)
        rule: Any = validator.schema
        if not isinstance(self.content, Map):
            what = "empty" if self.content is None else f"a {kind_of(self.content)}"
            least = (
                f"at least {', '.join(rule['required'])}"
                if "required" in rule
                else f"some of {', '.join(rule['properties'])}"
            )
            raise error(path, 1, 1, f"the file is {what}; it must be a mapping that has {least}")
        self._validate(validator)

    def failure(self, where: Iterable[Any], text: str, *, of_key: bool = False) -> DocumentError:
        """Return the error about the value at a path of keys and numbers, or about its key."""
        return self._error(self.path, *self.position(where, of_key=of_key), text)

    def position(self, where: Iterable[Any], *, of_key: bool = False) -> Place:
        """Return line and column, from 1, of the value at a path; of its key if it is blank or no scalar, or if that is asked for."""
        node: Any = self.content
        position = (1, 1)
        for step in where:
            if isinstance(node, Map) and step in node:
                inner = node[step]
                blank = inner is None or isinstance(inner, (Map, List))
                position = node.keys_at[step] if of_key or blank else node.values_at[step]
            elif isinstance(node, List) and isinstance(step, int) and step < len(node):
                inner = node[step]
                position = node.items_at[step]
            else:
                break
            node = inner
        return position

    def _validate(self, validator: Validator) -> None:
        first = min(validator.iter_errors(self.content), key=self._position_of, default=None)
        if first is not None:
            where, text, of_key = explain(first)
            raise self.failure(where, text, of_key=of_key)

    def _position_of(self, error: ValidationError) -> Place:
        return self.position(error.absolute_path)


@functools.cache  # some milliseconds, and a run has many files
def _validator(schema: Path) -> Validator:
    import jsonschema

    extend: Any = jsonschema.validators.extend  # without types in types-jsonschema
    kind: type[Validator] = extend(jsonschema.Draft202012Validator, {"pattern": _pattern})
    return kind(read_schema(schema))


def _pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    """Have all of a text match, as in JavaScript: the ``$`` of Python lets a line feed follow."""
    from jsonschema.exceptions import ValidationError

    if isinstance(instance, str) and not re.fullmatch(pattern, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")
