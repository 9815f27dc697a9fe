"""Places where endpoints live: this machine, and the base of all other hosts."""

from __future__ import annotations

from .host import Host, Task
from .local import LocalHost

__all__ = ["Host", "LocalHost", "Task"]
