"""Scenario files (``*.mcast.yaml``): hosts x hosts x family x mode and more, and how a cell of them is run."""

from __future__ import annotations

from .loader import ScenarioError, load
from .model import Cell, HostSpec, Scenario
from .outcomes import Excused, Unready
from .runner import run
from .stage import Stage, World
from .story import CellResult, Story
from .subjects import Subjects

__all__ = [
    "Cell",
    "CellResult",
    "Excused",
    "HostSpec",
    "Scenario",
    "ScenarioError",
    "Stage",
    "Story",
    "Subjects",
    "Unready",
    "World",
    "load",
    "run",
]
