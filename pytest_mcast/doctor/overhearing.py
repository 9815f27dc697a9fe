"""Whether somebody else would get a datagram of a channel: then the doctor sends none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.receiver import Receiver
from pytest_mcast.core.sender import Sender
from pytest_mcast.core.system import LINUX

from .moment import Moment

if TYPE_CHECKING:
    from pytest_mcast.lab import VirtualHost

__all__ = ["may_be_overheard"]


def may_be_overheard(channel: Channel, moment: Moment) -> bool:
    """Say whether there is a socket on the port of a channel that is none of ours, or may be, on one of the hosts.

    It may be one that outlives the test, or a program's, who would take it for what they wait for. Receivers of ours keep
    it to themselves.
    """
    ours = {each.options.get("inode") for each in moment.endpoints if isinstance(each.owner, (Receiver, Sender))}
    for readings in moment.readings.values():
        sockets = readings.get("sockets")
        if sockets is None:  # another system, or a remote host
            continue
        if sockets.refused or any(each["port"] == channel.port and each["inode"] not in ours for each in sockets.value):
            return True
    return any(host not in moment.readings and host.touched for host in _beside(moment))


def _beside(moment: Moment) -> Iterator[VirtualHost]:
    """Yield the hosts on the links of those that were looked at."""
    if not LINUX:
        return
    from pytest_mcast.lab import VirtualHost

    for host in moment.readings:
        for port in host.plugged.values() if isinstance(host, VirtualHost) else ():
            yield from (each.host for each in port.link.ports)
