"""What every packet socket needs and the ``socket`` module cannot say: filters, and all interfaces (packet(7), socket(7))."""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from collections.abc import Callable
from typing import TypeVar

from pytest_mcast.core.errors import MissingCapability

__all__ = ["NOTHING", "attach_filter", "bind_to_all", "instruction", "with_packet_sockets"]

_Socket = TypeVar("_Socket")

_ALL_PROTOCOLS = 3  # ETH_P_ALL
_SO_ATTACH_FILTER = 26  # asm-generic/socket.h


def instruction(code: int, value: int, jump: int = 0, otherwise: int = 0) -> bytes:
    """Return one instruction of a classic BPF program (linux/filter.h); jumps count the instructions to pass over."""
    return struct.pack("=HBBI", code, jump, otherwise, value & 0xFFFFFFFF)


#: A program that takes no frame: BPF_RET 0.
NOTHING = instruction(0x06, 0)


def attach_filter(sock: socket.socket, program: bytes) -> None:
    """Take only frames for which the program returns more than 0, from now on."""
    buffer = ctypes.create_string_buffer(program, len(program))
    count, pointer = len(program) // 8, ctypes.addressof(buffer)
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", count, pointer))


def bind_to_all(sock: socket.socket) -> None:
    """Bind to all protocols on all interfaces: struct sockaddr_ll with index 0.

    The socket must have been made with protocol 0: one that is changed costs a grace period.
    """
    address = struct.pack("=HHiHBB8s", socket.AF_PACKET, socket.htons(_ALL_PROTOCOLS), 0, 0, 0, 0, b"")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.bind(sock.fileno(), address, len(address)) != 0:
        raise OSError(ctypes.get_errno(), "cannot bind a packet socket to all interfaces")


def with_packet_sockets(open_it: Callable[[], _Socket]) -> _Socket:
    """Call what opens packet sockets; raises ``MissingCapability`` where there are none."""
    try:
        return open_it()
    except PermissionError as error:
        reason, remedy = f"this process may not open packet sockets ({error})", "give it CAP_NET_RAW"
        raise MissingCapability("packets", reason, remedy) from error
    except OSError as error:
        if error.errno not in (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT):
            raise
        reason, remedy = f"this kernel has no packet sockets ({error})", "run: sudo modprobe af_packet"
        raise MissingCapability("packets", reason, remedy) from error
