"""What a bridge and its ports can be told, and what they say: linux/if_link.h, ip-link(8), bridge(8)."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

from pytest_mcast.wire.attributes import attributes, long_number, nested, octet, text

from . import netlink

__all__ = ["knows_other_querier", "link_state", "option", "options", "port_option", "port_options", "statistics"]

_GETLINK = 18
_LINKINFO, _STATS64 = 18, 23  # IFLA_*
_KIND, _DATA, _SLAVE_KIND, _SLAVE_DATA = 1, 2, 4, 5  # IFLA_INFO_*
_TICKS = os.sysconf("SC_CLK_TCK")  # a second, in intervals (clock_t)

# IFLA_BR_*
_OCTETS = {"snooping": 23, "querier": 25, "igmp_version": 43, "mld_version": 44}
_INTERVALS = {
    "last_member_interval": 30,
    "membership_interval": 31,
    "querier_interval": 32,
    "query_interval": 33,
    "query_response_interval": 34,
    "startup_query_interval": 35,
}
_QUERIER_STATE = 47
_OTHER_QUERIER = {"ipv4": 3, "ipv6": 7}  # BRIDGE_QUERIER_*_OTHER_TIMER
_PORT_OCTETS = {"fast_leave": 7, "multicast_router": 25, "mcast_flood": 27}  # IFLA_BRPORT_*


def options(index: int, **values: float) -> netlink.Request:
    """Set options of a bridge; those that are intervals in seconds."""
    data = [
        long_number(_INTERVALS[name], round(value * _TICKS)) if name in _INTERVALS else octet(_OCTETS[name], int(value))
        for name, value in values.items()
    ]
    what = ", ".join(f"{name} {value:g}" for name, value in values.items())
    info = nested(_LINKINFO, text(_KIND, "bridge"), nested(_DATA, *data))
    return netlink.change_link(index, f"set {what} of switch {index}", info)


def port_options(index: int, **values: int) -> netlink.Request:
    """Set options of a port of a bridge."""
    data = [octet(_PORT_OCTETS[name], value) for name, value in values.items()]
    what = ", ".join(f"{name} {value}" for name, value in values.items())
    info = nested(_LINKINFO, text(_SLAVE_KIND, "bridge"), nested(_SLAVE_DATA, *data))
    return netlink.change_link(index, f"set {what} of port {index}", info)


def link_state(connection: netlink.Netlink, index: int) -> bytes:
    """Return all that the kernel says of a link (the body of a RTM_NEWLINK)."""
    body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, 0, 0)
    return connection.ask(netlink.Request(_GETLINK, 0, body, f"look at link {index}"))[0]


def option(state: bytes, name: str) -> float:
    """Read an option of a bridge out of its state; intervals in seconds."""
    data = dict(_info(state, _DATA))
    if name in _INTERVALS:
        return float(struct.unpack("=Q", data[_INTERVALS[name]])[0]) / _TICKS
    return data[_OCTETS[name]][0]


def knows_other_querier(state: bytes, family: str) -> bool:
    """Whether a bridge believes in a querier that is not itself; no kernel before 5.15 says so."""
    querier = dict(attributes(dict(_info(state, _DATA)).get(_QUERIER_STATE, b"")))
    return _OTHER_QUERIER[family] in querier


def port_option(state: bytes, name: str) -> int:
    """Read an option of a port out of its state."""
    return dict(_info(state, _SLAVE_DATA))[_PORT_OCTETS[name]][0]


def statistics(state: bytes) -> tuple[int, ...]:
    """Read the counters (struct rtnl_link_stats64): packets in, out, bytes in, out, errors in, out, drops in, out..."""
    values = dict(attributes(state, 16))[_STATS64]
    return struct.unpack_from("=8Q", values)


def _info(state: bytes, part: int) -> Iterator[tuple[int, bytes]]:
    info = dict(attributes(dict(attributes(state, 16))[_LINKINFO]))
    yield from attributes(info.get(part, b""))
