"""Shared by tests/, scenarios/ and the examples in docs/."""

from __future__ import annotations

import os

pytest_plugins = ["pytester"]


def pytest_xdist_auto_num_workers() -> int:
    """With ``-n auto`` two workers for each processor: half of the time they wait, for timers and for the kernel."""
    return 2 * (os.cpu_count() or 1)
