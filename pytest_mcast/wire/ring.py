"""A packet socket with a ring of memory that it shares with the kernel (PACKET_RX_RING, linux/if_packet.h).

An ordinary user's socket buffer holds about 500 frames (net.core.rmem_max); the ring holds thousands, whoever we are.
Opening one takes 8 to 16 ms and closing it 16 to 30, in which nothing else waits: several are closed in one go by threads.
"""

from __future__ import annotations

import errno
import mmap
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from .attach import NOTHING, attach_filter, bind_to_all

__all__ = ["RawFrame", "Ring"]

_SOL_PACKET, _RX_RING, _STATISTICS, _COPY_THRESHOLD, _VERSION = 263, 5, 6, 7, 10
_VERSION_2 = 1  # TPACKET_V2: a frame is there at once. Version 3 packs them better, and shows them some ms later.
_USER, _COPY, _VLAN, _TPID = 1 << 0, 1 << 1, 1 << 4, 1 << 6  # TP_STATUS_...
_OUTGOING = 4  # PACKET_OUTGOING
_SLOT, _BLOCK = 2048, 1 << 16  # bytes; an Ethernet frame fits into a slot
_SLOTS = (8192, 2048, 512)  # the most that can be had
_HEADER = struct.Struct("=IIIHHIIHH")  # struct tpacket2_hdr
_ADDRESS = struct.Struct("=HHiHB")  # struct sockaddr_ll behind it
_ADDRESS_AT = 32
_STATUS = struct.Struct("=I")
_SIOCGIFNAME = 0x8910


class RawFrame(NamedTuple):
    """A frame: its bytes, the number of the interface, the kernel's time in nanoseconds since 1970.

    ``length`` is that of the frame on the wire, of which ``data`` is the beginning when it is shorter; ``comments`` can be
    added to.
    """

    data: bytes
    interface: int
    timestamp_ns: int
    outgoing: bool
    length: int
    comments: list[str]


class Ring:
    """Sees every frame that crosses an interface of the calling thread's network namespace, both ways, while it is on.

    ``program`` is a BPF program that chooses frames in the kernel. It is off at first, and costs the traffic next to
    nothing then. Raises ``OSError``: EPERM without CAP_NET_RAW.
    """

    def __init__(self, program: bytes) -> None:
        self._program = program
        self._next = 0
        self._lost = 0
        self._names: dict[int, str] = {}
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        try:
            self._socket.setsockopt(_SOL_PACKET, _VERSION, _VERSION_2)
            # What is longer than a slot, such as a datagram that has not been segmented yet, is queued as well.
            self._socket.setsockopt(_SOL_PACKET, _COPY_THRESHOLD, 1)
            attach_filter(self._socket, NOTHING)
            #: How many frames it holds.
            self.slots = self._allocate()
            self._map = mmap.mmap(self._socket.fileno(), self.slots * _SLOT)
            bind_to_all(self._socket)
        except BaseException:  # whatever it is: let go, and pass it on
            self._socket.close()
            raise

    def _allocate(self) -> int:
        for slots in _SLOTS:
            try:
                request = struct.pack("=IIII", _BLOCK, slots * _SLOT // _BLOCK, _SLOT, slots)
                self._socket.setsockopt(_SOL_PACKET, _RX_RING, request)
            except OSError as error:
                if error.errno != errno.ENOMEM or slots == _SLOTS[-1]:
                    raise
            else:
                return slots
        raise AssertionError

    def switch_on(self) -> None:
        """See what crosses from now on."""
        attach_filter(self._socket, self._program)
        self._statistics()
        self._lost = 0

    def switch_off(self) -> None:
        """See nothing from now on, and forget what was not fetched."""
        attach_filter(self._socket, NOTHING)
        for _ in self.frames():
            pass

    def frames(self) -> Iterator[RawFrame]:
        """Yield what has crossed since the last call, without waiting."""
        while True:
            start = self._next * _SLOT
            status, length, there, mac, _, seconds, nanoseconds, tag, kind = _HEADER.unpack_from(self._map, start)
            if not status & _USER:
                return
            _, _, index, _, direction = _ADDRESS.unpack_from(self._map, start + _ADDRESS_AT)
            data = self._map[start + mac : start + mac + there]
            if status & _COPY:
                data = self._socket.recv(1 << 17)
            if status & _VLAN:  # the kernel has taken the tag out (IEEE 802.1Q)
                data = data[:12] + struct.pack(">HH", kind if status & _TPID else 0x8100, tag) + data[12:]
                length += 4
            _STATUS.pack_into(self._map, start, 0)  # it is the kernel's again
            self._next = (self._next + 1) % self.slots
            yield RawFrame(data, index, seconds * 1_000_000_000 + nanoseconds, direction == _OUTGOING, length, [])

    def interface(self, index: int) -> str:
        """Return the name of an interface of the ring's network namespace by its number (netdevice(7))."""
        import fcntl  # which not every system has that imports this

        if index not in self._names:
            with suppress(OSError):  # it is gone
                answer = fcntl.ioctl(self._socket, _SIOCGIFNAME, struct.pack("=16si20x", b"", index))
                self._names[index] = answer[:16].partition(b"\0")[0].decode("utf-8", "surrogateescape")
        return self._names.get(index, f"interface{index}")

    @property
    def lost(self) -> int:
        """How many frames were dropped since it was switched on, because the ring was full."""
        self._lost += self._statistics()
        return self._lost

    def fileno(self) -> int:
        """The descriptor, which is readable when a frame is there."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close it; again is no error."""
        self._map.close()
        self._socket.close()

    def _statistics(self) -> int:
        _, dropped = struct.unpack("=II", self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 8))  # and sets them to 0
        return int(dropped)
