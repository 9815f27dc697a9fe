"""What a socket of this process says about itself (getsockopt(2), getsockname(2))."""

from __future__ import annotations

import socket
from typing import Any, Dict

from .outgoing import outgoing_options

__all__ = ["socket_options"]

# linux/in.h, linux/in6.h, asm-generic/socket.h; by family: IPv4, IPv6
_NUMBERS = {
    "multicast_all": (49, 29),
    "multicast_loop": (34, 19),
    "multicast_ttl": (33, 18),
}
_GENERAL = {"reuse_address": 2, "reuse_port": 15, "receive_buffer": 8, "send_buffer": 7}


def socket_options(sock: socket.socket) -> Dict[str, Any]:
    """Return what can be read, by name; what cannot is not there.

    ``family`` (ipv4 or ipv6), ``local`` and ``peer`` (address and port; peer only if connected), ``multicast_all``,
    ``multicast_loop``, ``multicast_ttl``, ``reuse_address``, ``reuse_port``, ``receive_buffer``, ``send_buffer``; and
    what ``outgoing_options`` has.
    """
    ipv6 = sock.family == socket.AF_INET6
    found: Dict[str, Any] = {"family": "ipv6" if ipv6 else "ipv4"}
    for name, call in (("local", sock.getsockname), ("peer", sock.getpeername)):
        try:
            found[name] = list(call()[:2])
        except OSError:
            continue
    level = socket.IPPROTO_IPV6 if ipv6 else socket.IPPROTO_IP
    for name, numbers in _NUMBERS.items():
        _read(found, name, sock, level, numbers[ipv6])
    for name, number in _GENERAL.items():
        _read(found, name, sock, socket.SOL_SOCKET, number)
    return {**found, **outgoing_options(sock)}


def _read(found: Dict[str, Any], name: str, sock: socket.socket, level: int, number: int) -> None:
    try:
        found[name] = sock.getsockopt(level, number)
    except OSError:
        return
