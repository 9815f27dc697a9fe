"""What happened in a cell: its timeline and evidence, and the text of its failure."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_mcast.core.datagrams import Datagram, Sent
    from pytest_mcast.wire import Message

    from .model import Cell

__all__ = ["CellResult", "Happening", "Story"]

_MOST_EVENTS = 200
_MOST_LINES = 200
_SHOWN = 40  # events in the text of a failure
_OLD = {"IGMPv1", "IGMPv2", "MLDv1"}  # no sources in their reports: RFC 3376, RFC 3810


@dataclass(frozen=True)
class Happening:
    """An event: ``time_s`` since the first one, on a host of the file (empty: none of them), ``kind`` packet or note."""

    time_s: float
    host: str
    what: str
    kind: str


@dataclass(frozen=True)
class CellResult:
    """What a cell has shown; ``reported`` is the version of IGMP or MLD in which the receiver's host has reported."""

    evidence: tuple[str, ...]
    timeline: tuple[Happening, ...]
    log: tuple[str, ...]
    reported: str


class Story:
    """The story of one run of a cell, told while it happens. Times are in nanoseconds since 1970."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.evidence: list[str] = []
        self.log: list[str] = []
        #: What is known about the reports of the receiver's host, such as ``IGMPv3`` or ``IGMPv2 (kernel)``.
        self.reported = ""
        #: What counters and taps said, when it had failed.
        self.account: list[str] = []
        self._first: list[tuple[int, str, str, str]] = []
        self._last: list[tuple[int, str, str, str]] = []
        self._left_out = 0

    @property
    def old(self) -> bool:
        """Whether sources were wanted, and the host reported in a version that has none."""
        return self.cell.mode == "ssm" and self.reported.partition(" ")[0] in _OLD

    def note(self, host: str, what: str) -> None:
        """Tell what was done, now."""
        self._add(time.time_ns(), host, what, "note")

    def sent(self, host: str, sent: Sent, *, here: bool = True) -> None:
        """Tell of a datagram that a socket has sent; not ``here``: by another machine, whose clock is not ours."""
        source, port = sent.source
        what = (
            f"sent {len(sent.payload)} bytes to {sent.channel.group} port {sent.channel.port} from {source} port {port}"
        )
        self._datagram(host, what, sent.timestamp_ns if here else None)

    def received(self, host: str, datagram: Datagram, size: int, *, here: bool = True) -> None:
        """Tell of a datagram that a receiver has delivered, with what it has told of its size."""
        source, port = datagram.source
        what = f"received {size} bytes" + (f" from {source} port {port}" if source else "")
        self._datagram(host, what, datagram.timestamp_ns if here else None)

    def heard(self, host: str, message: Message) -> None:
        """Tell of a report or query on the wire."""
        self._add(message.timestamp_ns, host, str(message), "packet")

    def print(self, lines: Iterable[str]) -> None:
        """Keep lines of the output of a program."""
        self.log += lines
        del self.log[:-_MOST_LINES]

    def timeline(self) -> tuple[Happening, ...]:
        """Return the events in the order of their times; of more than 200 those in the middle are left out."""
        events = sorted(self._first + self._last, key=lambda event: event[0])
        if not events:
            return ()
        start = events[0][0]
        found = [Happening(round((at - start) / 1e9, 6), *rest) for at, *rest in events]
        if self._left_out:
            middle = len(self._first)
            found.insert(middle, Happening(found[middle].time_s, "", f"{self._left_out} events are left out", "note"))
        return tuple(found)

    def result(self) -> CellResult:
        """Return what is known now."""
        return CellResult(tuple(self.evidence), self.timeline(), tuple(self.log), self.reported)

    def failure(self, error: BaseException, repeat: str = "") -> str:
        """Return the text of a failure: a sentence, then the rest of what the error says, the cell, and what happened.

        ``repeat`` is the command that runs the cell again.
        """
        sentence, *rest = str(error).splitlines() or [type(error).__name__]
        if self.old:
            sentence = f"{self.cell.receiver.host} reported {self.reported}, in which there are no sources: {sentence}"
        lines = [sentence, *(f"  {line}" for line in rest)]
        lines.append(f"cell: {self.cell.id}, {self.cell.path.name} line {self.cell.line}")
        lines += [f"shown before: {line}" for line in self.evidence]
        lines += _told(self.timeline())
        lines += self.account
        lines += [f"to repeat it: {repeat}"] if repeat else []
        return "\n".join(lines)

    def _datagram(self, host: str, what: str, at: int | None) -> None:
        self._add(time.time_ns() if at is None else at, host, what, "note" if at is None else "packet")

    def _add(self, at: int, host: str, what: str, kind: str) -> None:
        event = (at, host, what, kind)
        if len(self._first) < _MOST_EVENTS // 2:
            self._first.append(event)
            return
        self._last.append(event)
        if len(self._last) >= _MOST_EVENTS // 2:
            del self._last[0]
            self._left_out += 1


def _told(events: Sequence[Happening]) -> list[str]:
    if not events:
        return []
    width = max(len(event.host) for event in events)
    left_out = max(0, len(events) - _SHOWN)
    lines = ["what happened (seconds, host):"] + ([f"  {left_out} events, then"] if left_out else [])
    return lines + [f"  {event.time_s:+.6f} {event.host:<{width}} {event.what}" for event in events[-_SHOWN:]]
