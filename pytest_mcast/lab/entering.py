"""How a person gets into a virtual host from another terminal: nsenter(1)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .namespace import Namespace
    from .virtualhost import VirtualHost

__all__ = ["directions", "nsenter"]


def nsenter(namespace: Namespace) -> list[str]:
    """Return the words in front of a command that take it into a network namespace, as long as this process lives.

    They are for a shell of the same user, or of root's, outside of any user namespace that we have made for ourselves.
    """
    process = f"/proc/{os.getpid()}"
    words = ["nsenter"]
    if _in_a_user_namespace_of_ours():
        words += [f"--user={process}/ns/user", "--preserve-credentials"]
    return [*words, f"--net={process}/fd/{namespace.descriptor}"]


def directions(host: VirtualHost) -> list[str]:
    """Say in lines what interfaces and addresses a host has, and how to enter it."""
    lines = [f"{host}:"]
    lines += [
        f"  {interface.name}: {' '.join(interface.addresses) or 'no address'}"
        for interface in host.interfaces
        if not interface.loopback
    ]
    return [*lines, f"  {' '.join(nsenter(host.namespace))} COMMAND"]


def _in_a_user_namespace_of_ours() -> bool:
    # Its map has one id, which is mapped to itself (see private.py); nobody else's looks like that.
    try:
        inside, outside, count = Path("/proc/self/uid_map").read_text().split()
    except (OSError, ValueError):
        return False
    return inside == outside == str(os.geteuid()) and count == "1"
