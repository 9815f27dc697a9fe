"""What must not be delivered in a cell: always tried, and never concluded from silence.

A *control* on the receiver's host must have seen the datagram, and a *fence*, a legitimate datagram that is sent after it, must
have arrived. Between virtual hosts the control is a tap or the switch, and the fence is sent once: what was sent has been
processed when send(2) returns. Elsewhere the control is a receiver beside the one that is judged, the fence is sent
three times and a moment is waited for what it may have overtaken; that is weaker, and the evidence says so.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.errors import Delivered, NoVerdict
from pytest_mcast.core.verdicts import read_all, read_until

from .ends import BuiltInOrigin, Member

if TYPE_CHECKING:
    from pytest_mcast.lab.port import Port

    from .stage import Station

__all__ = [
    "BesideControl",
    "Control",
    "Fence",
    "SwitchControl",
    "TapControl",
    "Took",
    "beside",
    "judge",
    "other_member",
    "probe",
]

_FENCES, _GRACE = 3, 0.2  # where a datagram can be lost or overtaken; seconds
_IPV4_TTL, _IPV6_HOP_LIMIT = 22, 21  # where they are in an Ethernet frame (RFC 791, RFC 8200)
_INTERVAL = 0.2  # seconds until one that may have been lost is sent again


class Control(Protocol):
    """Something that sees a datagram whether or not it is delivered; ``strong``, unless it only infers that."""

    @property
    def strong(self) -> bool:
        """Whether it has seen it."""

    def sighting(self, payload: bytes, deadline: Deadline) -> str | None:
        """Say where it was seen; None when it was not, up to the deadline."""


class TapControl:
    """The tap of a virtual host."""

    strong = True

    def __init__(self, station: Station, channel: Channel) -> None:
        assert station.virtual is not None
        self._tap = station.virtual.control
        self._to = (channel.group, channel.port)

    def sighting(self, payload: bytes, deadline: Deadline) -> str | None:  # noqa: ARG002 - nothing to wait for
        """Say where the datagram came in."""
        return self._tap.find(lambda frame: self._is_it(frame, payload))

    def ttl(self, payload: bytes) -> int | None:
        """Return the TTL or hop limit with which the datagram came in; None if it did not."""
        found: list[int] = []

        def look(frame: bytes) -> bool:
            if self._is_it(frame, payload):
                found.append(frame[_IPV4_TTL if frame[12:14] == b"\x08\x00" else _IPV6_HOP_LIMIT])
            return bool(found)

        self._tap.find(look)
        return found[0] if found else None

    def _is_it(self, frame: bytes, payload: bytes) -> bool:
        from pytest_mcast.wire import seen

        datagram = seen(frame)
        return (
            datagram is not None
            and datagram.destination == self._to
            and datagram.length == len(payload)
            and payload.startswith(datagram.payload)  # of one in fragments the first
        )


class Took:
    """The system itself, which has taken the datagram, where nothing sees what leaves this machine."""

    strong = False

    def sighting(self, payload: bytes, deadline: Deadline) -> str | None:  # noqa: ARG002 - nothing to wait for
        """Say so."""
        return "the system took it, between others that arrived"


class SwitchControl:
    """The port of the sender's host: that the switch has got it, where it does not send it on, or cannot."""

    strong = True

    def __init__(self, port: Port, channel: Channel, stack: ExitStack) -> None:
        self._port = port
        self._count = stack.enter_context(port.link.count(Channel.unchecked(channel.group, channel.port, None)))
        self._seen = 0

    def sighting(self, payload: bytes, deadline: Deadline) -> str | None:  # noqa: ARG002 - it counts, each once
        """Say that the switch got one more."""
        if self._count.received(self._port) <= self._seen:
            return None
        self._seen += 1
        return f"the switch got it from {self._port.host}"


class BesideControl:
    """A receiver of this package on the same host, which wants what the other one must not get."""

    strong = True

    def __init__(self, station: Station, channel: Channel, stack: ExitStack, *, timeout: float) -> None:
        self._receiver = stack.enter_context(station.host.receiver(channel, timeout=timeout, **station.options()))
        self._got: list[bytes] = []

    def sighting(self, payload: bytes, deadline: Deadline) -> str | None:
        """Say that it got the datagram."""
        if payload not in self._got:
            before, found = read_until(self._receiver, lambda one: one.payload == payload, deadline)
            self._got += [one.payload for one in [*before, *([found] if found else [])]]
        return "a receiver beside it got it" if payload in self._got else None


class Fence:
    """What says that all that was sent before has been processed.

    It goes to the member itself, or to a ``witness``, a receiver beside it, where the member is to get nothing. ``strong``:
    nothing can be lost or overtaken.
    """

    def __init__(self, origin: BuiltInOrigin, *, strong: bool, witness: Member | None = None) -> None:
        self._origin = origin
        self.strong = strong
        self._witness = witness

    def read(self, member: Member, deadline: Deadline) -> tuple[list[bytes], bool]:
        """Send it; return the payloads that the member has delivered up to then, and whether the fence has arrived."""
        payload = f"pytest-mcast end {secrets.token_hex(8)}".encode()
        self._origin.send([payload] * (1 if self.strong else _FENCES))
        reader = self._witness or member
        before, arrived = read_until(reader, lambda one: reader.is_it(one, payload), deadline)
        if self._witness is not None:
            # One that is a program may still be reading.
            wait = not self.strong or member.name != "builtin"
            before = read_all(member, Deadline(_GRACE if wait else deadline.remaining()), wait=wait)
        elif not self.strong:
            before += read_all(member, Deadline(_GRACE), wait=True)
        return [one.payload for one in before if not member.is_it(one, payload)], arrived is not None


def judge(
    what: str, member: Member, payloads: Sequence[bytes], control: Control, fence: Fence, *, timeout: float
) -> str:
    """Prove that datagrams that were sent have not been delivered, and return the evidence.

    ``what`` says in words what they are. Raises ``Delivered`` and ``NoVerdict``; ``timeout`` in seconds is spent in vain only.
    """
    deadline = Deadline(timeout)
    got, arrived = fence.read(member, deadline)
    mine = [one for one in got if any(one and payload.startswith(one) for payload in payloads)]
    if mine:
        raise Delivered(
            f"delivered, which it must not be: {what}\ngot {len(mine)} of {len(payloads)}: {mine[0][:64]!r}"
        )
    sightings = [control.sighting(payload, deadline) for payload in payloads]
    if None in sightings:
        raise NoVerdict(f"no verdict on {what}: the control has not seen it\nfence: {'arrived' if arrived else 'lost'}")
    if not arrived:
        raise NoVerdict(f"no verdict on {what}: the fence did not arrive within {timeout:g} s\n{sightings[0]}")
    if not control.strong:
        how = "by a fence (weaker: nothing has seen it leave)"
    elif fence.strong:
        how = "by control and fence"
    else:
        how = f"by control and a fence sent {_FENCES} times (weaker: plain sockets)"
    return f"{what} not delivered, {how}: {sightings[0]}"


def probe(member: Member, sender: Station, cases: Sequence[str], *, timeout: float) -> list[str]:
    """Prove by crafted datagrams from another virtual host that these cases are not delivered; return the evidence.

    A neighbour on the receiver's host wants them: else kernel and switch keep them from a receiver that looks at nothing.
    """
    from pytest_mcast.packets import Prober, drop
    from pytest_mcast.packets.words import neighbour_address

    channel, station = member.channel, member.station
    with Prober(member.receiver, sender.host, station.host, interface=sender.interface.name, timeout=timeout) as prober:
        for case in cases:
            if case == "ssm.wrong-source" and channel.source is not None:
                source = neighbour_address(channel.source, station.interface.addresses, near=True)
                wanted = Channel.unchecked(channel.group, channel.port, source)
                with station.host.receiver(wanted, timeout=timeout, **station.options()):
                    prober(case, source=source, expect=drop()).check()
            else:
                prober(case).check()
    return [f"{case} not delivered, by control and fence" for case in cases]


def beside(
    case: str, member: Member, sender: Station, channel: Channel, fence: Fence, stack: ExitStack, *, timeout: float
) -> str:
    """Prove by plain sockets that a datagram for another channel, from its source, is not delivered; return the evidence."""
    control = BesideControl(member.station, channel, stack, timeout=timeout)
    origin = BuiltInOrigin(sender, channel, stack, timeout=timeout)
    payload = f"pytest-mcast {case} {secrets.token_hex(8)}".encode()
    deadline = Deadline(timeout)
    while True:
        origin.send([payload])
        if control.sighting(payload, Deadline(_INTERVAL)) or deadline.passed():
            return judge(case, member, [payload], control, fence, timeout=timeout)


def other_member(member: Member, other: Member, origin: BuiltInOrigin, *, strong: bool, timeout: float) -> str:
    """Prove that a receiver of another source gets nothing of what the member beside it gets; return the evidence.

    Raises ``Delivered``, and ``NoVerdict`` when the member did not get it.
    """
    payload = f"pytest-mcast other {secrets.token_hex(8)}".encode()
    origin.send([payload] * (1 if strong else _FENCES))
    _, arrived = read_until(member, lambda one: member.is_it(one, payload), Deadline(timeout))
    if arrived is None:
        raise NoVerdict(f"no verdict on ssm.wrong-source: {member.receiver!r}, which wants it, has not got it")
    got = read_all(other, Deadline(timeout if strong else _GRACE), wait=not strong)
    if got:
        text = f"delivered, which it must not be: a datagram for {member.channel} by {other.receiver!r}"
        raise Delivered(f"{text}\n{got[0]!r}")
    how = "" if strong else f" {_FENCES} times (weaker: plain sockets)"
    return f"ssm.wrong-source not delivered: a receiver of {other.channel} got nothing of what that of {member.channel} got{how}"
