"""What must not be delivered in a cell: always tried, and never concluded from silence.

A *control* on the receiver's host must have seen the datagram, and a *fence*, a legitimate datagram that is sent after it, must
have arrived. Between virtual hosts the control is a tap or the switch, and the fence is sent once: what was sent has been
processed when send(2) returns. Elsewhere the control is a receiver beside the one that is judged, the fence is sent
three times and a moment is waited for what it may have overtaken; that is weaker, and the evidence says so.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.errors import Delivered, NoVerdict
from pytest_mcast.core.verdicts import read_all, read_until

from .ends import BuiltInOrigin, Member

if TYPE_CHECKING:
    from pytest_mcast.core.datagrams import Datagram
    from pytest_mcast.lab import VirtualHost
    from pytest_mcast.lab.port import Port

    from .stage import Station

__all__ = [
    "BesideControl",
    "Control",
    "Fence",
    "SwitchControl",
    "TapControl",
    "Took",
    "Unwanted",
    "beside",
    "judge",
    "other_member",
    "probe",
]

_FENCES, _GRACE = 3, 0.2  # where a datagram can be lost or overtaken; seconds
_IPV4_TTL, _IPV6_HOP_LIMIT = 22, 21  # where they are in an Ethernet frame (RFC 791, RFC 8200)
_INTERVAL = 0.2  # seconds until one that may have been lost is sent again
_TRIES = 10  # to prove a case, of which a cable may lose something


class Control(Protocol):
    """Something that sees a datagram whether or not it is delivered; ``strong``, unless it only infers that."""

    @property
    def strong(self) -> bool:
        """Whether it has seen it."""

    def pull(self) -> None:
        """Fetch what there is to see, before there is no room for more."""

    def sighting(self, payload: bytes, deadline: Deadline) -> str | None:
        """Say where it was seen; None when it was not, up to the deadline. Each datagram is seen once, also of two alike."""


class TapControl:
    """The tap of a virtual host, since a time in ns since 1970 (default: now)."""

    strong = True

    def __init__(self, station: Station, channel: Channel, since_ns: int | None = None) -> None:
        assert station.virtual is not None
        self._tap = station.virtual.control
        self._to = (channel.group, channel.port)
        # Short payloads of steps before are the same.
        self._since_ns = time.time_ns() if since_ns is None else since_ns
        self._asked: Counter[bytes] = Counter()

    def pull(self) -> None:
        """Fetch the frames."""
        self._tap.pull()

    def sighting(self, payload: bytes, deadline: Deadline) -> str | None:  # noqa: ARG002 - nothing to wait for
        """Say where the datagram came in."""
        self._asked[payload] += 1
        missing = self._asked[payload]

        def look(frame: bytes) -> bool:
            nonlocal missing
            missing -= self._is_it(frame, payload)
            return missing == 0

        return self._tap.find(look, since_ns=self._since_ns)

    def came(self, payloads: Collection[bytes]) -> list[bytes]:
        """Return those of some payloads that have come in, in that order, each as often as it has."""
        found: list[bytes] = []
        wanted = set(payloads)

        def look(frame: bytes) -> bool:
            found.extend(payload for payload in wanted if self._is_it(frame, payload))
            return False

        self._tap.find(look, since_ns=self._since_ns)
        return found[::-1]  # it looks at the newest first

    def wait(self, deadline: Deadline) -> None:
        """Wait until more has come in."""
        self._tap.wait(deadline)

    def ttl(self, payload: bytes) -> int | None:
        """Return the TTL or hop limit with which the datagram came in; None if it did not."""
        found: list[int] = []

        def look(frame: bytes) -> bool:
            if self._is_it(frame, payload):
                found.append(frame[_IPV4_TTL if frame[12:14] == b"\x08\x00" else _IPV6_HOP_LIMIT])
            return bool(found)

        self._tap.find(look, since_ns=self._since_ns)
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

    def pull(self) -> None:
        """There is nothing to fetch."""

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

    def pull(self) -> None:
        """Nothing has to be fetched: it counts."""

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
        self._timeout = timeout
        self._got: Counter[bytes] = Counter()

    def pull(self) -> None:
        """Read what is there."""
        self._got.update(one.payload for one in read_all(self._receiver, Deadline(self._timeout)))

    def sighting(self, payload: bytes, deadline: Deadline) -> str | None:
        """Say that it got the datagram."""
        if not self._got[payload]:
            before, found = read_until(self._receiver, lambda one: one.payload == payload, deadline)
            self._got.update(one.payload for one in [*before, *([found] if found else [])])
        if not self._got[payload]:
            return None
        self._got[payload] -= 1
        return "a receiver beside it got it"


@dataclass(frozen=True)
class Unwanted:
    """Datagrams that were sent, and must not be delivered; ``sightings`` are those of the control, None where it saw none.

    ``what`` says in words what they are; ``strong``: the control has seen them.
    """

    what: str
    payloads: tuple[bytes, ...]
    sightings: tuple[str | None, ...]
    strong: bool

    @classmethod
    def sent(cls, what: str, payloads: Sequence[bytes], control: Control, deadline: Deadline) -> Unwanted:
        """Ask the control for what was just sent; before the fence, which it would count as well."""
        sightings = tuple(control.sighting(payload, deadline) for payload in payloads)
        return cls(what, tuple(payloads), sightings, control.strong)


class Fence:
    """What says that all that was sent before has been processed.

    It goes to the member itself, or to a ``witness``, a receiver beside it, where the member is to get nothing. ``strong``:
    nothing can be lost or overtaken. ``slack`` are seconds by which it may be late or overtaken on cables that are impaired, if
    any are; there it is sent until it arrives.
    """

    def __init__(
        self, origin: BuiltInOrigin, *, strong: bool, witness: Member | None = None, slack: float | None = None
    ) -> None:
        self._origin = origin
        self.strong = strong
        self._witness = witness
        self._again = None if slack is None else _INTERVAL + slack
        self._grace = _GRACE + (slack or 0.0)

    @property
    def evidence(self) -> str:
        """What it is, in words."""
        if self.strong:
            return "fence"
        what = "plain sockets" if self._again is None else "impaired cables"
        return f"a fence sent {_FENCES} times (weaker: {what})"

    def read(self, member: Member, deadline: Deadline) -> tuple[list[bytes], bool]:
        """Send it; return the payloads that the member has delivered up to then, and whether the fence has arrived."""
        payload = f"pytest-mcast end {secrets.token_hex(8)}".encode()
        reader = self._witness or member
        before: list[Datagram] = []
        arrived = None
        while arrived is None:
            self._origin.send([payload] * (1 if self.strong else _FENCES))
            wait = deadline if self._again is None else Deadline(min(self._again, deadline.remaining() or 0.0))
            more, arrived = read_until(reader, lambda one: reader.is_it(one, payload), wait)
            before += more
            if self._again is None or deadline.passed():
                break
        if self._witness is not None:
            # One that is a program may still be reading.
            late = not self.strong or member.name != "builtin"
            before = read_all(member, Deadline(self._grace if late else deadline.remaining()), wait=late)
        elif not self.strong:
            before += read_all(member, Deadline(self._grace), wait=True)
        return [one.payload for one in before if not member.is_it(one, payload)], arrived is not None


def judge(unwanted: Unwanted, member: Member, fence: Fence, *, timeout: float, before: Sequence[bytes] = ()) -> str:
    """Prove that datagrams that were sent have not been delivered, and return the evidence.

    ``before`` has the payloads that the member has delivered since. Raises ``Delivered`` and ``NoVerdict``; ``timeout`` in
    seconds is spent in vain only.
    """
    what, payloads, sightings = unwanted.what, unwanted.payloads, unwanted.sightings
    got, arrived = fence.read(member, Deadline(timeout))
    mine = [one for one in [*before, *got] if any(one and payload.startswith(one) for payload in payloads)]
    if mine:
        raise Delivered(
            f"delivered, which it must not be: {what}\ngot {len(mine)} of {len(payloads)}: {mine[0][:64]!r}"
        )
    if None in sightings:
        unseen = f"{sightings.count(None)} of {len(sightings)}"
        state = "arrived" if arrived else "lost"
        raise NoVerdict(f"no verdict on {what}: the control has not seen {unseen}\nfence: {state}")
    if not arrived:
        raise NoVerdict(f"no verdict on {what}: the fence did not arrive within {timeout:g} s\n{sightings[0]}")
    if not unwanted.strong:
        how = "by a fence (weaker: nothing has seen it leave)"
    else:
        how = f"by control and {fence.evidence}"
    return f"{what} not delivered, {how}: {sightings[0]}"


def probe(
    member: Member,
    sender: VirtualHost,
    interface: str,
    cases: Sequence[str],
    *,
    timeout: float,
    nudge: Callable[[], object] | None = None,
) -> list[str]:
    """Prove by crafted datagrams from another virtual host, or the last router, that these cases are not delivered.

    A neighbour on the receiver's host wants them: else kernel and switch keep them from a receiver that looks at nothing.
    What a cable may lose is tried more than once: then ``nudge`` sends something in between, so that not the same is lost each
    time. Returns the evidence.
    """
    from pytest_mcast.lab import Router

    whence = f", on its link from the router {sender}" if isinstance(sender, Router) else ""
    found = []
    for case in cases:
        for left in reversed(range(1 if nudge is None else _TRIES)):
            patience = timeout if nudge is None else timeout / 5
            try:
                strong = _probe(member, sender, interface, case, timeout=patience)
            except NoVerdict:
                if not left or nudge is None:
                    raise
                nudge()
            else:
                break
        how = "fence" if strong else f"a fence sent {_FENCES} times (weaker: impaired cables)"
        found.append(f"{case} not delivered, by control and {how}{whence}")
    return found


def _probe(member: Member, sender: VirtualHost, interface: str, case: str, *, timeout: float) -> bool:
    """Prove it of one case; return whether nothing can have been lost or overtaken."""
    from pytest_mcast.packets import Prober, drop
    from pytest_mcast.packets.words import neighbour_address

    channel, station = member.channel, member.station
    with Prober(member.receiver, sender, station.host, interface=interface, timeout=timeout) as prober:
        if case == "ssm.wrong-source" and channel.source is not None:
            source = neighbour_address(channel.source, station.interface.addresses, near=True)
            wanted = Channel.unchecked(channel.group, channel.port, source)
            with station.host.receiver(wanted, timeout=timeout, **station.options()):
                return prober(case, source=source, expect=drop()).check().strong
        return prober(case).check().strong


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
        unwanted = Unwanted.sent(case, [payload], control, Deadline(_INTERVAL))
        if None not in unwanted.sightings or deadline.passed():
            return judge(unwanted, member, fence, timeout=timeout)


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
