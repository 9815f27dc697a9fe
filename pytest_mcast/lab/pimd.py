"""pimd in a router: the daemon of https://github.com/troglobit/pimd, for PIM-SM and PIM-SSM with IGMPv3. pimd(8).

It takes static rendezvous points into use 15 s after its start, those of a bootstrap message at once (RFC 5059): so it
gets one as well, which the switch of its first link sends it, as a router would that has just heard of it (section 3.5).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_mcast.core.deadline import Deadline

from .daemon import RoutingDaemon, expect_each, find, needs_root, start
from .named import host_named, lines_named, seconds_named

if TYPE_CHECKING:
    from pytest_mcast.hosts import Host

    from .programs import Program
    from .router import Router

__all__ = ["start_pimd"]

_CONFIGURATION = "/run/pimd.conf"
_DEBUG = "igmp_members,kernel,mfc,pim_bootstrap,pim_hello,pim_register,pim_join_prune"
_MEMBER = r"(group order from|switch SPT).*\({channel}\)"
_PIM = 103  # IPPROTO_PIM


def start_pimd(
    router: Router, *, rp: Host | str | None, query_interval: int, extra: Sequence[str], timeout: float
) -> RoutingDaemon:
    """Start it, and wait until it serves all interfaces, and knows its RP; see ``Router.pimd``."""
    needs_root("pimd")
    deadline = Deadline(timeout)
    path = find("pimd", "pimd", not_beside="zebra")  # whose neighbour is FRR's
    command = [path, "-f", "-s", "info", f"--debug={_DEBUG}", "-c", _CONFIGURATION]
    seconds_named("query_interval", query_interval)
    lines = [f"igmp-query-interval {query_interval}", f"igmp-querier-timeout {3 * query_interval + 5}"]
    point = None if rp is None else host_named("rp", rp, "ipv4")
    if point is not None:
        lines.append(f"rp-address {point} 224.0.0.0/4")

    def ready(program: Program) -> None:
        expect_each(program, r"Interface (\S+) comes up", router.names, timeout)
        if point is not None:
            _tell_rp(router, point)
            program.expect("Received PIM Bootstrap candidate", deadline.remaining() or 0.0)

    files = {_CONFIGURATION: "\n".join([*lines, *lines_named(extra), ""])}
    return start(router, command, ready, files=files, member=_MEMBER)


def _tell_rp(router: Router, rp: str) -> None:
    """Send the router a bootstrap message from the switch of its first link."""
    port = next(iter(router.plugged.values()))
    ours = port.link.gateways["0.0.0.0/0"]
    with port.link.namespace, socket.socket(socket.AF_INET, socket.SOCK_RAW, _PIM) as sock:
        sock.bind((ours, 0))
        sock.sendto(_bootstrap(ours, rp), (router.source("ipv4"), 0))


def _bootstrap(router: str, rp: str) -> bytes:
    """Return a bootstrap message by which one router is the RP of all groups (RFC 5059 section 4.1)."""
    unicast = struct.Struct("!BB4s")  # family 1 (IPv4), native encoding, address
    body = struct.pack("!HBB", 1, 30, 255)  # fragment tag, length of the hash mask, priority of the BSR
    body += unicast.pack(1, 0, socket.inet_aton(router))
    body += struct.pack("!BBBB4s", 1, 0, 0, 4, socket.inet_aton("224.0.0.0"))  # a group: flags, length of the prefix
    body += struct.pack("!BBH", 1, 1, 0)  # one RP, which is all of them
    body += unicast.pack(1, 0, socket.inet_aton(rp)) + struct.pack("!HBB", 0xFFFF, 0, 0)  # for ever, priority
    head = struct.pack("!BB", 0x24, 0)  # version 2, type 4
    return head + struct.pack("!H", _checksum(head + body)) + body


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
