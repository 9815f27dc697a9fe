"""The words of errors about files: values, choices, and what a JSON Schema has against a value."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

__all__ = ["choices", "explain", "kind_of", "name_of", "nearest", "show"]

_MOST_CHOICES = 20


def choices(value: object, allowed: Sequence[Any]) -> str:
    """Say what is allowed (of many: the first), and which of it is nearest to the value."""
    names = [show(choice) if isinstance(choice, bool) else str(choice) for choice in allowed]
    near = nearest(value, names)
    hint = f"did you mean {near!r}? " if near else ""
    more = f" and {len(names) - _MOST_CHOICES} more" if len(names) > _MOST_CHOICES else ""
    return f"{hint}allowed: {', '.join(names[:_MOST_CHOICES])}{more}"


def nearest(value: object, names: Iterable[str]) -> str | None:
    """Return the name that a value was probably meant to be."""
    lower = {name.lower(): name for name in names}
    found = difflib.get_close_matches(str(value).lower(), lower, n=1)
    return lower[found[0]] if found else None


def show(value: object) -> str:
    """Return a value as it is to be read in an error, at most 60 characters of it."""
    if value is None or isinstance(value, bool):
        return {None: "blank", True: "true", False: "false"}[value]
    if isinstance(value, str):
        text = str(value)
        kept = text
        while len(repr(kept)) > 60:  # which may be longer than the text
            kept = kept[: min(len(kept) - 1, 60)]
        return repr(text if kept == text else kept[:-3] + "...")
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def name_of(where: Sequence[Any]) -> str:
    """Return a path of keys and numbers as text: ``matrix.sender.0``."""
    return ".".join(
        str(step) if re.fullmatch(r"[\w.@-]{1,60}", str(step), re.ASCII) else show(str(step)) for step in where
    )


def explain(error: ValidationError) -> tuple[list[Any], str, bool]:
    """Return the path to the culprit, the sentence, and whether the culprit is the key there rather than the value."""
    while error.context and not _choice_of_keys(error):  # of alternatives, the one that got furthest tells most
        error = max(error.context, key=_how_far)
    where = list(error.absolute_path)
    name = name_of(where) or "the file"
    value: Any = error.instance
    rule: Any = error.validator_value
    subschema: Any = error.schema
    match error.validator:
        case "additionalProperties":
            allowed = sorted(subschema.get("properties", {}))
            unknown = next(key for key in value if key not in allowed)
            return [*where, unknown], f"{name} has no key {show(unknown)}; {choices(unknown, allowed)}", True
        case "required":
            missing = next(key for key in rule if key not in value)
            return where, f"{name} lacks the key {missing!r}", False
        case "dependentRequired":
            key, missing = next(
                (key, other) for key in rule if key in value for other in rule[key] if other not in value
            )
            return [*where, key], f"{name} has {key!r}, which needs the key {missing!r}", True
        case "oneOf" | "anyOf":
            names = [alternative["required"][0] for alternative in rule]
            found = " and ".join(key for key in names if key in value) or "none"
            belongs = "exactly one belongs" if error.validator == "oneOf" else "at least one belongs"
            return where, f"{name} has {found} of the keys {', '.join(names)}, where {belongs}", False
        case "enum":
            is_what = " is blank" if value is None else f": {show(value)} is not allowed"
            return where, f"{name}{is_what}; {choices(value, rule)}", False
        case "type":
            is_what = " is blank" if value is None else f": {show(value)} is a {kind_of(value)}"
            return where, f"{name}{is_what}, where {_word(rule)} belongs", False
        case "minimum" | "maximum":
            least, most = subschema.get("minimum", "less"), subschema.get("maximum", "more")
            return where, f"{name}: {show(value)} is not allowed; allowed: {least} to {most}", False
        case "minItems" | "minProperties" | "minLength":
            least = f"has {len(value)}, and {rule} are the least"
            return where, f"{name} {least if len(value) else 'is empty'}", False
        case "maxProperties" if rule == 1:
            return where, f"{name}: {show(dict(value))} has more than one key", False
        case "maxProperties" | "maxItems":
            return where, f"{name} has {len(value)}, and {rule} are the most", False
        case "uniqueItems":
            number = next(number for number, item in enumerate(value) if item in value[:number])
            return [*where, number], f"{name}.{number}: {show(value[number])} is there twice", False
        case "pattern":
            made_of = subschema["$comment"]  # of each pattern in our schemas: what it is in words
            if "propertyNames" in error.absolute_schema_path:
                return [*where, value], f"{name}: the name {show(value)} is not made of {made_of}", True
            return where, f"{name}: {show(value)} is not made of {made_of}", False
        case _:
            return where, f"{name}: {show(value)} is not allowed: {' '.join(error.message.split())[:200]}", False


def _choice_of_keys(error: ValidationError) -> bool:
    """Tell whether the alternatives are which of some keys a mapping has."""
    rule: Any = error.validator_value
    return error.validator in ("oneOf", "anyOf") and all(list(alternative) == ["required"] for alternative in rule)


def _how_far(error: ValidationError) -> tuple[int, int]:
    """Return how far a value got with an alternative: how deep, and then, where it has the right type, further."""
    kinds = ["type", "enum"]
    return len(error.absolute_path), kinds.index(str(error.validator)) if error.validator in kinds else 2


def kind_of(value: object) -> str:
    """Return what a value is, in the words of people who write files."""
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
    words = {
        "object": "a mapping",
        "array": "a list",
        "string": "a text",
        "integer": "a whole number",
        "number": "a number",
        "boolean": "true or false",
    }
    return words.get(kind, kind)
