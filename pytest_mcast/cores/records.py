"""What a program prints about datagrams, read back: lines become records, records become datagrams."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.datagrams import Datagram

from .protocol import CoreFailure

__all__ = ["Records", "ReportedDatagram", "length_of"]

_PAYLOADS = {"payload", "payload_hex", "payload_base64"}
_SHOWN = 200  # characters of a line in an error


@dataclass(frozen=True)
class ReportedDatagram(Datagram):
    """A datagram as a program has told of it; ``length`` is the size of its payload in bytes, if it told that."""

    length: int | None = None


def length_of(datagram: Datagram) -> int:
    """Return what is told of the size of its payload, in bytes."""
    told = datagram.length if isinstance(datagram, ReportedDatagram) else None
    return len(datagram.payload) if told is None else told


class Records:
    """Finds the records in one stream of output; other lines are passed over.

    ``patterns`` are those of the lines of a record, in order; ``indexes`` are the numbers of the host's interfaces by
    name. ``payload_limit`` is what is told of a payload at the most, in bytes.
    """

    def __init__(
        self,
        patterns: Sequence[re.Pattern[str]],
        channel: Channel,
        indexes: Mapping[str, int],
        payload_limit: int | None = None,
    ) -> None:
        self._patterns = patterns
        self._channel = channel
        self._indexes = indexes
        self._payload_limit = payload_limit
        self._told: dict[str, str] = {}
        self._next = 0  # line of the record

    def feed(self, lines: Iterable[str]) -> Iterator[ReportedDatagram]:
        """Yield the datagrams that these lines complete; raises ``CoreFailure`` for a record that is none."""
        for line in lines:
            match = self._patterns[self._next].search(line)
            if match is None:
                if self._next and self._patterns[0].search(line):
                    raise _rubbish(line, f"line {self._next + 1} of the record before is missing")
                continue
            self._told.update({name: text for name, text in match.groupdict().items() if text is not None})
            self._next += 1
            if self._next == len(self._patterns) or self._is_empty():
                told, self._told, self._next = self._told, {}, 0
                yield self._datagram(told, line)

    def _is_empty(self) -> bool:
        """Say whether only the payload is left to come, and there is none, of which a program may print no line."""
        left = {name for pattern in self._patterns[self._next :] for name in pattern.groupindex}
        return self._told.get("length") == "0" and left <= _PAYLOADS

    def _datagram(self, told: Mapping[str, str], line: str) -> ReportedDatagram:
        try:
            payload = _payload(told)
            length = int(told["length"]) if "length" in told else None
            limit = self._payload_limit
            cut = limit is not None and (len(payload) >= limit if length is None else length > len(payload))
            return ReportedDatagram(
                payload[:limit],
                (_address(told["source"]) if "source" in told else "", int(told.get("source_port", "0"))),
                _address(told["group"]) if "group" in told else None,
                int(told["port"]) if "port" in told else self._channel.port,
                self._index(told),
                int(told["ttl"]) if "ttl" in told else None,
                None,
                None,
                truncated=cut,
                length=length,
            )
        except (ValueError, LookupError) as error:
            raise _rubbish(line, str(error)) from None

    def _index(self, told: Mapping[str, str]) -> int | None:
        if "interface" not in told:
            return int(told["index"]) if "index" in told else None
        if told["interface"] not in self._indexes:
            raise LookupError(f"the host has no interface {told['interface']!r}, only {', '.join(self._indexes)}")
        return self._indexes[told["interface"]]


def _payload(told: Mapping[str, str]) -> bytes:
    if "payload_hex" in told:
        return bytes.fromhex(told["payload_hex"])
    if "payload_base64" in told:
        try:
            return base64.b64decode(told["payload_base64"], validate=True)
        except binascii.Error as error:
            raise ValueError(f"no base64: {error}") from None
    return told.get("payload", "").encode()


def _address(text: str) -> str:
    """Return an address in canonical form, without brackets and zone."""
    return str(ipaddress.ip_address(text.strip("[]").partition("%")[0]))


def _rubbish(line: str, why: str) -> CoreFailure:
    shown = line if len(line) <= _SHOWN else line[:_SHOWN] + "..."
    return CoreFailure("rubbish", f"it printed a record that is none ({why}): {shown!r}")
