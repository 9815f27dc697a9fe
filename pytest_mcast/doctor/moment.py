"""What hosts say at the moment of a loss, of what is gone as soon as sockets are closed."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.echo import EchoResponder
from pytest_mcast.core.receiver import Receiver
from pytest_mcast.core.sender import Sender
from pytest_mcast.core.system import LINUX
from pytest_mcast.evidence import Reading, socket_options
from pytest_mcast.hosts import Host, RemoteHost

from .flow import Changes

__all__ = ["Endpoint", "Moment", "endpoints_of", "fleeting"]

# Readings that change with each socket; the others are still there when the test has failed.
_FLEETING = ("memberships", "sockets", "mdb")


@dataclass(frozen=True)
class Endpoint:
    """A socket of a test: a receiver of a channel, or a sender to one (None: to whatever its datagrams say).

    ``options`` are those of ``evidence.socket_options``; ``count`` is how many datagrams it has sent or delivered, None
    when it does not count; ``owner`` is our object that it belongs to, if it is one.
    """

    host: Host
    role: str  # receiver or sender
    channel: Channel | None
    interface: str
    options: Mapping[str, Any]
    count: int | None = None
    owner: object = field(default=None, compare=False)


@dataclass(frozen=True)
class Moment:
    """The endpoints that are open, what the hosts say of theirs, and what has been counted since the test began."""

    endpoints: tuple[Endpoint, ...]
    readings: Mapping[Host, Mapping[str, Reading]]
    changes: Mapping[Host, Changes]


def endpoints_of(hosts: Iterable[Host]) -> list[Endpoint]:
    """Return the open receivers, responders and senders of hosts, the oldest of each first."""
    return [found for host in hosts for each in host.endpoints if (found := _endpoint(host, each)) is not None]


def fleeting(host: Host) -> dict[str, Reading]:
    """Read what is gone as soon as sockets are closed (about 1 ms); nothing of a remote host."""
    if not LINUX or isinstance(host, RemoteHost):
        return {}
    from pytest_mcast.evidence.linux import READERS

    found: dict[str, Reading] = {}
    with host.inside():
        for name in _FLEETING:
            if name in READERS:
                try:
                    found[name] = Reading(READERS[name]())
                except Exception as error:  # noqa: BLE001 - of whatever it dies: that is said, and the others are read
                    found[name] = Reading(refused=str(error) or type(error).__name__)
    return found


def _endpoint(host: Host, each: object) -> Endpoint | None:
    if isinstance(each, EchoResponder):
        return Endpoint(host, "receiver", each.channel, each.interface.name, {}, each.replies, each)
    if isinstance(each, Receiver):
        sock = getattr(each.subscription, "socket", None)
        received = each.statistics().received
        return Endpoint(host, "receiver", each.channel, each.interface.name, _options(sock), received, each)
    if isinstance(each, Sender):
        sock = getattr(each, "socket", None)
        return Endpoint(host, "sender", each.channel, each.interface.name, _options(sock), each.count, each)
    return None


def _options(sock: socket.socket | None) -> dict[str, Any]:
    return {} if sock is None or sock.fileno() < 0 else socket_options(sock)
