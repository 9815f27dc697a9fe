"""Shared by tests/, scenarios/ and the examples in docs/."""

from __future__ import annotations

import os

pytest_plugins = ["pytester"]


def pytest_xdist_auto_num_workers() -> int:
    """With ``-n auto`` three workers for each processor: much of the time they wait, for timers and for the kernel."""
    return 3 * (os.cpu_count() or 1)
