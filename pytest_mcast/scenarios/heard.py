"""Changes of a membership that a switch must have heard of before what comes next is sent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, cast

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.errors import McastError, MissingCapability

if TYPE_CHECKING:
    from pytest_mcast.lab import Switch
    from pytest_mcast.lab.port import Port
    from pytest_mcast.wire import Listener, Message, Record

    from .stage import Station

__all__ = ["join_again", "unblock"]

#: Seconds in which a virtual host reports a change, which takes it at most 50 ms.
_REPORTED = 0.5


def join_again(station: Station, channel: Channel, change: Callable[[], object]) -> None:
    """Have a receiver that has left join again by ``change``, and wait until a switch that prunes forwards the channel.

    An entry from before it left says nothing: the switch may be about to forget it.
    """
    port = _pruned(station)
    if port is None:
        change()
        return
    with _listening(port) as listener:
        _make(change, port, channel, listener, _joins)


def unblock(station: Station, channel: Channel, source: str, change: Callable[[], object]) -> None:
    """Have a receiver unblock a source by ``change``, and wait until a switch that prunes forwards it again.

    First the switch is let block the source as well (RFC 3376 section 6.4.2) and cease to ask for it: an answer after the change has
    it forget the source, and Linux drops what comes from a source in the milliseconds that this takes.
    """
    port = _pruned(station)
    if port is None or not _knows_sources(port, channel.family):
        change()
        return
    specific, switch = Channel.unchecked(channel.group, channel.port, source), cast("Switch", port.link)
    asking = 2 * switch.settings.timers.last_member_interval + _delays(port)[1]
    with _listening(port) as listener:
        # If another receiver on the host wants the source, nothing is reported, and nothing blocked.
        with suppress(McastError):
            switch.wait_until_gone(specific, port.host, port.interface, _REPORTED + asking)
        while listener is not None and listener.wait_for(partial(_asks, channel), Deadline(asking), use=True):
            pass
        _make(change, port, specific, listener, partial(_allows, source))


def _pruned(station: Station) -> Port | None:
    """Return the port of a host at a switch that forwards by what is reported."""
    port = station.port
    return port if port is not None and getattr(port.link, "prunes", False) else None


def _knows_sources(port: Port, family: str) -> bool:
    settings = cast("Switch", port.link).settings
    return settings.igmp_version == 3 if family == "ipv4" else settings.mld_version == 2


def _delays(port: Port) -> tuple[float, float]:
    return (0.0, 0.0) if port.impaired is None else port.impaired.impairment.delays


@contextmanager
def _listening(port: Port) -> Iterator[Listener | None]:
    """Give a listener to what comes in and goes out at the ports of a switch; None where none can be had."""
    from pytest_mcast.wire import Listener, Tap, with_packet_sockets

    with ExitStack() as stack:
        listener = None
        with suppress(MissingCapability), port.link.namespace:
            tap = with_packet_sockets(Tap)
            listener = stack.enter_context(Listener(str(port.link), tap, port.host.querier, Tap.close))
        yield listener


def _make(
    change: Callable[[], object],
    port: Port,
    channel: Channel,
    listener: Listener | None,
    reported: Callable[[Record], bool],
) -> None:
    """Make a change, and wait until the report of it has come in at the switch, and the switch forwards the channel.

    That may be later than it was sent, over an impaired cable, which may also bring reports of earlier changes.
    """
    from pytest_mcast.wire import Report

    shortest, longest = _delays(port)
    earliest = time.time_ns() + int(shortest * 1e9)

    def heard(message: Message) -> list[int]:
        if message.interface != port.bridge_device or message.timestamp_ns < earliest:
            return []
        records = enumerate(message.records if isinstance(message, Report) else ())
        return [number for number, record in records if record.group == channel.group and reported(record)]

    change()
    if listener is not None:
        listener.wait_for(heard, Deadline(_REPORTED + longest))
    port.wait_until_ready(channel)


def _asks(channel: Channel, message: Message) -> list[int]:
    from pytest_mcast.wire import Query

    return [0] if isinstance(message, Query) and message.group == channel.group else []


def _joins(record: Record) -> bool:
    no_source = record.type == "CHANGE_TO_INCLUDE_MODE" and not record.sources
    return not no_source and record.type not in ("LEAVE", "DONE", "BLOCK_OLD_SOURCES")


def _allows(source: str, record: Record) -> bool:
    return record.type == "ALLOW_NEW_SOURCES" and source in record.sources
