"""Reports that no host of ours sends: IGMPv3 (RFC 3376 section 4.2) and MLDv2 (RFC 3810 section 5.2)."""

from __future__ import annotations

import ipaddress
import socket
import struct

from pytest_mcast import VirtualHost

_RECORDS = {"allow": 5, "block": 6}
_ROUTER_ALERT = bytes([0, 0, 5, 2, 0, 0, 1, 0])  # RFC 2711


def send_report(host: VirtualHost, group: str, record: str, source: str) -> None:
    """Report one record about one source from a host, whatever it has joined."""
    packed, origin = (ipaddress.ip_address(each).packed for each in (group, source))
    body = struct.pack("!BBH", _RECORDS[record], 0, 1) + packed + origin
    with host.inside():
        if len(packed) == 4:
            report = struct.pack("!BBHHH", 0x22, 0, 0, 0, 1) + body
            report = report[:2] + struct.pack("!H", _checksum(report)) + report[4:]
            with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP) as sock:
                sock.sendto(report, ("224.0.0.22", 0))
        else:
            report = struct.pack("!BBHHH", 143, 0, 0, 0, 1) + body  # the kernel adds the checksum
            with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_HOPOPTS, _ROUTER_ALERT)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
                sock.sendto(report, ("ff02::16", 0, 0, host.interface.index))


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF
