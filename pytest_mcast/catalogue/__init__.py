"""The conformance cases: what is sent, what a correct receiver makes of it, and who says so. Data, by area."""

from __future__ import annotations

from . import (  # noqa: F401 - the areas, which register their cases, in the order of tables
    checksums,
    fragments,
    fragments_elsewhere,
    fragments_ipv6,
    lengths,
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
