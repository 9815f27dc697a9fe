"""Changes of a membership that a switch must have heard of before what comes next is sent."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.errors import MissingCapability

if TYPE_CHECKING:
    from pytest_mcast.lab import VirtualHost
    from pytest_mcast.lab.port import Port
    from pytest_mcast.wire import Listener, Message, Record

    from .stage import Station

__all__ = ["join_again", "unblock"]

#: Seconds in which a virtual host reports a change, which takes it at most 50 ms; of sources MLDv1 and IGMPv2 report nothing.
_REPORTED = 0.5


def join_again(station: Station, channel: Channel, change: Callable[[], object]) -> None:
    """Have a receiver that has left join again by ``change``, and wait until a switch that prunes forwards the channel.

    An entry from before it left says nothing: the switch may be about to forget it.
    """
    _heard(station, channel, change, _joins)


def unblock(station: Station, channel: Channel, source: str, change: Callable[[], object]) -> None:
    """Have a receiver unblock a source by ``change``, and wait until a switch that prunes forwards it again.

    The switch has, or has almost, blocked the source as well (RFC 3376 section 6.4.2).
    """
    _heard(station, Channel.unchecked(channel.group, channel.port, source), change, partial(_allows, source))


def _heard(
    station: Station, channel: Channel, change: Callable[[], object], reported: Callable[[Record], bool]
) -> None:
    """Make a change, and wait until the report of it has come in at the switch, and the switch forwards the channel.

    That may be later than it was sent, over an impaired cable, which may also bring reports of earlier changes.
    """
    port = station.port
    if port is None or station.virtual is None or not getattr(port.link, "prunes", False):
        change()
        return
    from pytest_mcast.wire import Report

    shortest, longest = (0.0, 0.0) if port.impaired is None else port.impaired.impairment.delays
    earliest = time.time_ns() + int(shortest * 1e9)

    def heard(message: Message) -> list[int]:
        if message.interface != port.bridge_device or message.timestamp_ns < earliest:
            return []
        records = enumerate(message.records if isinstance(message, Report) else ())
        return [number for number, record in records if record.group == channel.group and reported(record)]

    with ExitStack() as stack:
        listener = None
        with suppress(MissingCapability):
            listener = stack.enter_context(_listen_at(port, station.virtual))
        change()
        if listener is not None:
            listener.wait_for(heard, Deadline(_REPORTED + longest))
    port.wait_until_ready(channel)


def _listen_at(port: Port, host: VirtualHost) -> Listener:
    """Return a listener to what comes in at the ports of a switch; raises ``MissingCapability``."""
    from pytest_mcast.wire import Listener, Tap, with_packet_sockets

    with port.link.namespace:
        tap = with_packet_sockets(Tap)
    return Listener(str(port.link), tap, host.querier, Tap.close)


def _joins(record: Record) -> bool:
    no_source = record.type == "CHANGE_TO_INCLUDE_MODE" and not record.sources
    return not no_source and record.type not in ("LEAVE", "DONE", "BLOCK_OLD_SOURCES")


def _allows(source: str, record: Record) -> bool:
    return record.type == "ALLOW_NEW_SOURCES" and source in record.sources
