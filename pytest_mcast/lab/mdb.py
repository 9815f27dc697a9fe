"""The multicast database (MDB) of a snooping switch: which port wants which group. linux/if_bridge.h, bridge(8)."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.errors import McastError
from pytest_mcast.wire.attributes import attributes

from .netlink import Netlink, Request

if TYPE_CHECKING:
    from .port import Port

__all__ = ["EVENTS", "MdbEntry", "MdbTimeout", "forwarding", "read_mdb"]

#: The multicast group of rtnetlink that announces changes (RTNLGRP_MDB).
EVENTS = 26

_GETMDB = 86
_MDB = _ENTRY = _ENTRY_INFO = 1  # MDBA_*
_TIMER, _SRC_LIST, _GROUP_MODE, _SOURCE = 1, 2, 3, 4  # MDBA_MDB_EATTR_*
_BLOCKED, _IPV4, _IPV6 = 8, 0x0800, 0x86DD
_FLAGS = {1: "offload", 2: "fast-leave", 4: "star-exclude", 8: "blocked", 16: "offload-failed"}
_TICKS = os.sysconf("SC_CLK_TCK")  # a second, in clock_t


class MdbTimeout(McastError, AssertionError, TimeoutError):  # noqa: N818 - reads as the verdict it is
    """The deadline passed and the MDB is not as it should be; the text says how it is."""

    #: What had to be reported for that, and by whom, as ``NotReported`` has it; not set when an entry was to go.
    wanted: object = None
    #: The port of the switch at which that host is.
    port: Port | None = None
    #: What was seen at that moment, by who has set ``Host.lost``.
    moment: object = None


@dataclass(frozen=True)
class MdbEntry:
    """A port that wants a group, or a group from a source; ``host`` and ``interface`` are what is at the port.

    ``host`` is None, and ``interface`` empty, for the switch itself. A ``blocked`` entry says that the port does
    *not* want this source. What follows is not compared: ``mode`` of the group at this port (``include``: only from the
    sources that have entries of their own; ``exclude``: from all but the blocked ones; empty with IGMPv2 and MLDv1,
    which know no sources), ``sources`` of that mode, ``flags`` in bridge(8)'s words, and ``timer``: the seconds until
    it is forgotten, unless a report comes (RFC 3376 section 6.4); 0 where the kernel does not say, as in mode include.
    """

    host: str | None
    interface: str
    group: str
    source: str | None = None
    blocked: bool = False
    permanent: bool = False
    vlan: int = 0
    mode: str = field(default="", compare=False)
    sources: tuple[str, ...] = field(default=(), compare=False)
    flags: tuple[str, ...] = field(default=(), compare=False)
    timer: float = field(default=0.0, compare=False)

    @property
    def family(self) -> str:
        """``ipv4`` or ``ipv6``."""
        return "ipv6" if ":" in self.group else "ipv4"

    def __str__(self) -> str:
        channel = self.group if self.source is None else f"{self.source}@{self.group}"
        where = "the switch itself" if self.host is None else f"{self.interface} of {self.host}"
        left = f"{self.timer:g} s left" if self.timer else ""
        words = [self.mode, "permanent" if self.permanent else left, *self.flags]
        return f"{channel} at {where}: {', '.join(word for word in words if word)}"


def read_mdb(connection: Netlink, bridge: int, at: Callable[[int], tuple[str | None, str]]) -> tuple[MdbEntry, ...]:
    """Return the entries of a bridge, sorted; ``at`` says for the number of a port which host and interface is there."""
    request = Request(_GETMDB, 0, struct.pack("=BxxxI", socket.AF_BRIDGE, 0), "read the MDB")
    entries = [
        replace(entry, host=host, interface=interface)
        for body in connection.ask(request, dump=True)
        if struct.unpack_from("=I", body, 4)[0] == bridge
        for port, entry in _entries(body)
        for host, interface in [at(port)]
    ]
    return tuple(sorted(entries, key=_order))


def forwarding(entries: Sequence[MdbEntry], wanted: Channel | str, host: str, interface: str) -> MdbEntry | None:
    """Return the entry that makes the switch forward a channel, or anything of a group, to an interface of a host.

    ``entries`` are all that the switch has of the group: as soon as there is one of the source, at whatever port, the
    source is forwarded by the entries of the source alone.
    """
    group = wanted if isinstance(wanted, str) else wanted.group
    here = [entry for entry in entries if (entry.host, entry.interface, entry.group) == (host, interface, group)]
    if isinstance(wanted, str):
        return next((entry for entry in here if not entry.blocked), None)
    for entry in here:  # that of the source says it, before that of the group
        if wanted.source is not None and entry.source == wanted.source:
            return None if entry.blocked else entry
    found = next((entry for entry in here if entry.source is None and entry.mode != "include"), None)
    return None if found is None or _goes_by_source(entries, found, wanted.source) else found


def _goes_by_source(entries: Sequence[MdbEntry], of_group: MdbEntry, source: str | None) -> bool:
    """Whether a source has an entry at another port, so that the switch does not look at that of the group (br_mdb_get()).

    The kernel gives the source to the members of the group as well, but not to one who reports by an older version
    afterwards. A switch that speaks an older version itself knows no modes, and does not look at sources.
    """
    return bool(of_group.mode and source) and any(
        (entry.group, entry.vlan, entry.source) == (of_group.group, of_group.vlan, source) for entry in entries
    )


def _entries(body: bytes) -> Iterator[tuple[int, MdbEntry]]:
    """Yield port number and entry (struct br_mdb_entry and MDBA_MDB_EATTR_*) of one message of a dump."""
    for kind, table in attributes(body, 8):
        if kind != _MDB:
            continue
        for _, entry in attributes(table):
            for _, info in attributes(entry):
                port, state, flags, vlan, address, protocol = struct.unpack_from("=IBBH16s2s", info)
                if int.from_bytes(protocol, "big") not in (_IPV4, _IPV6):
                    continue  # a MAC address
                more = dict(attributes(info, 28))
                mode = more.get(_GROUP_MODE)
                yield (
                    port,
                    MdbEntry(
                        host=None,
                        interface="",
                        group=_address(address if int.from_bytes(protocol, "big") == _IPV6 else address[:4]),
                        source=_address(more[_SOURCE]) if _SOURCE in more else None,
                        blocked=bool(flags & _BLOCKED),
                        permanent=bool(state),
                        vlan=vlan,
                        mode="" if mode is None else ("include", "exclude")[mode[0] == 0],
                        sources=tuple(
                            _address(dict(attributes(one))[1]) for _, one in attributes(more.get(_SRC_LIST, b""))
                        ),
                        flags=tuple(name for bit, name in _FLAGS.items() if flags & bit),
                        timer=struct.unpack("=I", more[_TIMER])[0] / _TICKS if _TIMER in more else 0.0,
                    ),
                )


def _address(packed: bytes) -> str:
    return str(ipaddress.ip_address(packed))


def _order(entry: MdbEntry) -> tuple[object, ...]:
    return (ipaddress.ip_address(entry.group).packed, entry.host or "", entry.interface, entry.source or "")
