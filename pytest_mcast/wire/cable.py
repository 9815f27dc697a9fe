"""A wire in user space between two interfaces of a namespace: what comes in by one goes out by the other, impaired.

Frames pass with the kernel's own header for checksums that were left to the card (packet(7): PACKET_VNET_HDR).
"""

from __future__ import annotations

import errno
import heapq
import itertools
import math
import selectors
import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field

from .frames import packet
from .impairment import Fate, Impairment, Judge, complete_checksum

__all__ = ["Cable"]

_SOL_PACKET, _VNET_HDR, _IGNORE_OUTGOING = 263, 15, 23  # linux/if_packet.h
_ALL_PROTOCOLS = 3  # ETH_P_ALL
_VNET = struct.Struct(
    "=BBHHHH"
)  # struct virtio_net_hdr: flags, kind of GSO, header length, size, checksum start and offset
_NEEDS_CHECKSUM = 1
_SO_RCVBUFFORCE, _STATISTICS = 33, 6  # asm-generic/socket.h, linux/if_packet.h
_BUFFER = 32 << 20  # bytes, where we may; else twice net.core.rmem_max
_UDP = 17
_TURN = 64  # frames that are taken before the other direction, and what is due, have their turn
_LONG = 3600.0  # seconds; select(2) knows no time that is years away
_LATE = 0.02  # seconds after which what is to come after the next datagram comes without one


@dataclass
class _Way:
    """One direction."""

    source: socket.socket
    target: socket.socket
    judge: Judge
    free_at: float = 0.0  # when the line has sent all up to now
    late: list[tuple[float, bytes, Fate]] = field(
        default_factory=list
    )  # after the next datagram, or when their time is over


class Cable:
    """Connects two interfaces of the calling thread's namespace until ``close()``; ``names`` are those of the directions.

    Raises ``OSError``: EPERM without CAP_NET_RAW.
    """

    def __init__(self, first: str, second: str, impairment: Impairment, names: tuple[str, str]) -> None:
        self._ends: list[socket.socket] = []
        self._wake, self._woken = socket.socketpair()
        try:
            for name in (first, second):
                self._ends.append(_open(name))
        except BaseException:  # whatever it is: let go, and pass it on
            self._close()
            raise
        judges = [Judge(impairment, name) for name in names]
        #: What has happened, by direction.
        self.judges: dict[str, Judge] = dict(zip(names, judges, strict=True))
        self._rate = impairment.rate
        here, there = self._ends
        self._ways = [_Way(here, there, judges[0]), _Way(there, here, judges[1])]
        self._queue: list[tuple[float, int, _Way, bytes]] = []
        self._numbers = itertools.count()
        #: What the thread died of; None as long as it runs.
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"wire {first} - {second}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Disconnect; what is under way is lost. Again is no error."""
        if self._thread.is_alive():
            self._wake.send(b".")
            self._thread.join()
        self._close()

    def _close(self) -> None:
        for each in (*self._ends, self._wake, self._woken):
            each.close()

    def _run(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                for way in self._ways:
                    selector.register(way.source, selectors.EVENT_READ, way)
                selector.register(self._woken, selectors.EVENT_READ)
                while True:
                    due = self._next_due()
                    remaining = None if due is None else min(max(0.0, due - time.monotonic()), _LONG)
                    for key, _ in selector.select(remaining):
                        if key.fileobj is self._woken:
                            return
                        self._take(key.data)
                    self._send_due()
        except BaseException as error:  # noqa: BLE001 - told by whoever asks; a thread has nobody to raise it to
            self.error = error

    def _next_due(self) -> float | None:
        due = [way.late[0][0] for way in self._ways if way.late]
        return min([*due, *(one[0] for one in self._queue[:1])], default=None)

    def _take(self, way: _Way) -> None:
        for _ in range(_TURN):
            try:
                data, _, _, address = way.source.recvmsg(1 << 17)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                if error.errno != errno.ENETDOWN:  # said once, when a cable is pulled
                    raise
                break
            if address[2] != socket.PACKET_OUTGOING:
                self._pass(way, data)
        _, dropped = struct.unpack("=II", way.source.getsockopt(_SOL_PACKET, _STATISTICS, 8))  # and sets them to 0
        way.judge.overrun += dropped

    def _pass(self, way: _Way, data: bytes) -> None:
        header, frame = data[: _VNET.size], data[_VNET.size :]
        datagram = _is_datagram(frame)
        if datagram and way.judge.impairment.corrupt:
            flags, gso, length, size, start, offset = _VNET.unpack(header)
            if flags & _NEEDS_CHECKSUM:  # else it would be right for what was changed
                frame = complete_checksum(frame, start, offset)
                header = _VNET.pack(flags & ~_NEEDS_CHECKSUM, gso, length, size, 0, 0)
        fate = way.judge.fate(frame, datagram=datagram)
        if fate.late:
            way.late.append((time.monotonic() + _LATE, header, fate))  # then it is delayed like others
            return
        self._schedule(way, header, fate)
        if datagram and fate.copies:
            self._release(way, math.inf)

    def _release(self, way: _Way, until: float) -> None:
        """Send what was to come late, as far as its time is before ``until``."""
        while way.late and way.late[0][0] <= until:
            _, header, fate = way.late.pop(0)
            self._schedule(way, header, fate)

    def _schedule(self, way: _Way, header: bytes, fate: Fate) -> None:
        for _ in range(fate.copies):
            now = time.monotonic()
            if self._rate is not None:
                way.free_at = now = max(now, way.free_at) + len(fate.frame) / self._rate
            heapq.heappush(self._queue, (now + fate.delay, next(self._numbers), way, header + fate.frame))

    def _send_due(self) -> None:
        for way in self._ways:
            self._release(way, time.monotonic())
        while self._queue and self._queue[0][0] <= time.monotonic():
            _, _, way, data = heapq.heappop(self._queue)
            try:
                way.target.send(data)
            except OSError:  # the cable of a host is pulled, or its MTU is smaller: it is lost, as on any wire
                continue


def _open(interface: str) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    try:
        sock.setblocking(False)
        sock.setsockopt(_SOL_PACKET, _VNET_HDR, 1)
        sock.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        with suppress(PermissionError):  # without CAP_NET_ADMIN of the whole machine
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        sock.bind((interface, _ALL_PROTOCOLS))
    except BaseException:  # whatever it is: let go, and pass it on
        sock.close()
        raise
    return sock


def _is_datagram(frame: bytes) -> bool:
    """Whether it is a UDP datagram to a group; fragments count as well, each for itself."""
    if not frame or not frame[0] & 1:  # the Ethernet address of a group has this bit
        return False
    found = packet(frame)
    return found is not None and found.protocol == _UDP
