"""What the checks of refused calls have in common: whose call it was, and the routes that cover a group."""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Mapping
from shlex import quote
from typing import Any

from pytest_mcast.core.errors import InterfaceError
from pytest_mcast.doctor.check import Place
from pytest_mcast.doctor.facts import Facts
from pytest_mcast.doctor.flow import End, Flow

__all__ = [
    "LOCAL_TABLE",
    "add_route",
    "caller",
    "covering",
    "covers",
    "eui64",
    "ip",
    "ipsec_exemption",
    "link_local_ipv4",
    "link_of",
    "place",
    "said",
    "table",
]

LOCAL_TABLE = 255  # RT_TABLE_LOCAL
_TABLES = {253: "default", 254: "main", 255: "local"}
_OF_SENDER = ("open", "send")
_CALLS = {"join": "join", "open": "open the sender", "send": "send"}


def caller(flow: Flow, *codes: int) -> End | None:
    """Return the end whose call was refused with one of the codes; None when it was another code, or nobody is known."""
    if flow.errno not in codes:
        return None
    return flow.sender if flow.call in _OF_SENDER else flow.receiver


def place(flow: Flow) -> Place:
    """Return where that end is."""
    return "sender" if flow.call in _OF_SENDER else "receiver"


def said(flow: Flow) -> str:
    """Return what the kernel said, as a line of evidence."""
    if isinstance(flow.error, InterfaceError):
        return f"nothing to send from: {flow.error}"
    code = flow.errno or 0
    return f"the kernel refused to {_CALLS.get(flow.call, flow.call)}: {errno.errorcode.get(code, code)}"


def link_of(end: End) -> Mapping[str, Any] | None:
    """Return the interface of an end; None when there is none of that name. Raises ``NotRead``."""
    return next((link for link in end.facts.links() if link["name"] == end.interface), None)


def ip(flow: Flow) -> str:
    """Return the program of the cure: ``ip``, for IPv6 with the option."""
    return "ip -6" if flow.channel.family == "ipv6" else "ip"


def add_route(link: Mapping[str, Any], network: str) -> str:
    """Return the command that adds a route to a group, or to all, by an interface."""
    name = quote(link["name"])
    if ":" not in network:
        return f"ip route add {network} dev {name}"
    # Over loopback IPv6 delivers nothing by a route of another type than local (measured, Linux 6.18).
    # The metric leaves the choice to real interfaces, for those who name none.
    if "loopback" in link["flags"]:
        return f"ip -6 route add local {network} dev {name} table local metric 4096"
    return f"ip -6 route add multicast {network} dev {name} table local"


def table(number: int) -> str:
    """Return the name of a routing table, as ip-route(8) takes it."""
    return _TABLES.get(number, str(number))


def covers(network: str | None, address: str) -> bool:
    """Return whether a network (``default`` and None are all) has an address in it."""
    return network in (None, "default") or ipaddress.ip_address(address) in ipaddress.ip_network(str(network))


def covering(facts: Facts, flow: Flow, which: int | None = None) -> list[Mapping[str, Any]]:
    """Return the routes to the group in a table, or in those that are asked by default; the local one, the longest first."""
    found = [
        route
        for route in facts.routes(flow.channel.family)
        if route["table"] in (_TABLES if which is None else (which,))
        and covers(route["destination"], flow.channel.group)
    ]
    return sorted(found, key=lambda route: (route["table"] != LOCAL_TABLE, -_length(route), route["metric"] or 0))


def _length(route: Mapping[str, Any]) -> int:
    destination: str = route["destination"]
    return 0 if destination == "default" else int(destination.partition("/")[2])


def eui64(prefix: str, mac: str) -> str:
    """Return the IPv6 address that an interface makes of its Ethernet address (RFC 4291 appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    identifier = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    network = ipaddress.IPv6Network(f"{prefix}/64", strict=False).network_address
    return str(ipaddress.IPv6Address(network.packed[:8] + identifier))


def link_local_ipv4(mac: str) -> str:
    """Return a link-local address that is made of an Ethernet address (RFC 3927: 169.254.1.0 to 169.254.254.255)."""
    third, fourth = bytes.fromhex(mac.replace(":", ""))[-2:]
    return f"169.254.{third % 254 + 1}.{fourth}"


def ipsec_exemption(flow: Flow) -> str:
    """Return the command that lets the group go out as it is, whatever other IPsec policies say."""
    everybody, length = ("::/0", 128) if flow.channel.family == "ipv6" else ("0.0.0.0/0", 32)
    return f"ip xfrm policy add dir out src {everybody} dst {flow.channel.group}/{length} action allow priority 1"
