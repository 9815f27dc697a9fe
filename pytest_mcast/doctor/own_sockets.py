"""The UDP sockets of this process that are not ours: those of the code under test, in whichever host they are."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.errors import ChannelError, InterfaceError
from pytest_mcast.core.system import LINUX
from pytest_mcast.evidence import Reading
from pytest_mcast.hosts import Host

from .describing import MOST, Joinable, describe_socket
from .endpoint import Endpoint
from .sends import Sent

__all__ = ["chosen_by", "opened_here", "own_sockets"]

_MOST_ASKED = 1000  # of the sockets of any kind, to find those that are meant


def opened_here() -> dict[int, int]:
    """Return the descriptors of all sockets of this process, by inodes (about 0.05 ms).

    None on other systems than Linux, and where it has no descriptor left to look for them.
    """
    if not LINUX:
        return {}
    from pytest_mcast.evidence.descriptors import open_sockets

    return open_sockets()


def own_sockets(
    readings: Mapping[Host, Mapping[str, Reading]],
    opened: Mapping[int, int],
    known: Collection[int],
    sends: Mapping[int, Sent] = MappingProxyType({}),
) -> list[Endpoint]:
    """Return those of the opened ones that are in a host which says what its namespace is, and are not known (inodes).

    One that has joined groups is a receiver of each, on its port. Each is a sender: to what it has sent to, by the
    ``sends``, or else to any group. When there are many it is the newest ``MOST``. Of those that are closed by now there
    are senders only.
    """
    places = {_namespace(each): host for host, each in readings.items()}
    places.pop(None, None)
    if not places:
        return []
    from pytest_mcast.evidence.descriptors import duplicate, namespace_of

    chosen: dict[Host, list[tuple[int, int]]] = {}
    left = MOST
    for inode, descriptor in sorted(opened.items(), reverse=True)[:_MOST_ASKED]:
        host = None if inode in known else places.get(namespace_of(descriptor))
        if host is not None:
            chosen.setdefault(host, []).append((inode, descriptor))
            left -= 1
            if not left:
                break
    found: list[Endpoint] = []
    for host, sockets in chosen.items():
        interface = _interface(host)
        with host.inside():
            joinable = Joinable(readings[host])
            for inode, descriptor in sockets:
                sock = duplicate(descriptor, inode)
                if sock is None:  # closed by now
                    continue
                with sock, suppress(OSError):  # whatever it may not tell: the others do
                    options = describe_socket(sock, joinable)
                    found += _receivers(host, options)
                    found += _senders(host, interface, options, sends.get(inode))
    for inode, sent in sends.items():
        host = None if inode in opened or inode in known else places.get(sent.options.get("namespace"))
        if host is not None and not host.gone:
            with host.inside():
                found += _senders(host, _interface(host), sent.options, sent)
    # The newest last, as those of hosts are.
    return sorted(found, key=lambda endpoint: endpoint.options["inode"])


def _namespace(readings: Mapping[str, Reading]) -> int | None:
    value: int | None = readings.get("namespace", Reading()).value
    return value


def _interface(host: Host) -> str | None:
    try:
        return host.interface.name
    except InterfaceError:  # the test has removed it
        return None


def _receivers(host: Host, options: Mapping[str, Any]) -> Iterator[Endpoint]:
    port = options.get("local", ["", 0])[1]
    for each in options.get("joined", ()):
        name = _named(each["index"])
        if name is None:  # the interface is gone by now
            continue
        source = each["sources"][0] if each["mode"] == "include" and each["sources"] else None
        channel = Channel.unchecked(each["group"], port, source)
        yield Endpoint(host, "receiver", channel, name, options)


def _senders(host: Host, interface: str | None, options: Mapping[str, Any], sent: Sent | None) -> Iterator[Endpoint]:
    """Yield what a socket sends; what receives may send as well."""
    out = options.get("device") or interface
    if out is None:
        return
    if sent is None:
        port = options.get("local", ["", 0])[1]
        yield Endpoint(host, "sender", _peer(options), out, options, 0 if port == 0 else None)  # the first takes a port
        return
    for group, port, scope in tuple(sent.to):  # another thread may send to another group meanwhile
        to = _named(scope)
        more = {} if to is None else {"sent_to": to}
        yield Endpoint(host, "sender", Channel.unchecked(group, port), to or out, {**options, **more})


def chosen_by(host: Host, options: Mapping[str, Any]) -> str | None:
    """Return the interface that a sender's socket names; None when it names none, or does not tell."""
    named = options.get("multicast_interface")
    if options.get("device") or options.get("sent_to"):
        return options.get("device") or options.get("sent_to")
    if isinstance(named, int):
        with host.inside():
            return _named(named)
    return next((each.name for each in host.interfaces if named in each.addresses), None)


def _named(scope: int) -> str | None:
    """Return the interface of a scope id; None when there is none."""
    try:
        return socket.if_indextoname(scope) if scope else None
    except OSError:
        return None


def _peer(options: Mapping[str, Any]) -> Channel | None:
    try:
        return Channel(*options["peer"]) if "peer" in options else None
    except (ChannelError, ValueError):  # connected to a host
        return None
