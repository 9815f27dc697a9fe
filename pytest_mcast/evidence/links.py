"""The links of a network namespace, with bridges and their ports, and the addresses on them: rtnetlink(7)."""

from __future__ import annotations

import platform
import re
import socket
import struct
from contextlib import closing
from typing import Any, Dict, List

from pytest_mcast.wire.attributes import attributes
from pytest_mcast.wire.rtnetlink import Netlink, Request

__all__ = ["addresses", "links"]

_GETLINK, _GETADDR = 18, 22  # linux/rtnetlink.h
_TICKS = 100  # USER_HZ: what bridges count their timers in
# linux/if.h
_FLAGS = {
    "up": 0x1,
    "broadcast": 0x2,
    "loopback": 0x8,
    "pointopoint": 0x10,
    "running": 0x40,
    "noarp": 0x80,
    "promisc": 0x100,
    "allmulti": 0x200,
    "multicast": 0x1000,
    "lower_up": 0x10000,
}
_OPERATION = ("unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up")  # RFC 2863, IF_OPER_*
_PORT_STATES = ("disabled", "listening", "learning", "forwarding", "blocking")  # linux/if_bridge.h, BR_STATE_*
# The order of struct rtnl_link_stats64, numbers of 64 bits.
_STATISTICS = {
    "rx_packets": 0,
    "tx_packets": 1,
    "rx_bytes": 2,
    "tx_bytes": 3,
    "rx_errors": 4,
    "tx_errors": 5,
    "rx_dropped": 6,
    "tx_dropped": 7,
    "multicast": 8,
    "rx_missed": 15,
}
# linux/if_link.h: IFLA_*, IFLA_INFO_*
_ADDRESS, _NAME, _MTU, _LINK, _MASTER, _OPERSTATE, _LINKINFO, _STATS64, _CARRIER, _LINK_NETNSID = (
    1, 3, 4, 5, 10, 16, 18, 23, 33, 37
)  # fmt: skip
_KIND, _DATA, _PORT_KIND, _PORT_DATA = 1, 2, 4, 5
# IFLA_BR_*: numbers of 8 bits, of 32 bits, and times in ticks.
_BRIDGE = {"snooping": 23, "querier": 25, "igmp_version": 43, "mld_version": 44, "vlan_filtering": 7, "router": 22,
           "query_use_address": 24, "nf_call_iptables": 36, "nf_call_ip6tables": 37}  # fmt: skip
_BRIDGE_STP, _BRIDGE_QUERIER_STATE = 5, 47
_BRIDGE_TIMES = {"membership_interval_s": 31, "querier_interval_s": 32, "query_interval_s": 33,
                 "query_response_interval_s": 34}  # fmt: skip
_BRIDGE_NUMBERS = ("igmp_version", "mld_version", "router")
_OTHER_QUERIER = {"ipv4": 3, "ipv6": 7}  # BRIDGE_QUERIER_IP_OTHER_TIMER, BRIDGE_QUERIER_IPV6_OTHER_TIMER
# IFLA_BRPORT_*
_PORT = {"mcast_flood": 27, "multicast_router": 25, "isolated": 33, "fast_leave": 7, "locked": 39}
_PORT_STATE = 1

_KERNEL = tuple(int(digits) for digits in re.findall(r"\d+", platform.release())[:2])
_QUERIER_STATE_SINCE = (5, 16)

_SCOPES = {0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"}  # linux/rtnetlink.h, RT_SCOPE_*
# linux/if_addr.h, IFA_F_*, in the words of ip-address(8)
_ADDRESS_FLAGS = {
    "secondary": 0x01,
    "nodad": 0x02,
    "optimistic": 0x04,
    "dadfailed": 0x08,
    "deprecated": 0x20,
    "tentative": 0x40,
    "permanent": 0x80,
    "noprefixroute": 0x200,
    "autojoin": 0x400,
}
_FAMILIES = {socket.AF_INET: "ipv4", socket.AF_INET6: "ipv6"}


def links() -> List[Dict[str, Any]]:
    """Return the links, by index; raises ``OSError``.

    ``peer`` is the index of the other end (of a veth pair) or of the link below; with ``peer_elsewhere`` in another namespace.
    """
    request = Request(_GETLINK, 0, struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0), "list the links")
    with closing(Netlink()) as netlink:
        return sorted(map(_link, netlink.ask(request, dump=True)), key=lambda each: each["index"])


def _link(body: bytes) -> Dict[str, Any]:
    _, _, index, flags, _ = struct.unpack_from("=BxHiII", body)
    found = dict(attributes(body, 16))
    information = dict(attributes(found.get(_LINKINFO, b"")))
    link: Dict[str, Any] = {
        "index": index,
        "name": _text(found[_NAME]),
        "kind": _text(information.get(_KIND, b"")),
        "flags": [name for name, bit in _FLAGS.items() if flags & bit],
        "mtu": _number(found[_MTU]),
        "operstate": _OPERATION[found.get(_OPERSTATE, b"\0")[0]],
        "carrier": found.get(_CARRIER, b"\0")[0] == 1,
        "master": _number(found[_MASTER]) if _MASTER in found else None,
        "peer": (_number(found[_LINK]) or None) if _LINK in found else None,
        "peer_elsewhere": _LINK_NETNSID in found,
        "mac": found.get(_ADDRESS, b"").hex(":"),
        "stats": _statistics(found.get(_STATS64, b"")),
    }
    if link["kind"] == "bridge":
        link["bridge"] = _bridge(dict(attributes(information.get(_DATA, b""))))
    if _text(information.get(_PORT_KIND, b"")) == "bridge":
        link["port"] = _port(dict(attributes(information.get(_PORT_DATA, b""))))
    return link


def _statistics(packed: bytes) -> Dict[str, int]:
    numbers = struct.unpack_from(f"={len(packed) // 8}Q", packed)
    return {name: numbers[position] for name, position in _STATISTICS.items() if position < len(numbers)}


def _bridge(data: Dict[int, bytes]) -> Dict[str, Any]:
    found: Dict[str, Any] = {
        name: data[kind][0] if name in _BRIDGE_NUMBERS else bool(data[kind][0])
        for name, kind in _BRIDGE.items()
        if kind in data  # without CONFIG_BRIDGE_IGMP_SNOOPING there is none of them
    }
    found["stp"] = bool(_number(data.get(_BRIDGE_STP, bytes(4))))
    for name, kind in _BRIDGE_TIMES.items():
        if kind in data:
            found[name] = struct.unpack("=Q", data[kind])[0] / _TICKS
    if _BRIDGE_QUERIER_STATE in data or _KERNEL >= _QUERIER_STATE_SINCE:
        state = dict(attributes(data.get(_BRIDGE_QUERIER_STATE, b"")))  # there only if there is a querier
        found["other_querier"] = {
            family: struct.unpack("=Q", state.get(kind, bytes(8)))[0] > 0 for family, kind in _OTHER_QUERIER.items()
        }
    return found


def _port(data: Dict[int, bytes]) -> Dict[str, Any]:
    found: Dict[str, Any] = {"state": _PORT_STATES[data[_PORT_STATE][0]]}
    for name, kind in _PORT.items():
        if kind in data:
            found[name] = data[kind][0] if name == "multicast_router" else bool(data[kind][0])
    return found


def addresses() -> List[Dict[str, Any]]:
    """Return the addresses of the links; raises ``OSError``."""
    request = Request(_GETADDR, 0, struct.pack("=BBBBI", socket.AF_UNSPEC, 0, 0, 0, 0), "list the addresses")
    with closing(Netlink()) as netlink:
        return [_address(body) for body in netlink.ask(request, dump=True) if body[0] in _FAMILIES]


def _address(body: bytes) -> Dict[str, Any]:
    family, prefix, flags, scope, index = struct.unpack_from("=BBBBI", body)
    found = dict(attributes(body, 8))
    if 8 in found:  # IFA_FLAGS: all of them
        flags = _number(found[8])
    return {
        "index": index,
        "family": _FAMILIES[family],
        "address": socket.inet_ntop(family, found.get(2) or found[1]),  # IFA_LOCAL (not of IPv6), IFA_ADDRESS
        "prefix": prefix,
        "scope": _SCOPES.get(scope, str(scope)),
        "flags": [name for name, bit in _ADDRESS_FLAGS.items() if flags & bit],
    }


def _number(packed: bytes) -> int:
    value: int = struct.unpack("=I", packed)[0]
    return value


def _text(packed: bytes) -> str:
    return packed.rstrip(b"\0").decode("utf-8", "surrogateescape")
