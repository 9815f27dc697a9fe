"""Bursts: many numbered datagrams as fast as they go, or at a rate. ``drain`` has the account of what became of each.

Linux takes and gives up to 64 datagrams in one system call: UDP_SEGMENT when sending, UDP_GRO when receiving (udp(7)).
"""

from __future__ import annotations

import errno
import math
import secrets
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, List, Optional, Tuple

from . import system

if TYPE_CHECKING:
    from .channels import Channel
    from .sender import Sender

__all__ = ["END", "LEAST_SIZE", "MARK", "MOST_DATAGRAMS", "Burst", "layout", "send_burst"]

#: What a payload begins with: of a datagram of a burst, and of one that says that nothing of it comes any more.
MARK = b"mcburst\0"
END = b"mcbrend\0"
_HEAD = "8s8sQ"  # mark, nonce of the burst, number
#: A payload has at least its number, in bytes.
LEAST_SIZE = struct.calcsize(f"!{_HEAD}")
_SEGMENT = 103  # UDP_SEGMENT (linux/udp.h)
_SEGMENTS = 64  # UDP_MAX_SEGMENTS, of older kernels
#: No burst has more.
MOST_DATAGRAMS = 50_000_000
_MOST = 65507 - 8  # bytes of payload in one call: what an IPv4 datagram has room for, less a little for IPv6
#: Why several are not taken in one call: the MTU is smaller by now, so that each goes out in fragments, or the interface makes no
#: checksums (EIO, before Linux 6.11).
_NOT_TOGETHER = (errno.EMSGSIZE, errno.EINVAL, errno.EIO)
_TICK = 0.001  # seconds: with a rate, what is due is sent this often


@dataclass(frozen=True)
class Burst:
    """A burst that was sent: ``count`` datagrams of ``size`` bytes, numbered from 0, in ``seconds``.

    ``batches`` are the numbers of the first datagram of each call; ``nonce`` is what they are known by.
    """

    channel: Channel
    source: Tuple[str, int]
    count: int
    size: int
    seconds: float
    batches: Tuple[int, ...] = field(repr=False)
    nonce: bytes = field(repr=False)
    sender: Sender = field(repr=False, compare=False)
    #: Which were sent, as many as there are: a number could not be changed here.
    _ends: List[None] = field(default_factory=list, repr=False, compare=False)

    @property
    def per_second(self) -> float:
        """How many datagrams were sent in a second."""
        return self.count / self.seconds if self.seconds else float("inf")

    @property
    def ends(self) -> int:
        """How many datagrams were sent up to now that say that the burst is over."""
        return len(self._ends)

    def send_end(self) -> None:
        """Send a datagram that says that the burst is over."""
        self._ends.append(None)
        self.sender.send(layout(LEAST_SIZE, 1).pack(END, self.nonce, self.count))


@lru_cache(maxsize=16)
def layout(size: int, number: int) -> struct.Struct:
    """Return the layout of so many payloads of ``size`` bytes, one behind the other: mark, nonce and number of each."""
    return struct.Struct("!" + f"{_HEAD}{size - LEAST_SIZE}x" * number)


def send_burst(sender: Sender, count: int, size: int, rate: Optional[float] = None) -> Burst:
    """Send ``count`` numbered datagrams of ``size`` bytes of payload; ``rate`` is in datagrams per second (None: all at once).

    Raises ``ValueError`` for numbers that cannot be, ``OSError`` as sendto(2), and ``BlockingIOError`` when the system
    takes nothing for the sender's time-out.
    """
    if not _is_number(count, int) or not 1 <= count <= MOST_DATAGRAMS:
        raise ValueError(f"count {count!r} is not from 1 to {MOST_DATAGRAMS}")
    if not _is_number(size, int) or not LEAST_SIZE <= size <= 65507:
        raise ValueError(f"size {size!r} is not from {LEAST_SIZE} bytes (the number) to 65507")
    if rate is not None and not (_is_number(rate, int, float) and 0 < rate < math.inf):
        raise ValueError(f"rate {rate!r} is not a positive number of datagrams per second")
    nonce = secrets.token_bytes(8)
    batch = _batch(sender, size)
    batches: List[int] = []
    started = time.monotonic()
    position = 0
    try:
        while position < count:
            wanted = count if rate is None else _due(started, rate, count, position)
            while position < wanted:
                number = min(batch, wanted - position)
                heads: List[object] = [MARK, nonce, 0] * number
                heads[2::3] = range(position, position + number)
                try:
                    sender.send_raw(layout(size, number).pack(*heads), number)
                except OSError as error:
                    if batch == 1 or error.errno not in _NOT_TOGETHER:
                        raise
                    sender.socket.setsockopt(socket.IPPROTO_UDP, _SEGMENT, 0)
                    batch = 1
                    continue
                batches.append(position)
                position += number
    finally:
        if batch > 1:
            sender.socket.setsockopt(socket.IPPROTO_UDP, _SEGMENT, 0)
    seconds = time.monotonic() - started
    return Burst(sender.channel, sender.source, count, size, seconds, tuple(batches), nonce, sender)


def _is_number(value: object, *kinds: type) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _batch(sender: Sender, size: int) -> int:
    """Return how many datagrams the kernel takes in one call, and tell it their size."""
    fits = size <= sender.interface.mtu - (48 if sender.channel.family == "ipv6" else 28)
    number = min(_SEGMENTS, _MOST // size)
    if not system.LINUX or not fits or number < 2:
        return 1
    try:
        sender.socket.setsockopt(socket.IPPROTO_UDP, _SEGMENT, size)
    except OSError:  # before Linux 4.18
        return 1
    return number


def _due(started: float, rate: float, count: int, position: int) -> int:
    """Wait until something is due, and return up to which number."""
    nobody = threading.Event()  # a rate is time itself: there is nothing else to wait for
    while True:
        due = min(count, 1 + int((time.monotonic() - started) * rate))
        if due > position:
            return due
        nobody.wait(max(_TICK, (position / rate) - (time.monotonic() - started)))
