"""What must arrive in a cell: sent in bursts, delivered as it was sent, or over impaired cables as it came in."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.errors import McastError, NotReceived, NoVerdict
from pytest_mcast.cores import CoreFailure
from pytest_mcast.cores.records import length_of

from .checks import TapControl
from .ends import Member, Origin, ProgramOrigin
from .lossy import collect
from .payloads import Payloads, bursts

if TYPE_CHECKING:
    from pytest_mcast.core.channels import Channel
    from pytest_mcast.core.datagrams import Datagram, Sent

    from .checks import Fence
    from .model import Cell, Step
    from .routes import Routes
    from .stage import Station
    from .story import Story
    from .wires import Wires

__all__ = ["Delivery"]


class _MakesFence(Protocol):
    def __call__(self, stack: ExitStack, *, strong: bool) -> Fence: ...


class Delivery:
    """Sends the datagrams of one run of a cell, and has them delivered; ``timeout`` in seconds is for each burst."""

    def __init__(
        self,
        cell: Cell,
        story: Story,
        channel: Channel,
        payloads: Payloads,
        routes: Routes,
        wires: Wires,
        timeout: float,
    ) -> None:
        self._cell = cell
        self._story = story
        self._channel = channel
        self._payloads = payloads
        self._routes = routes
        self._wires = wires
        self._timeout = timeout
        self._told: set[str] = set()  # evidence of readiness

    def send(self, origin: Origin, payloads: Sequence[bytes]) -> list[Sent | None]:
        """Send datagrams, and tell the story; raises as ``Origin.send``."""
        name = origin.station.name
        if isinstance(origin, ProgramOrigin):
            self._story.note(name, f"{origin.name} is to send {len(payloads[0])} bytes, {len(payloads)} times")
        sent = origin.send(payloads)
        for one in sent:
            if one is not None:
                self._story.sent(name, one, here=not origin.station.remote)
        return sent

    def expect(
        self,
        step: Step,
        origin: Origin,
        member: Member,
        fence: _MakesFence,
        nudge: Callable[[], object],
        *,
        strong: bool,
    ) -> None:
        """Take the step: send, and have all of it delivered, less what impaired cables have lost.

        Raises ``NotReceived`` and ``CoreFailure``, and ``NoVerdict`` when the cables have lost all.
        """
        program, station = isinstance(origin, ProgramOrigin), origin.station
        payloads = self._payloads.make(step.count, same=program)
        since_ns = time.time_ns()
        got: list[tuple[bytes, Datagram]] = []
        for burst in [payloads] if program else bursts(payloads):
            tap = TapControl(member.station, self._channel) if self._wires else None
            sent = self.send(origin, burst)
            if self._routes.stops(station):
                with ExitStack() as stack:
                    raise self._stopped(member, station, step.count, fence(stack, strong=strong))
            known = dict(zip(burst, sent, strict=True))
            if tap is None:
                got += self._collect(member, station, burst, known, len(got), step.count)
            else:
                got += self._collect_rest(member, station, burst, known, tap, nudge)
        account = self._wires.account(station, payloads)
        if not got:
            raise NoVerdict("\n".join([f"no verdict on {step}: nothing came over the impaired cables", *account]))
        self._look_at_ttl(member, station, *got[-1], since_ns)
        whom = f" from {step.origin}" if step.origin else ""
        ready = f" (ready by {member.evidence})" if member.evidence not in self._told else ""
        self._told.add(member.evidence)
        if self._wires:
            lost = "; ".join([f"{step.count} were sent", *account])
            self._story.evidence.append(f"{len(got)} datagrams{whom} delivered as they came in{ready}: {lost}")
        else:
            how = "" if program else " in order"
            self._story.evidence.append(f"{step.count} datagrams{whom} delivered{how}{ready}")

    def _collect(
        self,
        member: Member,
        station: Station,
        payloads: Sequence[bytes],
        sent: dict[bytes, Sent | None],
        done: int,
        count: int,
    ) -> list[tuple[bytes, Datagram]]:
        """Have what a host sent delivered, of ``count`` datagrams of which ``done`` have been."""
        deadline = Deadline(self._timeout)
        got: list[tuple[bytes, Datagram]] = []
        for number, payload in enumerate(payloads, done):
            try:
                datagram = self._next(member, station, deadline)
            except NotReceived as error:
                amount = "no datagram" if number == 0 else f"only {number} of {count} datagrams"
                raise self._lost(member, amount, error) from None
            self._check(member, station, datagram, payload, sent[payload], f"datagram {number + 1} of {count}")
            got.append((payload, datagram))
        return got

    def _collect_rest(
        self,
        member: Member,
        station: Station,
        payloads: Sequence[bytes],
        sent: dict[bytes, Sent | None],
        tap: TapControl,
        nudge: Callable[[], object],
    ) -> list[tuple[bytes, Datagram]]:
        """Have delivered what impaired cables have left of it."""
        arrived = collect(
            member,
            self._wires,
            station,
            payloads,
            tap,
            Deadline(self._timeout + self._wires.slack),
            is_help=self._payloads.is_help,
            nudge=nudge,
        )
        for datagram in arrived.got:
            self._story.received(member.station.name, datagram, length_of(datagram), here=True)
        came, got = arrived.payloads, arrived.got
        if len(got) < len(came):
            try:
                self._next(member, station, Deadline(0))
            except NotReceived as error:
                raise self._lost(member, f"only {len(got)} of {len(came)} datagrams that came in", error) from None
        if len(got) > len(came):
            raise CoreFailure("wrong", f"{len(got)} datagrams were delivered, and {len(came)} came in")
        pairs = list(zip(arrived.matched(member), got, strict=True))
        for number, (payload, datagram) in enumerate(pairs, 1):
            which = f"datagram {number} of {len(came)} that came in"
            self._check(member, station, datagram, payload, sent[payload], which)
        return pairs

    def _check(
        self, member: Member, station: Station, datagram: Datagram, payload: bytes, sent: Sent | None, which: str
    ) -> None:
        """Raise ``CoreFailure`` when something is told of a datagram otherwise than it was sent."""
        near = station.is_near(member.station)
        right = {
            "payload": payload,
            "length": len(payload),
            "source": self._channel.source if sent is None else sent.source[0],
            "source_port": None if sent is None else sent.source[1],
            "group": self._channel.group,
            "port": self._channel.port,
            "interface": member.station.interface.index,
            "ttl": self._routes.ttl_on_arrival(station) if near else None,
        }
        faults = member.faults(datagram, right)
        if faults:
            text = f"{which} was delivered otherwise than it was sent: {'; '.join(faults)}\n{datagram!r}"
            raise CoreFailure("wrong", text)

    def _next(self, member: Member, station: Station, deadline: Deadline) -> Datagram:
        while True:
            datagram = member.recv(deadline.remaining())
            # What is of a step before is passed over, and on a real network what is not ours.
            virtual = station.virtual is not None and member.station.virtual is not None
            ours = virtual or self._payloads.may_be_ours(datagram.payload)
            if ours and not self._payloads.is_help(datagram.payload):
                here = not member.station.remote
                self._story.received(member.station.name, datagram, length_of(datagram), here=here)
                return datagram

    def _lost(self, member: Member, amount: str, error: NotReceived) -> NotReceived:
        where = f"{member.station.interface.name} of {member.station.name}"
        text = f"{amount} for {self._channel} on {where} within {self._timeout:g} s"
        lost = NotReceived("\n".join([text, *self._routes.account(self._channel), *str(error).splitlines()[1:]]))
        lost.receiver, lost.moment = error.receiver, error.moment  # for the doctor
        return lost

    def _stopped(self, member: Member, station: Station, count: int, fence: Fence) -> McastError:
        """Return the error of what a router stops; a fence that arrives after it spares the time in which it does not come."""
        stops, account = self._routes.stops(station), self._routes.account(self._channel)
        got, arrived = fence.read(member, Deadline(self._timeout))
        if got:
            return CoreFailure("wrong", f"{len(got)} datagrams were delivered, with {stops}")
        where = f"{member.station.interface.name} of {member.station.name}"
        what = f"none of {count} datagrams for {self._channel} on {where}"
        if not arrived:
            return NoVerdict("\n".join([f"no verdict on {what}, with {stops}: the fence did not arrive", *account]))
        return NotReceived("\n".join([f"{stops}: {what}, and a fence arrived after them", *account]))

    def _look_at_ttl(self, member: Member, station: Station, payload: bytes, datagram: Datagram, since_ns: int) -> None:
        """Look at the wire, where the receiver does not tell with which TTL a datagram has come."""
        if self._cell.ttl is None:
            return
        told = datagram.ttl
        evidence = f"TTL {told} on arrival"
        if told is None or "ttl" not in member.fields:
            found = TapControl(member.station, self._channel, since_ns).ttl(payload)
            right = self._routes.ttl_on_arrival(station)
            if found != right:
                raise CoreFailure("wrong", f"TTL {found} on arrival, instead of {right}, as the tap saw it")
            evidence = f"TTL {found} on arrival, as the tap saw it: {member.name} does not tell"
        if evidence not in self._story.evidence:
            self._story.evidence.append(evidence)
