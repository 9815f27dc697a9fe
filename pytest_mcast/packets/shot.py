"""A probe or a fence that was sent, and what a receiver makes of it."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .expectations import FIELDS, Expectation
from .marks import RECOGNISED

if TYPE_CHECKING:
    from pytest_mcast.core.datagrams import Datagram
    from pytest_mcast.core.verdicts import Receives

__all__ = ["Shot", "Sight", "all_seen"]

_ETHERNET, _SMALLEST_FRAME = 14, 60  # bytes
_TAGS = (b"\x81\x00", b"\x88\xa8")
_SHOWN = 48  # bytes of a payload, in words


@dataclass(frozen=True)
class Sight:
    """What a receiver can see of a datagram: which fields, and how many bytes of the payload at most (None: all)."""

    fields: frozenset[str] = FIELDS
    max_size: int | None = None
    index: int | None = None

    @classmethod
    def of(cls, receiver: Receives, index: int | None) -> Sight:
        """Ask a receiver; ``index`` is that of the interface at which it receives. Raises ``ValueError``."""
        observed = frozenset(getattr(receiver, "fields", FIELDS))
        unknown = sorted(observed - FIELDS)
        if unknown:
            raise ValueError(f"{receiver!r} has the field {unknown[0]!r}; there are {', '.join(sorted(FIELDS))}")
        max_size = getattr(getattr(receiver, "subscription", receiver), "max_size", None)
        sight = cls(observed, max_size, index)
        if not sight.marks and "source_port" not in observed:
            shown = max_size if "payload" in observed else 0
            raise ValueError(
                f"{receiver!r} shows {shown} bytes of a payload and no source port: no probe can be known again by that; "
                f"it takes {RECOGNISED} bytes of the payload, or the source port"
            )
        return sight

    @property
    def marks(self) -> bool:
        """Whether it can see the mark in a payload."""
        return "payload" in self.fields and (self.max_size is None or self.max_size >= RECOGNISED)


@dataclass(frozen=True)
class Shot:
    """A datagram that was sent: the frames, and what a receiver should say of it.

    ``payload`` is None when nobody knows it, ``labels`` are those fields that are known. ``unique``: no other datagram has
    its source port; ``marked``: its payload has a mark with its ``number``.
    """

    number: int
    name: str
    frames: tuple[bytes, ...]
    payload: bytes | None
    labels: dict[str, Any] = field(default_factory=dict)
    marked: bool = True
    unique: bool = False
    copies: int = 1

    def is_it(self, datagram: Datagram, sight: Sight) -> bool:
        """Say whether a datagram is this one, without looking for a mark."""
        fields, port = sight.fields, self.labels.get("source_port")
        if port is not None and "source_port" in fields:
            if datagram.source[1] != port:
                return False
            if self.unique:
                return True
        if self.payload is None or "payload" not in fields:
            return True
        wanted = self.payload[: sight.max_size]
        return wanted.startswith(datagram.payload) if datagram.truncated else wanted == datagram.payload

    def faults(self, datagram: Datagram, sight: Sight, expectation: Expectation) -> list[str]:
        """Say in words what a receiver says otherwise than it should; nothing of what it cannot observe."""
        fields = sight.fields & expectation.fields
        said = {
            "source": _address(datagram.source[0]),
            "source_port": datagram.source[1],
            "group": _address(datagram.destination),
            "port": datagram.port,
            "interface": datagram.interface_index,
            "ttl": datagram.ttl,
        }
        right = {**self.labels, "interface": sight.index}
        found = [
            f"{_NAMES[name]} {said[name]} instead of {right[name]}"
            for name in said
            if name in fields and None not in (said[name], right.get(name)) and said[name] != right[name]
        ]
        payload = self.payload if expectation.payload is None else expectation.payload
        if payload is None:
            return found
        payload = payload[: expectation.size]
        wanted = payload[: sight.max_size]
        length = getattr(datagram, "length", None)
        if length is not None and sight.max_size is not None and datagram.truncated:
            wanted = wanted[: len(datagram.payload)]  # a program may tell less of what is no text
        if "length" in fields and (
            length != len(payload) if length is not None else len(datagram.payload) != len(wanted)
        ):
            of = len(datagram.payload) if length is None else length
            found.append(f"{of} bytes instead of {len(wanted) if length is None else len(payload)}")
        elif "payload" in fields and datagram.payload != wanted:
            found.append(_difference(datagram.payload, wanted))
        elif datagram.truncated and len(payload) == len(datagram.payload) and fields & {"length", "payload"}:
            found.append("said to be truncated, which it is not")
        return found


_NAMES = {
    "source": "source",
    "source_port": "source port",
    "group": "group",
    "port": "port",
    "interface": "interface",
    "ttl": "TTL",
}


def all_seen(frames: Sequence[bytes]) -> Callable[[bytes], bool]:
    """Return a function that is given frames that came in, and says when all of these were among them.

    The kernel takes VLAN tags out, and short frames may have been padded on the way (IEEE 802.3).
    """
    wanted: dict[bytes, int] = {}
    for number, frame in enumerate(frames):
        start = _ETHERNET
        while True:
            tail = frame[start:]
            wanted[tail] = wanted[tail.ljust(_SMALLEST_FRAME - _ETHERNET, b"\0")] = number
            if frame[start - 2 : start] not in _TAGS:
                break
            start += 4
    missing = set(wanted.values())

    def seen(frame: bytes) -> bool:
        number = wanted.get(frame[_ETHERNET:])
        if number is not None:
            missing.discard(number)
        return not missing

    return seen


def _address(text: str | None) -> str | None:
    """Return an address as it is compared: in canonical form and without a zone."""
    if text is None:
        return None
    try:
        return str(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return text


def _difference(got: bytes, wanted: bytes) -> str:
    place = next(
        (at for at, (one, other) in enumerate(zip(got, wanted, strict=False)) if one != other),
        min(len(got), len(wanted)),
    )
    return f"payload {got[place : place + _SHOWN]!r} instead of {wanted[place : place + _SHOWN]!r} from byte {place} on"
