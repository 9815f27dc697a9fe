"""IPv4 and IPv6 packets of membership protocols, in Ethernet frames: read, and built with what is wrong on purpose."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

from pytest_mcast.core.channels import group_mac

__all__ = ["ICMPV6", "IGMP", "Packet", "build_packet", "internet_checksum", "read_packet"]

IGMP, ICMPV6 = 2, 58
_IPV4, _IPV6 = 0x0800, 0x86DD
_HOP_BY_HOP, _EXTENSIONS, _FRAGMENT = 0, {0, 43, 60}, 44  # RFC 8200 section 4
_ROUTER_ALERT_V4 = b"\x94\x04\x00\x00"  # RFC 2113
_ROUTER_ALERT_V6 = b"\x05\x02\x00\x00"  # RFC 2711, for MLD
_CONTROL = 0xC0  # precedence of internetwork control, which IGMPv3 is sent with (RFC 3376 section 4)


@dataclass(frozen=True)
class Packet:
    """An unfragmented IP packet: ``payload`` is what follows the headers, of ``protocol``.

    ``mac`` is the Ethernet address that it came from. ``checksum_ok`` is about the header of IPv4.
    """

    mac: str
    source: str
    destination: str
    ttl: int
    router_alert: bool
    protocol: int
    payload: bytes
    checksum_ok: bool = True

    @property
    def pseudo_header(self) -> bytes:
        """What the checksum of ICMPv6 covers besides (RFC 8200 section 8.1)."""
        addresses = (ipaddress.ip_address(address).packed for address in (self.source, self.destination))
        return b"".join(addresses) + struct.pack(">IxxxB", len(self.payload), self.protocol)


def internet_checksum(data: bytes) -> int:
    """Return the checksum of RFC 1071; 0 for what contains its own, correct one."""
    padded = data + bytes(len(data) % 2)
    total: int = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def read_packet(frame: bytes) -> Packet | None:
    """Read the packet in an Ethernet frame; None when there is none, or it is a fragment, cut short, or malformed."""
    kind = frame[12:14]
    if kind == _IPV4.to_bytes(2, "big"):
        return _read_ipv4(frame[6:12].hex(":"), frame[14:])
    if kind == _IPV6.to_bytes(2, "big"):
        return _read_ipv6(frame[6:12].hex(":"), frame[14:])
    return None


def _read_ipv4(mac: str, data: bytes) -> Packet | None:
    if len(data) < 20 or data[0] >> 4 != 4:
        return None
    header, total = 4 * (data[0] & 0x0F), int.from_bytes(data[2:4], "big")
    if not 20 <= header <= total <= len(data) or int.from_bytes(data[6:8], "big") & 0x3FFF:
        return None
    source, destination = (str(ipaddress.IPv4Address(data[start : start + 4])) for start in (12, 16))
    return Packet(
        mac,
        source,
        destination,
        data[8],
        _has_router_alert(data[20:header], single=(0, 1), alert=148, whole=True),
        data[9],
        data[header:total],
        internet_checksum(data[:header]) == 0,
    )


def _read_ipv6(mac: str, data: bytes) -> Packet | None:
    if len(data) < 40 or data[0] >> 4 != 6:
        return None
    end, following, start, alert = 40 + int.from_bytes(data[4:6], "big"), data[6], 40, False
    if end > len(data):
        return None
    while following in _EXTENSIONS:
        if start + 8 > end:
            return None
        length = 8 * (data[start + 1] + 1)
        if following == _HOP_BY_HOP:
            alert |= _has_router_alert(data[start + 2 : start + length], single=(0,), alert=5, whole=False)
        following, start = data[start], start + length
    if following == _FRAGMENT or start > end:
        return None
    source, destination = (str(ipaddress.IPv6Address(data[at : at + 16])) for at in (8, 24))
    return Packet(mac, source, destination, data[7], alert, following, data[start:end])


def _has_router_alert(options: bytes, *, single: tuple[int, ...], alert: int, whole: bool) -> bool:
    """Look for the option among those of a header; ``whole``: lengths count type and length as well (IPv4)."""
    position = 0
    while position < len(options):
        kind = options[position]
        if kind in single:
            position += 1
            continue
        if kind == alert:
            return True
        if position + 1 >= len(options):
            break
        position += max(2, options[position + 1] + (0 if whole else 2))
    return False


def build_packet(packet: Packet, to_mac: str | None = None) -> bytes:
    """Build the frame of a packet (RFC 791, RFC 8200), to the Ethernet address of its group unless another is given.

    A packet to a unicast address goes to that of 224.0.0.1 or ff02::1. Its ``checksum_ok`` is heeded.
    """
    source, destination = ipaddress.ip_address(packet.source), ipaddress.ip_address(packet.destination)
    if source.version == 4:
        kind, options = _IPV4, _ROUTER_ALERT_V4 if packet.router_alert else b""
        length = 20 + len(options) + len(packet.payload)
        header = struct.pack(
            ">BBHHHBBH4s4s",
            0x40 | (5 + len(options) // 4),
            _CONTROL,
            length,
            0,
            0,
            packet.ttl,
            packet.protocol,
            0,
            source.packed,
            destination.packed,
        )
        checksum = internet_checksum(header + options) ^ (not packet.checksum_ok)
        data = header[:10] + checksum.to_bytes(2, "big") + header[12:] + options + packet.payload
    else:
        kind, following, extension = _IPV6, packet.protocol, b""
        if packet.router_alert:
            following = _HOP_BY_HOP
            extension = bytes([packet.protocol, 0]) + _ROUTER_ALERT_V6 + b"\x01\x00"  # PadN of two octets
        length = len(extension) + len(packet.payload)
        header = struct.pack(">IHBB", 6 << 28, length, following, packet.ttl)
        data = header + source.packed + destination.packed + extension + packet.payload
    everybody = "224.0.0.1" if source.version == 4 else "ff02::1"
    mac = to_mac or group_mac(packet.destination if destination.is_multicast else everybody)
    return bytes.fromhex(mac.replace(":", "") + packet.mac.replace(":", "")) + kind.to_bytes(2, "big") + data
