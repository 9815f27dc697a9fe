"""Why a socket does not get a datagram that has reached its host: the kernel's rules of delivery, one obstacle each.

udp(7), ip(7), ipv6(7); Linux net/ipv4/udp.c (__udp_is_mcast_sock), net/ipv6/udp.c, net/ipv4/igmp.c (ip_mc_sf_allow),
net/ipv6/mcast.c (inet6_mc_check): IPv6 matches the memberships of a socket by group only, IPv4 by interface too.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .check import Match
from .flow import End, Flow
from .hearing import Ear, Joined, ears, listed

__all__ = ["Obstacle", "found", "obstacle", "obstacles"]

# RFC 3678 sections 4.1.3 and 5.1: those for IPv4, and those for both.
_SOURCES = ("IP_ADD_SOURCE_MEMBERSHIP", "MCAST_JOIN_SOURCE_GROUP")
# How a group is joined, with the member of the request that names the interface (ip(7), ipv6(7)).
_HOW = {
    "ipv4": "IP_ADD_MEMBERSHIP with imr_ifindex (struct ip_mreqn) or imr_address",
    "ipv6": "IPV6_JOIN_GROUP with ipv6mr_interface",
}


@dataclass(frozen=True)
class Obstacle:
    """Something that keeps datagrams from a socket: the id of its check, the evidence, and values for the texts.

    ``elsewhere``: it may be the other end that is wrong.
    """

    id: str
    evidence: tuple[str, ...]
    values: Mapping[str, object] = field(default_factory=dict)
    elsewhere: bool = False


def found(flow: Flow) -> dict[str, list[Obstacle]]:
    """Return the obstacles of all sockets of the receiver by id; nothing when one socket has none. Raises ``NotRead``."""
    if flow.receiver is None:
        return {}
    sockets = ears(flow)
    by_id: dict[str, list[Obstacle]] = {}
    for ear in sockets:
        own = list(obstacles(flow, flow.receiver, ear))
        if not own:
            return {}
        for one in own:
            by_id.setdefault(one.id, []).append(one)
    # What is so for some of them only may be what they are for.
    return {
        name: [Obstacle(one.id, one.evidence, one.values, one.elsewhere or len(ones) < len(sockets)) for one in ones]
        for name, ones in by_id.items()
    }


def obstacle(name: str) -> Callable[[Flow], Iterator[Match]]:
    """Return the condition of the check of that id."""

    def condition(flow: Flow) -> Iterator[Match]:
        for one in found(flow).get(name, ()):
            yield Match("likely" if one.elsewhere else "certain", one.evidence, one.values)

    return condition


def obstacles(flow: Flow, end: End, ear: Ear) -> Iterator[Obstacle]:
    """Yield what keeps the datagrams of a flow from a socket on the host of an end; raises ``NotRead``."""
    channel = flow.channel
    if ear.elsewhere:
        yield Obstacle("namespace.other", (f"the network namespace of {ear.name} is not that of {end.name}",))
        return
    if ear.family != channel.family and (ear.family == "ipv4" or ear.v6only):
        name = "family.v6only" if ear.v6only else "family.other"
        only = ", with IPV6_V6ONLY" if ear.v6only else ""
        yield Obstacle(name, (f"{ear.name} is an {ear.family} socket{only}; {channel.group} is {channel.family}",))
        return
    if ear.device_is_gone:  # and with it all that was joined there
        yield Obstacle("device.gone", (f"{ear.name} is bound to {ear.device}, an interface that {end.name} has not",))
        return
    yield from _of_the_address(flow, end, ear)
    yield from _of_memberships(flow, end, ear)


def _of_the_address(flow: Flow, end: End, ear: Ear) -> Iterator[Obstacle]:
    channel = flow.channel
    values = {"address": ear.address, "port": ear.port, "device": ear.device, "interface": end.interface}
    if ear.port == 0:
        yield Obstacle("port.unbound", (f"{ear.name} has no port: getsockname(2) says port 0",))
    elif ear.port != channel.port:
        yield Obstacle(
            "port.other", (f"{ear.name} is bound to port {ear.port}; the channel's is {channel.port}",), values
        )
    if ear.peer is not None:
        yield from _of_the_peer(flow, ear, ear.peer, values)
    elif ear.address not in ("", channel.group):
        name = "bind.other-group" if ipaddress.ip_address(ear.address).is_multicast else "bind.unicast"
        yield Obstacle(name, (f"{ear.name} is bound to {ear.address}",), values)
    if ear.device and ear.device != end.interface:
        by_scope = ear.scope != 0
        how = f"by the scope id {ear.scope} of its address" if by_scope else "(SO_BINDTODEVICE)"
        seen = f"{ear.name} is bound to {ear.device} {how}; the datagrams come in on {end.interface}"
        yield Obstacle("scope.other" if by_scope else "device.other", (seen,), values)


def _of_the_peer(flow: Flow, ear: Ear, peer: tuple[str, int], values: Mapping[str, object]) -> Iterator[Obstacle]:
    connected = f"{ear.name} is connected to {peer[0]} port {peer[1]}"
    values, port = {**values, "peer": peer[0]}, _source_port(flow)
    if ear.address != flow.channel.group:
        # connect() binds a socket without an address to that of the way to the peer (measured, Linux 6.18).
        bound = f"{ear.name} is bound to {ear.address}; connect() does that to a socket that is bound to no address"
        yield Obstacle("peer.connected", (connected, bound), values)
    elif flow.source not in (None, peer[0]) or port not in (None, peer[1]):
        yield Obstacle("peer.connected", (f"{connected}; the datagrams come from {_origin(flow)}",), values)


def _origin(flow: Flow) -> str:
    port = _source_port(flow)
    return f"{flow.source}{'' if port is None else f' port {port}'}"


def _source_port(flow: Flow) -> int | None:
    local = flow.sender.sockets[0].get("local") if flow.sender is not None and flow.sender.sockets else None
    return None if local is None else local[1]


def _of_memberships(flow: Flow, end: End, ear: Ear) -> Iterator[Obstacle]:
    group, interface = flow.channel.group, end.interface
    of_host = end.facts.memberships(group, interface)
    joined = [each for each in ear.joined or () if each.group == group]
    here = next((each for each in joined if each.interface == interface), None)
    values = {"interface": interface, "group": group}
    if here is not None and not of_host:
        seen = f"{ear.name} has joined {group} on {interface}, but {end.name} has no such membership there"
        yield Obstacle("membership.lost", (seen,), values)
        return
    if here is not None:
        yield from _of_sources(flow, ear, here)
    elif of_host and flow.channel.family == "ipv6" and joined:
        yield from _of_sources(flow, ear, joined[0])
        yield from _of_host(flow, end, ear, of_host)
    elif of_host and (ear.joined is None or ear.takes_all is not False):
        yield from _of_host(flow, end, ear, of_host)
    elif of_host and not joined:
        seen = (
            f"{interface} of {end.name} is a member, by another socket; {ear.name} is none and has IP_MULTICAST_ALL=0"
        )
        yield Obstacle("multicast-all.off", (seen,), values)
    elif not _same_mistake(flow, end, ear):
        yield _not_joined(flow, end, ear, joined)


def _same_mistake(flow: Flow, end: End, ear: Ear) -> bool:
    """Whether a socket is bound to the very group, or interface, that it has joined instead: that is one cause, not two."""
    groups = {each.group for each in ear.joined or ()}
    interfaces = {each.interface for each in ear.joined or ()}
    other_group = bool(ear.address) and flow.channel.group not in groups and groups == {ear.address}
    return other_group or (interfaces == {ear.device} and ear.device != end.interface)


def _of_host(flow: Flow, end: End, ear: Ear, memberships: list[Mapping[str, Any]]) -> Iterator[Obstacle]:
    """Yield what keeps the datagrams from the host, where the socket has not joined on the interface itself."""
    for each in memberships:
        if each["mode"] == "include":  # what one socket blocks, another may take
            joined = Joined(end.interface, flow.channel.group, "include", tuple(each["sources"]))
            yield from _of_sources(flow, ear, joined, f"{end.name} has")


def _of_sources(flow: Flow, ear: Ear, joined: Joined, who: str = "") -> Iterator[Obstacle]:
    source = flow.source or flow.channel.source
    if not joined.refuses(source):
        return
    who = who or f"{ear.name} has"
    values = {
        "source": source,
        "how": _SOURCES[":" in joined.group],
        "interface": joined.interface,
        "sources": listed(joined.sources) or "none",
    }
    if joined.mode == "exclude":
        yield Obstacle("membership.source-blocked", (f"{who} blocked {source} on {joined.interface}",), values)
        return
    seen = (
        f"{who} joined {joined.group} on {joined.interface} for {values['sources']}; the datagrams come from {source}"
    )
    # Joined for the source that is meant: then it is the sender that is wrong.
    meant = flow.channel.source is not None and not joined.refuses(flow.channel.source)
    yield Obstacle("membership.other-source", (seen,), values, elsewhere=meant)


def _not_joined(flow: Flow, end: End, ear: Ear, joined: list[Joined]) -> Obstacle:
    group, interface = flow.channel.group, end.interface
    values: dict[str, object] = {"interface": interface, "group": group, "how": _HOW[flow.channel.family]}
    missing = f"{end.name} has no membership of {group} on {interface}"
    elsewhere = [each.interface for each in joined]
    who = f"{ear.name} has"
    if ear.joined is None:
        elsewhere, who = [each["interface"] for each in end.facts.memberships(group)], f"{end.name} has"
    if elsewhere:
        where = listed(sorted(elsewhere))
        seen = (f"{who} joined {group} on {where}, not on {interface}", *_why_there(flow, end, elsewhere))
        return Obstacle("membership.other-interface", seen, {**values, "joined": where})
    others = sorted({each.group for each in ear.joined or ()})
    if others:
        seen = (f"{who} joined {listed(others)}, not {group}", missing)
        return Obstacle("membership.other-group", seen, {**values, "joined": listed(others)})
    return Obstacle("membership.none", (missing, *((f"{ear.name} has joined no group",) if ear.known else ())), values)


def _why_there(flow: Flow, end: End, interfaces: list[str]) -> Iterator[str]:
    """Say that a join without interface takes that of the route, where that is what has happened."""
    way = end.facts.route_to(flow.channel.group)
    if way.get("interface") in interfaces:
        yield f"the route of {end.name} to {flow.channel.group} is by {way['interface']}: a join that names no interface takes it"
