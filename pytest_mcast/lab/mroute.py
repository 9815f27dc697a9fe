"""The kernel's multicast forwarding: interfaces (VIF, MIF) and entries (MFC) by its own interface. ip-mroute(8), linux/mroute.h, mroute6.h.

One process at a time has it in a network namespace; it all ends with its socket.
"""

from __future__ import annotations

import errno
import fcntl
import ipaddress
import os
import select
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.errors import MissingCapability
from pytest_mcast.wire.attach import NOTHING, attach_filter, instruction

__all__ = ["KINDS", "Forwarding", "RouteCounters", "Upcall", "in_use"]

_INIT, _ADD_VIF, _ADD_MFC, _DEL_MFC, _ASSERT = 200, 202, 204, 205, 207  # the same for both families
_ADD_MFC_PROXY, _DEL_MFC_PROXY = 210, 211  # of any source
_USE_INDEX = 0x8  # VIFF_USE_IFINDEX
_COUNTERS = 0x89E1  # SIOCGETSGCNT, SIOCGETSGCNT_IN6
_BUFFER = 1 << 20  # bytes, as far as we may
_MOST = 32  # MAXVIFS, MAXMIFS
_VIF = struct.Struct("=HBBIiI")  # struct vifctl: number, flags, threshold, rate limit, index, remote address
_MIF = struct.Struct("=HBBHxxI")  # struct mif6ctl: number, flags, threshold, index, rate limit
_MFC = struct.Struct("=4s4sH32sxxIIIi")  # struct mfcctl: source, group, parent, thresholds, counters, expiry
_KINDS = {1: "unresolved", 2: "wrong interface", 3: "whole packet"}  # IGMPMSG_*, MRT6MSG_*
#: What the kernel asks about.
KINDS = tuple(_KINDS.values())


@dataclass(frozen=True)
class RouteCounters:
    """What has come for an entry, whether or not it was forwarded, and how much of that by another interface than its own.

    Bytes are those of IP. Datagrams that go together through the kernel (bursts, segmentation offload) are one packet.
    """

    packets: int
    bytes: int
    wrong_interface: int


@dataclass(frozen=True)
class Upcall:
    """The kernel asks: ``kind`` is ``unresolved`` (a packet waits for an entry), ``wrong interface`` or ``whole packet``."""

    kind: str
    interface: str
    source: str
    group: str


class Forwarding:
    """Multicast forwarding of one family in the calling thread's network namespace.

    Up to 10 s three packets of each unresolved source and group wait for an entry (ipmr_cache_unresolved). Raises
    ``MissingCapability`` where the kernel has none, or another program has it.
    """

    def __init__(self, family: str) -> None:
        self.family = family
        ipv6 = family == "ipv6"
        self._level = socket.IPPROTO_IPV6 if ipv6 else socket.IPPROTO_IP
        protocol = socket.IPPROTO_ICMPV6 if ipv6 else socket.IPPROTO_IGMP
        self._names: list[str] = []
        kind = socket.AF_INET6 if ipv6 else socket.AF_INET
        self._socket = socket.socket(kind, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        try:
            # Upcalls have 0 where messages have their protocol, or type: without it, others would take their room.
            attach_filter(self._socket, _only_zero_at(0 if ipv6 else 9))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            self._socket.setsockopt(self._level, _INIT, 1)
            self._socket.setsockopt(self._level, _ASSERT, 1)  # tell of wrong interfaces, too
        except OSError as error:
            self._socket.close()
            raise _missing(family, error) from error

    def add_interface(self, name: str, threshold: int = 1) -> None:
        """Take part with an interface; what has a TTL below the threshold does not go out there (a setting of IPv4)."""
        if len(self._names) >= _MOST:
            raise ValueError(f"{name} is one too many: the kernel forwards between {_MOST} interfaces at the most")
        index = socket.if_nametoindex(name)
        number = len(self._names)
        data = (
            _MIF.pack(number, 0, threshold, index, 0)
            if self.family == "ipv6"
            else _VIF.pack(number, _USE_INDEX, threshold, 0, index, 0)
        )
        self._socket.setsockopt(self._level, _ADD_VIF, data)
        self._names.append(name)

    @property
    def interfaces(self) -> tuple[str, ...]:
        """The interfaces that take part."""
        return tuple(self._names)

    def add(self, source: str | None, group: str, incoming: str, outgoing: Mapping[str, int]) -> None:
        """Forward from one interface to others, each with the least TTL that goes out there (IPv4; IPv6 has 1).

        ``source`` None is any. Replaces the entry if there is one.
        """
        option = _ADD_MFC if source else _ADD_MFC_PROXY
        if source is None:  # it is found by its outgoing interfaces only; nothing goes back by it (mr_mfc_find_any)
            outgoing = {incoming: 1, **outgoing}
        self._socket.setsockopt(self._level, option, self._entry(source, group, incoming, outgoing))

    def delete(self, source: str | None, group: str, incoming: str) -> None:
        """Take an entry away; raises ``OSError`` (ENOENT) when there is none."""
        option = _DEL_MFC if source else _DEL_MFC_PROXY
        self._socket.setsockopt(self._level, option, self._entry(source, group, incoming, {}))

    def counters(self, source: str | None, group: str) -> RouteCounters:
        """Return the counters of an entry; raises ``OSError`` (EADDRNOTAVAIL) when there is none."""
        packed = _address6 if self.family == "ipv6" else _address4
        head = packed(source) + packed(group)
        answer = fcntl.ioctl(self._socket, _COUNTERS, head + bytes(3 * struct.calcsize("@L")))
        return RouteCounters(*struct.unpack_from("@LLL", answer, len(head)))

    def upcalls(self, deadline: Deadline | None = None) -> Iterator[Upcall]:
        """Yield what the kernel has asked up to now; with a deadline wait for the next, until that has passed."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while True:
            remaining = 0.0 if deadline is None else deadline.remaining()
            if not poll.poll(None if remaining is None else remaining * 1000):
                return
            upcall = self._upcall(self._socket.recv(65535, socket.MSG_DONTWAIT))
            if upcall is not None:
                yield upcall

    def _upcall(self, data: bytes) -> Upcall | None:
        """Read struct igmpmsg or struct mrt6msg; None for what is a message of IGMP or ICMPv6, or unknown."""
        ipv6 = self.family == "ipv6"
        if len(data) < (40 if ipv6 else 20) or data[0 if ipv6 else 9]:  # im6_mbz; im_mbz, where IGMP has the protocol
            return None
        kind, number = (data[1], struct.unpack_from("=H", data, 2)[0]) if ipv6 else (data[8], data[10])
        if kind not in _KINDS or number >= len(self._names):
            return None
        source, group = (data[8:24], data[24:40]) if ipv6 else (data[12:16], data[16:20])
        return Upcall(_KINDS[kind], self._names[number], _text(source), _text(group))

    def _entry(self, source: str | None, group: str, incoming: str, outgoing: Mapping[str, int]) -> bytes:
        parent = self._number(incoming)
        if self.family == "ipv4":
            thresholds = bytearray(_MOST)
            for name, threshold in outgoing.items():
                thresholds[self._number(name)] = threshold
            return _MFC.pack(_address4(source), _address4(group), parent, bytes(thresholds), 0, 0, 0, 0)
        members = sum(1 << self._number(name) for name in outgoing)
        # struct mf6cctl; its set of interfaces has 256 bits, in words of 32
        return _address6(source) + _address6(group) + struct.pack("=Hxx", parent) + members.to_bytes(32, "little")

    def _number(self, name: str) -> int:
        if name not in self._names:
            raise ValueError(f"{name!r} does not take part; there is {', '.join(self._names) or 'nothing'}")
        return self._names.index(name)

    def close(self) -> None:
        """Forward nothing any more; again is no error."""
        self._socket.close()


def _only_zero_at(place: int) -> bytes:
    """Return a filter (linux/filter.h) that takes what has 0 at a place: load a byte, compare, take all or nothing."""
    return instruction(0x30, place) + instruction(0x15, 0, 0, 1) + instruction(0x06, 0xFFFF) + NOTHING


def _address4(address: str | None) -> bytes:
    return ipaddress.IPv4Address(address or 0).packed


def _address6(address: str | None) -> bytes:
    """Pack a struct sockaddr_in6."""
    return struct.pack("=HHI16sI", socket.AF_INET6, 0, 0, ipaddress.IPv6Address(address or 0).packed, 0)


def _text(packed: bytes) -> str:
    return str(ipaddress.ip_address(packed))


def in_use(family: str) -> MissingCapability:
    """Return what says that another program has the forwarding of a family."""
    reason = f"another program has {family} multicast routing here already"
    return MissingCapability("routing", reason, "use a router of your own")


def _missing(family: str, error: OSError) -> MissingCapability:
    what = f"{family} multicast routing"
    if error.errno == errno.EADDRINUSE:
        return in_use(family)
    if error.errno in (errno.ENOPROTOOPT, errno.EOPNOTSUPP):
        name = "CONFIG_IPV6_MROUTE" if family == "ipv6" else "CONFIG_IP_MROUTE"
        return MissingCapability("routing", f"this kernel has no {what} ({error})", f"use a kernel with {name}")
    return MissingCapability(
        "routing", f"{what} cannot be had ({os.strerror(error.errno or 0)})", "use pytest --mcast-lab"
    )
