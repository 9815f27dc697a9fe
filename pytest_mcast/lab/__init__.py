"""Virtual networks of virtual hosts, on Linux network namespaces."""

from __future__ import annotations

from pytest_mcast.wire.impairment import Every, Exactly, Impairment

from .counts import ChannelCount, CountError
from .daemon import RoutingDaemon
from .impaired import ImpairedCable
from .lab import Lab
from .link import Link
from .mdb import MdbEntry, MdbTimeout
from .mfc import MfcEntry, RouteTimeout
from .mroute import RouteCounters, Upcall
from .namespace import Namespace
from .port import Port, PortCounters
from .router import Router
from .smcroute import StaticRoute
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
    "MfcEntry",
    "Namespace",
    "Port",
    "PortCounters",
    "RouteCounters",
    "RouteTimeout",
    "Router",
    "RoutingDaemon",
    "Snooping",
    "StaticRoute",
    "Switch",
    "Timers",
    "Upcall",
    "VirtualHost",
]
