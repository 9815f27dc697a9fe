"""Virtual networks of virtual hosts, on Linux network namespaces."""

from __future__ import annotations

from .lab import Lab, Link
from .namespace import Namespace
from .virtualhost import VirtualHost

__all__ = ["Lab", "Link", "Namespace", "VirtualHost"]
