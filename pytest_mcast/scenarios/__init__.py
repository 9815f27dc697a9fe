"""Scenario files (``*.mcast.yaml``): hosts x hosts x family x mode and more, and how a cell of them is run.

What runs cells is imported when it is asked for: those who only read files need no sockets.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .loader import ScenarioError, load
from .model import Cell, HostSpec, Scenario
from .outcomes import Excused, Unready
from .story import CellResult, Story

if TYPE_CHECKING:
    from .network import build
    from .runner import run
    from .stage import Stage, World
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
    "build",
    "load",
    "run",
]

_LATER = {"Stage": "stage", "build": "network", "Subjects": "subjects", "World": "stage", "run": "runner"}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_LATER[name]}", __name__), name)
