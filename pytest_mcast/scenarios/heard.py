"""Changes of a membership that a switch must have heard of before what comes next is sent."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.errors import MissingCapability

if TYPE_CHECKING:
    from pytest_mcast.lab import VirtualHost
    from pytest_mcast.lab.port import Port
    from pytest_mcast.wire import Listener, Message

    from .stage import Station

__all__ = ["unblock"]

_REPORTED = (
    0.5  # seconds in which a virtual host reports a change, which takes it at most 50 ms; MLDv1 and IGMPv2 report none
)


def unblock(station: Station, channel: Channel, source: str, change: Callable[[], object]) -> None:
    """Have a receiver unblock a source by ``change``, and wait until a switch that prunes forwards it again.

    The switch has, or has almost, blocked the source as well (RFC 3376 section 6.4.2); it is known that it will not any more when
    the report of the change has come in there. That may be later than it was sent, over an impaired cable.
    """
    port = station.port
    if port is None or station.virtual is None or not getattr(port.link, "prunes", False):
        change()
        return
    with ExitStack() as stack:
        listener = None
        with suppress(MissingCapability):
            listener = stack.enter_context(_listen_at(port, station.virtual))
        change()
        if listener is not None:
            delay = 0.0 if port.impaired is None else port.impaired.impairment.delays[1]
            listener.wait_for(
                lambda message: (
                    _allows(message, channel.group, source) if message.interface == port.bridge_device else []
                ),
                Deadline(_REPORTED + delay),
            )
    port.wait_until_ready(Channel.unchecked(channel.group, channel.port, source))


def _listen_at(port: Port, host: VirtualHost) -> Listener:
    """Return a listener to what comes in at the ports of a switch; raises ``MissingCapability``."""
    from pytest_mcast.wire import Listener, Tap, with_packet_sockets

    with port.link.namespace:
        tap = with_packet_sockets(Tap)
    return Listener(str(port.link), tap, host.querier, Tap.close)


def _allows(message: Message, group: str, source: str) -> list[int]:
    records = enumerate(getattr(message, "records", ()))
    return [
        number
        for number, record in records
        if (record.type, record.group) == ("ALLOW_NEW_SOURCES", group) and source in record.sources
    ]
