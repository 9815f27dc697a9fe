"""What crosses the interfaces of one network namespace, for all captures there.

They share one ``Ring``, which is kept as long as the host: a further capture costs next to nothing. No thread reads it:
frames lie in the ring until somebody asks for them, and are lost, and counted, when it is full.
"""

from __future__ import annotations

import os
import selectors
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from .attach import instruction
from .ring import RawFrame, Ring

if TYPE_CHECKING:
    from pytest_mcast.core.deadline import Deadline

__all__ = ["HOST_FRAMES", "Recorder", "Takes", "Viewpoint", "switch_frames"]

# Classic BPF (linux/filter.h): load a word or half a word, jump if equal or above, return.
_WORD, _HALF, _EQUAL, _ABOVE, _RETURN = 0x20, 0x28, 0x15, 0x35, 0x06
_DIRECTION, _INTERFACE, _OUTGOING = -0x1000 + 4, -0x1000 + 8, 4  # SKF_AD_PKTTYPE, SKF_AD_IFINDEX, PACKET_OUTGOING

#: For a host: both ways, but on loopback (interface 1), where everything that goes out comes in, only what comes in.
HOST_FRAMES = b"".join(
    [
        instruction(_WORD, _DIRECTION),
        instruction(_EQUAL, _OUTGOING, 0, 2),
        instruction(_WORD, _INTERFACE),
        instruction(_EQUAL, 1, 1, 0),
        instruction(_RETURN, -1),
        instruction(_RETURN, 0),
    ]
)


def switch_frames(first_port: int, end_of_mac: int) -> bytes:
    """For a namespace of switches whose ports have the numbers from ``first_port`` on: each frame once.

    That is what comes in by a port, what the switch itself sends as a host, which goes out of the bridge, and its
    queries, of which the bridge gets a copy that comes in: from its own MAC, which ends in those two bytes.
    """
    return b"".join(
        [
            instruction(_WORD, _DIRECTION),
            instruction(_EQUAL, _OUTGOING, 4, 0),
            instruction(_WORD, _INTERFACE),
            instruction(_ABOVE, first_port, 4, 0),
            instruction(_HALF, 10),
            instruction(_EQUAL, end_of_mac, 2, 3),
            instruction(_WORD, _INTERFACE),
            instruction(_ABOVE, first_port, 1, 0),
            instruction(_RETURN, -1),
            instruction(_RETURN, 0),
        ]
    )


class Takes(Protocol):
    """What the frames are for."""

    def take(self, raw: RawFrame) -> None:
        """Take a frame."""

    def end(self, lost: int) -> None:
        """Learn that no more will come, and how many were lost since the ring was switched on."""

    def close(self) -> None:
        """Take no more."""


@dataclass(frozen=True)
class Viewpoint:
    """Where a capture listens.

    ``interface`` gives the name of the interface that a frame crossed, None when it is not one of the viewpoint's;
    ``interfaces`` are the names that are known beforehand. ``prefix`` stands before them where several hosts meet.
    """

    name: str
    interface: Callable[[RawFrame], str | None]
    interfaces: tuple[str, ...] = ()
    prefix: str = ""

    def __str__(self) -> str:
        return self.name


class Recorder:
    """Gives what crosses the calling thread's network namespace to the captures that are open.

    ``program`` chooses frames in the kernel. Raises ``OSError``: EPERM without CAP_NET_RAW.
    """

    def __init__(self, program: bytes) -> None:
        self.ring = Ring(program)
        self._captures: list[Takes] = []
        self._wakers: list[int] = []
        self._lock = threading.RLock()

    def add(self, capture: Takes) -> int:
        """Give frames to a capture from now on, and return how many were lost before."""
        with self._lock:
            if self._captures:
                self.drain()
            else:
                self.ring.switch_on()
            self._captures.append(capture)
            return self.ring.lost

    def remove(self, capture: Takes) -> None:
        """Give it what has crossed up to now, and no more."""
        with self._lock:
            if capture in self._captures:
                self.drain()
                capture.end(self.ring.lost)
                self._captures.remove(capture)
                if not self._captures:
                    self.ring.switch_off()
            self._wake()

    def drain(self) -> None:
        """Give the captures what has crossed since the last call."""
        with self._lock:
            if not self._captures:
                return
            number = 0
            for number, raw in enumerate(self.ring.frames(), 1):  # noqa: B007 - counts
                for capture in self._captures:
                    capture.take(raw)
            if number:
                self._wake()

    @property
    def captures(self) -> list[Any]:
        """The captures that are open."""
        return self._captures.copy()

    @property
    def lost(self) -> int:
        """How many frames were lost since the first of the captures was opened."""
        with self._lock:
            return self.ring.lost

    @contextmanager
    def wakes(self) -> Iterator[Callable[[Deadline], None]]:
        """Give a function that waits, up to a deadline, until there may be something new.

        Another thread can be the one that takes it from the ring; it then wakes those that wait as well.
        """
        waker = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        with selectors.DefaultSelector() as selector:
            selector.register(waker, selectors.EVENT_READ)
            selector.register(self.ring, selectors.EVENT_READ)

            def wait(deadline: Deadline) -> None:
                if any(key.fd == waker for key, _ in selector.select(deadline.remaining())):
                    os.eventfd_read(waker)

            with self._lock:
                self._wakers.append(waker)
            try:
                yield wait
            finally:
                with self._lock:
                    self._wakers.remove(waker)
                os.close(waker)

    def close_captures(self) -> None:
        """End all captures; the ring stays."""
        for capture in self.captures:
            capture.close()

    def close(self) -> None:
        """End all captures and close the ring (16 to 30 ms)."""
        self.close_captures()
        self.ring.close()

    def _wake(self) -> None:
        for waker in self._wakers:
            os.eventfd_write(waker, 1)
