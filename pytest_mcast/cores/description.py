"""Descriptions of receive cores and senders that are programs of their own: YAML files."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_mcast.core.channels import FAMILIES, MODES
from pytest_mcast.documents import Document, DocumentError, choices, read_schema, show

from .protocol import ExpectedFailure

__all__ = ["GROUPS", "Description", "DescriptionError", "Version", "Words", "read_description", "schema"]

#: The named groups of a datagram's lines, and which of ``FIELDS`` each tells.
GROUPS = {
    "source": "source",
    "source_port": "source_port",
    "group": "group",
    "port": "port",
    "interface": "interface",  # its name
    "index": "interface",  # its number
    "ttl": "ttl",
    "length": "length",
    "payload": "payload",  # as text
    "payload_hex": "payload",  # in hexadecimal digits, with or without spaces
    "payload_base64": "payload",
}
_PLACES = ("group", "port", "source", "interface", "index", "address", "directory", "bin")
_SENDERS_PLACES = (*_PLACES, "count", "payload", "ttl")

_SCHEMA = Path(__file__).parent / "description.schema.json"

#: Words of a command line: text, or a condition (``ipv4``, ``ipv6``, ``asm``, ``ssm``) and the words that it adds.
Words = Sequence["str | tuple[str, Words]"]


class DescriptionError(DocumentError):
    """A description that cannot be used; the text starts with ``file:line:column``."""


@dataclass(frozen=True)
class Version:
    """Where the version is found: in a ``file``, or in what a ``command`` prints; ``pattern`` has the group ``version``."""

    pattern: re.Pattern[str]
    file: str | None = None
    command: tuple[str, ...] = ()


@dataclass(frozen=True)
class Description:
    """What a description says; the keys of the file are explained in its schema.

    ``datagram`` has a pattern for each line of a record, ``directory`` is that of the file.
    """

    name: str
    kind: str
    command: Words
    directory: Path
    title: str = ""
    install: str = ""
    families: tuple[str, ...] = FAMILIES
    modes: tuple[str, ...] = MODES
    version: Version | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    ready: re.Pattern[str] | None = None
    datagram: tuple[re.Pattern[str], ...] = ()
    payload_limit: int | None = None
    error: re.Pattern[str] | None = None
    stop: str = "SIGTERM"
    expected_failures: tuple[ExpectedFailure, ...] = ()

    @property
    def program(self) -> str:
        """The program, as the command names it."""
        return str(self.command[0])

    @property
    def fields(self) -> frozenset[str]:
        """Which of ``FIELDS`` the lines of a record tell."""
        found = {GROUPS[name] for pattern in self.datagram for name in pattern.groupindex}
        return frozenset(found | ({"length"} if "payload" in found and self.payload_limit is None else set()))

    def words(self, conditions: set[str]) -> Iterator[str]:
        """Yield the words of the command under these conditions, with their placeholders."""
        return _choose(self.command, conditions)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of descriptions (also for editors: it is in the package as ``description.schema.json``)."""
    return read_schema(_SCHEMA)


def read_description(path: Path) -> Description:
    """Read and check a file; raises ``DescriptionError``, and ``OSError`` when it cannot be read."""
    document = Document(path, _SCHEMA, DescriptionError)
    content = document.content
    sender = content["kind"] == "sender"
    for key in ("ready", "datagram", "payload_limit") if sender else ():
        if key in content:
            raise document.failure([key], f"a sender has no {key}", of_key=True)
    if not sender and "datagram" not in content:
        raise document.failure([], "a receiver lacks the key 'datagram'")
    _check_places(document, _SENDERS_PLACES if sender else _PLACES)
    return Description(
        name=str(content["name"]),
        kind=str(content["kind"]),
        command=_words(content["command"]),
        directory=path.resolve().parent,
        title=str(content.get("title", "")),
        install=str(content.get("install", "")),
        families=tuple(map(str, content.get("families", FAMILIES))),
        modes=tuple(map(str, content.get("modes", MODES))),
        version=_version(document),
        environment={str(name): str(value) for name, value in content.get("environment", {}).items()},
        ready=_pattern(document, ["ready"], ()) if "ready" in content else None,
        datagram=tuple(
            _pattern(document, ["datagram", number], GROUPS) for number in range(len(content.get("datagram", ())))
        ),
        payload_limit=int(content["payload_limit"]) if "payload_limit" in content else None,
        error=_pattern(document, ["error"], ("error",)) if "error" in content else None,
        stop=str(content.get("stop", "SIGTERM")),
        expected_failures=tuple(
            one for number in range(len(content.get("expected_failures", ()))) for one in _expected(document, number)
        ),
    )


def _words(items: Sequence[Any]) -> Words:
    return tuple(str(item) if isinstance(item, str) else (str(item["when"]), _words(item["words"])) for item in items)


def _choose(words: Words, conditions: set[str]) -> Iterator[str]:
    for word in words:
        if isinstance(word, str):
            yield word
        elif word[0] in conditions:
            yield from _choose(word[1], conditions)


def _check_places(document: Document, allowed: Sequence[str]) -> None:
    content = document.content
    texts: list[tuple[list[Any], str]] = [
        (["environment", name], text) for name, text in content.get("environment", {}).items()
    ]
    _collect(["command"], content["command"], texts)
    for key in ("file", "command"):
        if key in content.get("version", {}):
            _collect(["version", key], content["version"][key], texts)
    for where, text in texts:
        places = ("bin", "directory") if where[0] == "version" else allowed
        if where == ["command", 0]:
            places = ("directory",)  # the rest is known when the program is found
        try:
            found = [place for place in string.Formatter().parse(text) if place[1] is not None]
        except ValueError as error:
            raise document.failure(where, f"{show(text)}: {error}; a brace itself is written twice") from None
        for _, name, form, conversion in found:
            if name not in places:
                raise document.failure(where, f"{show(text)}: there is no {{{name}}}; {choices(name, places)}")
            if form or conversion:
                raise document.failure(where, f"{show(text)}: a placeholder is a name alone, {{{name}}}")


def _collect(where: list[Any], value: Any, texts: list[tuple[list[Any], str]]) -> None:
    """Collect all texts in a list of words, with where they stand."""
    if isinstance(value, str):
        texts.append((where, value))
    elif isinstance(value, Mapping):
        _collect([*where, "words"], value["words"], texts)
    else:
        for number, item in enumerate(value):
            _collect([*where, number], item, texts)


def _version(document: Document) -> Version | None:
    version = document.content.get("version")
    if version is None:
        return None
    if ("file" in version) == ("command" in version):
        raise document.failure(["version"], "version has either a file or a command")
    pattern = _pattern(document, ["version", "pattern"], ("version",))
    if "version" not in pattern.groupindex:
        raise document.failure(["version", "pattern"], "version.pattern lacks the group (?P<version>...)")
    file = version.get("file")
    return Version(pattern, None if file is None else str(file), tuple(map(str, version.get("command", ()))))


def _pattern(document: Document, where: list[Any], groups: Sequence[str] | Mapping[str, str]) -> re.Pattern[str]:
    text = document.content
    for step in where:
        text = text[step]
    name = ".".join(map(str, where))
    try:
        pattern = re.compile(str(text))
    except re.error as error:
        raise document.failure(where, f"{name}: {show(text)} is not a regular expression: {error}") from None
    for group in pattern.groupindex:
        if group not in groups:
            raise document.failure(
                where, f"{name}: there is no group {group!r}; {choices(group, list(groups) or ['none'])}"
            )
    return pattern


def _expected(document: Document, number: int) -> Iterator[ExpectedFailure]:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    item = document.content["expected_failures"][number]
    versions = str(item.get("versions", ""))
    try:
        SpecifierSet(versions)
    except InvalidSpecifier:
        where = ["expected_failures", number, "versions"]
        text = f"{'.'.join(map(str, where))}: {show(versions)} does not say which versions, as >=0.2.7,<0.4 does"
        raise document.failure(where, text) from None
    kinds, sometimes = tuple(map(str, item.get("kinds", ()))), bool(item.get("sometimes", False))
    for name in [item["behaviour"]] if isinstance(item["behaviour"], str) else item["behaviour"]:
        yield ExpectedFailure(str(name), str(item["reason"]), versions, kinds, sometimes)
