"""What a machine says about itself: read without being judged, as plain values that JSON can carry.

Standard library only, Python 3.9 or later: remote hosts get it sent over. Understanding is left to the doctor.
"""

from __future__ import annotations

from .joined import joined_by, socket_state
from .machine import take_machine_snapshot
from .pulse import Pulse
from .snapshot import Reading, Snapshot, take_snapshot
from .sockets import socket_options
from .watching import Watch

__all__ = [
    "Pulse",
    "Reading",
    "Snapshot",
    "Watch",
    "joined_by",
    "socket_options",
    "socket_state",
    "take_machine_snapshot",
    "take_snapshot",
]
