"""What every packet socket needs and the ``socket`` module cannot say: filters, and all interfaces (packet(7), socket(7))."""

from __future__ import annotations

import ctypes
import socket
import struct

__all__ = ["NOTHING", "attach_filter", "bind_to_all", "instruction"]

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
