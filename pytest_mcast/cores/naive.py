"""Sockets used the naive way: the known-bad reference, which every check of a receive core must be able to find out."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest_mcast
from pytest_mcast.core.datagrams import Datagram
from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.errors import NotReceived
from pytest_mcast.core.interfaces import Interface
from pytest_mcast.core.system import membership_option, set_option

from .protocol import Capabilities, ExpectedFailure

if TYPE_CHECKING:
    from types import TracebackType

    from pytest_mcast.core.channels import Channel
    from pytest_mcast.hosts import Host

__all__ = ["NaiveCore", "NaiveReceiver"]

_IP_ADD_SOURCE_MEMBERSHIP = 39  # linux/in.h
_EVERY_GROUP = (
    "bound to the wildcard address it gets every group that anybody on the host has joined (ip(7) IP_MULTICAST_ALL)"
)
_EVERY_ADDRESS = "bound to the wildcard address it gets what is sent to any address of the host"
_EVERY_INTERFACE = "it gets its group from every interface on which anybody has joined it, past its own source filter"
_OF_EVERY_GROUP = (
    *("filter.group", "several.groups", "sharing.groups", "sharing.many-groups", "sharing.program-first"),
    *("sharing.program-other-group", "delivery.interleaved", "overflow.foreign-group", "destination.all-hosts"),
    *("destination.neighbour-group", "destination.next-group", "destination.same-mac-neighbour"),
    *("destination6.all-nodes", "destination6.group-of-another-port", "destination6.group-of-another-socket"),
    *("destination6.same-mac-of-another-socket", "destination6.same-number-other-scope"),
    *("destination6.same-number-well-known", "destination6.solicited-node", "fragment.other-group-with-neighbour"),
)
_OF_EVERY_ADDRESS = (
    *("destination6.unicast", "destination6.unicast-in-broadcast-mac", "destination6.unicast-in-group-mac"),
    "destination6.ipv4-broadcast",
)
_OF_EVERY_INTERFACE: dict[str, tuple[str, ...]] = {
    "interface.second": ("ipv4-asm", "ipv4-ssm", "ipv6-asm"),
    "interface.both": ("ipv4-asm", "ipv4-ssm", "ipv6-asm"),
    "interface.flood-elsewhere": ("ipv4-asm", "ipv4-ssm", "ipv6-asm"),
    "interface.elsewhere": (),
    "interface.other-source-elsewhere": ("ipv4-ssm",),
    "interface.other-source-here": ("ipv4-ssm",),
    "interface.same-source-on-both": ("ipv4-ssm", "ipv6-ssm"),
    "destination6.other-interface": (),
}


def _findings() -> Iterator[ExpectedFailure]:
    for name in _OF_EVERY_GROUP:
        yield ExpectedFailure(name, _EVERY_GROUP)
    for name in _OF_EVERY_ADDRESS:
        yield ExpectedFailure(name, _EVERY_ADDRESS)
    for name, kinds in _OF_EVERY_INTERFACE.items():
        yield ExpectedFailure(name, _EVERY_INTERFACE, kinds=kinds)


class NaiveCore:
    """Sockets as tutorials use them: bound to the wildcard address, joined, and read. The known-bad reference.

    Every group that anybody on the host has joined is delivered (``IP_MULTICAST_ALL``, ip(7)), and IPv6 matches
    memberships by group and never by interface.
    """

    name = "naive"
    version: str = pytest_mcast.__version__
    capabilities = Capabilities(fields=frozenset({"source", "source_port", "length", "payload"}), idle=True)
    expected_failures = tuple(_findings())

    def open(
        self, channel: Channel, host: Host, *, interface: str | None = None, timeout: float = 5.0
    ) -> NaiveReceiver:
        """Open and join a socket on the host; see ``ReceiveCore.open``."""
        with host.inside():
            return NaiveReceiver(
                channel, host.interface if interface is None else Interface.find(interface), host, timeout
            )


class NaiveReceiver:
    """One naive socket."""

    fields = NaiveCore.capabilities.fields

    def __init__(self, channel: Channel, interface: Interface, host: Host, timeout: float) -> None:
        self.channel = channel
        self.interface = interface
        self.timeout = timeout
        ipv6 = channel.family == "ipv6"
        with contextlib.ExitStack() as stack:
            sock = stack.enter_context(socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("::" if ipv6 else "0.0.0.0", channel.port))  # noqa: S104 - that is what is naive
            self._join(sock)
            sock.setblocking(False)
            stack.pop_all()
        self._socket = sock
        host.keep(self)

    def _join(self, sock: socket.socket) -> None:
        group, source, index = self.channel.group, self.channel.source, self.interface.index
        if self.channel.family == "ipv6":
            if source is None:
                request = socket.inet_pton(socket.AF_INET6, group) + struct.pack("=I", index)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
                return
            set_option(sock, membership_option("join-source", "ipv6", index, group, source))
            return
        address = socket.inet_aton(self.interface.ipv4[0])
        if source is None:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + address)
        else:  # struct ip_mreq_source of linux/in.h
            request = socket.inet_aton(group) + address + socket.inet_aton(source)
            sock.setsockopt(socket.IPPROTO_IP, _IP_ADD_SOURCE_MEMBERSHIP, request)

    @property
    def closed(self) -> bool:
        """Whether ``close()`` was called."""
        return self._socket.fileno() < 0

    def ready(self, timeout: float = 10.0) -> str:  # noqa: ARG002 - it is, once it is open
        """Return the evidence that it is ready."""
        return "kernel membership"

    def recv(self, timeout: float | None = None) -> Datagram:
        """Return the next datagram; raises ``NotReceived`` after ``timeout`` seconds."""
        deadline = Deadline(self.timeout if timeout is None else timeout)
        while True:
            try:
                payload, address = self._socket.recvfrom(65535)
            except BlockingIOError:
                with selectors.DefaultSelector() as selector:
                    selector.register(self._socket, selectors.EVENT_READ)
                    if not selector.select(deadline.remaining()) and deadline.passed():
                        text = f"no datagram for {self.channel} on {self.interface.name} within {deadline.seconds:g} s"
                        raise NotReceived(text) from None
            else:
                return Datagram(payload, (address[0], address[1]), None, self.channel.port, None, None, None, None)

    def close(self) -> None:
        """Close the socket; again is no error."""
        self._socket.close()

    def __enter__(self) -> NaiveReceiver:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<naive {self.channel} on {self.interface.name}>"
