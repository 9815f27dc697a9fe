"""What a receive core is to do, one behaviour each, looked at in a virtual network."""

from __future__ import annotations

from . import delivery, filtering, interfaces, lifecycle, metadata, several  # noqa: F401 - they declare themselves
from .behaviour import BEHAVIOURS, Behaviour, find_behaviour
from .bench import Bench, Unsupported

__all__ = ["BEHAVIOURS", "Behaviour", "Bench", "Unsupported", "find_behaviour"]
