"""Packet sockets (packet(7)): bytes out of an interface, and everything that comes in.

Opening one takes microseconds. Closing one waits for the kernel's RCU grace period, 16 to 24 ms: they are kept open as
long as the host they are in.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from .attach import NOTHING, attach_filter, bind_to_all

__all__ = ["Injector", "Tap", "TappedFrame", "hardware_addresses"]

_SOL_PACKET, _STATISTICS, _IGNORE_OUTGOING = 263, 6, 23  # linux/if_packet.h
_SO_DETACH_FILTER, _SO_RCVBUFFORCE, _SO_TIMESTAMPNS = 27, 33, 35  # asm-generic/socket.h
_SIOCGIFHWADDR = 0x8927  # netdevice(7)
_BUFFER = 16 << 20  # bytes, where we may; else twice net.core.rmem_max, by default room for 500 small frames


class Injector:
    """Sends frames as they are out of one interface of the calling thread's network namespace.

    Raises ``OSError``: EPERM without CAP_NET_RAW.
    """

    def __init__(self, interface: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)  # 0: receives nothing
        try:
            self._socket.bind((interface, 0))
            #: The Ethernet address of the interface, such as ``02:00:00:00:00:01``.
            self.mac: str = self._socket.getsockname()[4].hex(":")
        except BaseException:  # whatever it is: let go, and pass it on
            self._socket.close()
            raise

    def inject(self, frame: bytes) -> None:
        """Send one frame, Ethernet header and all; raises ``OSError`` (EMSGSIZE: above the MTU; ENETDOWN...)."""
        self._socket.send(frame)

    def close(self) -> None:
        """Close the socket (16 to 24 ms)."""
        self._socket.close()


def hardware_addresses() -> frozenset[str]:
    """Return the Ethernet addresses of the interfaces of the calling thread's network namespace."""
    import fcntl

    found = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _, name in socket.if_nameindex():
            answer = fcntl.ioctl(sock, _SIOCGIFHWADDR, name.encode("utf-8", "surrogateescape").ljust(40, b"\0"))
            found.add(answer[18:24].hex(":"))
    return frozenset(found - {"00:00:00:00:00:00"})


@dataclass(frozen=True)
class TappedFrame:
    """A frame that came in, or went out: its bytes, the interface, and the kernel's time in nanoseconds since 1970."""

    data: bytes
    interface: str
    timestamp_ns: int
    outgoing: bool


class Tap:
    """Sees every frame that comes in by any interface of the calling thread's network namespace, while it is on.

    It is off at first, and costs the traffic next to nothing then. What is sent from here it does not see, unless it
    ``sees_outgoing``; and never what a host sends to itself by an interface that is not loopback.
    Raises ``OSError``: EPERM without CAP_NET_RAW.
    """

    def __init__(self, *, sees_outgoing: bool = False) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._lost = 0
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            if not sees_outgoing:
                self._socket.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
            self._enlarge()
            attach_filter(self._socket, NOTHING)
            bind_to_all(self._socket)
        except BaseException:  # whatever it is: let go, and pass it on
            self._socket.close()
            raise

    def switch_on(self, instructions: bytes | None = None) -> None:
        """See what comes in from now on; only what a filter of classic BPF takes, if there is one."""
        if instructions is None:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
        else:
            attach_filter(self._socket, instructions)
        self._statistics()
        self._lost = 0

    def switch_off(self) -> None:
        """See nothing from now on, and forget what was not fetched."""
        attach_filter(self._socket, NOTHING)
        for _ in self.frames():
            pass

    def frames(self) -> Iterator[TappedFrame]:
        """Yield what has come in since the last call, without waiting."""
        while True:
            try:
                data, ancillary, _, address = self._socket.recvmsg(65536, 64)
            except (BlockingIOError, InterruptedError):
                return
            time_ns = 0
            for level, kind, value in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
                    seconds, nanoseconds = struct.unpack("=qq", value)
                    time_ns = seconds * 1_000_000_000 + nanoseconds
            yield TappedFrame(data, address[0], time_ns, address[2] == socket.PACKET_OUTGOING)

    @property
    def lost(self) -> int:
        """How many frames were dropped since it was switched on, because nobody fetched them in time."""
        self._lost += self._statistics()
        return self._lost

    def fileno(self) -> int:
        """The descriptor, which is readable when a frame is there."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket (16 to 24 ms)."""
        self._socket.close()

    def _statistics(self) -> int:
        _, dropped = struct.unpack("=II", self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 8))  # and sets them to 0
        return int(dropped)

    def _enlarge(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        with suppress(PermissionError):  # without CAP_NET_ADMIN of the whole machine
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
