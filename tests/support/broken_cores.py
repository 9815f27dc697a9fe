"""Receive cores with one fault each, on real sockets: what every check of a receive core must be able to find out.

``BROKEN`` has them by name. Most are the built-in core with something wrong on the way to the user; ``Raw`` reads a raw
socket, to which the kernel gives all there is, and looks at a part of the addresses only.
"""

from __future__ import annotations

import ipaddress
import selectors
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

from pytest_mcast import Channel, Datagram, Deadline, NotReceived
from pytest_mcast.core import system
from pytest_mcast.cores import FIELDS, BuiltInCore, Capabilities, ExpectedFailure

if TYPE_CHECKING:
    from types import TracebackType

    from pytest_mcast.core import Interface, Receiver
    from pytest_mcast.hosts import Host

__all__ = ["BROKEN", "BrokenCore", "Faulty", "Raw"]


class Faulty:
    """A receiver of the built-in core whose faults are in subclasses: in ``listen``, ``told``, ``leave``, ``join``."""

    fields = frozenset(FIELDS)

    def __init__(self, channel: Channel, host: Host, interface: str | None, timeout: float, **sizes: int) -> None:
        self.channel = channel
        self.host = host
        self.timeout = timeout
        self.inner = self.listen(channel, {**sizes, **({} if interface is None else {"interface": interface})})
        self.max_size = self.inner.subscription.max_size
        self._told: deque[Datagram] = deque()

    def listen(self, channel: Channel, options: dict[str, Any]) -> Receiver:
        """Return what really receives."""
        return self.host.receiver(channel, timeout=self.timeout, **options)

    def told(self, datagram: Datagram) -> Iterable[Datagram]:
        """Return what is made of a datagram."""
        return [datagram]

    def pull(self, timeout: float | None) -> Datagram:
        """Return the next datagram, as it is; raises ``NotReceived``."""
        return self.inner.recv(timeout)

    @property
    def interface(self) -> Interface:
        return self.inner.interface

    def ready(self, timeout: float = 10.0) -> str:
        return "so it says"

    def recv(self, timeout: float | None = None) -> Datagram:
        deadline = Deadline(self.timeout if timeout is None else timeout)
        while not self._told:
            self._told.extend(self.told(self.pull(deadline.remaining())))
        return self._told.popleft()

    def block(self, source: str) -> None:
        self.inner.subscription.block(source)

    def unblock(self, source: str) -> None:
        self.inner.subscription.unblock(source)

    def join_source(self, source: str) -> None:
        self.inner.subscription.join_source(source)

    def leave_source(self, source: str) -> None:
        self.inner.subscription.leave_source(source)

    def drops(self) -> int:
        return self.inner.statistics().kernel_drops or 0

    def leave(self) -> None:
        self.inner.subscription.leave()

    def join(self) -> None:
        self.inner.subscription.join()

    def close(self) -> None:
        self.inner.close()

    def __enter__(self) -> Faulty:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.channel} on {self.interface.name}>"


class Raw(Faulty):
    """Joins as it should, and delivers what a raw socket of the host gets, having looked at ``looks_at`` only.

    The kernel gives that socket everything that the host lets in, for whomever (raw(7), ``IP_MULTICAST_ALL`` in ip(7)).
    """

    looks_at: frozenset[str] = frozenset()

    def __init__(self, channel: Channel, host: Host, interface: str | None, timeout: float, **sizes: int) -> None:
        super().__init__(channel, host, interface, timeout, **sizes)
        ipv6 = channel.family == "ipv6"
        with host.inside():
            self._socket = socket.socket(
                socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP
            )
        self._socket.setblocking(False)
        for option in system.metadata_options(channel.family):
            system.set_option(self._socket, option)
        host.keep(self)

    @property
    def closed(self) -> bool:
        return self._socket.fileno() < 0

    def pull(self, timeout: float | None) -> Datagram:
        deadline = Deadline(timeout)
        while True:
            try:
                packet, arrival, _, (source, _) = system.receive(self._socket, 1 << 17)
            except BlockingIOError:
                with selectors.DefaultSelector() as selector:
                    selector.register(self._socket, selectors.EVENT_READ)
                    if not selector.select(deadline.remaining()) and deadline.passed():
                        raise NotReceived(f"nothing for {self.channel}") from None
                continue
            header = (packet[0] & 0x0F) * 4 if self.channel.family == "ipv4" else 0  # raw(7), ipv6(7): IPv4 has one
            if len(packet) < header + 8:  # less than a header of UDP
                continue
            source_port, port, length, _ = struct.unpack_from("!4H", packet, header)
            datagram = Datagram(
                packet[header + 8 : header + (length or len(packet))],
                (source.partition("%")[0], source_port),
                arrival.group,
                port,
                arrival.interface_index,
                arrival.ttl,
                arrival.traffic_class,
                arrival.timestamp_ns,
            )
            if self._is_wanted(datagram):
                return datagram

    def _is_wanted(self, datagram: Datagram) -> bool:
        """Say whether what it looks at is as it should be."""
        fits = {
            "group": datagram.destination == self.channel.group,
            "port": datagram.port == self.channel.port,
            "source": self.channel.source in (None, datagram.source[0]),
            "interface": datagram.interface_index == self.interface.index,
        }
        return all(fits[name] for name in self.looks_at)

    def join(self) -> None:
        while True:  # as the built-in core does with its own socket
            try:
                self._socket.recv(1)
            except BlockingIOError:
                break
        super().join()

    def close(self) -> None:
        self._socket.close()
        super().close()


class DeliversEverything(Raw):
    """Delivers whatever comes to the host."""


class IgnoresTheGroup(Raw):
    looks_at = frozenset({"port", "source", "interface"})


class IgnoresThePort(Raw):
    looks_at = frozenset({"group", "source", "interface"})


class IgnoresTheSource(Raw):
    looks_at = frozenset({"group", "port", "interface"})


class IgnoresTheInterface(Raw):
    looks_at = frozenset({"group", "port", "source"})


class DeliversNothing(Faulty):
    def told(self, datagram: Datagram) -> Iterable[Datagram]:
        return []


class NeverJoins(Faulty):
    """Joins, but not the group that it was told."""

    def listen(self, channel: Channel, options: dict[str, Any]) -> Receiver:
        group = ipaddress.ip_address(channel.group)
        other = Channel.unchecked(str(type(group)(int(group) ^ 1)), channel.port, channel.source)
        return super().listen(other, options)

    def leave(self) -> None:
        pass

    join = leave


class JoinsAnySource(Faulty):
    """Joins the group whatever the source, and sorts out itself what is of the channel's."""

    def listen(self, channel: Channel, options: dict[str, Any]) -> Receiver:
        return super().listen(Channel.unchecked(channel.group, channel.port, None), options)

    def told(self, datagram: Datagram) -> Iterable[Datagram]:
        return [datagram] if self.channel.source in (None, datagram.source[0]) else []


class JoinsOnTheFirstInterface(Faulty):
    """Takes the first interface, whichever was named."""

    def listen(self, channel: Channel, options: dict[str, Any]) -> Receiver:
        return super().listen(channel, {})


class NeverLeaves(Faulty):
    """Keeps its membership, and what comes in meanwhile, for whoever wants the channel next."""

    _of_hosts: ClassVar[WeakKeyDictionary[Host, dict[Channel, Receiver]]] = WeakKeyDictionary()

    def __init__(self, channel: Channel, host: Host, interface: str | None, timeout: float) -> None:
        self._kept = self._of_hosts.setdefault(host, {})
        super().__init__(channel, host, interface, timeout)

    def listen(self, channel: Channel, options: dict[str, Any]) -> Receiver:
        kept = self._kept.pop(channel, None)
        return super().listen(channel, options) if kept is None else kept

    def leave(self) -> None:
        pass

    join = leave

    def close(self) -> None:
        self._kept[self.channel] = self.inner  # the host closes it


class IsStale(Faulty):
    """Delivers after joining again what had been queued before it left."""

    def leave(self) -> None:
        while True:
            try:
                self._told.append(self.inner.recv(0))
            except NotReceived:
                break
        super().leave()


class LosesEveryOtherFlow(Faulty):
    """Delivers the datagrams of every other sender, as a kernel may that picks a socket by addresses and ports."""

    def __init__(self, channel: Channel, host: Host, interface: str | None, timeout: float) -> None:
        super().__init__(channel, host, interface, timeout)
        self._flows: dict[tuple[str, int], int] = {}

    def told(self, datagram: Datagram) -> Iterable[Datagram]:
        return [] if self._flows.setdefault(datagram.source, len(self._flows)) % 2 else [datagram]


class Duplicates(Faulty):
    def told(self, datagram: Datagram) -> Iterable[Datagram]:
        return [datagram, datagram]


class IsLate(Faulty):
    """Delivers each datagram when the next one is there."""

    def __init__(self, channel: Channel, host: Host, interface: str | None, timeout: float) -> None:
        super().__init__(channel, host, interface, timeout)
        self._before: Datagram | None = None

    def told(self, datagram: Datagram) -> Iterable[Datagram]:
        before, self._before = self._before, datagram
        return [] if before is None else [before]


class SwapsTwo(Faulty):
    """Delivers the third datagram after the fourth, if both are there."""

    def __init__(self, channel: Channel, host: Host, interface: str | None, timeout: float) -> None:
        super().__init__(channel, host, interface, timeout)
        self._count = 0

    def told(self, datagram: Datagram) -> Iterable[Datagram]:
        self._count += 1
        if self._count == 3:
            try:
                return [self.inner.recv(0), datagram]
            except NotReceived:
                return [datagram]
        return [datagram]


class Truncates(Faulty):
    def told(self, datagram: Datagram) -> Iterable[Datagram]:
        return [replace(datagram, payload=datagram.payload[:4])]


class _Mislabels(Faulty):
    """Tells the other value of one field."""

    def told(self, datagram: Datagram) -> Iterable[Datagram]:
        return [replace(datagram, **self.wrong(datagram))]

    def wrong(self, datagram: Datagram) -> dict[str, Any]:
        raise NotImplementedError


class MislabelsTheSource(_Mislabels):
    def wrong(self, datagram: Datagram) -> dict[str, Any]:
        return {"source": ("192.0.2.1" if self.channel.family == "ipv4" else "2001:db8::1", datagram.source[1])}


class MislabelsTheGroup(_Mislabels):
    def wrong(self, datagram: Datagram) -> dict[str, Any]:
        return {"destination": "239.255.255.250" if self.channel.family == "ipv4" else "ff02::c"}


class MislabelsThePort(_Mislabels):
    def wrong(self, datagram: Datagram) -> dict[str, Any]:
        return {"port": datagram.port ^ 1}


class MislabelsTheInterface(_Mislabels):
    def wrong(self, datagram: Datagram) -> dict[str, Any]:
        return {"interface_index": 1}


class MislabelsTheTtl(_Mislabels):
    def wrong(self, datagram: Datagram) -> dict[str, Any]:
        return {"ttl": (datagram.ttl or 0) + 1}


class IgnoresChanges(Faulty):
    """Says yes to every change of its sources, and changes nothing."""

    def block(self, source: str) -> None:
        pass

    def unblock(self, source: str) -> None:
        pass

    def join_source(self, source: str) -> None:
        pass

    def leave_source(self, source: str) -> None:
        pass


class HidesWhatIsCut(Faulty):
    """Does not say that it has taken a part of a payload only."""

    def told(self, datagram: Datagram) -> Iterable[Datagram]:
        return [replace(datagram, truncated=False)]


class IgnoresSizes(Faulty):
    """Takes any size, and keeps its own."""

    def __init__(self, channel: Channel, host: Host, interface: str | None, timeout: float, **sizes: int) -> None:
        super().__init__(channel, host, interface, timeout)
        self.max_size = sizes.get("max_size", 65535)


class CountsNothing(Faulty):
    """Says that nothing was lost."""

    def drops(self) -> int:
        return 0


class ForgetsWhatWaits(Faulty):
    """Delivers, of what waits for it, the newest datagram only."""

    def pull(self, timeout: float | None) -> Datagram:
        newest = super().pull(timeout)
        while True:
            try:
                newest = super().pull(0)
            except NotReceived:
                return newest


@dataclass(frozen=True)
class BrokenCore:
    """A core whose receivers are of one of these classes."""

    name: str
    receiver: type[Faulty]
    version: str = "0"
    capabilities: Capabilities = BuiltInCore.capabilities
    expected_failures: tuple[ExpectedFailure, ...] = ()

    def open(
        self, channel: Channel, host: Host, *, interface: str | None = None, timeout: float = 5.0, **sizes: int
    ) -> Faulty:
        return self.receiver(channel, host, interface, timeout, **sizes)


_RECEIVERS: dict[str, type[Faulty]] = {
    "delivers-everything": DeliversEverything,
    "delivers-nothing": DeliversNothing,
    "never-joins": NeverJoins,
    "joins-any-source": JoinsAnySource,
    "joins-on-first-interface": JoinsOnTheFirstInterface,
    "never-leaves": NeverLeaves,
    "stale-after-rejoin": IsStale,
    "ignores-group": IgnoresTheGroup,
    "ignores-port": IgnoresThePort,
    "ignores-source": IgnoresTheSource,
    "ignores-interface": IgnoresTheInterface,
    "loses-flows": LosesEveryOtherFlow,
    "duplicates": Duplicates,
    "late": IsLate,
    "wrong-order": SwapsTwo,
    "truncates": Truncates,
    "mislabels-source": MislabelsTheSource,
    "mislabels-group": MislabelsTheGroup,
    "mislabels-port": MislabelsThePort,
    "mislabels-interface": MislabelsTheInterface,
    "mislabels-ttl": MislabelsTheTtl,
    "ignores-changes": IgnoresChanges,
    "hides-what-is-cut": HidesWhatIsCut,
    "ignores-sizes": IgnoresSizes,
    "counts-nothing": CountsNothing,
    "forgets-what-waits": ForgetsWhatWaits,
}


def _make(name: str) -> Callable[[], BrokenCore]:
    return lambda: BrokenCore(name, _RECEIVERS[name])


#: How to make each of them, by name.
BROKEN: dict[str, Callable[[], BrokenCore]] = {name: _make(name) for name in _RECEIVERS}
