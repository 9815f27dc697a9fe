"""Bursts: many numbered datagrams as fast as they go, or at a rate; and the account of what became of each.

Linux takes and gives up to 64 datagrams in one system call: UDP_SEGMENT when sending, UDP_GRO when receiving (udp(7)).
"""

from __future__ import annotations

import secrets
import selectors
import socket
import struct
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Dict, Iterator, List, Mapping, Optional, Tuple

from . import system
from .deadline import Deadline
from .errors import NoVerdict

if TYPE_CHECKING:
    from types import TracebackType

    from .channels import Channel
    from .datagrams import Datagram
    from .receiver import Receiver
    from .sender import Sender

__all__ = ["LEAST_SIZE", "Account", "Burst", "Drain", "send_burst"]

_MARK = b"mcburst\0"
_END = b"mcbrend\0"  # nothing of the burst comes after it
_HEAD = struct.Struct("!8s8sQ")  # mark, nonce of the burst, number
#: A payload has at least its number, in bytes.
LEAST_SIZE = _HEAD.size
_SEGMENT, _GRO = 103, 104  # UDP_SEGMENT, UDP_GRO (linux/udp.h)
_SEGMENTS = 64  # UDP_MAX_SEGMENTS, of older kernels
_MOST = 65507 - 8  # bytes of payload in one call: what an IPv4 datagram has room for, less a little for IPv6
_TICK = 0.001  # seconds: with a rate, what is due is sent this often


@dataclass(frozen=True)
class Burst:
    """A burst that was sent: ``count`` datagrams of ``size`` bytes, numbered from 0, in ``seconds``.

    ``batch`` is how many were given to the kernel in one call; ``nonce`` is what they are known by.
    """

    channel: Channel
    source: Tuple[str, int]
    count: int
    size: int
    seconds: float
    batch: int
    nonce: bytes = field(repr=False)
    sender: Sender = field(repr=False, compare=False)

    @property
    def per_second(self) -> float:
        """How many datagrams were sent in a second."""
        return self.count / self.seconds if self.seconds else float("inf")

    def send_end(self) -> None:
        """Send a datagram that says that the burst is over."""
        self.sender.send(_HEAD.pack(_END, self.nonce, self.count))


@dataclass(frozen=True)
class Account:
    """What became of a burst: ``sent`` is ``received`` and what was ``lost``, by cause.

    ``received`` counts each number once; ``duplicates`` are those that came again, ``reordered`` those that came after a
    higher one (RFC 4737 section 3). The causes: ``receive buffer`` (the kernel had no room at the receiver's socket), and
    ``network`` for what never came to it.
    """

    sent: int
    received: int
    duplicates: int
    reordered: int
    lost: Mapping[str, int]
    missing: Tuple[Tuple[int, int], ...]  # first and last number of each gap

    def __str__(self) -> str:
        causes = ", ".join(f"{count} by {cause}" for cause, count in self.lost.items()) or "none"
        again = f"{self.duplicates} duplicates, {self.reordered} reordered"
        return f"sent {self.sent}, received {self.received} ({again}), lost {causes}"


def send_burst(sender: Sender, count: int, size: int, rate: Optional[float] = None) -> Burst:
    """Send ``count`` numbered datagrams of ``size`` bytes of payload; ``rate`` is in datagrams per second (None: all at once).

    Raises ``ValueError`` for numbers that cannot be, ``OSError`` as sendto(2), and ``BlockingIOError`` when the system
    takes nothing for the sender's time-out.
    """
    if count < 1:
        raise ValueError(f"count {count!r} is not at least 1")
    if not LEAST_SIZE <= size <= 65507:
        raise ValueError(f"size {size!r} is not from {LEAST_SIZE} bytes (the number) to 65507")
    if rate is not None and not rate > 0:
        raise ValueError(f"rate {rate!r} is not a positive number of datagrams per second")
    nonce = secrets.token_bytes(8)
    batch = _batch(sender, size)
    payload = bytearray(batch * size)
    view = memoryview(payload)
    started = time.monotonic()
    position = 0
    try:
        while position < count:
            wanted = count if rate is None else _due(started, rate, count, position)
            while position < wanted:
                number = min(batch, wanted - position)
                for each in range(number):
                    _HEAD.pack_into(payload, each * size, _MARK, nonce, position + each)
                sender.send_raw(view[: number * size], number)
                position += number
    finally:
        if batch > 1:
            sender.socket.setsockopt(socket.IPPROTO_UDP, _SEGMENT, 0)
    return Burst(sender.channel, sender.source, count, size, time.monotonic() - started, batch, nonce, sender)


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


def _apart(datagram: Datagram, size: Optional[int]) -> Iterator[Datagram]:
    """Yield the datagrams that came as one."""
    if size is None:
        yield datagram
    else:
        for start in range(0, len(datagram.payload), size):
            yield replace(datagram, payload=datagram.payload[start : start + size])


class _Tally:
    """What has come of one burst."""

    def __init__(self) -> None:
        self.seen = bytearray()
        self.received = self.duplicates = self.reordered = 0
        self.highest = -1
        self.ended = threading.Event()

    def see(self, numbers: List[int]) -> None:
        """Count numbers, in the order of their arrival."""
        first, last = numbers[0], numbers[-1]
        if first > self.highest and last - first + 1 == len(numbers) and sorted(numbers) == numbers:
            self._grow(last)
            self.seen[first : last + 1] = b"\1" * len(numbers)
            self.received += len(numbers)
            self.highest = last
            return
        for number in numbers:
            self._grow(number)
            if self.seen[number]:
                self.duplicates += 1
                continue
            self.seen[number] = 1
            self.received += 1
            self.reordered += number < self.highest
            self.highest = max(self.highest, number)

    def _grow(self, number: int) -> None:
        if number >= len(self.seen):
            self.seen += bytes(number + 1 - len(self.seen) + 65536)

    def gaps(self, count: int) -> Iterator[Tuple[int, int]]:
        """Yield the first and last number of each gap."""
        seen = self.seen[:count].ljust(count, b"\0")
        start = seen.find(0)
        while start >= 0:
            end = seen.find(1, start)
            yield start, (count if end < 0 else end) - 1
            start = -1 if end < 0 else seen.find(0, end)


class Drain:
    """Takes all that comes to a receiver, in a thread of its own, and counts bursts; made by ``Receiver.drain()``.

    To be used with ``with``; what else comes is there for the receiver's ``recv()`` afterwards.
    """

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._subscription = receiver.subscription
        self._socket = receiver.subscription.socket
        self._tallies: Dict[bytes, _Tally] = {}
        self._error: Optional[BaseException] = None
        self._offload = self._switch(on=True)
        self._drops = system.kernel_drops(self._socket)
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name=f"drain of {receiver.channel}", daemon=True)
        self._thread.start()

    def account(self, burst: Burst, timeout: Optional[float] = None) -> Account:
        """Return what became of a burst, once a datagram that was sent after it is here.

        Raises ``NoVerdict`` when none is after ``timeout`` seconds (default: the receiver's), or what ended the thread.
        """
        deadline = Deadline(self._receiver.timeout if timeout is None else timeout)
        tally = self._tallies.setdefault(burst.nonce, _Tally())
        pause = 0.001
        while not tally.ended.is_set():
            if self._error is not None:
                raise self._error
            burst.send_end()  # it can be lost as well: again and again
            remaining = deadline.remaining()
            if not tally.ended.wait(pause if remaining is None else min(pause, remaining)) and deadline.passed():
                raise NoVerdict(f"no verdict: the end of {burst} did not arrive; {tally.received} datagrams did")
            pause = min(2 * pause, 0.1)
        return self._settle(burst, tally)

    def _settle(self, burst: Burst, tally: _Tally) -> Account:
        gaps = tuple(tally.gaps(burst.count))
        missing = sum(last - first + 1 for first, last in gaps)
        lost: Dict[str, int] = {}
        now = system.kernel_drops(self._socket)
        drops = None if now is None or self._drops is None else now - self._drops
        if missing and drops is None:
            lost["unknown"] = missing
        elif missing:
            buffer = min(missing, self._dropped(burst, gaps, drops or 0))
            lost = {"receive buffer": buffer, "network": missing - buffer}
        return Account(
            burst.count,
            tally.received,
            tally.duplicates,
            tally.reordered,
            {cause: number for cause, number in lost.items() if number},
            gaps,
        )

    def _dropped(self, burst: Burst, gaps: Tuple[Tuple[int, int], ...], drops: int) -> int:
        """Return how many datagrams the kernel has dropped: it counts a batch once, when it is given as one."""
        if not self._offload or burst.batch == 1:
            return drops
        whole = burst.batch
        batches = [
            min(start + whole, burst.count) - start
            for first, last in gaps
            for start in range(first - first % whole, last + 1, whole)
            if first <= start and min(start + whole, burst.count) - 1 <= last
        ]
        return sum(batches[:drops])

    def _switch(self, *, on: bool) -> bool:
        if not system.LINUX:
            return False
        try:
            self._socket.setsockopt(socket.IPPROTO_UDP, _GRO, int(on))
        except OSError:  # before Linux 5.0
            return False
        return True

    def _run(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._socket, selectors.EVENT_READ)
                selector.register(self._woken, selectors.EVENT_READ)
                while not any(key.fileobj is self._woken for key, _ in selector.select()):
                    self._take()
                self._take()
        except BaseException as error:  # noqa: BLE001 - raised in the thread that asks for the account
            self._error = error

    def _take(self) -> None:
        """Take all that is queued."""
        others: List[Datagram] = []
        while True:
            datagram, size = self._subscription.receive_batch()
            if datagram is None:
                break
            if not self._count(datagram.payload, size or max(1, len(datagram.payload))):
                others.extend(_apart(datagram, size))
        if others:
            self._receiver.give_back(others)

    def _count(self, payload: bytes, size: int) -> bool:
        """Count a batch of datagrams of a size, the last of which may be shorter; False when they are of no burst."""
        mark, nonce, _ = _HEAD.unpack_from(payload) if len(payload) >= LEAST_SIZE else (b"", b"", 0)
        if mark not in (_MARK, _END):
            return False
        tally = self._tallies.setdefault(nonce, _Tally())
        if mark == _END:
            tally.ended.set()
        else:
            tally.see([_HEAD.unpack_from(payload, start)[2] for start in range(0, len(payload), size)])
        return True

    def close(self) -> None:
        """End the thread; again is no error."""
        if self._thread.is_alive():
            self._wake.send(b".")
            self._thread.join()
        self._wake.close()
        self._woken.close()
        if not self._receiver.closed:
            self._switch(on=False)

    def __enter__(self) -> Drain:
        return self

    def __exit__(
        self,
        exception_type: Optional[type[BaseException]],
        exception: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()
