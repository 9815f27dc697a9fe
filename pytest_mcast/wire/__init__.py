"""Bytes on the wire, and what the kernel counts of them: packet sockets and counters. Linux only."""

from __future__ import annotations

from .control import TapControl
from .counters import Counters
from .frames import Seen, seen
from .sockets import Injector, Tap, TappedFrame

__all__ = ["Counters", "Injector", "Seen", "Tap", "TapControl", "TappedFrame", "seen"]
