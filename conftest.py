"""Shared by tests/, scenarios/ and the examples in docs/."""

from __future__ import annotations

pytest_plugins = ["pytester"]
