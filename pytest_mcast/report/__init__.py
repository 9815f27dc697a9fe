"""Views of the results."""

from __future__ import annotations

from .table import tables

__all__ = ["tables"]
