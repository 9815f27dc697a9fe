"""Options of a socket that take more than Python's getsockopt: what it has joined, its BPF program, its namespace. Linux."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import ipaddress
import os
import socket
import struct
from typing import Any, Dict, Iterable, List, Optional, Set

from pytest_mcast.core import system

__all__ = ["filter_length", "memberships", "namespace_cookie"]

_SO_GET_FILTER, _SO_NETNS_COOKIE = 26, 71  # asm-generic/socket.h; the cookie since Linux 5.14
_MCAST_MSFILTER = 48  # linux/in.h: struct group_filter
_INCLUDE = 1  # MCAST_INCLUDE
_STORAGE = 128  # sizeof(struct sockaddr_storage)
_SIOCGIFCONF, _SIOCGIFINDEX = 0x8912, 0x8933  # linux/sockios.h
_REQUEST = 40  # sizeof(struct ifreq)


def namespace_cookie(sock: socket.socket) -> int:
    """Return the number of the socket's network namespace, unique while the kernel runs; raises ``OSError``."""
    number: int = struct.unpack("=Q", sock.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8))[0]
    return number


def filter_length(sock: socket.socket) -> int:
    """Return how many instructions the attached BPF program has: 0 without one, -1 for eBPF, which is not told.

    Raises ``OSError``.
    """
    try:
        return len(_get(sock, socket.SOL_SOCKET, _SO_GET_FILTER, b"", counted=True))
    except PermissionError:
        return -1


def memberships(sock: socket.socket, groups: Iterable[str]) -> List[Dict[str, Any]]:
    """Return what this socket itself has joined of some groups: ``group``, ``interface``, ``mode``, ``sources``.

    Asked for every interface that is seen from here, or has an IPv4 address where the socket is. Raises ``OSError``.
    """
    found = []
    wanted = [group for group in groups if (":" in group) == (sock.family == socket.AF_INET6)]
    indexes = sorted(_interfaces(sock)) if wanted else []
    for group in wanted:
        for index in indexes:
            joined = _joined(sock, group, index)
            if joined is not None:
                found.append(joined)
    return found


def _joined(sock: socket.socket, group: str, index: int, most: int = 64) -> Optional[Dict[str, Any]]:
    # struct group_filter: interface, group, mode, number of sources, the sources (RFC 3678 section 5.2).
    head = system.group_request(index, group)
    asked = head + struct.pack("=II", 0, most) + bytes(most * _STORAGE)
    level = socket.IPPROTO_IPV6 if sock.family == socket.AF_INET6 else socket.IPPROTO_IP
    try:
        answer = _get(sock, level, _MCAST_MSFILTER, asked)
    except OSError as error:
        if error.errno in (errno.EADDRNOTAVAIL, errno.EINVAL, errno.ENODEV):  # not joined there
            return None
        raise
    mode, count = struct.unpack_from("=II", answer, len(head))
    if count > most:
        return _joined(sock, group, index, count)
    start = len(head) + 8
    sources = [_address(answer[start + number * _STORAGE :]) for number in range(count)]
    return {
        "group": group,
        "interface": index,
        "mode": "include" if mode == _INCLUDE else "exclude",
        "sources": sorted(sources),
    }


def _address(packed: bytes) -> str:
    family = struct.unpack_from("=H", packed)[0]
    return str(ipaddress.ip_address(packed[4:8] if family == socket.AF_INET else packed[8:24]))


def _interfaces(sock: socket.socket) -> Set[int]:
    found = {index for index, _ in socket.if_nameindex()}
    # Where the socket is, which may be another namespace: those with an IPv4 address (netdevice(7)).
    buffer = ctypes.create_string_buffer(64 * _REQUEST)
    length = struct.unpack_from(
        "@i", fcntl.ioctl(sock, _SIOCGIFCONF, struct.pack("@iP", 64 * _REQUEST, ctypes.addressof(buffer)))
    )[0]
    for start in range(0, length, _REQUEST):
        name = buffer.raw[start : start + 16]
        try:
            found.add(struct.unpack_from("@16si", fcntl.ioctl(sock, _SIOCGIFINDEX, name.ljust(_REQUEST, b"\0")))[1])
        except OSError:  # gone meanwhile
            continue
    return found


def _get(sock: socket.socket, level: int, option: int, value: bytes, *, counted: bool = False) -> bytes:
    """Call getsockopt(2) with a value that goes in and comes out; ``counted``: the length that comes out is of no bytes."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(value, max(1, len(value)))
    length = ctypes.c_uint32(len(value))
    if libc.getsockopt(sock.fileno(), level, option, buffer, ctypes.byref(length)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return bytes(length.value) if counted else buffer.raw[: length.value]
