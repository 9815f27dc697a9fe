"""Captures: what crosses a host or a link, from the moment on in which they are opened."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.errors import NotReceived

from .filters import Filter, describe, frame_filter
from .pcapng import PcapngPacket, pcapng
from .recorder import Recorder, Viewpoint
from .ring import RawFrame
from .sockets import TappedFrame

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Capture", "CapturedFrame", "save_captures"]


@dataclass(frozen=True)
class CapturedFrame(TappedFrame):
    """A frame of a capture, which counts them from 1. ``outgoing``: it was sent from there; on ``lo`` never.

    ``length`` is that of the frame on the wire, of which ``data`` is the beginning when it is shorter.
    """

    number: int
    length: int
    comments: list[str] = field(default_factory=list, compare=False)

    def __str__(self) -> str:
        return f"{'out of' if self.outgoing else 'in by'} {self.interface}: {describe(self.data)}"


class Capture:
    """Frames that cross a host or a link, kept in memory; ``VirtualHost.capture()`` and ``Link.capture()`` open them.

    It is live when it is there: what is sent next is in it. It can be read at any time, also after its end.
    """

    def __init__(self, recorder: Recorder, wanted: Filter, viewpoint: Viewpoint) -> None:
        self.viewpoint = viewpoint
        self._wants = frame_filter(wanted)
        self._recorder = recorder
        self._raw: deque[tuple[str, RawFrame]] = deque()
        self._frames: list[CapturedFrame] = []
        self._lock = threading.Lock()
        self._lost: int | None = None  # when it is closed
        self._before = recorder.add(self)

    def frames(self) -> list[CapturedFrame]:
        """Return all frames up to now; none that was sent before the call is missing, but those that were ``lost``."""
        self._recorder.drain()
        self._sift()
        return self._frames.copy()

    def packets(self) -> list[Any]:
        """Return them as scapy packets (about 0.1 ms each), with their ``time``, ``sniffed_on`` and ``comments``."""
        from scapy.config import conf

        conf.route_autoload = conf.route6_autoload = False  # scapy would look at the machine's routes
        from scapy.layers import inet, inet6  # noqa: F401 - says what is above Ethernet
        from scapy.layers.l2 import Ether
        from scapy.utils import EDecimal

        packets = []
        for frame in self.frames():
            packet = Ether(frame.data)
            packet.time = EDecimal(frame.timestamp_ns) / 10**9
            packet.sniffed_on = frame.interface
            packet.comments = [text.encode() for text in frame.comments] or None
            packets.append(packet)
        return packets

    def wait_for(
        self, wanted: Filter, timeout: float = 5.0, *, after: CapturedFrame | None = None, comment: str | None = None
    ) -> CapturedFrame:
        """Return the first frame of that kind (see ``frame_filter``), which may have come already.

        Only frames ``after`` one count, if one is given; ``timeout`` is in seconds. The frame that is returned gets a
        comment. Raises ``NotReceived`` that says what was captured instead.
        """
        wants, deadline = frame_filter(wanted), Deadline(timeout)
        position = 0 if after is None else self._position(after) + 1
        wait = None
        with ExitStack() as stack:
            while True:
                closed, over = self._lost is not None, deadline.passed()
                for frame in self.frames()[position:]:
                    position += 1
                    if wants(frame.data):
                        self.comment(frame, comment or f"waited for: {_name(wanted)}")
                        return frame
                if closed or over:
                    raise NotReceived(self._account(_name(wanted), timeout, after))
                if wait is None:
                    wait = stack.enter_context(self._recorder.wakes())  # and look once more: it may have come by now
                else:
                    wait(deadline)

    def comment(self, frame: CapturedFrame, text: str) -> None:
        """Put a comment on a frame, which can have several; other captures of the same host have it as well."""
        if text not in frame.comments:
            frame.comments.append(text)

    @property
    def commented(self) -> int:
        """How many comments there are."""
        return sum(len(frame.comments) for frame in self._frames)

    def mark(self, wanted: Filter, text: str) -> CapturedFrame | None:
        """Put a comment on the newest frame of that kind and return it; None when there is none."""
        wants = frame_filter(wanted)
        found = next((frame for frame in reversed(self.frames()) if wants(frame.data)), None)
        if found is not None:
            self.comment(found, text)
        return found

    @property
    def lost(self) -> int:
        """How many frames crossed without being captured, whether or not the filter would have let them in."""
        return self._recorder.lost - self._before if self._lost is None else self._lost

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write what was captured up to now to a pcapng file, and return its path."""
        return save_captures(path, [self])

    def as_packets(self) -> Iterator[PcapngPacket]:
        """Yield the frames as a file has them."""
        for frame in self.frames():
            yield PcapngPacket(
                self.viewpoint.prefix + frame.interface,
                frame.data,
                frame.timestamp_ns,
                frame.length,
                frame.outgoing,
                tuple(frame.comments),
            )

    def close(self) -> None:
        """Capture no more; again is no error. What was captured stays."""
        self._recorder.remove(self)

    def take(self, raw: RawFrame) -> None:
        """Take a frame from the recorder."""
        interface = self.viewpoint.interface(raw)  # now, because later it may be gone
        if interface is not None:
            self._raw.append((interface, raw))

    def end(self, lost: int) -> None:
        """Take the recorder's last word: how many it has lost by now."""
        self._lost = lost - self._before

    def __len__(self) -> int:
        return len(self.frames())

    def __iter__(self) -> Iterator[CapturedFrame]:
        return iter(self.frames())

    def __enter__(self) -> Capture:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Capture on {self.viewpoint}: {len(self)} frames, {self.lost} lost>"

    def _sift(self) -> None:
        # Here and not in take(): the filter can be the user's, and another capture must not suffer from its error.
        with self._lock:
            while self._raw:
                interface, raw = self._raw.popleft()
                if self._wants(raw.data):
                    number = len(self._frames) + 1
                    frame = CapturedFrame(
                        raw.data, interface, raw.timestamp_ns, raw.outgoing, number, raw.length, raw.comments
                    )
                    self._frames.append(frame)

    def _position(self, frame: CapturedFrame) -> int:
        position = frame.number - 1
        if not (position < len(self._frames) and self._frames[position] is frame):
            raise ValueError(f"{frame} is not a frame of {self!r}")
        return position

    def _account(self, name: str, timeout: float, after: CapturedFrame | None) -> str:
        since = "" if after is None else f" after frame {after.number}"
        lines = [f"no frame on {self.viewpoint} within {timeout:g} s{since}: {name}"]
        lines.append(f"captured {len(self._frames)} frames, lost {self.lost}; the last ones:")
        return "\n".join([*lines, *(f"  {frame.number}. {frame}" for frame in self._frames[-8:])])


def save_captures(path: str | os.PathLike[str], captures: Iterable[Capture], comment: str = "") -> Path:
    """Write captures into one pcapng file, whose interfaces are called ``host:interface``, and return its path.

    The file is there as a whole or not at all. The frames that a capture has lost are counted for its first interface.
    """
    from pytest_mcast import __version__

    packets: list[PcapngPacket] = []
    interfaces: list[str] = []
    dropped: dict[str, int] = {}
    for capture in captures:
        packets += capture.as_packets()
        names = [capture.viewpoint.prefix + name for name in capture.viewpoint.interfaces]
        interfaces += names
        if names:
            dropped[names[0]] = capture.lost
    content = pcapng(
        packets, interfaces=interfaces, dropped=dropped, comment=comment, application=f"pytest-mcast {__version__}"
    )
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    except BaseException:  # whatever it is: let go, and pass it on
        beside.unlink(missing_ok=True)
        raise
    return path


def _name(wanted: Filter) -> str:
    if wanted is None or isinstance(wanted, str):
        return wanted or "any frame"
    return getattr(wanted, "__qualname__", None) or str(wanted)
