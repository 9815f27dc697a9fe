"""What a socket of this process says about where its datagrams go out, and how (ip(7), ipv6(7), socket(7))."""

from __future__ import annotations

import os
import socket
import sys
from typing import Any, Dict

__all__ = ["outgoing_options"]

_SO_BINDTODEVICE = 25  # asm-generic/socket.h
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _IPV6_DONTFRAG = 10, 23, 62  # linux/in.h, linux/in6.h
_NEVER_FRAGMENTS = (2, 3)  # IP_PMTUDISC_DO, IP_PMTUDISC_PROBE, and the same numbers for IPv6


def outgoing_options(sock: socket.socket) -> Dict[str, Any]:
    """Return what can be read, by name; what cannot is not there.

    ``inode`` (as in the tables of sockets); ``device`` (bound to, "" if to none); ``multicast_interface``: the address that
    was given for IPv4 (``0.0.0.0`` also when an index was), the index for IPv6 (0 if none was); ``fragments``: whether a
    datagram may be larger than the MTU; ``unicast_ttl``.
    """
    found: Dict[str, Any] = {}
    if not sys.platform.startswith("linux"):
        return found
    try:
        found["inode"] = os.fstat(sock.fileno()).st_ino
        found["device"] = (
            sock.getsockopt(socket.SOL_SOCKET, _SO_BINDTODEVICE, 16).rstrip(b"\0").decode("utf-8", "surrogateescape")
        )
        if sock.family == socket.AF_INET6:
            found["multicast_interface"] = sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF)
            discovery = sock.getsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER)
            whole = bool(sock.getsockopt(socket.IPPROTO_IPV6, _IPV6_DONTFRAG))
            found["unicast_ttl"] = sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)
        else:
            packed = sock.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, 4)
            found["multicast_interface"] = socket.inet_ntoa(packed)
            discovery, whole = sock.getsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER), False
            found["unicast_ttl"] = sock.getsockopt(socket.IPPROTO_IP, socket.IP_TTL)
        found["fragments"] = discovery not in _NEVER_FRAGMENTS and not whole
    except OSError:  # closed, or an option that this kernel does not have: the rest is said
        pass
    return found
