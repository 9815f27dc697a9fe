"""A snapshot of a whole machine: what ``take_snapshot`` reads, and what does not change while a test runs."""

from __future__ import annotations

import sys
from typing import Any, Callable, Dict, Sequence

from .snapshot import read_all, take_snapshot

__all__ = ["take_machine_snapshot"]


def take_machine_snapshot(groups: Sequence[str] = ()) -> Dict[str, Any]:
    """Read everything there is to read of this machine, as ``take_snapshot`` does; on macOS and Windows by programs."""
    snapshot = take_snapshot(groups)
    readers: Dict[str, Callable[[], Any]] = {}
    if sys.platform.startswith("linux"):
        from .container import container
        from .settings import programs, settings

        readers = {"container": container, "settings": settings, "programs": programs}
    elif sys.platform == "win32":
        from . import windows

        readers = windows.readers()
    else:
        from . import bsd

        readers = bsd.readers(groups)
    snapshot["readings"].update(read_all(readers))
    return snapshot
