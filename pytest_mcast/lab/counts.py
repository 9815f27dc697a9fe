"""How many datagrams of a channel came in and went out by each port of a link."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.errors import McastError
from pytest_mcast.wire import Tap, TappedFrame, seen, with_packet_sockets

from .namespace import Namespace

if TYPE_CHECKING:
    from types import TracebackType

    from .port import Port

__all__ = ["ChannelCount", "CountError", "SwitchTap"]


class CountError(McastError, RuntimeError):
    """Frames were lost before they were counted."""


class SwitchTap:
    """What sees the frames at all ports of a lab; one for all who count, because closing it takes 16 to 24 ms."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._tap: Tap | None = None
        self._counts: list[ChannelCount] = []
        self._lock = threading.Lock()

    def add(self, count: ChannelCount) -> None:
        """Count from now on."""
        with self._lock:
            if self._tap is None:
                with self._namespace:
                    self._tap = with_packet_sockets(lambda: Tap(sees_outgoing=True))
            if self._counts:
                self._look(self._tap)
            else:
                self._tap.switch_on()
            self._counts.append(count)

    def remove(self, count: ChannelCount) -> None:
        """Count no longer."""
        with self._lock:
            if count in self._counts and self._tap is not None:
                self._look(self._tap)
                self._counts.remove(count)
                if not self._counts:
                    self._tap.switch_off()

    def look(self) -> None:
        """Count what has passed up to now."""
        with self._lock:
            if self._counts and self._tap is not None:
                self._look(self._tap)

    def close(self) -> None:
        """Let go of it; again is no error."""
        tap, self._tap = self._tap, None
        if tap is not None:
            tap.close()

    def _look(self, tap: Tap) -> None:
        for frame in tap.frames():
            for count in self._counts:
                count.see(frame)
        lost = tap.lost
        for count in self._counts:
            count.lost = lost


class ChannelCount:
    """Counts the datagrams of a channel at the ports of a link; ``Link.count()`` makes them.

    Exact: by group, UDP port and, if the channel has one, source, so that reports, queries and whatever else is on the
    wire do not matter; of a datagram in fragments the first counts. What was sent to a virtual host has passed the switch
    when ``send()`` returns.
    """

    def __init__(self, tap: SwitchTap, channel: Channel, mark: bytes = b"") -> None:
        self.channel = channel
        self._mark = mark
        self.lost = 0
        self._tap = tap
        self._received: dict[str, int] = Counter()
        self._sent: dict[str, int] = Counter()

    def received(self, port: Port) -> int:
        """How many came in by that port, from its host; raises ``CountError`` when frames were lost."""
        return self._look(self._received, port)

    def sent(self, port: Port) -> int:
        """How many went out by that port, to its host; raises ``CountError`` when frames were lost."""
        return self._look(self._sent, port)

    def see(self, frame: TappedFrame) -> None:
        """Count a frame if it is one of the channel."""
        datagram = seen(frame.data)
        if datagram is None or datagram.destination != (self.channel.group, self.channel.port):
            return
        if self.channel.source in (None, datagram.source[0]) and datagram.payload.startswith(self._mark):
            (self._sent if frame.outgoing else self._received)[frame.interface] += 1

    def close(self) -> None:
        """Count no longer; again is no error."""
        self._tap.remove(self)

    def _look(self, counter: dict[str, int], port: Port) -> int:
        self._tap.look()
        if self.lost:
            raise CountError(
                f"{self.lost} frames were lost before they were counted for {self.channel}; "
                "ask more often while sending, or use the counters of the ports, which count everything"
            )
        return counter[port.device]

    def __enter__(self) -> ChannelCount:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
