"""What hosts say at the moment of a loss, of what is gone as soon as sockets are closed."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pytest_mcast.core.echo import EchoResponder
from pytest_mcast.core.receiver import Receiver
from pytest_mcast.core.sender import Sender
from pytest_mcast.core.system import LINUX
from pytest_mcast.evidence import Reading
from pytest_mcast.hosts import Host, RemoteHost, RemoteReceiver, RemoteSender

from .describing import MOST, Joinable, describe_socket
from .endpoint import Endpoint
from .flow import Changes

if TYPE_CHECKING:
    from pytest_mcast.lab import ImpairedCable
    from pytest_mcast.lab.mfc import MfcEntry
    from pytest_mcast.lab.port import Port

__all__ = ["Moment", "endpoints_of", "fleeting", "fleeting_of_switches", "impaired_cables", "inodes_of"]

# Readings that change with each socket; the others are still there when the test has failed.
_FLEETING = ("memberships", "sockets")
_FLEETING_OF_SWITCH = ("mdb", "router_ports")
# What a host has of sockets when they are all read, which takes 12 us for each.
_MOST_LISTED = 1000
# The class as it is, whatever a test puts in its place.
_Socket = socket.socket


@dataclass(frozen=True)
class Moment:
    """The endpoints that are open, what the hosts say of theirs, and what has been counted since the test began."""

    endpoints: tuple[Endpoint, ...]
    readings: Mapping[Host, Mapping[str, Reading]]
    changes: Mapping[Host, Changes]
    #: What the switches say that the hosts are plugged into, by the descriptor of their namespace.
    switches: Mapping[int, Mapping[str, Reading]] = field(default_factory=dict)
    #: The impaired cables of the lab.
    cables: Mapping[Port, ImpairedCable] = field(default_factory=dict)
    #: What the hosts between links forwarded, by families; one that routed no multicast has none of them.
    forwarding: Mapping[Host, Mapping[str, tuple[MfcEntry, ...]]] = field(default_factory=dict)
    #: What the hosts were called.
    names: Mapping[Host, str] = field(default_factory=dict)
    #: The sockets of this process, by their inodes.
    own: Collection[int] = ()
    #: Those that earlier tests have left open which have failed.
    stale: Collection[int] = ()


def endpoints_of(host: Host, readings: Mapping[str, Reading], about: object = None) -> list[Endpoint]:
    """Return the open receivers, responders and senders of a host, the oldest first; nothing that is far away is asked.

    Only the newest ``MOST``, and the one that it is ``about``, are looked at closely.
    """
    opened = host.endpoints
    near = [*opened[-MOST:], about]
    found: list[Endpoint] = []
    with host.inside():
        joinable = Joinable(readings)
        for each in opened:
            endpoint = _endpoint(host, each)
            if endpoint is None:
                continue
            sock = _socket_of(each)
            if sock is not None and any(each is one for one in near):
                endpoint = replace(endpoint, options=describe_socket(sock, joinable, each.channel.group))
            found.append(endpoint)
    return found


def inodes_of(hosts: Iterable[Host]) -> set[int]:
    """Return the numbers of the sockets of all that is open there through the hosts."""
    found = set()
    for each in (each for host in hosts for each in host.endpoints):
        sock = _socket_of(each)
        if sock is not None and sock.fileno() >= 0:
            found.add(os.fstat(sock.fileno()).st_ino)
    return found


def fleeting(host: Host) -> dict[str, Reading]:
    """Read what is gone as soon as sockets are closed (about 1 ms); nothing of a remote host, or of one that is gone."""
    if not LINUX or host.gone or isinstance(host, RemoteHost):
        return {}
    from pytest_mcast.evidence.udp import sockets_in_use
    from pytest_mcast.lab import VirtualHost

    with host.inside():
        count = sockets_in_use()
        if count <= _MOST_LISTED:
            found = _readings(_FLEETING)
        else:
            why = f"there were {count} UDP sockets, which takes too long to read in the middle of a test"
            found = {**_readings(["memberships"]), "sockets": Reading(refused=why)}
        # A host that is this machine has sockets of this process that are no business of the test's.
        return {**found, **_readings(["namespace"])} if isinstance(host, VirtualHost) else found


def fleeting_of_switches(hosts: Iterable[Host]) -> dict[int, dict[str, Reading]]:
    """Read what switches forget soon after the sockets of these hosts are closed: who wants which group."""
    if not LINUX:
        return {}
    from pytest_mcast.lab import VirtualHost

    found: dict[int, dict[str, Reading]] = {}
    for host in hosts:
        for port in host.plugged.values() if isinstance(host, VirtualHost) else ():
            namespace = port.link.namespace
            if namespace.descriptor not in found and not namespace.closed:
                with namespace:
                    found[namespace.descriptor] = _readings(_FLEETING_OF_SWITCH)
    return found


def impaired_cables(hosts: Iterable[Host]) -> dict[Port, ImpairedCable]:
    """Return the impaired cables of the labs that hosts are in."""
    if not LINUX:
        return {}
    from pytest_mcast.lab import VirtualHost

    links = {port.link for host in hosts if isinstance(host, VirtualHost) for port in host.plugged.values()}
    ports = {port for link in links for port in link.impaired_ports}
    return {port: port.impaired for port in sorted(ports, key=repr) if port.impaired is not None}


def _readings(names: Iterable[str]) -> dict[str, Reading]:
    from pytest_mcast.evidence.linux import READERS

    found: dict[str, Reading] = {}
    for name in names:
        try:
            found[name] = Reading(READERS[name]())
        except Exception as error:  # noqa: BLE001 - of whatever it dies: that is said, and the others are read
            found[name] = Reading(refused=str(error) or type(error).__name__)
    return found


def _endpoint(host: Host, each: object) -> Endpoint | None:
    if isinstance(each, EchoResponder):
        return Endpoint(host, "receiver", each.channel, each.interface.name, {}, each.replies, each)
    if isinstance(each, RemoteReceiver):
        return Endpoint(host, "receiver", each.channel, each.interface.name, {}, each.subscription.taken, each)
    if isinstance(each, Receiver):
        return Endpoint(host, "receiver", each.channel, each.interface.name, {}, each.statistics().received, each)
    if isinstance(each, RemoteSender):
        return Endpoint(host, "sender", each.channel, each.interface.name, each.options, each.count, each)
    if isinstance(each, Sender):
        return Endpoint(host, "sender", each.channel, each.interface.name, {}, each.count, each, each.largest or None)
    return None


def _socket_of(each: object) -> socket.socket | None:
    """Return the socket of an endpoint; None when it is on a remote host."""
    found = getattr(each.subscription if isinstance(each, Receiver) else each, "socket", None)
    return found if isinstance(found, _Socket) else None
