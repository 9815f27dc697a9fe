"""General queries and probes out of a switch itself: RFC 3376 section 4.1, RFC 3810 section 5.1."""

from __future__ import annotations

import socket
import struct

__all__ = ["send_general_queries", "send_multicast"]

_ROUTER_ALERT = b"\x94\x04\0\0"  # RFC 2113
_ROUTER_ALERT_6 = bytes([0, 0, 5, 2, 0, 0, 1, 0])  # RFC 2711, as hop-by-hop options
_IGMP_QUERY, _MLD_QUERY = 0x11, 130
_ANY = bytes(4)


def send_general_queries(index: int, link_local: str) -> None:
    """Ask for all memberships, once, by IGMPv3 and MLDv2, out of an interface of the calling thread's namespace.

    ``link_local`` is the IPv6 address to ask from. The answers come at once: the maximum response time is 0.
    """
    query = struct.pack("!BBH4sBBH", _IGMP_QUERY, 0, 0, _ANY, 2, 0, 0)  # robustness 2, no sources
    query = query[:2] + struct.pack("!H", _checksum(query)) + query[4:]
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP) as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, _ROUTER_ALERT)
        _outward(sock, index)
        sock.sendto(query, ("224.0.0.1", 0))
    query = struct.pack("!BBHHH16sBBH", _MLD_QUERY, 0, 0, 0, 0, bytes(16), 2, 0, 0)  # the kernel adds the checksum
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_HOPOPTS, _ROUTER_ALERT_6)
        _outward(sock, index)
        sock.bind((link_local, 0, 0, index))
        sock.sendto(query, ("ff02::1", 0, 0, index))


def send_multicast(family: str, index: int, group: str, port: int) -> None:
    """Send an empty datagram to a group out of an interface of the calling thread's namespace."""
    with socket.socket(socket.AF_INET6 if family == "ipv6" else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        _outward(sock, index)
        sock.sendto(b"", (group, port, 0, index) if family == "ipv6" else (group, port))


def _outward(sock: socket.socket, index: int) -> None:
    """Send to the link of that interface only."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4si", _ANY, _ANY, index))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF
