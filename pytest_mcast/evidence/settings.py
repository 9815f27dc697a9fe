"""What decides whether namespaces can be made, how many files may be open, and which programs there are. Linux."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Dict, Optional

__all__ = ["PROGRAMS", "programs", "settings"]

#: Programs that give evidence, or carry out a cure.
PROGRAMS = ("ip", "bridge", "nft", "iptables", "sysctl", "ethtool", "nsenter")
_NAMES = (
    "kernel/apparmor_restrict_unprivileged_userns",  # Ubuntu 23.10 and later
    "kernel/unprivileged_userns_clone",  # Debian
    "user/max_net_namespaces",
    "user/max_user_namespaces",
)


def settings(directory: Path = Path("/proc/sys")) -> Dict[str, Any]:
    """Return the sysctls, by names such as ``user.max_net_namespaces``, and ``open files``: the soft and hard limit."""
    found: Dict[str, Any] = {}
    for name in _NAMES:
        try:
            found[name.replace("/", ".")] = (directory / name).read_text("ascii").strip()
        except OSError:  # this kernel has no such setting
            continue
    import resource

    found["open files"] = list(resource.getrlimit(resource.RLIMIT_NOFILE))
    return found


def programs() -> Dict[str, Optional[str]]:
    """Return where each of ``PROGRAMS`` is; None for one that is not on PATH."""
    return {name: shutil.which(name) for name in PROGRAMS}
