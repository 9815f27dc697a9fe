"""Which network namespace of which machine this is."""

from __future__ import annotations

import os

__all__ = ["place"]


def place() -> str:
    """Return the same text for the same network namespace of the same machine, since that was started.

    Of the calling thread; raises ``OSError`` where there is no telling (random(4), boot_id; network_namespaces(7)).
    """
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return f"{file.read().strip()}:{os.stat('/proc/thread-self/ns/net').st_ino}"
