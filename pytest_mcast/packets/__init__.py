"""Crafted datagrams: how they are built, the edge cases, and what a receiver made of them."""

from __future__ import annotations

from .cases import CASES, Case, case, cases
from .prober import Prober
from .template import Packet, Template

__all__ = ["CASES", "Case", "Packet", "Prober", "Template", "case", "cases"]
