"""Changes of a membership that a switch must have heard of before what comes next is sent."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.errors import MissingCapability

if TYPE_CHECKING:
    from pytest_mcast.wire import Message

    from .stage import Station

__all__ = ["unblock"]

_REPORTED = (
    0.5  # seconds in which a virtual host reports a change, which takes it at most 50 ms; MLDv1 and IGMPv2 report none
)


def unblock(station: Station, channel: Channel, source: str, change: Callable[[], object]) -> None:
    """Have a receiver unblock a source by ``change``, and wait until a switch that prunes forwards it again.

    The switch has, or has almost, blocked the source as well (RFC 3376 section 6.4.2); it is known that it will not any more when
    the report of the change is on the wire.
    """
    port = station.port
    if port is None or station.virtual is None or not getattr(port.link, "prunes", False):
        change()
        return
    listener = None
    with suppress(MissingCapability):
        listener = station.virtual.listen()
    try:
        change()
        if listener is not None:
            listener.wait_for(lambda message: _allows(message, channel.group, source), Deadline(_REPORTED))
    finally:
        if listener is not None:
            listener.close()
    port.wait_until_ready(Channel.unchecked(channel.group, channel.port, source))


def _allows(message: Message, group: str, source: str) -> list[int]:
    records = enumerate(getattr(message, "records", ()))
    return [
        number
        for number, record in records
        if (record.type, record.group) == ("ALLOW_NEW_SOURCES", group) and source in record.sources
    ]
