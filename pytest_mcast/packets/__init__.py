"""Crafted datagrams: how they are built, the edge cases, and what a receiver made of them."""

from __future__ import annotations

from .build import Fragment, Packet, udp
from .cases import CASES, Case, case, cases
from .expectations import Expectation, deliver, drop, either
from .explain import DropReasons
from .headers import (
    ExtensionHeader,
    destination_options,
    fragment_header,
    hop_by_hop,
    ipv4_option,
    ipv6_option,
    routing,
)
from .kernel_drops import KernelDrops
from .prober import Prober
from .raw import Raw, raw
from .template import Template, frames_of
from .verdict import ProbeVerdict

__all__ = [
    "CASES",
    "Case",
    "DropReasons",
    "Expectation",
    "ExtensionHeader",
    "Fragment",
    "KernelDrops",
    "Packet",
    "ProbeVerdict",
    "Prober",
    "Raw",
    "Template",
    "case",
    "cases",
    "deliver",
    "destination_options",
    "drop",
    "either",
    "fragment_header",
    "frames_of",
    "hop_by_hop",
    "ipv4_option",
    "ipv6_option",
    "raw",
    "routing",
    "udp",
]
