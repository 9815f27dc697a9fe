"""Bytes on the wire, and what the kernel counts of them: packet sockets, captures and counters. Linux only."""

from __future__ import annotations

from .capture import Capture, CapturedFrame, save_captures
from .control import TapControl
from .counters import Counters
from .filters import KINDS, Filter, frame_filter
from .frames import Seen, seen
from .recorder import Recorder, Viewpoint
from .sockets import Injector, Tap, TappedFrame

__all__ = [
    "KINDS",
    "Capture",
    "CapturedFrame",
    "Counters",
    "Filter",
    "Injector",
    "Recorder",
    "Seen",
    "Tap",
    "TapControl",
    "TappedFrame",
    "Viewpoint",
    "frame_filter",
    "save_captures",
    "seen",
]
