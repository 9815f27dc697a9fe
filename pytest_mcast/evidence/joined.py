"""What one socket of this process has joined, and what else decides whether it gets a datagram (Linux).

The files in /proc/net tell what a host has joined, not which socket; a socket tells it about itself, if it is asked for
one interface and group after the other (MCAST_MSFILTER, RFC 3678 section 5.2).
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import socket
import struct
import sys
from typing import Any, Dict, Iterable, List, Optional, Tuple

__all__ = ["getsockopt_of", "joined_by", "namespace", "namespace_cookie", "socket_state"]

# linux/in.h; asm-generic/socket.h; linux/sock_diag.h
_MCAST_MSFILTER = 48
_SO_GET_FILTER, _SO_BINDTODEVICE, _SO_MEMINFO, _SO_NETNS_COOKIE = 26, 25, 55, 71
_IPV6_V6ONLY = 26
_QUEUED, _LIMIT, _DROPS = 0, 1, 8
_STORAGE = 128  # sizeof(struct sockaddr_storage), which is aligned to 8 bytes where pointers have 8
_MODES = {0: "exclude", 1: "include"}
_USUAL_SOURCES = 64  # room for so many is asked for at first


def socket_state(sock: socket.socket) -> Dict[str, Any]:
    """Return what can be read, by name; what cannot is not there.

    ``inode``; ``scope`` (of the address of an IPv6 socket); ``device`` (its name; empty: none) it is bound to; ``v6only``;
    ``filter`` (instructions of a filter that is attached; -1: an eBPF program, whose length is not told);
    ``queued``, ``limit`` (bytes) and ``drops`` (datagrams since it was opened); ``namespace`` (its cookie).
    """
    found: Dict[str, Any] = {}
    try:
        found["inode"] = os.fstat(sock.fileno()).st_ino
        if sock.family == socket.AF_INET6:
            found["scope"] = sock.getsockname()[3]
            found["v6only"] = sock.getsockopt(socket.IPPROTO_IPV6, _IPV6_V6ONLY)
    except OSError:
        pass  # closed, or another system
    if sys.platform.startswith("linux"):
        found.update(_linux_state(sock))
    return found


def _linux_state(sock: socket.socket) -> Dict[str, Any]:
    found: Dict[str, Any] = {}
    device = _get(sock, socket.SOL_SOCKET, _SO_BINDTODEVICE, b"", 16)
    if device is not None:
        found["device"] = device.rstrip(b"\0").decode("utf-8", "surrogateescape")
    memory = _get(sock, socket.SOL_SOCKET, _SO_MEMINFO, b"", 4 * (_DROPS + 1))
    if memory is not None and len(memory) == 4 * (_DROPS + 1):
        values = struct.unpack(f"={_DROPS + 1}I", memory)
        found.update(queued=values[_QUEUED], limit=values[_LIMIT], drops=values[_DROPS])
    cookie = namespace_cookie(sock)
    if cookie is not None:
        found["namespace"] = cookie
    try:
        # Without room for the instructions it is their number that is returned as the length.
        found["filter"] = _length(sock, socket.SOL_SOCKET, _SO_GET_FILTER)
    except OSError as error:
        if error.errno == errno.EACCES:  # an eBPF program
            found["filter"] = -1
    return found


def namespace_cookie(sock: socket.socket) -> Optional[int]:
    """Return the number of the network namespace that a socket is in; None where it is not told (before Linux 5.14)."""
    cookie = _get(sock, socket.SOL_SOCKET, _SO_NETNS_COOKIE, b"", 8) if sys.platform.startswith("linux") else None
    return None if cookie is None else int.from_bytes(cookie, sys.byteorder)


def namespace() -> int:
    """Return the number (cookie) of the calling thread's network namespace; raises ``OSError`` before Linux 5.14."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        cookie = namespace_cookie(sock)
    if cookie is None:
        raise OSError(errno.ENOPROTOOPT, "the kernel does not tell in which network namespace a socket is")
    return cookie


def joined_by(sock: socket.socket, asked: Iterable[Tuple[int, str]]) -> List[Dict[str, Any]]:
    """Return which of the memberships that are asked for, by interface index and group, a socket has.

    Each is a dict: ``index``, ``group``, ``mode`` (include or exclude), ``sources`` (all that are included or excluded).
    Groups of another family than the socket's are not asked for, but for IPv4 groups of an IPv6 socket.
    """
    found = []
    for index, group in asked:
        ipv6 = ":" in group
        if ipv6 and sock.family != socket.AF_INET6:
            continue
        level = socket.IPPROTO_IPV6 if ipv6 else socket.IPPROTO_IP
        answer = _filter_of(sock, level, index, group, _USUAL_SOURCES)
        if answer is None:  # EADDRNOTAVAIL: it is no member
            continue
        mode, sources = answer
        found.append({"index": index, "group": group, "mode": _MODES.get(mode, str(mode)), "sources": sources})
    return found


def _filter_of(sock: socket.socket, level: int, index: int, group: str, room: int) -> Optional[Tuple[int, List[str]]]:
    """Return mode and sources of a membership; None when there is none. With too little room it is asked again."""
    padding = 4 if struct.calcsize("P") == 8 else 0
    head = struct.pack("=I", index) + bytes(padding) + _storage(group)
    request = head + struct.pack("=II", 0, room)
    answer = _get(sock, level, _MCAST_MSFILTER, request, len(request) + room * _STORAGE)
    if answer is None:
        return None
    mode, count = struct.unpack_from("=II", answer, len(head))
    if count > room:  # the kernel tells how many there are, and the first of them
        return _filter_of(sock, level, index, group, count)
    starts = [len(request) + number * _STORAGE for number in range(count)]
    return mode, sorted(_address(answer[start : start + _STORAGE]) for start in starts)


def _storage(address: str) -> bytes:
    if ":" in address:
        body = struct.pack("=HHI", socket.AF_INET6, 0, 0) + socket.inet_pton(socket.AF_INET6, address)
    else:
        body = struct.pack("=HH", socket.AF_INET, 0) + socket.inet_aton(address)
    return body.ljust(_STORAGE, b"\0")


def _address(storage: bytes) -> str:
    if int.from_bytes(storage[:2], sys.byteorder) == socket.AF_INET6:
        return socket.inet_ntop(socket.AF_INET6, storage[8:24])
    return socket.inet_ntop(socket.AF_INET, storage[4:8])


@functools.lru_cache(maxsize=1)
def getsockopt_of() -> Any:
    """Return getsockopt(2) itself, which takes descriptors, and values to ask by."""
    return ctypes.CDLL(None, use_errno=True).getsockopt


def _get(sock: socket.socket, level: int, option: int, request: bytes, size: int) -> Optional[bytes]:
    """Return an option that is asked for by a value, as Python's ``getsockopt`` cannot; None when it is refused."""
    buffer = ctypes.create_string_buffer(request, size)
    length = ctypes.c_uint(size)
    if getsockopt_of()(sock.fileno(), level, option, buffer, ctypes.byref(length)) != 0:
        return None
    return buffer.raw[: length.value]


def _length(sock: socket.socket, level: int, option: int) -> int:
    length = ctypes.c_uint(0)
    if getsockopt_of()(sock.fileno(), level, option, None, ctypes.byref(length)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return length.value
