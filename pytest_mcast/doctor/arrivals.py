"""Whether the socket at the end of the way has got a datagram: a receiver of ours is read, a user's is only looked at."""

from __future__ import annotations

import select
import selectors
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any, Protocol

from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.errors import NotReceived
from pytest_mcast.core.receiver import Receiver
from pytest_mcast.core.views import WithFences

__all__ = ["Arrival", "Looked", "Nobody", "Read"]

_SO_MEMINFO = (
    55  # asm-generic/socket.h, Linux 4.12: nine numbers, the first is what is queued, the last what was dropped
)


class Arrival(Protocol):
    """Who can say that a datagram has arrived."""

    def wait(self, mark: bytes, timeout: float) -> tuple[bool | None, str]:
        """Wait for the datagram that begins with the mark; return whether it is there (None: no telling), and why so."""


class Read:
    """A receiver of ours, which is here for that: what it has queued is read."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def wait(self, mark: bytes, timeout: float) -> tuple[bool | None, str]:
        """Read until it comes."""
        everything = WithFences(self._receiver)  # else it would keep this one to itself
        deadline = Deadline(timeout)
        try:
            while not everything.recv(deadline.remaining()).payload.startswith(mark):
                pass
        except NotReceived:
            dropped = self._receiver.statistics().kernel_drops
            return False, f"a receiver got nothing in {timeout:g} s" + (f"; {dropped} dropped" if dropped else "")
        return True, "a receiver got it"


class Looked:
    """Sockets of the user's, with what they have queued, which is left alone (SO_MEMINFO); from now on."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self._sockets = [sock for sock in sockets if sock.fileno() >= 0]
        self._before = [_memory(sock) for sock in self._sockets]
        self._filled = [bool(_readable(sock)) for sock in self._sockets]

    def wait(self, mark: bytes, timeout: float) -> tuple[bool | None, str]:  # noqa: ARG002 - it is not read
        """Look until a queue has grown."""
        deadline = time.monotonic() + timeout
        with _Arrivals(self._sockets) as arrivals:
            while True:
                found = self._look()
                remaining = deadline - time.monotonic()
                if found is not None:
                    return found
                if remaining <= 0:
                    return self._in_vain()
                arrivals.wait(remaining)

    def _look(self) -> tuple[bool | None, str] | None:
        for sock, before, filled in zip(self._sockets, self._before, self._filled, strict=True):
            now = _memory(sock)
            if before is None or now is None:
                if not filled and _readable(sock):
                    return True, "the socket has something to read, and had nothing before"
            elif now[1] > before[1]:
                return False, f"the socket dropped it: {before[0]} bytes were queued (drops +{now[1] - before[1]})"
            elif now[0] > before[0]:
                return True, f"the queue of the socket grew from {before[0]} to {now[0]} bytes"
        return None

    def _in_vain(self) -> tuple[bool | None, str]:
        if any(before is None and filled for before, filled in zip(self._before, self._filled, strict=True)):
            return None, "the socket had something to read before, and this system does not say how much"
        return False, "the queue of the socket did not grow"


class Nobody:
    """There is no socket that could be looked at, for a reason."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def wait(self, mark: bytes, timeout: float) -> tuple[bool | None, str]:  # noqa: ARG002 - nothing to wait for
        """Say that there is no telling."""
        return None, self._reason


_QUEUED = 0x001 | 1 << 31  # EPOLLIN | EPOLLET


class _Arrivals:
    """Is told of each datagram that is queued, of those that are there already too (epoll(7), edge-triggered)."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        poll: Any = getattr(select, "epoll", None)  # Linux
        self._poll = None if poll is None else poll()
        self._sockets = sockets
        for sock in sockets:
            if self._poll is not None:
                self._poll.register(sock.fileno(), _QUEUED)

    def wait(self, timeout: float) -> None:
        if self._poll is not None:
            self._poll.poll(timeout)
        else:
            select.select(self._sockets, [], [], timeout)

    def __enter__(self) -> _Arrivals:
        return self

    def __exit__(self, *_: object) -> None:
        if self._poll is not None:
            self._poll.close()


def _memory(sock: socket.socket) -> tuple[int, int] | None:
    """Return how many bytes of memory are queued, and how many datagrams were dropped; None where nobody tells."""
    try:
        numbers = struct.unpack("=9I", sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36))
    except (OSError, struct.error):
        return None
    return numbers[0], numbers[8]


def _readable(sock: socket.socket) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(sock.fileno(), selectors.EVENT_READ)
        return bool(selector.select(0))
