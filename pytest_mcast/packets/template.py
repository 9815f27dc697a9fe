"""Datagrams that are built once, by scapy, and sent many times.

Building one takes 160 to 500 us, sending one 3 us. So a datagram is built with a mark in its payload, and each time it
is sent another mark and another identification are put in their places, which changes no checksum of UDP.
"""

from __future__ import annotations

import ipaddress
import secrets
import struct
import sys
from dataclasses import dataclass, replace
from functools import cache
from types import SimpleNamespace
from typing import Any

from pytest_mcast.core.channels import group_mac
from pytest_mcast.wire.packets import internet_checksum

from .build import Fragment, Packet
from .headers import FRAGMENT, UDP, ExtensionHeader, split_headers
from .marks import MARK_PLACE, MARK_SIZE, new_mark, payload_with

__all__ = ["Template", "frames_of", "load_scapy"]

_IPV4_HEADER, _IPV6_HEADER, _FRAGMENT_HEADER = 20, 40, 8


@dataclass
class _Piece:
    """A frame: its headers, where the identification and the checksum of IPv4 are in them, and what follows them."""

    head: bytearray
    identification: int | None  # a place in the head
    wide: bool  # it has 32 bits
    checksum: int | None  # a place as well
    data: slice | bytes
    strange: bool

    def identify(self, number: int) -> None:
        """Give it another identification (RFC 791 section 3.1, RFC 8200 section 4.5)."""
        number = number + 1 if self.strange else number
        place, head = self.identification, self.head
        if place is None:
            return
        if self.wide:
            struct.pack_into(">I", head, place, number & 0xFFFFFFFF)
            return
        before, now = struct.unpack_from(">H", head, place)[0], number & 0xFFFF
        struct.pack_into(">H", head, place, now)
        if self.checksum is not None:
            checksum = struct.unpack_from(">H", head, self.checksum)[0]
            total = (~checksum & 0xFFFF) + (~before & 0xFFFF) + now  # RFC 1624, equation 3
            total = (total & 0xFFFF) + (total >> 16)
            total = (total & 0xFFFF) + (total >> 16)
            struct.pack_into(">H", head, self.checksum, ~total & 0xFFFF)


class Template:
    """The frames of a packet that is complete; with ``packet.marked`` each sending has a mark of its own."""

    def __init__(self, packet: Packet, mark: bytes | None = None) -> None:
        if not packet.complete:
            raise ValueError(f"{packet} does not say everything: it needs addresses, ports and an Ethernet source")
        self.packet = packet
        mark = mark or new_mark(secrets.randbits(32), 0)
        payload = payload_with(mark, packet.size) if packet.payload is None else packet.payload
        #: It in words.
        self.name = str(packet)
        #: What a receiver should say of it.
        self.labels = {
            "source": packet.source,
            "source_port": packet.source_port,
            "group": packet.group,
            "port": packet.port,
            "ttl": dict(packet.ip_fields).get("ttl", dict(packet.ip_fields).get("hlim", packet.ttl)),
        }
        #: The payload as a receiver sees it that goes by the UDP length.
        self.payload = payload[: packet.visible]
        builder = _Builder(packet, payload)
        self._data = builder.data
        self._place = len(builder.data) - len(payload) + MARK_PLACE if packet.marked else None
        self._pieces = builder.pieces()

    def payload_with(self, mark: bytes) -> bytes:
        """Return the payload as a receiver sees it, with that mark."""
        if self._place is None:
            return self.payload
        return self.payload[:MARK_PLACE] + mark + self.payload[MARK_PLACE + MARK_SIZE :]

    def frames(self, mark: bytes, identification: int) -> list[bytes]:
        """Return the frames with that mark in the payload, and that identification unless the packet has one."""
        packet, data = self.packet, self._data
        if self._place is not None:
            data[self._place : self._place + MARK_SIZE] = mark
        frames = []
        for piece in self._pieces:
            if packet.identification is None:
                piece.identify(identification)
            body = data[piece.data] if isinstance(piece.data, slice) else piece.data
            frames.append(bytes(piece.head) + body + packet.padding)
        if packet.cut is not None:
            frames = [frame[: packet.cut] for frame in frames]
        return frames * packet.copies


def frames_of(packet: Packet) -> list[bytes]:
    """Build the frames of a packet that is complete, once."""
    return Template(packet).frames(new_mark(secrets.randbits(32), 0), secrets.randbits(32))


class _Builder:
    """Builds the frames of a packet: ``data`` is what is fragmented, from the first header that is."""

    def __init__(self, packet: Packet, payload: bytes) -> None:
        self.packet = packet
        self.layers = load_scapy()
        self.ipv6 = packet.family == "ipv6"
        headers = [one for one in packet.options if isinstance(one, ExtensionHeader)]
        options = b"".join(one for one in packet.options if isinstance(one, bytes))
        self.options = options + bytes(-len(options) % 4)
        self.before, after = split_headers(headers)
        self.protocol = after[0].number if after else UDP
        self.data = bytearray(_chain(after, UDP)) + self._udp(payload)

    def pieces(self) -> list[_Piece]:
        """Return the frames, in the order in which they are sent."""
        packet = self.packet
        largest = packet.fragment
        if largest is None:
            room = packet.mtu - (_IPV6_HEADER + sum(1 + len(one.body) for one in self.before) if self.ipv6 else 20)
            room -= len(self.options)
            if len(self.data) <= room:
                return [self._piece(None)]
            largest = (room - (_FRAGMENT_HEADER if self.ipv6 else 0)) & ~7
        fragments = self._split(largest) if isinstance(largest, int) else list(largest)
        if packet.order == "reversed":
            fragments.reverse()
        elif packet.order is not None:
            try:
                fragments = [fragments[number] for number in packet.order]  # type: ignore[index]  # numbers, here
            except IndexError:
                raise ValueError(f"order={packet.order!r} names more than {len(fragments)} fragments") from None
        return [self._piece(fragment) for fragment in fragments]

    def _split(self, largest: int) -> list[Fragment]:
        first = self.packet.first_fragment or largest
        starts = [0, *range(first, len(self.data), largest)]
        return [Fragment(start, end) for start, end in zip(starts, [*starts[1:], None], strict=True)]

    def _udp(self, payload: bytes) -> bytes:
        """Return the UDP datagram, its checksum right for the length that it says (RFC 768, RFC 8200 section 8.1)."""
        packet = self.packet
        length = packet.resolved(packet.udp_length, 8 + len(payload))
        udp = self.layers.UDP(sport=packet.source_port, dport=packet.port, len=length, chksum=0)
        datagram = bytearray(bytes(udp) + payload)
        checksum = packet.checksum
        if not isinstance(checksum, int):
            said = length or (len(datagram) if self.ipv6 else 0)  # RFC 2675 section 4
            pseudo = self._pseudo_header(said)
            right = internet_checksum(pseudo + bytes(datagram[:said])) or 0xFFFF
            checksum = right if checksum is None else right ^ 0x5555 or 0x1234  # not 0, which would mean "none"
        struct.pack_into(">H", datagram, 6, checksum)
        return bytes(datagram)

    def _pseudo_header(self, length: int) -> bytes:
        addresses = (ipaddress.ip_address(one or "").packed for one in (self.packet.source, self.packet.group))
        return b"".join(addresses) + struct.pack(">II", length, UDP)

    def _piece(self, fragment: Fragment | None) -> _Piece:
        packet = self.packet
        if fragment is not None:
            packet = replace(
                packet,
                source=fragment.source or packet.source,
                group=fragment.group or packet.group,
                traffic_class=packet.traffic_class if fragment.traffic_class is None else fragment.traffic_class,
                ttl=packet.ttl if fragment.ttl is None else fragment.ttl,
            )
        start, end = (0, len(self.data)) if fragment is None else (fragment.start, fragment.end)
        end = len(self.data) if end is None else end
        data: slice | bytes = slice(start, end) if fragment is None or fragment.data is None else fragment.data
        length = len(data) if isinstance(data, bytes) else len(self.data[data])
        more = fragment is not None and (end < len(self.data) if fragment.more is None else fragment.more)
        ethernet = self._ethernet(packet)
        strange = fragment is not None and fragment.strange
        protocol = None if fragment is None else fragment.protocol
        if self.ipv6:
            offset = None if fragment is None else start | more
            header = self._ipv6(packet, length, offset, protocol)
            place = None if fragment is None else len(ethernet) + len(header) - 4
            return _Piece(bytearray(ethernet + header), place, True, None, data, strange)
        header = self._ipv4(packet, length, start, protocol, more=more)
        place, checksum = len(ethernet) + 4, len(ethernet) + 10
        fixed = isinstance(packet.ip_checksum, int) or "chksum" in dict(packet.ip_fields)
        head = bytearray(ethernet + header)
        identified = None if "id" in dict(packet.ip_fields) else place
        return _Piece(head, identified, False, None if fixed else checksum, data, strange)

    def _ethernet(self, packet: Packet) -> bytes:
        layers = self.layers
        kind = packet.ethertype if packet.ethertype is not None else 0x86DD if self.ipv6 else 0x0800
        mac = packet.mac or group_mac(packet.group or "")
        types = [*([packet.tag_type] * bool(packet.vlan)), *([0x8100] * (len(packet.vlan) - 1)), kind]
        ethernet = bytes(layers.Ether(src=packet.source_mac, dst=mac, type=types[0]))
        return ethernet + b"".join(
            struct.pack(">HH", tag, following) for tag, following in zip(packet.vlan, types[1:], strict=True)
        )

    def _ipv4(self, packet: Packet, length: int, start: int, protocol: int | None, *, more: bool) -> bytes:
        header = _IPV4_HEADER + len(self.options)
        fields = {
            "src": packet.source,
            "dst": packet.group,
            "ttl": packet.ttl,
            "tos": packet.traffic_class,
            "id": 1 if packet.identification is None else packet.identification & 0xFFFF,
            "flags": (1 if more else 0) | (2 if packet.dont_fragment else 0),
            "frag": start // 8,
            "proto": UDP if protocol is None else protocol,
            "ihl": header // 4,
            "len": packet.resolved(packet.ip_length, header + length) & 0xFFFF,
            "chksum": 0,
            **dict(packet.ip_fields),
        }
        packed = bytearray(bytes(self.layers.IP(**fields))[:_IPV4_HEADER] + self.options)
        if "chksum" in dict(packet.ip_fields):
            return bytes(packed)
        checksum = packet.ip_checksum
        if not isinstance(checksum, int):
            right = internet_checksum(bytes(packed))
            checksum = right if checksum is None else right ^ 0x5555
        struct.pack_into(">H", packed, 10, checksum)
        return bytes(packed)

    def _ipv6(self, packet: Packet, length: int, offset: int | None, protocol: int | None) -> bytes:
        headers = [*self.before]
        if offset is not None:
            number = 1 if packet.identification is None else packet.identification
            headers.append(ExtensionHeader(FRAGMENT, struct.pack(">BHI", 0, offset, number)))
        chain = _chain(headers, self.protocol if protocol is None else protocol)
        fields = {
            "src": packet.source,
            "dst": packet.group,
            "hlim": packet.ttl,
            "tc": packet.traffic_class,
            "fl": packet.flow_label,
            "nh": headers[0].number if headers else self.protocol,
            "plen": packet.resolved(packet.ip_length, len(chain) + length) & 0xFFFF,
            **dict(packet.ip_fields),
        }
        return bytes(self.layers.IPv6(**fields))[:_IPV6_HEADER] + chain


def _chain(headers: list[ExtensionHeader], last: int) -> bytes:
    """Return extension headers, each saying what follows."""
    following = [*(header.number for header in headers[1:]), *([last] * bool(headers))]
    return b"".join(bytes([number]) + header.body for header, number in zip(headers, following, strict=True))


@cache
def load_scapy() -> Any:
    """Import what of scapy builds packets; without its look at the machine's routes, a third of the time it takes."""
    loaded = "scapy.config" in sys.modules  # by somebody who may want the routes
    from scapy.config import conf

    autoload = conf.route_autoload, conf.route6_autoload
    if not loaded:
        conf.route_autoload = conf.route6_autoload = False
    try:
        from scapy.layers.inet import IP, UDP
        from scapy.layers.inet6 import IPv6
        from scapy.layers.l2 import Ether
    finally:
        conf.route_autoload, conf.route6_autoload = autoload
    return SimpleNamespace(Ether=Ether, IP=IP, UDP=UDP, IPv6=IPv6)
