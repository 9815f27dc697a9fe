"""What a receiver's host knows of datagrams that come in: where they are from, how far they have got."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from .facts import Facts, NotRead
from .firewall import Packet
from .flow import End, Flow

__all__ = [
    "came_in",
    "conf_name",
    "counted",
    "datagram",
    "delivered",
    "from_elsewhere",
    "has_impossible_source",
    "named",
    "packets",
    "sent_out",
    "source_of",
    "way_back",
]

_HEADERS = {"ipv4": 28, "ipv6": 48}  # of IP and UDP
# Sources that no host takes from outside: net/ipv4/route.c, ip_mc_validate_source; RFC 4291 section 2.5.3, 2.7.
_NEVER = {
    "ipv4": ("127.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32"),
    "ipv6": ("::1/128", "ff00::/8"),
}
_MAIN_TABLES = (255, 254, 253)  # local, main, default: in the order in which the kernel asks them
_USUAL_RULES = {(0, 255), (32766, 254), (32767, 253)}


def source_of(flow: Flow) -> str | None:
    """Return the address that the datagrams come from; None when nobody knows."""
    known = flow.source or flow.channel.source
    if known is not None or flow.sender is None:
        return known
    try:
        route = flow.sender.facts.route_to(flow.channel.group)
    except NotRead:
        return None
    # What the kernel chooses for a socket that is not bound, and has not been told of an interface.
    return route.get("source") if route.get("interface") == flow.sender.interface else None


def datagram(flow: Flow, *, incoming: str | None = None, outgoing: str | None = None) -> Packet:
    """Return the datagrams of a flow as rules of a firewall see them, where they pass these interfaces."""
    channel = flow.channel
    length = None if flow.size is None else flow.size + _HEADERS[channel.family]
    source_port = None
    if flow.sender is not None and flow.sender.sockets:
        source_port = flow.sender.sockets[0].get("local", ["", 0])[1] or None
    back = _ways_back(flow)
    return Packet(
        channel.family,
        channel.group,
        source=source_of(flow),
        port=channel.port,
        source_port=source_port,
        ttl=None if flow.apart is not None else flow.ttl,  # routers on the way make it less
        length=length,
        incoming=incoming,
        outgoing=outgoing,
        routed=None if back is None else bool(back),
        routed_back=None if back is None or incoming is None else incoming in back,
    )


def _ways_back(flow: Flow) -> list[str] | None:
    """Return the interfaces by which the receiver's host would answer the source; None when nobody knows."""
    source, end = source_of(flow), flow.receiver
    if source is None or end is None:
        return None
    try:
        if ipaddress.ip_address(source).version == 6 and ipaddress.ip_address(source).is_link_local:
            routes = end.facts.routes("ipv6")
            return [each["interface"] for each in routes if each["destination"] == "fe80::/64" and each["interface"]]
        back = way_back(end.facts, source)
    except NotRead:
        return None
    return [] if back is None or back["interface"] is None else [back["interface"]]


def from_elsewhere(flow: Flow) -> End | None:
    """Return the receiver, if what it should get comes from another host."""
    return None if flow.same_host else flow.receiver


def conf_name(family: str, interface: str, name: str) -> str:
    """Return the sysctl of an interface as sysctl(8) takes it, also when there is a dot in the interface's name."""
    return f"net/{family}/conf/{interface}/{name}"


def named(end: End, **more: object) -> dict[str, object]:
    """Return the values that texts name: ``host``, ``interface``, and more."""
    return {"host": end.name, "interface": end.interface, **more}


def counted(end: End, name: str) -> int | None:
    """Return what a counter has counted there; None when nobody has looked."""
    try:
        return end.changes[name]
    except NotRead:
        return None


def came_in(end: End, family: str) -> int:
    """Return how many packets of a family IP has got there, whatever they were; raises ``NotRead``."""
    return end.changes["Ip.InReceives" if family == "ipv4" else "Ip6InReceives"]


def delivered(end: End, family: str) -> int:
    """Return how many datagrams sockets have got there, whichever they were; raises ``NotRead``."""
    return end.changes["Udp.InDatagrams" if family == "ipv4" else "Udp6InDatagrams"]


def sent_out(end: End, family: str) -> int:
    """Return how many datagrams sockets have sent there, whichever they were; raises ``NotRead``."""
    return end.changes["Udp.OutDatagrams" if family == "ipv4" else "Udp6OutDatagrams"]


def has_impossible_source(flow: Flow) -> bool:
    """Return whether the datagrams come from an address that no host takes from another; raises ``NotRead``."""
    source, end = source_of(flow), flow.receiver
    if source is None or end is None or flow.same_host:
        return False
    if not any(ipaddress.ip_address(source) in ipaddress.ip_network(each) for each in _NEVER[flow.channel.family]):
        return False
    return not (source.startswith("127.") and end.facts.conf("ipv4", end.interface, "route_localnet"))


def packets(count: int) -> str:
    """Return ``1 packet was``, ``2 packets were``."""
    return "1 packet was" if count == 1 else f"{count} packets were"


def way_back(facts: Facts, address: str) -> Mapping[str, Any] | None:
    """Return the route to an address; None when there is none. Raises ``NotRead`` where rules choose among more tables."""
    parsed = ipaddress.ip_address(address)
    family = f"ipv{parsed.version}"
    for rule in facts.rules(family):
        if (rule["priority"], rule["table"]) not in _USUAL_RULES:
            raise NotRead("rules", f"rule {rule['priority']} may choose another table, which is not looked up here")
    for table in _MAIN_TABLES:
        found = [
            (network.prefixlen, -(route["metric"] or 0), number, route)
            for number, route in enumerate(facts.routes(family))
            if route["table"] == table and parsed in (network := _network(route["destination"], family))
        ]
        if found:
            route: Mapping[str, Any] = max(found, key=lambda one: (one[0], one[1], -one[2]))[3]
            return route
    return None


def _network(destination: str, family: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    everything = "0.0.0.0/0" if family == "ipv4" else "::/0"
    return ipaddress.ip_network(everything if destination == "default" else destination, strict=False)
