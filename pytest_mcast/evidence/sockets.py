"""What a socket of this process says about itself (getsockopt(2), getsockname(2))."""

from __future__ import annotations

import socket
import sys
from typing import Any, Dict

from pytest_mcast.core import system

from .outgoing import outgoing_options

__all__ = ["socket_options"]

_GENERAL = {
    "reuse_address": socket.SO_REUSEADDR,
    "receive_buffer": socket.SO_RCVBUF,
    "send_buffer": socket.SO_SNDBUF,
}
_SO_REUSEPORT = getattr(socket, "SO_REUSEPORT", None)  # not on Windows
_MULTICAST_ALL = {"ipv4": 49, "ipv6": 29}  # linux/in.h, linux/in6.h
_SO_MARK = 36  # asm-generic/socket.h


def socket_options(sock: socket.socket) -> Dict[str, Any]:
    """Return what can be read, by name; what cannot is not there.

    ``family`` (ipv4 or ipv6), ``local`` and ``peer`` (address and port; peer only if connected), ``multicast_loop``,
    ``multicast_ttl``, ``reuse_address``, ``reuse_port``, ``receive_buffer``, ``send_buffer`` (bytes, as the system counts
    them: Linux twice what was asked for); on Linux ``multicast_all``, ``mark`` (what routing rules and packet filters may
    look at), and what ``outgoing_options`` has.
    """
    family = "ipv6" if sock.family == socket.AF_INET6 else "ipv4"
    found: Dict[str, Any] = {"family": family}
    for name, call in (("local", sock.getsockname), ("peer", sock.getpeername)):
        try:
            found[name] = list(call()[:2])
        except OSError:
            continue
    level = socket.IPPROTO_IPV6 if family == "ipv6" else socket.IPPROTO_IP
    ttl, loop, _ = system.sender_options(family)
    _read(found, "multicast_ttl", sock, level, ttl)
    _read(found, "multicast_loop", sock, level, loop)
    for name, number in _GENERAL.items():
        _read(found, name, sock, socket.SOL_SOCKET, number)
    if _SO_REUSEPORT is not None:
        _read(found, "reuse_port", sock, socket.SOL_SOCKET, _SO_REUSEPORT)
    if not sys.platform.startswith("linux"):
        return found
    _read(found, "multicast_all", sock, level, _MULTICAST_ALL[family])
    _read(found, "mark", sock, socket.SOL_SOCKET, _SO_MARK)
    return {**found, **outgoing_options(sock)}


def _read(found: Dict[str, Any], name: str, sock: socket.socket, level: int, number: int) -> None:
    try:
        found[name] = sock.getsockopt(level, number)
    except OSError:
        return
