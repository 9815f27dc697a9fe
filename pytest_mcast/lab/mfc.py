"""The kernel's multicast forwarding entries (MFC), whoever has made them: read, and waited for. rtnetlink(7), linux/mroute.h."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_mcast.core.errors import McastError
from pytest_mcast.wire.attributes import attributes

from .netlink import Netlink, Request

if TYPE_CHECKING:
    from .router import Router

__all__ = ["EVENTS", "MfcEntry", "RouteTimeout", "read_mfc"]

#: The multicast groups of rtnetlink that announce changes (RTNLGRP_IPV4_MROUTE, RTNLGRP_IPV6_MROUTE).
EVENTS = {"ipv4": 6, "ipv6": 10}

_GETROUTE = 26
_FAMILIES = {"ipv4": 128, "ipv6": 129}  # RTNL_FAMILY_IPMR, RTNL_FAMILY_IP6MR
_DST, _SRC, _IIF, _MULTIPATH, _STATS = 1, 2, 3, 9, 17  # RTA_*
_UNRESOLVED = 32  # RTNH_F_UNRESOLVED


class RouteTimeout(McastError, AssertionError, TimeoutError):  # noqa: N818 - reads as the verdict it is
    """The deadline passed and the entries are not as they should be; the text says how they are."""

    #: What had to be reported for that, as ``NotReported`` has it; not set when a route was to go, or needs no report.
    wanted: object = None
    #: The router, and by which of its interfaces the report had to come; None: by any.
    router: Router | None = None
    interface: str | None = None
    #: What was seen at that moment, by who has set ``Host.lost``.
    moment: object = None


@dataclass(frozen=True)
class MfcEntry:
    """Packets of a group, from one source or (None) from any, that come in by one interface go out by others.

    ``outgoing`` maps interfaces to the TTL that a packet must have more of (IPv4; IPv6 has 1). An entry that is not
    ``resolved`` only keeps packets until there is a real one. Bytes are those of IP.
    """

    group: str
    source: str | None
    incoming: str
    outgoing: dict[str, int] = field(hash=False)
    resolved: bool = True
    packets: int = field(default=0, compare=False)
    bytes: int = field(default=0, compare=False)
    wrong_interface: int = field(default=0, compare=False)

    def __str__(self) -> str:
        channel = f"({self.source or '*'}, {self.group})"
        if not self.resolved:
            return f"{channel} waits for an entry"
        out = ", ".join(self.outgoing) or "nowhere"
        wrong = f", {self.wrong_interface} of them by another interface" if self.wrong_interface else ""
        return f"{channel} from {self.incoming or 'nowhere'} to {out}, {self.packets} packets{wrong}"


def read_mfc(connection: Netlink, family: str, name: Callable[[int], str]) -> tuple[MfcEntry, ...]:
    """Return the entries of a family, sorted by group and source; ``name`` says how the interface of a number is called."""
    header = struct.pack("=BBBBBBBBI", _FAMILIES[family], 0, 0, 0, 0, 0, 0, 0, 0)  # struct rtmsg
    request = Request(_GETROUTE, 0, header, f"read the {family} multicast routes")
    entries = [_entry(body, name) for body in connection.ask(request, dump=True) if body[0] == _FAMILIES[family]]
    return tuple(sorted(entries, key=lambda entry: (entry.group, entry.source or "")))


def _entry(body: bytes, name: Callable[[int], str]) -> MfcEntry:
    found = dict(attributes(body, 12))
    flags = struct.unpack_from("=I", body, 8)[0]
    source = found.get(_SRC, b"")
    packets, octets, wrong = struct.unpack("=3Q", found[_STATS]) if _STATS in found else (0, 0, 0)
    return MfcEntry(
        group=str(ipaddress.ip_address(found[_DST])),
        source=str(ipaddress.ip_address(source)) if any(source) else None,
        incoming=name(struct.unpack("=I", found[_IIF])[0]) if _IIF in found else "",
        outgoing={name(index): threshold for index, threshold in _hops(found.get(_MULTIPATH, b""))},
        resolved=not flags & _UNRESOLVED,
        packets=packets,
        bytes=octets,
        wrong_interface=wrong,
    )


def _hops(packed: bytes) -> Iterator[tuple[int, int]]:
    """Yield number and threshold of each outgoing interface: struct rtnexthop, whose ``hops`` is the threshold."""
    position = 0
    while position + 8 <= len(packed):
        length, _, threshold, index = struct.unpack_from("=HBBi", packed, position)
        yield index, threshold
        position += max(8, (length + 3) & ~3)
