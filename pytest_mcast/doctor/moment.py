"""What hosts say at the moment of a loss, of what is gone as soon as sockets are closed."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.echo import EchoResponder
from pytest_mcast.core.errors import ChannelError, McastError
from pytest_mcast.core.receiver import Receiver
from pytest_mcast.core.sender import Sender
from pytest_mcast.core.system import LINUX
from pytest_mcast.evidence import Reading, socket_options
from pytest_mcast.evidence.joined import joined_by, namespace_cookie, socket_state
from pytest_mcast.hosts import Host, RemoteHost

from .flow import Changes

__all__ = [
    "Endpoint",
    "Moment",
    "describe_socket",
    "endpoints_of",
    "fleeting",
    "fleeting_of_switches",
    "own_inodes",
    "own_sockets",
]

# Readings that change with each socket; the others are still there when the test has failed.
_FLEETING = ("memberships", "sockets")
_FLEETING_OF_SWITCH = ("mdb", "router_ports")


@dataclass(frozen=True)
class Endpoint:
    """A socket of a test: a receiver of a channel, or a sender to one (None: to whatever its datagrams say).

    ``options`` are those of ``describe_socket``; ``count`` is how many datagrams it has sent or delivered, None when it
    does not count; ``owner`` is our object that it belongs to, if it is one.
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
    #: What the switches say that the hosts are plugged into, by the descriptor of their namespace.
    switches: Mapping[int, Mapping[str, Reading]] = field(default_factory=dict)
    #: What the hosts were called.
    names: Mapping[Host, str] = field(default_factory=dict)


def describe_socket(
    sock: socket.socket, memberships: Iterable[Mapping[str, Any]] = (), group: str | None = None
) -> dict[str, Any]:
    """Return the options and the state of a socket, and which of the memberships of its host are its own (``joined``).

    The ``group`` is asked for on every interface: the socket may have joined where the host is no member any more.
    """
    if sock.fileno() < 0:
        return {}
    found = {**socket_options(sock), **socket_state(sock)}
    if LINUX:
        asked = {(index, each["group"]) for each in memberships if (index := _index(each["interface"]))}
        if group is not None:
            asked |= {(index, group) for index, _ in socket.if_nameindex()}
        found["joined"] = joined_by(sock, sorted(asked))
    return found


def endpoints_of(host: Host, memberships: Iterable[Mapping[str, Any]] = ()) -> list[Endpoint]:
    """Return the open receivers, responders and senders of a host, the oldest first."""
    return [found for each in host.endpoints if (found := _endpoint(host, each, list(memberships))) is not None]


def fleeting(host: Host) -> dict[str, Reading]:
    """Read what is gone as soon as sockets are closed (about 1 ms); nothing of a remote host."""
    if not LINUX or isinstance(host, RemoteHost):
        return {}
    with host.inside():
        return _readings(_FLEETING)


def fleeting_of_switches(hosts: Iterable[Host]) -> dict[int, dict[str, Reading]]:
    """Read what switches forget soon after the sockets of these hosts are closed: who wants which group."""
    if not LINUX:
        return {}
    from pytest_mcast.lab import VirtualHost

    found: dict[int, dict[str, Reading]] = {}
    for host in hosts:
        for port in host.plugged.values() if isinstance(host, VirtualHost) else ():
            namespace = port.link.namespace
            if namespace.descriptor not in found:
                with namespace:
                    found[namespace.descriptor] = _readings(_FLEETING_OF_SWITCH)
    return found


def _readings(names: Iterable[str]) -> dict[str, Reading]:
    from pytest_mcast.evidence.linux import READERS

    found: dict[str, Reading] = {}
    for name in names:
        try:
            found[name] = Reading(READERS[name]())
        except Exception as error:  # noqa: BLE001 - of whatever it dies: that is said, and the others are read
            found[name] = Reading(refused=str(error) or type(error).__name__)
    return found


def own_inodes() -> set[int]:
    """Return the numbers of the sockets of this process (about 0.05 ms)."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            link = os.readlink(f"/proc/self/fd/{name}")
        except OSError:  # closed by now
            continue
        if link.startswith("socket:["):
            found.add(int(link[8:-1]))
    return found


def own_sockets(host: Host, memberships: Iterable[Mapping[str, Any]], known: Iterable[int]) -> list[Endpoint]:
    """Return the UDP sockets of this process in a host that it is itself, but for those whose inodes are known.

    One that has joined groups is a receiver of each, on its port; one that has joined none is a sender to any group.
    """
    inodes = set(known)
    with host.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        cookie = namespace_cookie(here)
        inodes.add(os.fstat(here.fileno()).st_ino)
        memberships = list(memberships)
        found: list[Endpoint] = []
        for sock in _udp_sockets():
            with sock:
                options = describe_socket(sock, memberships)
                if options.get("namespace") == cookie and options.get("inode") not in inodes:
                    found += _plain(host, options)
    # The newest last, as those of hosts are.
    return sorted(found, key=lambda endpoint: endpoint.options["inode"])


def _plain(host: Host, options: Mapping[str, Any]) -> Iterator[Endpoint]:
    port = options.get("local", ["", 0])[1]
    silent = 0 if port == 0 else None  # the first datagram takes a port
    joined = options.get("joined", ())
    for each in joined:
        source = each["sources"][0] if each["mode"] == "include" and each["sources"] else None
        channel = Channel.unchecked(each["group"], port, source)
        yield Endpoint(host, "receiver", channel, socket.if_indextoname(each["index"]), options)
    # What receives may send as well.
    yield Endpoint(host, "sender", _peer(options), _interface(host, options), options, silent)


def _peer(options: Mapping[str, Any]) -> Channel | None:
    try:
        return Channel(*options["peer"]) if "peer" in options else None
    except (ChannelError, ValueError):  # connected to a host
        return None


def _interface(host: Host, options: Mapping[str, Any]) -> str:
    return options.get("device") or host.interface.name


def _udp_sockets() -> Iterator[socket.socket]:
    for name in os.listdir("/proc/self/fd"):
        try:
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            sock = socket.socket(fileno=os.dup(int(name)))
        except OSError:  # closed by now, or not for us
            continue
        if sock.family in (socket.AF_INET, socket.AF_INET6) and sock.type == socket.SOCK_DGRAM:
            yield sock
        else:
            sock.close()


def _endpoint(host: Host, each: object, memberships: list[Mapping[str, Any]]) -> Endpoint | None:
    if isinstance(each, EchoResponder):
        return Endpoint(host, "receiver", each.channel, each.interface.name, {}, each.replies, each)
    if isinstance(each, Receiver):
        found = Endpoint(host, "receiver", each.channel, each.interface.name, {}, each.statistics().received, each)
        sock: object = getattr(each.subscription, "socket", None)
    elif isinstance(each, Sender):
        found = Endpoint(host, "sender", each.channel, each.interface.name, {}, each.count, each)
        sock = getattr(each, "socket", None)
    else:
        return None
    if not isinstance(sock, socket.socket):  # of a remote host
        return replace(found, options=_of_remote(each)) if isinstance(each, Sender) else found
    with host.inside():
        return replace(found, options=describe_socket(sock, memberships, each.channel.group))


def _of_remote(sender: Sender) -> dict[str, Any]:
    with suppress(McastError, OSError):  # a host that is lost
        return {
            "family": sender.channel.family,
            "local": list(sender.source),
            "multicast_ttl": sender.ttl,
            "multicast_loop": int(sender.loopback),
        }
    return {}


def _index(interface: str) -> int:
    try:
        return socket.if_nametoindex(interface)
    except OSError:  # gone
        return 0
