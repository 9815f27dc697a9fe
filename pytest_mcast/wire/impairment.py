"""What an impaired wire does to the datagrams that cross it: lose, double, delay, reorder, corrupt; the same for the same seed."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Choice", "Every", "Exactly", "Fate", "Impairment", "Judge", "complete_checksum"]

_IPV6 = b"\x86\xdd"  # of Ethernet
# Bytes of a frame before the payload of UDP, or that of a fragment; what is corrupted comes after that.
_HEADERS = {"ipv4": 42, "ipv6": 62}


@dataclass(frozen=True)
class Every:
    """Each ``n``-th datagram, the first of them number ``n`` (they are counted from 1)."""

    n: int

    def __post_init__(self) -> None:
        if not _is_ordinal(self.n):
            raise ValueError(f"Every({self.n!r}): it is a whole number from 1")

    def __str__(self) -> str:
        return f"every {self.n}"


@dataclass(frozen=True, init=False)
class Exactly:
    """The datagrams of these numbers, counted from 1."""

    numbers: frozenset[int]

    def __init__(self, *numbers: int) -> None:
        if not numbers or not all(map(_is_ordinal, numbers)):
            raise ValueError(f"Exactly({', '.join(map(repr, numbers))}): they are whole numbers from 1")
        object.__setattr__(self, "numbers", frozenset(numbers))

    def __str__(self) -> str:
        return f"exactly {', '.join(map(str, sorted(self.numbers)))}"


#: Which datagrams something happens to: each with this probability, or those.
Choice = float | Every | Exactly


@dataclass(frozen=True)
class Impairment:
    """What happens to datagrams on the way; each direction has its own count, and its own chances from the same ``seed``.

    ``loss``, ``duplicate``, ``reorder`` (it comes after the next one, or 20 ms later if there is none) and ``corrupt`` (one bit of it is changed) say which
    ones. ``delay`` is in seconds, or from least to most; ``rate`` in bytes of frames a second. These two are for every
    frame, the others for UDP datagrams to a group: reports, queries and neighbour discovery get through.
    """

    loss: Choice = 0.0
    duplicate: Choice = 0.0
    reorder: Choice = 0.0
    corrupt: Choice = 0.0
    delay: float | Sequence[float] = 0.0
    rate: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("loss", "duplicate", "reorder", "corrupt"):
            value = getattr(self, name)
            if not isinstance(value, (Every, Exactly)) and not (_is_number(value) and 0 <= value <= 1):
                raise ValueError(
                    f"{name} {value!r} is neither a probability from 0 to 1, nor Every(n), nor Exactly(1, 2)"
                )
        several = isinstance(self.delay, Sequence) and not isinstance(self.delay, str)
        delays: list[Any] = list(self.delay) if several else [self.delay] * 2  # type: ignore[arg-type] # it is one
        if not (len(delays) == 2 and all(map(_is_number, delays)) and 0 <= delays[0] <= delays[1] < math.inf):
            raise ValueError(f"delay {self.delay!r} is not a number of seconds, nor two from the least to the most")
        if several:
            object.__setattr__(self, "delay", tuple(delays))
        if self.rate is not None and not (_is_number(self.rate) and 0 < self.rate < math.inf):
            raise ValueError(f"rate {self.rate!r} is not a positive number of bytes a second")
        if not _is_whole(self.seed):
            raise ValueError(f"seed {self.seed!r} is not a whole number")

    @property
    def delays(self) -> tuple[float, float]:
        """The least and the most delay, in seconds."""
        if not isinstance(self.delay, Sequence):
            return self.delay, self.delay
        least, most = self.delay
        return least, most

    def __str__(self) -> str:
        words = [
            f"{name} {value}" for name in ("loss", "duplicate", "reorder", "corrupt") if (value := getattr(self, name))
        ]
        if self.delays[1]:
            words.append("delay {:g} to {:g} s".format(*self.delays))
        if self.rate is not None:
            words.append(f"rate {self.rate:g} bytes/s")
        return ", ".join([*words, f"seed {self.seed}"])


@dataclass(frozen=True)
class Fate:
    """What becomes of one frame: how many ``copies`` of it arrive, after ``delay`` s; ``late``: after the next datagram."""

    frame: bytes
    copies: int = 1
    delay: float = 0.0
    late: bool = False


@dataclass
class Judge:
    """Decides for one direction. ``lost`` and so on are the numbers of the datagrams that it happened to.

    ``overrun`` counts frames for which the wire had no room, because they came faster than it takes them: they are lost, and
    have no number. ``watch`` is told of each datagram, as it came, and of its fate before it goes on; in the thread of the wire.
    """

    impairment: Impairment
    direction: str
    datagrams: int = 0
    overrun: int = 0
    lost: list[int] = field(default_factory=list)
    duplicated: list[int] = field(default_factory=list)
    reordered: list[int] = field(default_factory=list)
    corrupted: list[int] = field(default_factory=list)
    watch: Callable[[bytes, Fate], object] = lambda *_: None

    def __post_init__(self) -> None:
        # One stream of chances for each, so that what is lost does not depend on whether something is delayed as well.
        names = ("loss", "duplicate", "reorder", "corrupt", "where", "delay")
        self._chances = {name: random.Random(f"{self.impairment.seed}/{self.direction}/{name}") for name in names}  # noqa: S311 - it is to be the same again

    def fate(self, frame: bytes, *, datagram: bool) -> Fate:
        """Say what becomes of a frame; ``datagram``: it is one of those that are counted."""
        delay = self._delay()
        if not datagram:
            return Fate(frame, delay=delay)
        fate = self._fate(frame, delay)
        self.watch(frame, fate)
        return fate

    def _fate(self, frame: bytes, delay: float) -> Fate:
        self.datagrams += 1
        chosen = {name: self._chosen(name) for name in ("loss", "duplicate", "reorder", "corrupt")}
        if chosen["loss"]:
            self.lost.append(self.datagrams)
            return Fate(frame, copies=0)
        if chosen["corrupt"]:
            self.corrupted.append(self.datagrams)
            frame = self._corrupt(frame)
        if chosen["duplicate"]:
            self.duplicated.append(self.datagrams)
        if chosen["reorder"]:
            self.reordered.append(self.datagrams)
        return Fate(frame, 2 if chosen["duplicate"] else 1, delay, chosen["reorder"])

    def _chosen(self, name: str) -> bool:
        choice: Choice = getattr(self.impairment, name)
        chance = self._chances[name].random()  # also when it is not asked: the next one does not depend on it
        if isinstance(choice, Every):
            return self.datagrams % choice.n == 0
        if isinstance(choice, Exactly):
            return self.datagrams in choice.numbers
        return chance < choice

    def _delay(self) -> float:
        least, most = self.impairment.delays
        return self._chances["delay"].uniform(least, most) if most > least else least

    def _corrupt(self, frame: bytes) -> bytes:
        headers = _HEADERS["ipv6" if frame[12:14] == _IPV6 else "ipv4"]
        start = min(headers, len(frame) - 1)
        bit = self._chances["where"].randrange(8 * start, 8 * len(frame))
        changed = bytearray(frame)
        changed[bit // 8] ^= 1 << bit % 8
        return bytes(changed)


def complete_checksum(frame: bytes, start: int, offset: int) -> bytes:
    """Fill a checksum in that was left to the network card: over all from ``start`` on, at ``offset`` from there (RFC 1071)."""
    data = frame[start:]
    total = sum(_words(data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    checksum = ~total & 0xFFFF or 0xFFFF
    place = start + offset
    return frame[:place] + struct.pack("!H", checksum) + frame[place + 2 :]


def _words(data: bytes) -> Iterator[int]:
    data += bytes(len(data) % 2)
    yield from struct.unpack(f"!{len(data) // 2}H", data)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_ordinal(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
