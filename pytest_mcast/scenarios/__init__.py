"""Scenario files (``*.mcast.yaml``): hosts x hosts x family x mode, and how a cell of them is run."""

from __future__ import annotations

from .loader import ScenarioError, load
from .model import Cell, HostSpec, Scenario
from .runner import run

__all__ = ["Cell", "HostSpec", "Scenario", "ScenarioError", "load", "run"]
