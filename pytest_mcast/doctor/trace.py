"""Follows a datagram that is sent once more, hop by hop, and says where it stops and what shows that.

What can be seen depends on where the ends are. Virtual hosts: every hop. This machine and remote ones: a packet socket
where that is permitted (CAP_NET_RAW), else counters, which count everybody's packets. The switch of a real network: nothing.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.errors import HostError, McastError, MissingCapability
from pytest_mcast.core.receiver import Receiver
from pytest_mcast.core.system import LINUX
from pytest_mcast.core.verdicts import TRACE
from pytest_mcast.evidence import Watch
from pytest_mcast.hosts import Host, RemoteHost

from .arrivals import Arrival, Looked, Nobody, Read
from .flow import Changes, Hop, Trace
from .hops import Seen, came_in, in_order, ip_took_it, left, udp_took_it
from .party import Party
from .switches import Ports, is_virtual

if TYPE_CHECKING:
    from pytest_mcast.wire import Drop

__all__ = ["MARK", "SourceOfTraffic", "trace"]

#: The bytes at the beginning of the payload by which a datagram of a trace is known: these, and random ones.
MARK = TRACE
_RANDOM = 12  # bytes
_IN_A_LAB, _ELSEWHERE = 0.25, 1.0  # seconds that a datagram may take
_IPV6_MULTICAST_IF = 17  # linux/in6.h


class SourceOfTraffic(Protocol):
    """What sends: a ``Sender``, here or on a remote host."""

    def send(self, payload: bytes) -> object:
        """Send one datagram; raises ``OSError``."""


def trace(
    channel: Channel,
    sender: Party,
    receiver: Party,
    *,
    through: SourceOfTraffic | None = None,
    into: Receiver | None = None,
    join: bool = True,
    size: int = 64,
    timeout: float | None = None,
    reasons: bool = True,
) -> Trace:
    """Send one datagram of ``channel``, which may be another than the one examined, and follow it.

    It is sent by ``through``, else by the first open socket of ``sender``, else by a ``Sender`` that is opened for it. It is
    waited for, ``timeout`` seconds at the most (default: 0.25 between virtual hosts, else 1), by ``into``, which is a
    receiver of our own: all that it has queued is read. Else the sockets of ``receiver`` are looked at: what they have
    queued is left as it is, and **the datagram is left there, too**, behind the others, for who reads them (receivers of
    ours pass over it); so this is for when a test is over. Where there are no sockets a ``Receiver`` is opened for it, which may make a membership that was
    missing, unless ``join`` is false.

    When it stops, a second one is sent, of the same kind, for the kernel's ``reasons`` of drops, where those can be had
    (root of the machine, and both ends on it; about 0.1 s). The payload has ``size`` bytes or a few more and begins with
    ``MARK``. Raises ``HostError`` for a remote host that cannot be reached.
    """
    with ExitStack() as stack:
        way = _Way(channel, sender, receiver, size, timeout)
        try:
            way.arrival = stack.enter_context(_arrival(channel, receiver, into, join=join))
            way.send = stack.enter_context(_sending(channel, sender, through))
        except HostError:
            raise
        except (OSError, McastError) as error:
            name = "sender's socket" if way.arrival is not None else "receiver's socket"
            return Trace((Hop(name, False, f"it cannot be opened: {error}"),), Changes(None), Changes(None))
        found = way.follow()
        if reasons and found.stopped_at is not None and found.hops[0].reached and LINUX:
            found = way.with_reasons(found)
        return found


class _Way:
    """The way of one datagram from end to end."""

    arrival: Arrival | None = None
    send: Callable[[bytes], object]

    def __init__(self, channel: Channel, sender: Party, receiver: Party, size: int, timeout: float | None) -> None:
        self.channel = channel
        self.sender = sender
        self.receiver = receiver
        self._size = size
        self.ports = Ports(sender, receiver)
        virtual = is_virtual(sender) and is_virtual(receiver)
        self._timeout = timeout if timeout is not None else _IN_A_LAB if virtual else _ELSEWHERE

    def follow(self) -> Trace:
        """Send one, and say where it has got to."""
        mark = MARK + secrets.token_hex(_RANDOM // 2).encode()
        with ExitStack() as stack:
            counted = self.ports.count(stack, self.channel, mark)
            watches = {host: _Watching(stack, host, self.channel.group, mark) for host in self._hosts()}
            try:
                self.send(mark.ljust(self._size, b"."))
            except OSError as error:
                sent = Hop("sender's socket", False, f"send failed: {error.strerror or error}")
                arrived: tuple[bool | None, str] = False, "nothing was sent"
            else:
                sent = Hop("sender's socket", True, "send returned")
                assert self.arrival is not None
                arrived = self.arrival.wait(mark, self._timeout)
            wait = self._timeout if arrived[0] is None else 0.0
            seen = {host: Seen.of(str(host), watch.read(wait)) for host, watch in watches.items()}
            switch = self._switch(counted.hops())
        origin, destination = seen[self.sender.host], seen[self.receiver.host]
        hops = [sent, *self._network(origin, destination, switch)]
        hops += [ip_took_it(destination, self.channel.family), udp_took_it(destination, *self._udp)]
        hops.append(Hop("receiver's socket", *arrived))
        if not sent.reached:
            hops = [sent, *(Hop(hop.name, False, "nothing was sent") for hop in hops[1:])]
        return Trace(tuple(in_order(hops)), origin.changes, destination.changes)

    def with_reasons(self, found: Trace) -> Trace:
        """Send another one, and add to where it stops why the kernel dropped it."""
        from pytest_mcast.wire import DropReasons

        if any(isinstance(host, RemoteHost) for host in self._hosts()):
            return found
        try:
            drops = DropReasons()
        except MissingCapability:  # it takes root of the machine
            return found
        stopped = found.stopped_at
        assert stopped is not None
        with drops:
            drops.mark()
            try:
                self.send((MARK + b"again ").ljust(self._size, b"."))
            except OSError:
                return found
            told = [str(drop) for drop in drops.drops() if self._is_at(stopped, drop)]
        if not told:
            return found
        reason = f"the kernel dropped it: {'; '.join(dict.fromkeys(told))}"
        hops = [hop if hop is not stopped else Hop(hop.name, False, f"{hop.evidence}; {reason}") for hop in found.hops]
        return Trace(tuple(hops), found.sender_changes, found.receiver_changes)

    def _is_at(self, stopped: Hop, drop: Drop) -> bool:
        """Say whether the kernel dropped it there: the switch, and each host beside, drop copies of their own as well."""
        at, to = self.ports.sender, self.ports.receiver
        if stopped.name == f"{self.sender.host}: {self.sender.interface_name}":
            return drop.received_by is None
        if self.ports.named(stopped.name):
            return at is not None and (drop.sent_by, drop.received_by) == (self.sender.interface_name, at.device)
        return drop.received_by == self.receiver.interface_name and (to is None or drop.sent_by == to.device)

    @property
    def _udp(self) -> tuple[str, int]:
        return self.channel.family, self.channel.port

    def _hosts(self) -> list[Host]:
        return list(dict.fromkeys((self.sender.host, self.receiver.host)))

    def _network(self, origin: Seen, destination: Seen, switch: list[Hop]) -> list[Hop]:
        """Return the hops between the sockets and IP of the receiver."""
        here, there, family = self.sender.interface_name, self.receiver.interface_name, self.channel.family
        if origin.host == destination.host or (origin.place and origin.place == destination.place):
            # A host's own copy gets from IP to IP; only on loopback there is an interface between them.
            return [came_in(destination, there, family)] if there == here == "lo" else []
        return [left(origin, here, family), *switch, came_in(destination, there, family)]

    def _switch(self, hops: list[Hop]) -> list[Hop]:
        if is_virtual(self.sender) and is_virtual(self.receiver):
            return hops
        return [Hop("network", None, "nobody can look into its switches from here")]


class _Watching:
    """A watch on a host, wherever that is; it ends with the stack."""

    def __init__(self, stack: ExitStack, host: Host, group: str, mark: bytes) -> None:
        self._watch: Watch | None = None
        self._remote: tuple[RemoteHost, int] | None = None
        if isinstance(host, RemoteHost):
            self._remote = host, host.watch(group, mark)
            stack.callback(self._end)
            return
        tap = None
        if is_virtual(Party(host)):
            with suppress(MissingCapability):  # the watch will say so
                tap = stack.enter_context(host.tap())  # type: ignore[attr-defined]  # of virtual hosts
        with host.inside():
            self._watch = stack.enter_context(Watch(group, mark, tap))

    def read(self, timeout: float) -> Mapping[str, Any]:
        """Return what was seen; of a remote host once only."""
        if self._watch is not None:
            return self._watch.read(timeout)
        assert self._remote is not None
        (host, number), self._remote = self._remote, None
        return host.watched(number, timeout)

    def _end(self) -> None:
        """End it at a remote host, unless it was read."""
        if self._remote is not None:
            with suppress(HostError):  # it has ended with the connection
                self.read(0.0)


@contextmanager
def _arrival(channel: Channel, receiver: Party, into: Receiver | None, *, join: bool) -> Iterator[Arrival]:
    sockets = receiver.open_sockets
    if into is not None:
        yield Read(into)
    elif sockets:
        yield Looked(sockets)
    elif join:
        with receiver.host.receiver(channel, interface=receiver.interface_name) as opened:
            yield Read(opened)
    else:
        yield Nobody("there is no socket that could be looked at")


@contextmanager
def _sending(channel: Channel, sender: Party, through: SourceOfTraffic | None) -> Iterator[Callable[[bytes], object]]:
    sockets = sender.open_sockets
    if through is not None:
        yield through.send
    elif sockets:
        yield lambda payload: _send(sockets[0], payload, channel, sender)
    else:
        with sender.host.sender(channel, interface=sender.interface_name) as opened:
            yield opened.send


def _send(sock: socket.socket, payload: bytes, channel: Channel, sender: Party) -> None:
    """Send as the user's socket does, without waiting for room."""
    flags = getattr(socket, "MSG_DONTWAIT", 0)
    destination: tuple[object, ...] = (channel.group, channel.port)
    if channel.family == "ipv6":
        chosen = sock.getsockopt(socket.IPPROTO_IPV6, _IPV6_MULTICAST_IF if LINUX else socket.IPV6_MULTICAST_IF)
        zone = chosen or next(each.index for each in sender.host.interfaces if each.name == sender.interface_name)
        destination = (channel.group, channel.port, 0, zone)
    try:
        connected = sock.getpeername()[:2] == (channel.group, channel.port)
    except OSError:
        connected = False
    if connected:
        sock.send(payload, flags)
    else:
        sock.sendto(payload, flags, destination)
