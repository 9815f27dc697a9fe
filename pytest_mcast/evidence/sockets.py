"""What a socket of this process says about itself (getsockopt(2), getsockname(2), ioctl(2))."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from typing import Any, Callable, Dict, Iterable

from pytest_mcast.core import system

from .programs import program_of

__all__ = ["program_of", "socket_options"]

_GENERAL = {
    "reuse_address": socket.SO_REUSEADDR,
    "reuse_port": getattr(socket, "SO_REUSEPORT", None),
    "receive_buffer": socket.SO_RCVBUF,
    "send_buffer": socket.SO_SNDBUF,
    "dont_route": socket.SO_DONTROUTE,
}
# asm-generic/socket.h
_LINUX = {"mark": 36, "bound_index": 62}
_SO_BINDTODEVICE, _SO_MEMINFO = 25, 55
_SK_MEMINFO_RMEM_ALLOC, _SK_MEMINFO_DROPS = 0, 8  # linux/sock_diag.h
_LINUX_BY_FAMILY = {  # linux/in.h, linux/in6.h: IPv4, IPv6
    "multicast_all": (49, 29),
    "mtu_discover": (10, 23),
}


def socket_options(sock: socket.socket, groups: Iterable[str] = ()) -> Dict[str, Any]:
    """Return what can be read, by name; what cannot is not there.

    ``family`` (ipv4 or ipv6), ``local`` and ``peer`` (address and port; peer only if connected), ``multicast_loop``,
    ``multicast_ttl``, ``reuse_address``, ``reuse_port``, ``receive_buffer``, ``send_buffer`` (bytes, as the system counts
    them), ``dont_route``; ``multicast_interface``: for IPv6 the index (0: none), for IPv4 the address ("0.0.0.0": none,
    or one that was chosen by index: Linux does not tell which); ``v6only`` of IPv6.

    On Linux also ``multicast_all``, ``bound_device`` (its name, empty: none) and ``bound_index``, ``mark``,
    ``mtu_discover``, ``queued`` (bytes of the receive buffer in use), ``drops`` (datagrams that it did not take, since it was
    made), ``filter`` (how many instructions a BPF program has that was attached, -1: an eBPF program), ``namespace``
    (the cookie of its network namespace), and ``memberships``: what this socket has joined of ``groups``, each ``group``,
    ``interface`` (index), ``mode`` (include or exclude) and ``sources``.
    """
    ipv6 = sock.family == socket.AF_INET6
    family = "ipv6" if ipv6 else "ipv4"
    found: Dict[str, Any] = {"family": family}
    for name, call in (("local", sock.getsockname), ("peer", sock.getpeername)):
        try:
            found[name] = list(call()[:2])
        except OSError:
            continue
    level = socket.IPPROTO_IPV6 if ipv6 else socket.IPPROTO_IP
    ttl, loop, _ = system.sender_options(family)
    _read(found, "multicast_ttl", sock, level, ttl)
    _read(found, "multicast_loop", sock, level, loop)
    if ipv6:
        _read(found, "multicast_interface", sock, level, socket.IPV6_MULTICAST_IF)
        _read(found, "v6only", sock, level, socket.IPV6_V6ONLY)
    else:
        with contextlib.suppress(OSError):
            found["multicast_interface"] = socket.inet_ntoa(sock.getsockopt(level, socket.IP_MULTICAST_IF, 4))
    for name, number in _GENERAL.items():
        if number is not None:
            _read(found, name, sock, socket.SOL_SOCKET, number)
    if sys.platform.startswith("linux"):
        _read_linux(found, sock, level, groups)
    return found


def _read_linux(found: Dict[str, Any], sock: socket.socket, level: int, groups: Iterable[str]) -> None:
    from . import options

    for name, numbers in _LINUX_BY_FAMILY.items():
        _read(found, name, sock, level, numbers[level == socket.IPPROTO_IPV6])
    for name, number in _LINUX.items():
        _read(found, name, sock, socket.SOL_SOCKET, number)
    readings: Dict[str, Callable[[], Any]] = {
        "bound_device": lambda: sock.getsockopt(socket.SOL_SOCKET, _SO_BINDTODEVICE, 16).rstrip(b"\0").decode(),
        "namespace": lambda: options.namespace_cookie(sock),
        "filter": lambda: options.filter_length(sock),
        "memberships": lambda: options.memberships(sock, groups),
    }
    for name, read in readings.items():
        try:
            found[name] = read()
        except OSError:
            continue
    try:
        memory = struct.unpack("=9I", sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36))
    except (OSError, struct.error):  # before Linux 4.12 there is none
        return
    found["queued"], found["drops"] = memory[_SK_MEMINFO_RMEM_ALLOC], memory[_SK_MEMINFO_DROPS]


def _read(found: Dict[str, Any], name: str, sock: socket.socket, level: int, number: int) -> None:
    try:
        found[name] = sock.getsockopt(level, number)
    except OSError:
        return
