"""Bytes on the wire, and what the kernel counts and keeps of them: packet sockets, membership protocols. Linux only."""

from __future__ import annotations

from .codec import build_query, read_message
from .control import TapControl
from .counters import Counters
from .frames import Seen, seen
from .listener import Listener
from .memberships import Membership, memberships
from .messages import ANSWERS, RECORD_TYPES, Message, Query, Record, Report
from .querier import Querier
from .silence import NoReport
from .sockets import Injector, Tap, TappedFrame, hardware_addresses

__all__ = [
    "ANSWERS",
    "RECORD_TYPES",
    "Counters",
    "Injector",
    "Listener",
    "Membership",
    "Message",
    "NoReport",
    "Querier",
    "Query",
    "Record",
    "Report",
    "Seen",
    "Tap",
    "TapControl",
    "TappedFrame",
    "build_query",
    "hardware_addresses",
    "memberships",
    "read_message",
    "seen",
]
