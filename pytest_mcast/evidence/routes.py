"""The routes and routing rules of a network namespace, and what the kernel answers for an address: rtnetlink(7)."""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from contextlib import closing
from typing import Any, Dict, Iterable, Iterator, List, Optional

from pytest_mcast.wire.attributes import attribute, attributes
from pytest_mcast.wire.rtnetlink import Netlink, NetlinkError, Request

__all__ = ["MOST", "route_to", "routes", "rules"]

_GETROUTE, _GETRULE = 26, 34  # linux/rtnetlink.h
_FAMILIES: Dict[int, str] = {socket.AF_INET: "ipv4", socket.AF_INET6: "ipv6"}
_BITS: Dict[int, int] = {socket.AF_INET: 32, socket.AF_INET6: 128}
# RTN_*, in the words of ip-route(8)
_KINDS = ("unspec", "unicast", "local", "broadcast", "anycast", "multicast", "blackhole", "unreachable", "prohibit",
          "throw", "nat")  # fmt: skip
# linux/fib_rules.h, FR_ACT_*
_ACTIONS = {1: "lookup", 2: "goto", 3: "nop", 6: "blackhole", 7: "unreachable", 8: "prohibit"}
_CLONED = 0x200  # RTM_F_CLONED: an entry of a cache, not a route
# RTA_*
_DESTINATION, _INTERFACE, _GATEWAY, _PRIORITY, _PREFERRED, _MULTIPATH, _TABLE, _VIA = 1, 4, 5, 6, 7, 9, 15, 18
# FRA_*
_RULE_DESTINATION, _RULE_SOURCE, _RULE_IIF, _RULE_PRIORITY, _RULE_MARK, _RULE_TABLE, _RULE_OIF = 1, 2, 3, 6, 10, 15, 17


#: Routes of a family that are read, at the most: a router of the Internet has a million, which takes many seconds.
MOST = 20_000


def routes() -> List[Dict[str, Any]]:
    """Return the routes of all tables, one for each of several next hops; raises ``OSError``, also for more than ``MOST``."""
    found: List[Dict[str, Any]] = []
    with closing(Netlink()) as netlink:
        names = _names()
        for family in _FAMILIES:
            request = Request(_GETROUTE, 0, struct.pack("=BBBBBBBBI", family, *bytes(7), 0), "list the routes")
            for body in netlink.ask(request, dump=True, most=MOST):
                if body[0] == family:
                    found += _routes(body, names)
    return found


def _names() -> Dict[int, str]:
    # The index and name of each link in the namespace of the calling thread: by netlink or ioctl, as the C library likes.
    return dict(socket.if_nameindex())


def _routes(body: bytes, names: Dict[int, str]) -> Iterator[Dict[str, Any]]:
    family, length, _, _, table, _, _, kind, flags = struct.unpack_from("=BBBBBBBBI", body)
    if flags & _CLONED:
        return
    found = dict(attributes(body, 12))
    route = {
        "family": _FAMILIES[family],
        "table": _number(found[_TABLE]) if _TABLE in found else table,
        "destination": _network(family, found.get(_DESTINATION), length) or "default",
        "kind": _KINDS[kind] if kind < len(_KINDS) else str(kind),
        "metric": _number(found[_PRIORITY]) if _PRIORITY in found else 0,
        "source": _text(family, found.get(_PREFERRED)),
    }
    for hop in _hops(found):
        index = _number(hop[_INTERFACE]) if _INTERFACE in hop else None
        name = None if index is None else names.get(index, str(index))
        yield {**route, "index": index, "interface": name, "gateway": _gateway(family, hop)}


def _hops(found: Dict[int, bytes]) -> Iterator[Dict[int, bytes]]:
    several, position = found.get(_MULTIPATH, b""), 0
    if not several:
        yield found
    while position + 8 <= len(several):  # struct rtnexthop, and its attributes
        length, _, _, index = struct.unpack_from("=HBBi", several, position)
        inner = dict(attributes(several[position + 8 : position + length]))
        yield {**inner, _INTERFACE: struct.pack("=i", index)}
        position += max(8, (length + 3) & ~3)


def _gateway(family: int, found: Dict[int, bytes]) -> Optional[str]:
    if _VIA in found:  # struct rtvia: of another family than the route
        return _text(struct.unpack_from("=H", found[_VIA])[0], found[_VIA][2:])
    return _text(family, found.get(_GATEWAY))


def rules() -> List[Dict[str, Any]]:
    """Return the rules that choose the table, in the order of the kernel, by family; raises ``OSError``."""
    found: List[Dict[str, Any]] = []
    with closing(Netlink()) as netlink:
        for family in _FAMILIES:
            request = Request(_GETRULE, 0, struct.pack("=BBBBBBBBI", family, *bytes(7), 0), "list the routing rules")
            try:
                bodies = netlink.ask(request, dump=True)
            except NetlinkError as error:
                # Without CONFIG_IP_MULTIPLE_TABLES, or without IPv6, there are none.
                if error.errno in (errno.EOPNOTSUPP, errno.EAFNOSUPPORT):
                    continue
                raise
            found += [_rule(body) for body in bodies if body[0] == family]
    return found


def _rule(body: bytes) -> Dict[str, Any]:
    family, to_length, from_length, _, table, _, _, action, _ = struct.unpack_from("=BBBBBBBBI", body)
    found = dict(attributes(body, 12))
    table = _number(found[_RULE_TABLE]) if _RULE_TABLE in found else table
    return {
        "family": _FAMILIES[family],
        "priority": _number(found[_RULE_PRIORITY]) if _RULE_PRIORITY in found else 0,
        "table": table or None,
        "action": _ACTIONS.get(action, str(action)),
        "source": _network(family, found.get(_RULE_SOURCE), from_length),
        "destination": _network(family, found.get(_RULE_DESTINATION), to_length),
        "iif": _word(found.get(_RULE_IIF)),
        "oif": _word(found.get(_RULE_OIF)),
        "mark": _number(found[_RULE_MARK]) if _RULE_MARK in found else None,
    }


def route_to(groups: Iterable[str]) -> Dict[str, Dict[str, Any]]:
    """Return what the kernel answers for each address: the way a datagram without a chosen interface would take.

    ``interface``, ``index``, ``source``, ``gateway``, ``kind``; or ``error``, such as ``ENETUNREACH``. Raises ``OSError``.
    """
    found: Dict[str, Dict[str, Any]] = {}
    with closing(Netlink()) as netlink:
        names = _names()
        for group in groups:
            address = ipaddress.ip_address(group)
            family = socket.AF_INET if address.version == 4 else socket.AF_INET6
            header = struct.pack("=BBBBBBBBI", family, _BITS[family], *bytes(6), 0)
            body = header + attribute(_DESTINATION, address.packed)
            try:
                (answer, *_) = netlink.ask(Request(_GETROUTE, 0, body, f"find the route to {group}"))
            except NetlinkError as error:
                found[group] = {"error": errno.errorcode.get(error.errno or 0, str(error.errno))}
                continue
            (route, *_) = _routes_of_answer(answer, names)
            found[group] = {name: route[name] for name in ("interface", "index", "source", "gateway", "kind")}
    return found


def _routes_of_answer(body: bytes, names: Dict[int, str]) -> Iterator[Dict[str, Any]]:
    # An answer is an entry of the cache (RTM_F_CLONED) for IPv4.
    return _routes(body[:8] + struct.pack("=I", 0) + body[12:], names)


def _network(family: int, packed: Optional[bytes], length: int) -> Optional[str]:
    if packed is None and not length:
        return None
    address = socket.inet_ntop(family, packed or bytes(_BITS[family] // 8))
    return f"{address}/{length}"


def _text(family: int, packed: Optional[bytes]) -> Optional[str]:
    return None if packed is None else socket.inet_ntop(family, packed)


def _word(packed: Optional[bytes]) -> Optional[str]:
    return None if packed is None else packed.rstrip(b"\0").decode("utf-8", "surrogateescape")


def _number(packed: bytes) -> int:
    value: int = struct.unpack("=I", packed)[0]
    return value
