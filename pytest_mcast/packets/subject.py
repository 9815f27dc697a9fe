"""A receiver under test, and how its datagrams are told apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.receiver import Receiver
from pytest_mcast.core.verdicts import Receives, read_all, read_until

from .marks import mark_of
from .shot import Shot, Sight

if TYPE_CHECKING:
    from pytest_mcast.core.datagrams import Datagram

    from .build import Packet

__all__ = ["Outcome", "Subject"]


@dataclass(frozen=True)
class Outcome:
    """What a receiver has delivered: the fence (None: it has not come), the probe, and in words what comes too late."""

    arrived: Datagram | None
    found: tuple[Datagram, ...]
    late: str | None


class Subject:
    """A receiver, and the datagram that it must deliver, for its fences."""

    def __init__(self, receiver: Receives, legitimate: Packet, run: int, index: int | None) -> None:
        self.receiver = receiver
        self.legitimate = legitimate
        self.sight = Sight.of(receiver, index)
        #: What was judged, by its number, and whether it was delivered.
        self.judged: dict[int, tuple[str, bool]] = {}
        self._run = run
        self._ports: dict[int, int] = {}  # of what has no mark: the number by the source port

    def read(self, fence: Shot, probe: Shot | None, deadline: Deadline, *, grace: float) -> Outcome:
        """Read up to the fence, and for ``grace`` seconds more; what is not ours is given back."""
        if probe is not None and probe.unique:
            self._ports[probe.labels["source_port"]] = probe.number
        before, arrived = read_until(self.receiver, lambda one: self._is_fence(one, fence), deadline)
        if arrived is not None and grace:
            before += read_all(self.receiver, Deadline(grace), wait=True)
        found, foreign, late = [], [], None
        for datagram in before:
            number = self._number(datagram, probe)
            if number is None:
                foreign.append(datagram)
            elif probe is not None and number == probe.number:
                found.append(datagram)
            elif number in self.judged:
                late = self._late(number, datagram) or late
        if isinstance(self.receiver, Receiver):
            self.receiver.give_back(foreign)
        return Outcome(arrived, tuple(found), late)

    @property
    def is_member(self) -> bool:
        """Whether it can be expected to deliver anything."""
        return not isinstance(self.receiver, Receiver) or self.receiver.subscription.state == "joined"

    def _is_fence(self, datagram: Datagram, fence: Shot) -> bool:
        if self.sight.marks:
            return mark_of(datagram.payload) == (self._run, fence.number)
        return fence.is_it(datagram, self.sight)

    def _number(self, datagram: Datagram, probe: Shot | None) -> int | None:
        """Return the number of what was sent that this is; None when it is not ours."""
        mark = mark_of(datagram.payload) if self.sight.marks else None
        if mark is not None and mark[0] == self._run:
            return mark[1]
        if probe is not None and not (probe.marked and self.sight.marks) and probe.is_it(datagram, self.sight):
            # It may have another run's mark; and of one whose payload nobody can tell, anything may be it, rather than that
            # it be said not to have been delivered.
            return probe.number
        if mark is not None:
            return None
        return self._ports.get(datagram.source[1]) if "source_port" in self.sight.fields else None

    def _late(self, number: int, datagram: Datagram) -> str | None:
        name, delivered = self.judged.pop(number)
        what = (
            "delivered again, after the verdict"
            if delivered
            else "delivered late, after the verdict was that it was not"
        )
        return f"{what}: {name}\nas {datagram!r}"

    def __repr__(self) -> str:
        return repr(self.receiver)
