"""The sockets of this process, whoever has opened them, found by their descriptors (Linux); none is changed by that."""

from __future__ import annotations

import ctypes
import os
import socket
import stat
import sys
from typing import Dict, Optional

from .joined import getsockopt_of

__all__ = ["duplicate", "namespace_of", "open_sockets"]

_SO_TYPE, _SO_PROTOCOL, _SO_DOMAIN, _SO_NETNS_COOKIE = 3, 38, 39, 71  # asm-generic/socket.h
# The class as it is, whatever a test puts in its place.
_Socket = socket.socket


def open_sockets() -> Dict[int, int]:
    """Return the descriptors of the sockets of this process by their inodes (about 0.05 ms; 2 us for each socket).

    Those that could be read, where it has no descriptor left to look for them.
    """
    found: Dict[int, int] = {}
    try:
        names = os.listdir("/proc/self/fd")
    except OSError:  # EMFILE; or there is no /proc
        return found
    for name in names:
        try:
            status = os.fstat(int(name))
        except OSError:  # closed by now
            continue
        if stat.S_ISSOCK(status.st_mode):
            found[status.st_ino] = int(name)
    return found


def namespace_of(descriptor: int) -> Optional[int]:
    """Return the number (cookie) of the network namespace of a UDP socket; None for anything else, and where it is not told."""
    if _number(descriptor, _SO_DOMAIN) not in (socket.AF_INET, socket.AF_INET6):
        return None
    if (_number(descriptor, _SO_TYPE), _number(descriptor, _SO_PROTOCOL)) != (socket.SOCK_DGRAM, socket.IPPROTO_UDP):
        return None
    return _number(descriptor, _SO_NETNS_COOKIE, 8)


def duplicate(descriptor: int, inode: int) -> Optional[socket.socket]:
    """Return the same UDP socket under a descriptor of its own, to be closed; None when it is closed by now."""
    family = _number(descriptor, _SO_DOMAIN)
    if family is None:
        return None
    try:
        mine = os.dup(descriptor)
    except OSError:
        return None
    try:
        if os.fstat(mine).st_ino == inode:
            # With SOCK_NONBLOCK Python leaves the mode alone, which is the user's; else socket.setdefaulttimeout() would
            # make it non-blocking, for the user as well.
            return _Socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, socket.IPPROTO_UDP, fileno=mine)
    except OSError:
        pass
    os.close(mine)  # the number was another one's by now
    return None


def _number(descriptor: int, option: int, size: int = 4) -> Optional[int]:
    buffer, length = ctypes.create_string_buffer(size), ctypes.c_uint(size)
    if getsockopt_of()(descriptor, socket.SOL_SOCKET, option, buffer, ctypes.byref(length)) != 0:
        return None
    return int.from_bytes(buffer.raw[: length.value], sys.byteorder)
