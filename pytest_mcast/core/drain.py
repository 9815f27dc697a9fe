"""The exact account of bursts: what came, what came again or late, and what was lost where."""

from __future__ import annotations

import selectors
import socket
import threading
from bisect import bisect_left
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from . import system
from .bursts import END, LEAST_SIZE, MARK, MOST_DATAGRAMS, layout
from .deadline import Deadline
from .errors import NoVerdict, SubscriptionError
from .views import Beside

if TYPE_CHECKING:
    from types import TracebackType

    from .bursts import Burst
    from .datagrams import Datagram
    from .receiver import Receiver

__all__ = ["Account", "Drain"]

_HEAD = layout(LEAST_SIZE, 1)
_GRO = 104  # UDP_GRO (linux/udp.h)
_LATE = 0.2  # seconds without a new one, after which none is expected any more that was overtaken by the end


@dataclass(frozen=True)
class Account:
    """What became of a burst: ``sent`` is ``received`` and what was ``lost``, by cause.

    ``received`` counts each number once; ``duplicates`` are those that came again, ``reordered`` those that came after a
    higher one (RFC 4737 section 3). The causes: ``socket``, where the kernel has dropped it at the receiver's socket, for want
    of room or because of its checksum; ``network``, for what never came to it; and ``socket or network`` where that cannot be
    told: the kernel counts only one for several datagrams that came as one, and those of others as well.
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


def _causes(
    burst: Burst, gaps: Tuple[Tuple[int, int], ...], drops: Optional[int], *, others: int, alone: bool
) -> Dict[str, int]:
    """Say by what datagrams were lost, when the kernel has dropped so many at the socket.

    ``others`` is how many of those may have been ends of bursts; ``alone``: the rest is of this burst.
    """
    missing = sum(last - first + 1 for first, last in gaps)
    if not missing:
        return {}
    if drops is None:
        return {"socket or network": missing}
    if drops == 0:
        return {"network": missing}
    # Each drop is of one datagram, or of one call's, of which several came as one.
    ends = (*burst.batches[1:], burst.count)
    whole: List[int] = []  # how many datagrams each call had of which none came
    for first, last in gaps:
        number = bisect_left(burst.batches, first)
        while number < len(ends) and ends[number] <= last + 1:
            whole.append(ends[number] - burst.batches[number])
            number += 1
    surely_ours = drops - others
    if alone and (missing == surely_ours or (len(whole) == surely_ours and sum(whole) == missing)):
        return {"socket": missing}
    largest = max(end - start for start, end in zip(burst.batches, ends))
    surely = max(0, missing - drops * largest)
    lost = {"socket or network": missing - surely, "network": surely}
    return {cause: number for cause, number in lost.items() if number}


class _Tally:
    """What has come of one burst."""

    def __init__(self) -> None:
        self.seen = bytearray()
        self.received = self.duplicates = self.reordered = 0
        self.highest = -1
        self.ended = threading.Event()
        self.more = threading.Event()  # came after the end
        self.burst: Optional[Burst] = None
        self.ends = 0
        self.account: Optional[Account] = None

    def see(self, numbers: Sequence[int]) -> None:
        """Count numbers, in the order of their arrival."""
        self._count(numbers)
        if self.ended.is_set():
            self.more.set()

    def _count(self, numbers: Sequence[int]) -> None:
        first, last = numbers[0], numbers[-1]
        if first > self.highest and tuple(numbers) == tuple(range(first, first + len(numbers))):
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

    def see_end(self) -> None:
        """Take note that it is over."""
        self.ends += 1
        if self.ended.is_set():
            self.more.set()
        self.ended.set()

    @property
    def ends_lost(self) -> int:
        """How many ends have not come."""
        return 0 if self.burst is None else max(0, self.burst.ends - self.ends)

    def wait_for_more(self, seconds: float) -> bool:
        """Wait for more of it after its end, or another end; False when there was none."""
        found = self.more.wait(seconds)
        self.more.clear()
        return found

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
        self._others: List[Datagram] = []
        self._closed = False
        self._ends_lost = 0  # at the last account
        self._strangers = 0  # datagrams of no burst, and bursts, since the last account
        # The tap of a virtual host would take a copy of everything, and have no room for it soon.
        tap: Any = receiver.control
        self._tap = tap if hasattr(tap, "switch_off") else None
        if self._tap is not None:
            self._tap.switch_off()
        self._switch(on=True)
        self._drops = system.kernel_drops(self._socket)
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name=f"drain of {receiver.channel}", daemon=True)
        self._thread.start()

    def account(self, burst: Burst, timeout: Optional[float] = None) -> Account:
        """Return what became of a burst, once a datagram that was sent after it is here; asked again, the same.

        Where datagrams can overtake each other (a real network, an impaired cable), what is missing then is waited for, until
        none has come for 0.2 s. Raises ``NoVerdict`` when there is no end after ``timeout`` seconds (default: the
        receiver's), ``SubscriptionError`` after ``close()``, also that of the receiver, and what ended the thread.
        """
        if self._closed:
            raise SubscriptionError(f"the drain of {self._receiver.channel} is closed; ask before")
        deadline = Deadline(self._receiver.timeout if timeout is None else timeout)
        tally = self._tally(burst.nonce)
        if tally.account is not None:  # the kernel's drops were looked at once
            return tally.account
        tally.burst = burst
        pause = 0.001
        while not tally.ended.is_set():
            if self._receiver.closed:
                raise SubscriptionError(f"the receiver of {self._receiver.channel} is closed, and was being drained")
            if self._error is not None:
                raise self._error
            burst.send_end()  # it can be lost as well: again and again
            remaining = deadline.remaining()
            if not tally.ended.wait(pause if remaining is None else min(pause, remaining)) and deadline.passed():
                raise NoVerdict(f"no verdict: the end of {burst} did not arrive; {tally.received} datagrams did")
            pause = min(2 * pause, 0.1)
        self._wait_for_rest(burst, tally, deadline)
        tally.account = self._settle(burst, tally)
        return tally.account

    def _wait_for_rest(self, burst: Burst, tally: _Tally, deadline: Deadline) -> None:
        """Wait for what may come after the first end, as long as it matters and something does come."""
        in_order = Beside(self._receiver).immediate
        while not deadline.passed():
            overtaken = not in_order and tally.received < burst.count
            # Was it one of the ends that the kernel has dropped?
            dropped = tally.ends_lost > 0 and system.kernel_drops(self._socket) != self._drops
            if not (overtaken or dropped) or not tally.wait_for_more(_LATE):
                return

    @property
    def closed(self) -> bool:
        """Whether ``close()`` was called."""
        return self._closed

    def _settle(self, burst: Burst, tally: _Tally) -> Account:
        gaps = tuple(tally.gaps(burst.count))
        before, self._drops = self._drops, system.kernel_drops(self._socket)
        tallies = list(self._tallies.values())
        before_that, self._ends_lost = self._ends_lost, sum(each.ends_lost for each in tallies)
        others = max(0, self._ends_lost - before_that)
        alone = self._strangers == 0 and not tally.duplicates
        alone = alone and all(each is tally or each.account is not None for each in tallies)
        self._strangers = 0
        drops = None if self._drops is None or before is None else self._drops - before
        lost = _causes(burst, gaps, drops, others=others, alone=alone)
        return Account(burst.count, tally.received, tally.duplicates, tally.reordered, lost, gaps)

    def _switch(self, *, on: bool) -> None:
        if system.LINUX:
            with suppress(OSError):  # before Linux 5.0
                self._socket.setsockopt(socket.IPPROTO_UDP, _GRO, int(on))

    def _run(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._socket, selectors.EVENT_READ)
                selector.register(self._woken, selectors.EVENT_READ)
                while not any(key.fileobj is self._woken for key, _ in selector.select()):
                    self._take()
                self._take()
        except BaseException as error:  # noqa: BLE001 - raised in the thread that asks for the account
            self._error = None if self._receiver.closed else error

    def _take(self) -> None:
        """Take all that is queued."""
        while True:
            datagram, size = self._subscription.receive_batch()
            if datagram is None:
                return
            for each in self._count(datagram, size):
                self._others.append(each)
                self._strangers += 1

    def _count(self, datagram: Datagram, size: Optional[int]) -> Iterator[Datagram]:
        """Count what is of a burst, of one datagram or of several that came as one, and yield the others."""
        payload = datagram.payload
        size = min(size or len(payload), len(payload))
        number, rest = divmod(len(payload), size) if size >= LEAST_SIZE else (0, 0)
        if number and not rest:
            heads = layout(size, number).unpack(payload)
            nonce, numbers = heads[1], heads[2::3]
            if heads[::3].count(MARK) == heads[1::3].count(nonce) == number and max(numbers) <= MOST_DATAGRAMS:
                self._tally(nonce).see(numbers)  # as bursts are sent
                return
        yield from self._count_each(datagram, size)

    def _count_each(self, datagram: Datagram, size: int) -> Iterator[Datagram]:
        payload = datagram.payload
        numbers: Dict[bytes, List[int]] = {}
        for start in range(0, len(payload) or 1, size or 1):
            part = payload[start : start + size]
            mark, nonce, number = _HEAD.unpack_from(part) if len(part) >= LEAST_SIZE else (b"", b"", 0)
            if mark not in (MARK, END) or number > MOST_DATAGRAMS:
                yield replace(datagram, payload=part)
            elif mark == MARK:
                numbers.setdefault(nonce, []).append(number)
            else:
                self._tally(nonce).see_end()
        for nonce, seen in numbers.items():
            self._tally(nonce).see(seen)

    def _tally(self, nonce: bytes) -> _Tally:
        return self._tallies.setdefault(nonce, _Tally())

    def close(self) -> None:
        """End the thread, and raise what has ended it before; again is no error."""
        if self._closed:
            return
        self._closed = True
        if self._thread.is_alive():
            self._wake.send(b".")
            self._thread.join()
        self._wake.close()
        self._woken.close()
        self._receiver.give_back(self._others)
        if not self._receiver.closed:
            self._switch(on=False)
            if self._tap is not None:
                self._tap.switch_on()
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Drain:
        return self

    def __exit__(
        self,
        exception_type: Optional[type[BaseException]],
        exception: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()
