"""The rtnetlink messages that build a network: rtnetlink(7), linux/if_link.h, linux/rtnetlink.h.

Our own, because a network must be there in milliseconds: a whole host is one batch of messages with interface numbers
of our choice, where the libraries make a round trip per step and cannot run beside a running event loop.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from dataclasses import dataclass

from pytest_mcast.wire.attributes import NESTED, attribute, number, octet, text
from pytest_mcast.wire.rtnetlink import Netlink, NetlinkError, Request

__all__ = [
    "Netlink",
    "NetlinkError",
    "Request",
    "address",
    "bridge",
    "change_link",
    "delete_link",
    "link",
    "mtu",
    "no_automatic_addresses",
    "route",
    "veth",
]

_NEWLINK, _DELLINK, _NEWADDR, _NEWROUTE = 16, 17, 20, 24
_CREATE, _EXCL, _REPLACE = 0x400, 0x200, 0x100
_IFF_UP = 0x1


def _ifinfo(index: int, *, up: bool) -> bytes:
    flags = _IFF_UP if up else 0
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, flags, _IFF_UP if up else 0)


_ADDRESS, _NAME, _MTU, _MASTER, _LINKINFO, _AF_SPEC, _NET_NS_FD = 1, 3, 4, 10, 18, 26, 28  # IFLA_*


@dataclass(frozen=True)
class _End:
    """One end of a veth pair."""

    name: str
    index: int
    mac: str

    def own_attributes(self) -> bytes:
        return text(_NAME, self.name) + attribute(_ADDRESS, bytes.fromhex(self.mac.replace(":", "")))


def veth(
    name: str, index: int, mac: str, *, master: int | None, peer: tuple[str, int, str], peer_namespace: int, mtu: int
) -> Request:
    """Make a veth pair: this end up and in the bridge ``master``, the peer (name, index, MAC) down in a namespace."""
    here, there = _End(name, index, mac), _End(*peer)
    other = _ifinfo(there.index, up=False) + there.own_attributes() + number(_MTU, mtu)
    other += number(_NET_NS_FD, peer_namespace)
    body = _ifinfo(index, up=True) + here.own_attributes() + number(_MTU, mtu)
    if master is not None:
        body += number(_MASTER, master)
    body += attribute(
        _LINKINFO | NESTED,
        text(1, "veth") + attribute(2 | NESTED, attribute(1 | NESTED, other)),  # VETH_INFO_PEER
    )
    return Request(_NEWLINK, _CREATE | _EXCL, body, f"make the link {name} - {there.name}")


def bridge(name: str, index: int, mac: str, *, mtu: int) -> Request:
    """Make a flat bridge, up: no snooping, no spanning tree, no packet filter between its ports."""
    snooping, nf_ipv4, nf_ipv6, nf_arp = 23, 36, 37, 38  # IFLA_BR_*
    data = b"".join(octet(kind, 0) for kind in (snooping, nf_ipv4, nf_ipv6, nf_arp))
    body = _ifinfo(index, up=True) + _End(name, index, mac).own_attributes() + number(_MTU, mtu)
    body += attribute(_LINKINFO | NESTED, text(1, "bridge") + attribute(2 | NESTED, data))
    return Request(_NEWLINK, _CREATE | _EXCL, body, f"make the switch {name}")


def link(index: int, *, up: bool) -> Request:
    """Set a link up or down."""
    body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, _IFF_UP if up else 0, _IFF_UP)
    return Request(_NEWLINK, 0, body, f"set link {index} {'up' if up else 'down'}")


def no_automatic_addresses(index: int) -> Request:
    """Keep the kernel from making a link-local address, which would go through DAD whatever its flags (1 to 1.8 s)."""
    mode_none = attribute(socket.AF_INET6 | NESTED, octet(8, 1))  # IFLA_INET6_ADDR_GEN_MODE
    body = _ifinfo(index, up=False) + attribute(_AF_SPEC | NESTED, mode_none)
    return Request(_NEWLINK, 0, body, f"switch off automatic addresses of link {index}")


def change_link(index: int, what: str, *changes: bytes) -> Request:
    """Change a link by attributes (IFLA_*); ``what`` says in words how."""
    return Request(_NEWLINK, 0, _ifinfo(index, up=False) + b"".join(changes), what)


def mtu(index: int, octets: int) -> Request:
    """Change the MTU of a link."""
    return change_link(index, f"set the MTU of link {index} to {octets}", number(_MTU, octets))


def delete_link(index: int) -> Request:
    """Delete a link, and with it the other end of a veth pair."""
    return Request(_DELLINK, 0, _ifinfo(index, up=False), f"delete link {index}")


def address(index: int, ip: str, prefix: int, *, dad: bool = False) -> Request:
    """Add an address; an IPv6 one without duplicate address detection (IFA_F_NODAD) unless ``dad`` says so."""
    packed = ipaddress.ip_address(ip).packed
    family = socket.AF_INET6 if len(packed) == 16 else socket.AF_INET
    nodad = 0x02 if family == socket.AF_INET6 and not dad else 0
    body = struct.pack("=BBBBI", family, prefix, nodad, 0, index)
    body += attribute(2, packed) + attribute(1, packed)  # IFA_LOCAL, IFA_ADDRESS
    return Request(_NEWADDR, _CREATE | _EXCL, body, f"add the address {ip}/{prefix}")


def route(
    network: str,
    *,
    index: int | None = None,
    gateway: str | None = None,
    kind: str = "unicast",
    table: int = 254,
    metric: int = 0,
    replace: bool = False,
) -> Request:
    """Add a route to a network (``ff00::/8``) through a link or a gateway; ``kind``: unicast, local or multicast.

    ``replace``: instead of one that is there.
    """
    destination = ipaddress.ip_network(network)
    family = socket.AF_INET6 if destination.version == 6 else socket.AF_INET
    code = {"unicast": 1, "local": 2, "multicast": 5}[kind]
    scope = 0 if gateway or family == socket.AF_INET6 else 254 if kind == "local" else 253  # global, host, link
    body = struct.pack("=BBBBBBBBI", family, destination.prefixlen, 0, 0, table, 4, scope, code, 0)
    if destination.prefixlen:
        body += attribute(1, destination.network_address.packed)  # RTA_DST
    if index is not None:
        body += number(4, index)  # RTA_OIF
    if gateway is not None:
        body += attribute(5, ipaddress.ip_address(gateway).packed)  # RTA_GATEWAY
    if metric:
        body += number(6, metric)  # RTA_PRIORITY
    return Request(_NEWROUTE, _CREATE | (_REPLACE if replace else 0), body, f"add the route to {network}")
