"""Watches a network namespace while datagrams with a mark are on their way: frames, counters, sockets; Linux.

Remote hosts run it as well, by ``begin`` and ``finish``, which know a watch by a number.
"""

from __future__ import annotations

import itertools
import select
import socket
import time
from typing import TYPE_CHECKING, Any, Dict, List, Optional

from .place import place
from .pulse import Pulse

if TYPE_CHECKING:
    from pytest_mcast.wire.sockets import Tap

__all__ = ["Watch", "begin", "finish"]

_numbers = itertools.count(1)
_watches: Dict[int, Watch] = {}
# Classic BPF (linux/filter.h): load half a word or a word, jump if equal, return.
_HALF, _WORD, _EQUAL, _RETURN = 0x28, 0x20, 0x15, 0x06
_IPV4, _IPV6 = 0x0800, 0x86DD


class Watch:
    """What the calling thread's network namespace shows of datagrams to ``group`` that have ``mark`` in their payload.

    From now on, to be closed. ``tap`` is one that is lent and sees both ways; else one is opened where that is permitted
    (CAP_NET_RAW), and it takes 16 to 24 ms to close it. Without one there are the counters of the namespace.
    """

    def __init__(self, group: str, mark: bytes, tap: Optional[Tap] = None) -> None:
        self._mark = mark
        self._frames: Dict[str, List[str]] = {"in": [], "out": []}
        self._refused = ""
        self._own: Optional[Tap] = None
        self._tap = tap
        self._place = _place()
        self._pulse = Pulse(sockets=True)
        try:
            if tap is None:
                self._open()
            if self._tap is not None:
                self._tap.switch_on(_filter(group))
            self._before = self._pulse.read()
        except BaseException:  # whatever it is: let go, and pass it on
            self.close()
            raise

    def read(self, timeout: float = 0.0) -> Dict[str, Any]:
        """Return what was seen, as plain values; a datagram that comes in is waited for, ``timeout`` seconds at the most.

        ``frames``: the interfaces at which marked frames were seen coming ``in`` and going ``out``; None, and
        ``refused``, where frames cannot be seen. ``lost``: how many frames were missed. ``before`` and ``now``: the texts
        of a ``Pulse`` with sockets. ``place``: the same text for the same namespace of the same machine.
        """
        self._look(timeout)
        return {
            "frames": None if self._tap is None else {way: list(names) for way, names in self._frames.items()},
            "refused": self._refused,
            "lost": 0 if self._tap is None else self._tap.lost,
            "before": self._before,
            "now": self._pulse.read(),
            "place": self._place,
        }

    def close(self) -> None:
        """See no more; again is no error. A tap that was lent is off then."""
        self._pulse.close()
        tap, self._tap = self._tap, None
        own, self._own = self._own, None
        if own is not None:
            own.close()
        elif tap is not None:
            tap.switch_off()

    def _open(self) -> None:
        if not hasattr(socket, "AF_PACKET"):
            self._refused = "this system has no packet sockets"
            return
        from pytest_mcast.wire.sockets import Tap

        try:
            self._own = self._tap = Tap(sees_outgoing=True)
        except OSError as error:  # EPERM, or a kernel without packet sockets
            self._refused = f"no packet socket: {error.strerror or error}"

    def _look(self, timeout: float) -> None:
        tap, deadline = self._tap, time.monotonic() + timeout
        if tap is None:
            return
        while True:
            for frame in tap.frames():
                if self._mark in frame.data:
                    self._frames["out" if frame.outgoing else "in"].append(frame.interface)
            remaining = deadline - time.monotonic()
            if self._frames["in"] or remaining <= 0:
                return
            poll = select.poll()
            poll.register(tap.fileno(), select.POLLIN)
            poll.poll(remaining * 1000 + 1)

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def begin(group: str, mark: bytes) -> int:
    """Watch from now on, and return the number of the watch."""
    number = next(_numbers)
    _watches[number] = Watch(group, mark)
    return number


def finish(number: int, timeout: float) -> Dict[str, Any]:
    """Return what a watch has seen, see ``Watch.read``, and end it."""
    with _watches.pop(number) as watch:
        return watch.read(timeout)


def _place() -> str:
    """Return ``place()``; empty where there is no telling."""
    try:
        return place()
    except OSError:
        return ""


def _filter(group: str) -> bytes:
    """Return a program of classic BPF that takes what is sent to a group; a busy machine has too much else."""
    from pytest_mcast.wire.attach import instruction

    ipv6 = ":" in group
    address = socket.inet_pton(socket.AF_INET6 if ipv6 else socket.AF_INET, group)
    start, kind = (38, _IPV6) if ipv6 else (30, _IPV4)
    tests = [(_HALF, 12, kind)]
    tests += [(_WORD, start + at, int.from_bytes(address[at : at + 4], "big")) for at in range(0, len(address), 4)]
    program = []
    for number, (load, at, value) in enumerate(tests):
        left = 2 * (len(tests) - number - 1) + 1  # instructions to pass over, to the last one
        program += [instruction(load, at), instruction(_EQUAL, value, 0, left)]
    return b"".join([*program, instruction(_RETURN, -1), instruction(_RETURN, 0)])
