"""Virtual networks of virtual hosts, on Linux network namespaces."""

from __future__ import annotations

from .lab import Lab, Link
from .namespace import Namespace
from .view import LabView
from .virtualhost import VirtualHost

__all__ = ["Lab", "LabView", "Link", "Namespace", "VirtualHost"]
