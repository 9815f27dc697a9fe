"""Bytes on the wire, and what the kernel counts and keeps: packet sockets, captures, membership protocols. Linux only."""

from __future__ import annotations

from .attach import with_packet_sockets
from .capture import Capture, CapturedFrame, save_captures
from .codec import build_query, read_message
from .control import TapControl
from .counters import Counters
from .drops import Drop, DropReasons
from .filters import KINDS, Filter, frame_filter
from .frames import Seen, seen
from .listener import Listener
from .memberships import Membership, memberships
from .messages import ANSWERS, RECORD_TYPES, Message, Query, Record, Report
from .querier import Querier
from .recorder import Recorder, Viewpoint
from .silence import NoReport
from .sockets import Injector, Tap, TappedFrame, hardware_addresses
from .udp import UdpSocket, socket_settings, udp_sockets

__all__ = [
    "ANSWERS",
    "KINDS",
    "RECORD_TYPES",
    "Capture",
    "CapturedFrame",
    "Counters",
    "Drop",
    "DropReasons",
    "Filter",
    "Injector",
    "Listener",
    "Membership",
    "Message",
    "NoReport",
    "Querier",
    "Query",
    "Record",
    "Recorder",
    "Report",
    "Seen",
    "Tap",
    "TapControl",
    "TappedFrame",
    "UdpSocket",
    "Viewpoint",
    "build_query",
    "frame_filter",
    "hardware_addresses",
    "memberships",
    "read_message",
    "save_captures",
    "seen",
    "socket_settings",
    "udp_sockets",
    "with_packet_sockets",
]
