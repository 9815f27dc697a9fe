"""Datagrams that are built once, by scapy, and sent many times.

Building one takes 160 to 500 us, sending one 3 us. So a datagram is built with a mark in its payload, and each time it
is sent another mark is put in its place. A mark is a number and its complement, so that no checksum changes (RFC 1071).
"""

from __future__ import annotations

import ipaddress
import secrets
import struct
import sys
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

from pytest_mcast.core.channels import group_mac

__all__ = ["MARK_SIZE", "Packet", "Template", "mark_of", "new_mark"]

_PREFIX = b"pytest-mcast probe: "  # even, so that the mark is added to the checksum as it is
MARK_SIZE = 16
_SMALLEST = len(_PREFIX) + MARK_SIZE
_IPV4_HEADER, _IPV6_HEADER, _ETHERNET = 20, 40, 14


@dataclass(frozen=True)
class Packet:
    """A UDP datagram to a group as it is to be on the wire, right or wrong.

    ``source`` and ``group`` are addresses of one family, ``mac`` is the Ethernet source. ``size`` is that of the payload
    in bytes (36 or more), ``ttl`` the TTL or hop limit. ``checksum``: that of UDP, ``None`` for the right one, or
    ``"bad"``, or a number. ``fragment``: the largest IP payload of a fragment in bytes (a multiple of 8), None to
    fragment only what does not fit into ``mtu``. Raises ``ValueError``.
    """

    source: str
    source_port: int
    group: str
    port: int
    mac: str
    ttl: int = 1
    size: int = 64
    checksum: int | str | None = None
    fragment: int | None = None
    mtu: int = 1500

    def __post_init__(self) -> None:
        for address in (self.source, self.group):
            ipaddress.ip_address(address)
        if (":" in self.source) != (":" in self.group):
            raise ValueError(f"source {self.source} and group {self.group} are of different families")
        room = 65535 - 8 - (_IPV4_HEADER if self.family == "ipv4" else 0)
        if not _SMALLEST <= self.size <= room:
            raise ValueError(f"size={self.size!r} is not from {_SMALLEST} (a probe's mark) to {room} bytes")
        if self.fragment is not None and (self.fragment < 64 or self.fragment % 8):
            raise ValueError(f"fragment={self.fragment!r} is not a multiple of 8 from 64 (a probe's mark) upwards")
        number = 0 if self.checksum is None or self.checksum == "bad" else self.checksum
        if not isinstance(number, int) or not 0 <= number <= 65535:
            raise ValueError(f"checksum={self.checksum!r} is neither 'bad' nor a number from 0 to 65535 nor None")
        for name, highest in (("ttl", 255), ("port", 65535), ("source_port", 65535)):
            value = getattr(self, name)
            if not 0 <= value <= highest:
                raise ValueError(f"{name}={value!r} is not from 0 to {highest}")

    @property
    def family(self) -> str:
        """``ipv4`` or ``ipv6``."""
        return "ipv6" if ":" in self.group else "ipv4"

    def __str__(self) -> str:
        wrong = "" if self.checksum is None else f", UDP checksum {self.checksum}"
        pieces = "" if self.fragment is None else f", fragments of {self.fragment} bytes"
        return (
            f"{self.size} bytes from {self.source} port {self.source_port} to {self.group} port {self.port}, "
            f"TTL {self.ttl}{wrong}{pieces}"
        )


def new_mark(run: int, number: int) -> bytes:
    """Return the mark of a datagram: a number of the run, and one of its own, 32 bits each, and their complement."""
    value = run << 32 | number & 0xFFFFFFFF
    return (value << 64 | value ^ 0xFFFFFFFFFFFFFFFF).to_bytes(MARK_SIZE, "big")


def mark_of(payload: bytes) -> tuple[int, int] | None:
    """Return the numbers in a payload's mark; None when it has none."""
    if not payload.startswith(_PREFIX):
        return None
    run, number = struct.unpack_from(">II", payload, len(_PREFIX)) if len(payload) >= _SMALLEST else (0, 0)
    return run, number


class Template:
    """The frames of a packet, one if it is not fragmented."""

    def __init__(self, packet: Packet) -> None:
        self.packet = packet
        mark = new_mark(secrets.randbits(32), 0)
        payload = _PREFIX + mark + bytes(number & 0xFF for number in range(packet.size - _SMALLEST))
        self._frames = [bytearray(frame) for frame in _build(packet, payload)]
        self._place = self._frames[0].index(mark)
        self._fragmented = len(self._frames) > 1

    def frames(self, mark: bytes, identification: int) -> list[bytes]:
        """Return the frames with that mark in the payload and, if there are several, that identification."""
        self._frames[0][self._place : self._place + MARK_SIZE] = mark
        if self._fragmented:
            for frame in self._frames:
                _identify(frame, identification)
        return [bytes(frame) for frame in self._frames]


def _identify(frame: bytearray, identification: int) -> None:
    """Give a fragment another identification (RFC 791 section 3.1, RFC 8200 section 4.5)."""
    if frame[12:14] == b"\x86\xdd":
        struct.pack_into(">I", frame, _ETHERNET + _IPV6_HEADER + 4, identification & 0xFFFFFFFF)
        return
    before, now = struct.unpack_from(">H", frame, 18)[0], identification & 0xFFFF
    checksum = struct.unpack_from(">H", frame, 24)[0]
    total = (~checksum & 0xFFFF) + (~before & 0xFFFF) + now  # RFC 1624, equation 3
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    struct.pack_into(">H", frame, 18, now)
    struct.pack_into(">H", frame, 24, ~total & 0xFFFF)


def _build(packet: Packet, payload: bytes) -> list[bytes]:
    layers = _scapy()
    ipv6 = packet.family == "ipv6"
    ethernet = layers.Ether(src=packet.mac, dst=group_mac(packet.group), type=0x86DD if ipv6 else 0x0800)
    udp = layers.UDP(sport=packet.source_port, dport=packet.port)
    if ipv6:
        network = layers.IPv6(src=packet.source, dst=packet.group, hlim=packet.ttl)
    else:
        network = layers.IP(src=packet.source, dst=packet.group, ttl=packet.ttl, id=1)
    if packet.checksum == "bad":
        whole = bytes(network / udp / payload)
        right = struct.unpack_from(">H", whole, len(whole) - len(payload) - 2)[0]
        udp.chksum = right ^ 0x5555 or 0x1234  # not 0, which would mean "none"
    elif packet.checksum is not None:
        udp.chksum = packet.checksum
    largest = packet.fragment
    if largest is None:
        room = packet.mtu - (_IPV6_HEADER if ipv6 else _IPV4_HEADER)
        if 8 + len(payload) <= room:
            return [bytes(ethernet / network / udp / payload)]
        largest = (room - (8 if ipv6 else 0)) & ~7
    return [bytes(ethernet / piece) for piece in _fragments(layers, network / udp / payload, largest, ipv6=ipv6)]


def _fragments(layers: Any, datagram: Any, largest: int, *, ipv6: bool) -> list[Any]:
    header = _IPV6_HEADER if ipv6 else _IPV4_HEADER
    whole = bytes(datagram)[header:]
    starts = range(0, len(whole), largest)
    pieces = []
    for start in starts:
        part, more = whole[start : start + largest], int(start != starts[-1])
        network = datagram.copy()
        network.remove_payload()
        if ipv6:
            fragment = layers.IPv6ExtHdrFragment(nh=17, offset=start // 8, m=more, id=1)
            pieces.append(network / fragment / part)
        else:
            network.flags, network.frag, network.proto = ("MF" if more else 0), start // 8, 17
            pieces.append(network / part)
    return pieces


@cache
def _scapy() -> SimpleNamespace:
    """Import what of scapy builds packets; without its look at the machine's routes, a third of the time it takes."""
    loaded = "scapy.config" in sys.modules  # by somebody who may want the routes
    from scapy.config import conf

    autoload = conf.route_autoload, conf.route6_autoload
    if not loaded:
        conf.route_autoload = conf.route6_autoload = False
    try:
        from scapy.layers.inet import IP, UDP
        from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
        from scapy.layers.l2 import Ether
    finally:
        conf.route_autoload, conf.route6_autoload = autoload
    return SimpleNamespace(Ether=Ether, IP=IP, UDP=UDP, IPv6=IPv6, IPv6ExtHdrFragment=IPv6ExtHdrFragment)
