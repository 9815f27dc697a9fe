"""The control of a proof on a virtual host: its tap has seen what its receiver must not deliver."""

from __future__ import annotations

import select
import threading
from collections import deque
from typing import TYPE_CHECKING

from .counters import Counters
from .frames import seen
from .sockets import Tap, TappedFrame

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mcast.core.datagrams import Sent
    from pytest_mcast.core.deadline import Deadline

__all__ = ["TapControl"]

_KEPT = 4096  # frames that are looked through, the newest first


class TapControl:
    """Watches all that comes in to the calling thread's network namespace; off until ``switch_on()``.

    It satisfies ``core.verdicts.Control``. ``name`` is that of the host, for messages; ``comment`` puts a text on the
    newest frame for which a function says so, where frames are kept.
    """

    def __init__(self, name: str, comment: Callable[[Callable[[bytes], bool], str], object] = lambda *_: None) -> None:
        self.name = name
        self.comment = comment
        #: Whether a frame that was sent to the host has been seen, and been processed, when send(2) returns.
        self.immediate = True
        self._tap = Tap()
        try:
            self._counters = Counters()
        except BaseException:  # whatever it is: let go, and pass it on
            self._tap.close()
            raise
        self._frames: deque[TappedFrame] = deque(maxlen=_KEPT)
        self._lock = threading.Lock()
        self._on = False

    def switch_on(self) -> None:
        """See and count from now on, unless it does already."""
        with self._lock:
            if not self._on:
                self._on = True
                self._tap.switch_on()
                self._counters.mark()

    def switch_off(self) -> None:
        """See nothing from now on, and forget everything."""
        with self._lock:
            if self._on:
                self._on = False
                self._tap.switch_off()
                self._frames.clear()

    def pull(self) -> None:
        """Fetch what has come in, before the kernel has no room for more (16 MiB; without root twice net.core.rmem_max)."""
        with self._lock:
            self._frames.extend(self._tap.frames())

    def wait(self, deadline: Deadline) -> None:
        """Wait until there is something to fetch."""
        poll = select.poll()
        poll.register(self._tap.fileno(), select.POLLIN)
        remaining = deadline.remaining()
        poll.poll(None if remaining is None else remaining * 1000 + 1)

    def sighting(self, sent: Sent, deadline: Deadline) -> str | None:  # noqa: ARG002 - nothing to wait for
        """Say where the datagram was seen coming in; None when it was not."""
        return self.find(lambda frame: _is(frame, sent), since_ns=sent.timestamp_ns or 0)

    def note(self, sent: Sent, text: str) -> None:
        """Put a comment on the frame of the datagram, in the captures of the host."""
        self.comment(lambda frame: _is(frame, sent), text)

    def find(self, wanted: Callable[[bytes], bool], *, since_ns: int = 0) -> str | None:
        """Say where a frame of that kind was seen coming in (since a time in ns since 1970); None when there was none."""
        self.pull()
        for frame in reversed(tuple(self._frames)):
            if frame.timestamp_ns < since_ns:
                return None
            if wanted(frame.data):
                return f"{self} saw it come in on {frame.interface}"
        return None

    def account(self) -> list[str]:
        """Say in lines what else was seen, and what the kernel counted, since it was switched on."""
        self.pull()
        last = [datagram for frame in list(self._frames)[-64:] if (datagram := seen(frame.data)) is not None]
        lines = [f"{self} saw {len(self._frames)} frames and lost {self._tap.lost}"]
        lines += [
            f"  {source} port {source_port} to {group} port {port}: {payload[:32]!r}"
            for source, source_port, group, port, payload in (
                (*datagram.source, *datagram.destination, datagram.payload) for datagram in last[-4:]
            )
        ]
        return [*lines, f"counters of {self.name}: {self._counters.summary() or 'none has moved'}"]

    def close(self) -> None:
        """Close the tap (16 to 24 ms) and the counters."""
        self._counters.close()
        self._tap.close()

    def __str__(self) -> str:
        return f"the tap of {self.name}"


def _is(frame: bytes, sent: Sent) -> bool:
    datagram = seen(frame)
    return (
        datagram is not None
        and datagram.destination == (sent.channel.group, sent.channel.port)
        and datagram.source == sent.source
        and datagram.length == len(sent.payload)
        and sent.payload.startswith(datagram.payload)
    )
