"""What this process has used up to now, as counts beside those of its subscriptions."""

from __future__ import annotations

import os
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Optional

from .errors import MissingCapability
from .metrics import Snapshot

__all__ = ["ProcessStatistics"]


@dataclass(frozen=True)
class ProcessStatistics(Snapshot):
    """What the process has used: getrusage(2); in this moment: proc(5), None where it is not there.

    ``cpu_user`` and ``cpu_system`` are seconds (so their rate is the utilisation, 1 for one processor); ``memory``
    (resident) and ``virtual_memory`` are bytes; ``threads`` are those of Python.
    """

    KIND = "process"
    GAUGES = frozenset({"memory", "virtual_memory", "threads", "open_files"})
    RATES = ("cpu_user", "cpu_system")

    cpu_user: float
    cpu_system: float
    minor_faults: int
    major_faults: int
    voluntary_switches: int
    involuntary_switches: int
    memory: Optional[int]
    virtual_memory: Optional[int]
    threads: int
    open_files: Optional[int]
    taken_at: float = field(default_factory=time.monotonic, compare=False, repr=False)
    time_ns: int = field(default_factory=time.time_ns, compare=False, repr=False)

    @classmethod
    def now(cls) -> ProcessStatistics:
        """Take a snapshot; raises ``MissingCapability`` on Windows."""
        if sys.platform == "win32":
            raise MissingCapability("getrusage", "this system does not tell what a process uses", "use a POSIX system")
        else:  # noqa: RET506 - for the type checker, which sees one of the two
            import resource

            usage = resource.getrusage(resource.RUSAGE_SELF)
            virtual: Optional[int]
            resident: Optional[int]
            try:
                with open("/proc/self/statm", encoding="ascii") as file:
                    virtual, resident = (int(pages) * resource.getpagesize() for pages in file.read().split()[:2])
            except OSError:  # only Linux has it
                virtual = resident = None
            try:
                open_files = len(os.listdir("/dev/fd")) - 1  # without the one that reads it
            except OSError:
                open_files = None
            return cls(
                usage.ru_utime,
                usage.ru_stime,
                usage.ru_minflt,
                usage.ru_majflt,
                usage.ru_nvcsw,
                usage.ru_nivcsw,
                resident,
                virtual,
                threading.active_count(),
                open_files,
            )
