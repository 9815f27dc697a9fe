"""Virtual networks of virtual hosts, on Linux network namespaces."""

from __future__ import annotations

from .counts import ChannelCount, CountError
from .lab import Lab
from .link import Link
from .mdb import MdbEntry, MdbTimeout
from .mroute import RouteCounters, Upcall
from .namespace import Namespace
from .port import Port, PortCounters
from .router import Router
from .snooping import COMPRESSED, Snooping, Timers
from .switch import Switch
from .view import LabView
from .virtualhost import VirtualHost

__all__ = [
    "COMPRESSED",
    "ChannelCount",
    "CountError",
    "Lab",
    "LabView",
    "Link",
    "MdbEntry",
    "MdbTimeout",
    "Namespace",
    "Port",
    "PortCounters",
    "RouteCounters",
    "Router",
    "Snooping",
    "Switch",
    "Timers",
    "Upcall",
    "VirtualHost",
]
