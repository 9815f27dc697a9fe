"""The conformance cases: what is sent, what a correct receiver makes of it, and who says so. Data, by area."""

from __future__ import annotations

from . import (  # noqa: F401 - the areas, which register their cases
    checksums,
    delivery,
    destinations,
    extension_headers,
    fragments,
    fragments_elsewhere,
    fragments_ipv6,
    interfaces,
    ipv4_header,
    ipv4_options,
    ipv6_destinations,
    ipv6_header,
    ipv6_sources,
    lengths,
    link_layer,
    membership,
    overflow,
    reports,
    scopes,
    sharing,
    sizes,
    sources,
)
from .case import LEVELS, Case, Difference, Situation, describe_cases, find_case, matching, register
from .probing import ProbeCase
from .runner import run_case

__all__ = [
    "LEVELS",
    "Case",
    "Difference",
    "ProbeCase",
    "Situation",
    "describe_cases",
    "find_case",
    "matching",
    "register",
    "run_case",
]
