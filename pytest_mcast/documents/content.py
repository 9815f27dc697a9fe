"""What a YAML file says, as plain data that knows where in the file it stands.

YAML 1.2 with its core schema, less what a file that only says something does not need: no tag is obeyed, so that nothing
is ever constructed; keys are texts; what aliases repeat, and how deep things are nested, is limited.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from .words import choices, kind_of, show

if TYPE_CHECKING:
    from ruamel.yaml.events import Event, ScalarEvent

__all__ = ["List", "Map", "Place", "read_content"]

#: Line and column, from 1.
Place = tuple[int, int]

_DEEPEST = 40
_MOST_REPEATED = 100_000  # values that come from aliases: what takes seconds to check, not minutes
_LONGEST_NUMBER = 40
# YAML 1.2.2 section 10.3.2
_NULL = re.compile(r"null|Null|NULL|~|")
_BOOL = re.compile(r"(true|True|TRUE)|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_BASES = {"0o": 8, "0x": 16}
# YAML 1.2.2 sections 5.4 and 5.1
_LINE_END = re.compile("\r\n|[\r\n]")
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Map(dict[str, Any]):
    """A mapping; ``keys_at`` and ``values_at`` say where its keys and their values stand."""

    def __init__(self) -> None:
        super().__init__()
        self.keys_at: dict[str, Place] = {}
        self.values_at: dict[str, Place] = {}


class List(list[Any]):
    """A list; ``items_at`` says where its items stand."""

    def __init__(self) -> None:
        super().__init__()
        self.items_at: list[Place] = []


def read_content(data: bytes, failure: Callable[[Place, str], Exception]) -> Any:
    """Return what the bytes of a file say: ``Map``, ``List``, text, number, truth value, or None.

    Raises what ``failure`` makes of the place and the text of a mistake.
    """
    return _Reader(_decode(data, failure), failure).read()


def _decode(data: bytes, failure: Callable[[Place, str], Exception]) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise failure((1, 1), "not YAML in UTF-8: it begins like UTF-16; save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        text = error.object[: error.start].decode("utf-8")  # utf-8-sig counts without the mark
        what = f"not YAML in UTF-8: the byte 0x{error.object[error.start]:02x}"
        raise failure(_place(text), f"{what} belongs to no character ({error.reason}); save it as UTF-8") from None
    found = _UNPRINTABLE.search(text)
    if found:
        what = f"not YAML: the character U+{ord(found.group()):04X} has no place in a text"
        raise failure(_place(text[: found.start()]), what)
    return text


def _place(before: str) -> Place:
    lines = _LINE_END.split(before)
    return len(lines), len(lines[-1]) + 1


class _Reader:
    def __init__(self, text: str, failure: Callable[[Place, str], Exception]) -> None:
        self._failure = failure
        self._events = self._parse(text)
        self._anchors: dict[str, tuple[Any, int]] = {}  # with how many values there are in it
        self._count = 0
        self._repeated = 0

    def read(self) -> Any:
        from ruamel.yaml.events import DocumentStartEvent, StreamEndEvent

        content = None
        documents = 0
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._failure(_start(event), "not one YAML document: a second begins here, after '---'")
                content = self._node(next(self._events), 0)
            elif isinstance(event, StreamEndEvent):
                break
        return content

    def _parse(self, text: str) -> Iterator[Event]:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import MarkedYAMLError

        place = (1, 1)
        try:
            for event in YAML(typ="safe", pure=True).parse(text):
                place = _start(event)
                yield event
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            if mark:
                place = mark.line + 1, mark.column + 1
            what = " ".join(str(error.problem or error.context).split())
            raise self._failure(place, f"not YAML: {what}; {_line(text, place)}") from None
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            # The parser's own mishaps: chr() of "\UFFFFFFFF", for one. What we raise ourselves is not raised in here.
            raise self._failure(place, f"not YAML: what follows cannot be read; {_line(text, place)}") from None

    def _node(self, event: Event, depth: int) -> Any:
        from ruamel.yaml.events import AliasEvent, MappingStartEvent, ScalarEvent

        place = _start(event)
        anchor = event.anchor  # type: ignore[attr-defined] # of all events of nodes
        if depth > _DEEPEST:
            raise self._failure(place, f"what is here is nested {depth} levels deep; allowed: {_DEEPEST}")
        if isinstance(event, AliasEvent):
            return self._alias(anchor, place)
        tag = getattr(event, "tag", None)
        if tag not in (None, "!"):
            short = re.sub("^tag:yaml.org,2002:", "!!", str(tag))
            raise self._failure(place, f"the tag {show(short)} has no meaning here, nor has any; leave it out")
        before = self._count
        self._count += 1
        value: Any
        if isinstance(event, ScalarEvent):
            value = self._scalar(event)
        elif isinstance(event, MappingStartEvent):
            value = self._map(depth + 1)
        else:
            value = self._list(depth + 1)
        if anchor is not None:
            self._anchors[anchor] = value, self._count - before
        return value

    def _map(self, depth: int) -> Map:
        from ruamel.yaml.events import MappingEndEvent

        found = Map()
        for event in self._events:
            if isinstance(event, MappingEndEvent):
                break
            place = _start(event)
            key = self._key(event, depth)
            if key in found:
                line = found.keys_at[key][0]
                raise self._failure(place, f"the key {show(key)} is there twice; the first is in line {line}")
            value = next(self._events)
            found.keys_at[key], found.values_at[key] = place, _start(value)
            found[key] = self._node(value, depth)
        return found

    def _list(self, depth: int) -> List:
        from ruamel.yaml.events import SequenceEndEvent

        found = List()
        for event in self._events:
            if isinstance(event, SequenceEndEvent):
                break
            found.items_at.append(_start(event))
            found.append(self._node(event, depth))
        return found

    def _key(self, event: Event, depth: int) -> str:
        """Return a key as it is written: ``1``, ``null`` and ``true`` are names like others."""
        from ruamel.yaml.events import ScalarEvent

        value = self._node(event, depth)
        if isinstance(event, ScalarEvent):
            return str(event.value)
        if isinstance(value, str):  # by an alias
            return value
        raise self._failure(_start(event), f"the key {show(value)} is a {kind_of(value)}, where a text belongs")

    def _alias(self, name: str, place: Place) -> Any:
        if name not in self._anchors:
            known = choices(name, list(self._anchors)) if self._anchors else "there is none"
            raise self._failure(place, f"the alias {show('*' + name)}: there is no such anchor before it; {known}")
        value, count = self._anchors[name]
        self._count += count
        self._repeated += count
        if self._repeated > _MOST_REPEATED:
            raise self._failure(
                place, f"the alias {show('*' + name)}: aliases repeat more than {_MOST_REPEATED} values"
            )
        return value

    def _scalar(self, event: ScalarEvent) -> Any:
        text = str(event.value)
        if not text.isprintable() and any("\ud800" <= character <= "\udfff" for character in text):
            raise self._failure(_start(event), f"{show(text)} has half of a surrogate pair, which is no character")
        if not event.implicit[0]:  # quoted
            return text
        if _NULL.fullmatch(text):
            return None
        if match := _BOOL.fullmatch(text):
            return match.group(1) is not None
        if _INT.fullmatch(text):
            if len(text) > _LONGEST_NUMBER:
                raise self._failure(_start(event), f"{show(text)} is a number of {len(text)} digits")
            return int(text, _BASES.get(text[:2], 10))
        if _FLOAT.fullmatch(text):
            return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))
        return text


def _line(text: str, place: Place) -> str:
    lines = _LINE_END.split(text)
    line = lines[place[0] - 1].strip() if place[0] <= len(lines) else ""
    return f"the line is {show(line)}" if line else "it is a blank line, or the end"


def _start(event: Event) -> Place:
    return event.start_mark.line + 1, event.start_mark.column + 1
