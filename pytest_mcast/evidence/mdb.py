"""The multicast databases of the bridges in a network namespace, and their router ports: linux/if_bridge.h, bridge(8)."""

from __future__ import annotations

import socket
import struct
from contextlib import closing
from typing import Any, Dict, Iterator, List, Optional, Tuple

from pytest_mcast.wire.attributes import attributes
from pytest_mcast.wire.rtnetlink import Netlink, Request

__all__ = ["entries", "router_ports"]

_GETMDB = 86  # linux/rtnetlink.h
_MDB, _ROUTER = 1, 2  # MDBA_MDB, MDBA_ROUTER
_TIMER, _SOURCES, _MODE, _SOURCE = 1, 2, 3, 4  # MDBA_MDB_EATTR_*
_SOURCE_ADDRESS = 1  # MDBA_MDB_SRCATTR_ADDRESS
_ROUTER_TIMER, _ROUTER_TYPE = 1, 2  # MDBA_ROUTER_PATTR_*
_ENTRY = "=IBBH16s2s"  # struct br_mdb_entry
_PERMANENT, _BLOCKED = 1, 8  # MDB_PERMANENT, MDB_FLAGS_BLOCKED
_PROTOCOLS = {0x0800: socket.AF_INET, 0x86DD: socket.AF_INET6}  # linux/if_ether.h
_TICKS = 100  # USER_HZ: what bridges count their timers in


def entries() -> List[Dict[str, Any]]:
    """Return the entries of all bridges; raises ``OSError``.

    ``bridge``, ``port`` (the bridge itself when it has joined), ``group``, ``source`` or None, ``blocked`` (the port does
    not want this source), ``permanent``, ``vlan`` (0 without), ``mode`` (include, exclude, or empty with IGMPv2 and
    MLDv1), ``sources`` of that mode, ``timer_s`` (0 where it does not expire).
    """
    return [each for bridge, kind, body, names in _tables() if kind == _MDB for each in _entries(bridge, body, names)]


def router_ports() -> List[Dict[str, Any]]:
    """Return the ports that get every group: ``bridge``, ``port``, ``type`` (temp, permanent), ``timer_s``.

    Raises ``OSError``. A port becomes one when a query, or a report of a router (RFC 4286), comes in at it.
    """
    found = []
    for bridge, kind, body, names in _tables():
        for _, port in attributes(body) if kind == _ROUTER else ():
            more = dict(attributes(port, 4))
            found.append(
                {
                    "bridge": bridge,
                    "port": _name(names, struct.unpack_from("=I", port)[0]),
                    "type": _ROUTER_TYPES.get(more.get(_ROUTER_TYPE, b"\xff")[0], "unknown"),
                    "timer_s": struct.unpack("=I", more.get(_ROUTER_TIMER, bytes(4)))[0] / _TICKS,
                }
            )
    return found


# linux/if_bridge.h: MDB_RTR_TYPE_*, in the words of bridge(8)
_ROUTER_TYPES = {0: "disabled", 1: "temp", 2: "permanent", 3: "temp"}


def _tables() -> Iterator[Tuple[str, int, bytes, Dict[int, str]]]:
    request = Request(_GETMDB, 0, struct.pack("=BxxxI", socket.AF_BRIDGE, 0), "read the multicast databases")
    with closing(Netlink()) as netlink:
        bodies = netlink.ask(request, dump=True)
        names = dict(socket.if_nameindex())
    for body in bodies:
        bridge = _name(names, struct.unpack_from("=I", body, 4)[0])
        for kind, table in attributes(body, 8):
            yield bridge, kind, table, names


def _entries(bridge: str, table: bytes, names: Dict[int, str]) -> Iterator[Dict[str, Any]]:
    for _, entry in attributes(table):
        for _, information in attributes(entry):
            port, state, flags, vlan, address, protocol = struct.unpack_from(_ENTRY, information)
            family = _PROTOCOLS.get(int.from_bytes(protocol, "big"))
            if family is None:  # a MAC address
                continue
            more = dict(attributes(information, struct.calcsize(_ENTRY) + 2))
            modes = {None: "", b"\0": "exclude", b"\1": "include"}
            sources = [dict(attributes(each)).get(_SOURCE_ADDRESS) for _, each in attributes(more.get(_SOURCES, b""))]
            yield {
                "bridge": bridge,
                "port": _name(names, port),
                "group": _address(family, address),
                "source": _address(family, more.get(_SOURCE)),
                "blocked": bool(flags & _BLOCKED),
                "permanent": state == _PERMANENT,
                "vlan": vlan,
                "mode": modes.get(more.get(_MODE), ""),
                "sources": sorted(str(_address(family, each)) for each in sources if each is not None),
                "timer_s": struct.unpack("=I", more.get(_TIMER, bytes(4)))[0] / _TICKS,
            }


def _address(family: int, packed: Optional[bytes]) -> Optional[str]:
    return None if packed is None else socket.inet_ntop(family, packed[: 4 if family == socket.AF_INET else 16])


def _name(names: Dict[int, str], index: int) -> str:
    return names.get(index, str(index))
