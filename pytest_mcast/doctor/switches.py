"""The ports of a lab's switches that a datagram crosses from one virtual host to another."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pytest_mcast.core.errors import MissingCapability
from pytest_mcast.core.system import LINUX

from .flow import Hop

if TYPE_CHECKING:
    from pytest_mcast.core.channels import Channel
    from pytest_mcast.lab.counts import ChannelCount
    from pytest_mcast.lab.port import Port

    from .party import Party

__all__ = ["Counted", "Ports", "beside", "is_virtual", "port_of"]


class Ports:
    """The ports on the way, in order; none where there is no switch of ours, as on a direct link.

    Between two links there is a router, which has a port on each; where several could be the one, none is named.
    """

    def __init__(self, sender: Party, receiver: Party) -> None:
        self.sender = port_of(sender)
        self.receiver = port_of(receiver)
        #: Each with whether the datagram leaves the switch there.
        self._way = [
            (port, out) for port, out in ((self.sender, False), *self._between(), (self.receiver, True)) if port
        ]

    def named(self, name: str) -> bool:
        """Say whether this is the name of a hop of ours."""
        return any(_name(port) == name for port, _ in self._way)

    def count(self, stack: ExitStack, channel: Channel, mark: bytes) -> Counted:
        """Count the datagrams that begin with a mark, from now on; until the stack ends."""
        counts: dict[str, ChannelCount] = {}
        for port, _ in self._way:
            if str(port.link) not in counts:
                try:
                    counts[str(port.link)] = stack.enter_context(port.link.count(channel, mark))
                except MissingCapability:  # no packet sockets: nobody sees
                    return Counted([], counts)
        return Counted(self._way, counts)

    def _between(self) -> list[tuple[Port, bool]]:
        if self.sender is None or self.receiver is None or self.sender.link is self.receiver.link:
            return []
        ends = self.sender.host, self.receiver.host
        left, right = ({port.host: port for port in end.link.ports} for end in (self.sender, self.receiver))
        routers = [host for host in left if host in right and host not in ends]
        return [(left[routers[0]], True), (right[routers[0]], False)] if len(routers) == 1 else []


class Counted:
    """What has been counted at the ports."""

    def __init__(self, way: list[tuple[Port, bool]], counts: dict[str, ChannelCount]) -> None:
        self._way = way
        self._counts = counts

    def hops(self) -> list[Hop]:
        """Return what the switches have seen up to now."""
        hops = []
        for port, out in self._way:
            count = self._counts[str(port.link)]
            number = count.sent(port) if out else count.received(port)
            what = "sent it out of" if out else "got it at"
            hops.append(Hop(_name(port), number > 0, f"the switch has {'' if number else 'not '}{what} {port.device}"))
        return hops


def is_virtual(party: Party) -> bool:
    """Say whether an end is a virtual host."""
    if not LINUX:
        return False
    from pytest_mcast.lab import VirtualHost

    return isinstance(party.host, VirtualHost)


def port_of(party: Party) -> Port | None:
    """Return the port of a switch at which an end is; None when it is at none of ours, or gone."""
    if not is_virtual(party) or party.host.gone:
        return None
    with party.host.inside():
        try:
            index = socket.if_nametoindex(party.interface_name)
        except OSError:
            return None
    port: Port | None = party.host.plugged.get(index)  # type: ignore[attr-defined]  # the same
    return port


def beside(one: Party, other: Party) -> str | None:
    """Return the interface by which a host is on the link of another one's; None when that is the one that is meant, or there is none."""
    here, there = port_of(one), port_of(other)
    if here is None or there is None or here.link is there.link:
        return None
    return next((port.interface for port in here.host.plugged.values() if port.link is there.link), None)


def _name(port: Port) -> str:
    return f"{port.link}: port of {port.host}"
