"""Virtual networks of virtual hosts, on Linux network namespaces."""

from __future__ import annotations

from pytest_mcast.wire.impairment import Every, Exactly, Impairment

from .counts import ChannelCount, CountError
from .impaired import ImpairedCable
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
    "Every",
    "Exactly",
    "ImpairedCable",
    "Impairment",
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
