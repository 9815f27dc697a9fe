"""The schema and the loader cannot disagree: what the one knows the other reads, and the other way round."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_mcast.core.channels import FAMILIES, MODES, SCOPES
from pytest_mcast.doctor import CAPABILITIES
from pytest_mcast.documents import reader
from pytest_mcast.documents.content import List, Map, read_content
from pytest_mcast.scenarios import Scenario, ScenarioError, load
from pytest_mcast.scenarios.loader import schema
from pytest_mcast.scenarios.model import AXES

from .support import COMMON, FULL, write_full

SCHEMA = schema()
VALID = jsonschema.Draft202012Validator(SCHEMA)
Where = tuple[Any, ...]


def _parsed(text: str) -> Any:
    return read_content(text.encode(), AssertionError)


def _tracked(data: Any, lookups: set[tuple[int, str]] | None = None) -> Any:
    """Return plain data as the reader of files does, which notes what is looked up in it."""
    if isinstance(data, dict):
        found = Map() if lookups is None else _Watched(lookups)
        for key, value in data.items():
            found[key] = _tracked(value, lookups)
            found.keys_at[key] = found.values_at[key] = (1, 1)
        return found
    if isinstance(data, list):
        items = List()
        items.extend(_tracked(item, lookups) for item in data)
        items.items_at = [(1, 1)] * len(data)
        return items
    return data


class _Watched(Map):
    watching = False

    def __init__(self, lookups: set[tuple[int, str]]) -> None:
        super().__init__()
        self._lookups = lookups

    def _see(self, key: Any) -> None:
        if _Watched.watching:
            self._lookups.add((id(self), key))

    def __getitem__(self, key: Any) -> Any:
        self._see(key)
        return super().__getitem__(key)

    def get(self, key: Any, default: Any = None) -> Any:
        self._see(key)
        return super().get(key, default)

    def __contains__(self, key: Any) -> bool:
        self._see(key)
        return super().__contains__(key)

    def items(self) -> Any:
        for key in self:
            self._see(key)
        return super().items()


def _resolve(pointer: str, node: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    while "$ref" in node:
        pointer = node["$ref"]
        node = SCHEMA["$defs"][pointer.removeprefix("#/$defs/")]
    return pointer, node


def _walk(value: Any, pointer: str = "#", node: dict[str, Any] = SCHEMA, at: Where = ()) -> Iterator[tuple[str, Where]]:
    """Yield where the schema describes each value in a document, with the path to it, from the outside to the inside."""
    pointer, node = _resolve(pointer, node)
    yield pointer, at
    if "if" in node:
        branch = "then" if jsonschema.Draft202012Validator(node["if"]).is_valid(value) else "else"
        if branch in node:
            yield from _walk(value, f"{pointer}/{branch}", node[branch], at)
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in node.get("properties", {}):
                yield from _walk(inner, f"{pointer}/properties/{key}", node["properties"][key], (*at, key))
                yield f"{pointer}/properties/{key}", (*at, key)
            elif isinstance(node.get("additionalProperties"), dict):
                yield from _walk(inner, f"{pointer}/*", node["additionalProperties"], (*at, key))
    elif isinstance(value, list) and "items" in node:
        for number, inner in enumerate(value):
            yield from _walk(inner, f"{pointer}/items", node["items"], (*at, number))


def _all(node: Any = SCHEMA, pointer: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every schema in the schema."""
    yield pointer, node
    for name, inner in node.get("$defs", {}).items():
        yield from _all(inner, f"#/$defs/{name}")
    for name, inner in node.get("properties", {}).items():
        yield from _all(inner, f"{pointer}/properties/{name}")
    for name in ("items", "then", "else"):
        if name in node:
            yield from _all(node[name], f"{pointer}/{name}")
    if isinstance(node.get("additionalProperties"), dict):
        yield from _all(node["additionalProperties"], f"{pointer}/*")


def _get(data: Any, at: Where) -> Any:
    for step in at:
        data = data[step]
    return data


PROPERTIES = sorted({pointer for pointer, _ in _all() if pointer.split("/")[-2:-1] == ["properties"]})
ENUMS = {pointer: node["enum"] for pointer, node in _all() if "enum" in node}
DATA = _parsed(FULL)
WALKED = list(_walk(DATA))


class Loader:
    """Loads plain data, as if a file said it."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._path = write_full(directory)
        self._content: Any = None
        self._patch = monkeypatch
        common = _tracked(_parsed(COMMON))
        self._patch.setattr(
            reader, "read_content", lambda data, _: common if data == COMMON.encode() else self._content
        )

    def __call__(self, content: Any) -> Scenario | str:
        """Return the scenario, or the error without its place."""
        self._content = _tracked(content) if type(content) is not _Watched else content
        try:
            return load(self._path)
        except ScenarioError as error:
            return error.text


@pytest.fixture
def loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loader:
    return Loader(tmp_path, monkeypatch)


def test_the_full_file_has_every_key() -> None:
    assert len(PROPERTIES) > 70
    assert set(PROPERTIES) - {pointer for pointer, _ in WALKED} == set()


def test_every_key_is_described() -> None:
    for pointer, node in _all():
        if pointer in PROPERTIES:
            assert "description" in {**_resolve(pointer, node)[1], **node}, pointer


def test_the_names_in_the_schema_are_those_of_the_library() -> None:
    definitions = SCHEMA["$defs"]
    assert tuple(definitions["requires"]["items"]["enum"]) == CAPABILITIES
    assert tuple(definitions["scope"]["enum"]) == SCOPES
    assert tuple(definitions["family"]["enum"]) == FAMILIES
    assert tuple(definitions["mode"]["enum"]) == MODES
    # What model.py says that there is, and a cell's runner can do.
    assert definitions["expect"]["enum"] == ["pass", "fail", "unsupported"]
    assert definitions["status"]["enum"] == definitions["host"]["properties"]["status"]["enum"] == ["planned"]
    assert definitions["host"]["then"]["enum"] == ["virtual", "local"]
    assert definitions["host"]["properties"]["local"]["properties"]["system"]["enum"] == ["linux", "macos", "windows"]
    assert definitions["step"]["then"]["enum"] == ["join", "send", "leave"]
    assert list(definitions["step"]["properties"]) == ["send", "block", "unblock", "link"]
    axes = ["sender", "receiver", "family", "mode", *AXES]
    assert list(SCHEMA["properties"]["matrix"]["properties"]) == [*axes, "exclude", "include"]
    assert list(definitions["part"]["properties"]) == axes
    assert list(definitions["included"]["properties"])[: len(axes)] == axes
    attributes = list(definitions["rule"]["properties"])[1:]
    assert list(definitions["included"]["properties"])[len(axes) :] == attributes


def test_the_loader_looks_up_every_key_of_the_schema_and_no_other(
    loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookups: set[tuple[int, str]] = set()
    content = _tracked(DATA, lookups)
    validate = reader.Document._validate

    def unwatched(self: reader.Document, validator: Any) -> None:
        monkeypatch.setattr(_Watched, "watching", False)
        validate(self, validator)
        monkeypatch.setattr(_Watched, "watching", True)

    monkeypatch.setattr(reader.Document, "_validate", unwatched)
    assert isinstance(loader(content), Scenario)
    monkeypatch.setattr(_Watched, "watching", False)
    known: dict[int, set[str]] = {}
    read: set[str] = set()
    for pointer, at in _walk(content):
        node = _get(content, at)
        if isinstance(node, dict):
            properties = next(inner for where, inner in _all() if where == pointer).get("properties", {})
            known.setdefault(id(node), set()).update(properties or node)
            read |= {f"{pointer}/properties/{key}" for key in properties if (id(node), key) in lookups}
    assert {key for where, key in lookups if key not in known[where]} == set()
    assert set(PROPERTIES) - read == set()


def _changes(value: Any) -> Iterator[Any]:
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield value + 1
    elif isinstance(value, str):
        yield value + "x"
    elif isinstance(value, list):
        yield value[:-1]
    elif isinstance(value, dict):
        for key in value:
            yield {other: inner for other, inner in value.items() if other != key}


def _with(at: Where, value: Any) -> Any:
    """Return a copy of the data that has another value there."""
    data = copy.deepcopy(DATA)
    _get(data, at[:-1])[at[-1]] = value
    return data


def _without(at: Where) -> Any:
    data = copy.deepcopy(DATA)
    del _get(data, at[:-1])[at[-1]]
    return data


def _mutations(pointer: str, at: Where) -> Iterator[Any]:
    yield _without(at)
    listed = _resolve(pointer, next(node for known, node in _all() if known == pointer))[1].get("enum", ())
    for new in [*_changes(_get(DATA, at)), *listed]:
        yield _with(at, new)


def test_every_key_makes_a_difference(loader: Loader) -> None:
    # Without the key, or with another value that the schema allows, there is another scenario or an error of the loader.
    as_it_is = loader(DATA)

    def differs(data: Any) -> bool:
        outcome = loader(data)
        return outcome != as_it_is and (isinstance(outcome, Scenario) or VALID.is_valid(data))

    places: dict[str, list[Where]] = {}
    for pointer, at in WALKED:
        places.setdefault(pointer, []).append(at)
    without = []
    for pointer in PROPERTIES:
        mutations = (data for at in places[pointer] for data in _mutations(pointer, at))
        if not any(differs(data) for data in mutations):
            without.append(pointer)
    # What the schema allows only together: planned is the only status, and needs the reason.
    assert without == ["#/$defs/host/properties/status"]
    assert isinstance(as_it_is, Scenario)
    assert as_it_is.hosts["android"].kind == "planned"


def test_every_listed_value_makes_a_difference(loader: Loader) -> None:
    as_it_is = loader(DATA)
    for pointer, values in ENUMS.items():
        places = [at for known, at in WALKED if known == pointer]
        # Not in a list where another one of them is there already.
        where = min(places, key=lambda at: len(_get(DATA, at[:-1])) if isinstance(at[-1], int) else 0)
        outcomes = []
        for value in values:
            data = _with(where, value)
            assert VALID.is_valid(data), (where, value)
            outcomes.append(as_it_is if value == _get(DATA, where) else loader(data))
        assert all(one != other for number, one in enumerate(outcomes) for other in outcomes[:number]), pointer


def _generate(node: dict[str, Any], choice: random.Random) -> Any:
    """Return something that a schema allows, by chance; names are few, so that some of them fit together."""
    _, node = _resolve("", node)
    if "enum" in node:
        return choice.choice(node["enum"])
    if "if" in node and choice.random() < 0.5:
        return _generate({"type": node["if"]["type"], **node["then"]}, choice)
    if "type" not in node:
        return _generate(node["else"], choice)
    kind = node["type"] if isinstance(node["type"], str) else node["type"][-1]
    if kind == "object":
        return _generate_object(node, choice)
    if kind == "array":
        items = [_generate(node["items"], choice) for _ in range(choice.randint(1, 2))]
        return [item for number, item in enumerate(items) if item not in items[:number]]
    if kind == "integer":
        return choice.choice([node.get("minimum", -1), node.get("maximum", 7)])
    if kind == "boolean":
        return choice.random() < 0.5
    return choice.choice(node.get("examples", ["one", "two"]))


def _generate_object(node: dict[str, Any], choice: random.Random) -> dict[str, Any]:
    allowed = VALID.evolve(schema=node)
    known, others = node.get("properties", {}), node.get("additionalProperties")
    while True:
        keys = [key for key in known if key in node.get("required", ()) or choice.random() < 0.4]
        found = {key: _generate(known[key], choice) for key in keys}
        if others:
            names = node["propertyNames"].get("examples", ["one", "two"])
            found |= {name: _generate(others, choice) for name in names if choice.random() < 0.7}
        if allowed.is_valid(found):
            return found


def test_what_the_schema_allows_loads_or_has_an_error_of_the_loader(loader: Loader) -> None:
    choice = random.Random(8)  # noqa: S311 - nothing secret
    loaded = 0
    texts = set()
    for _ in range(200):
        data = {"hosts": {"one": "virtual"}, **_generate_object(SCHEMA, choice)}
        data.pop("include", None)
        assert VALID.is_valid(data)
        outcome = loader(data)
        loaded += isinstance(outcome, Scenario)
        texts |= {outcome} if isinstance(outcome, str) else set()
    assert loaded > 20
    assert len(texts) > 50


def test_what_the_schema_forbids_does_not_load(loader: Loader) -> None:
    choice = random.Random(8)  # noqa: S311 - nothing secret
    odd: list[Any] = [None, True, 7, -1, "odd", [], {}, ["odd"], {"odd": 7}]
    refused = 0
    for _, at in choice.choices(WALKED[1:], k=50):
        data = _with(at, choice.choice(odd))
        if not VALID.is_valid(data):
            assert isinstance(loader(data), str), at
            refused += 1
    assert refused > 30
