"""Counts as they are at one moment, and what has changed between two."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Callable, ClassVar, Dict, FrozenSet, Generic, Optional, Tuple, TypeVar

if TYPE_CHECKING:
    from .datagrams import Datagram

__all__ = ["Change", "ContextStatistics", "Sampler", "Snapshot", "Statistics"]


class Snapshot:
    """Counts at one moment: ``taken_at`` by the monotonic clock in seconds, ``time_ns`` in nanoseconds since 1970."""

    #: What it is about, in one word.
    KIND: ClassVar[str]
    #: The fields that can fall as well as rise.
    GAUGES: ClassVar[FrozenSet[str]] = frozenset()
    #: The counts whose rates say most.
    RATES: ClassVar[Tuple[str, ...]] = ()
    taken_at: float
    time_ns: int

    def counts(self) -> Dict[str, Any]:
        """Return every count and gauge by its name: a number, None if unknown, or numbers by reason."""
        names = (each.name for each in fields(self) if each.compare)  # type: ignore[arg-type]  # they are dataclasses
        return {name: getattr(self, name) for name in names}

    def since(self, earlier: Snapshot) -> Change:
        """Return what has been counted since an earlier snapshot of the same thing.

        Raises ``ValueError`` when it cannot be one: of another kind, taken later, or with a higher count.
        """
        if type(earlier) is not type(self):
            raise ValueError(f"{earlier!r} is not a {type(self).__name__} to compare with")
        if earlier.taken_at > self.taken_at:
            raise ValueError("the snapshots are in the wrong order: the earlier one was taken later")
        before = earlier.counts()
        changes = {
            name: _difference(name, before[name], value)
            for name, value in self.counts().items()
            if name not in self.GAUGES
        }
        return Change(self.taken_at - earlier.taken_at, changes)


def _difference(name: str, before: Any, now: Any) -> Any:
    if isinstance(now, dict):
        each = {key: _difference(name, before.get(key, 0), now.get(key, 0)) for key in {**before, **now}}
        return {key: value for key, value in sorted(each.items()) if value}
    if before is None or now is None:
        return None
    if now < before:
        raise ValueError(f"{name} has fallen from {before} to {now}: these are not snapshots of the same thing")
    return now - before


@dataclass(frozen=True)
class Change:
    """What was counted between two snapshots, ``seconds`` apart; ``counts`` is by name, without the gauges."""

    seconds: float
    counts: Dict[str, Any]

    def per_second(self, name: str) -> Optional[float]:
        """Return the rate of a count, of all reasons together; None if it is unknown, 0 for no time at all."""
        count = self.counts[name]
        if isinstance(count, dict):
            count = sum(count.values())
        if count is None:
            return None
        return count / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Statistics(Snapshot):
    """Counts of a subscription since it was opened.

    ``received`` and ``bytes_received``: datagrams of the channel, and their payloads. ``rejected`` counts datagrams that
    came through the socket without belonging to the channel, by reason (``group``, ``interface``, ``source``;
    ``membership``: it came while there was none); ``kernel_drops`` what the kernel threw away at this socket, None where
    it does not tell. ``empty``: looks that found nothing (EWOULDBLOCK). ``errors`` of the socket; ``joins``, ``leaves``.
    ``last`` is the datagram that was received last.
    """

    KIND = "subscription"
    RATES = ("received", "bytes_received", "empty", "errors")

    received: int = 0
    rejected: Dict[str, int] = field(default_factory=dict)
    kernel_drops: Optional[int] = None
    bytes_received: int = 0
    empty: int = 0
    errors: int = 0
    joins: int = 0
    leaves: int = 0
    last: Optional[Datagram] = field(default=None, compare=False, repr=False)
    taken_at: float = field(default_factory=time.monotonic, compare=False, repr=False)
    time_ns: int = field(default_factory=time.time_ns, compare=False, repr=False)

    def __str__(self) -> str:
        reasons = ", ".join(f"{count} of another {reason}" for reason, count in sorted(self.rejected.items()))
        drops = "unknown" if self.kernel_drops is None else str(self.kernel_drops)
        return f"received {self.received}, rejected {reasons or 'none'}, dropped by the kernel {drops}"


@dataclass(frozen=True)
class ContextStatistics(Statistics):
    """Counts of all subscriptions of a context while they belonged to it, also of those that do no more.

    ``added``, ``removed``: subscriptions that came and went; ``active``, ``joined``: how many there are now, and how many
    of these have a membership. ``batches``: calls that receive several datagrams; ``batched``: what these returned.
    """

    KIND = "context"
    GAUGES = frozenset({"active", "joined"})

    added: int = 0
    removed: int = 0
    active: int = 0
    joined: int = 0
    batches: int = 0
    batched: int = 0

    __str__ = Statistics.__str__


_S = TypeVar("_S", bound=Snapshot)


class Sampler(Generic[_S]):
    """Compares each snapshot with the one before: ``Sampler(context.statistics)``."""

    def __init__(self, take: Callable[[], _S]) -> None:
        self._take = take
        #: The snapshot that was taken last.
        self.previous: Optional[_S] = None

    def sample(self) -> Optional[Change]:
        """Take a snapshot and return what has changed since the last one; None the first time."""
        previous, self.previous = self.previous, self._take()
        return None if previous is None else self.previous.since(previous)

    def reset(self) -> None:
        """Forget the last snapshot, so that the next is the first again."""
        self.previous = None
