"""Which program a socket belongs to: looked up only when somebody asks, in /proc/PID/fd of those we may look at."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Dict, List

__all__ = ["program_of", "programs_of"]

_PROC = Path("/proc")
_LONGEST = 200  # characters of a command line


def program_of(inode: int) -> Dict[str, Any]:
    """Return ``pid``, ``name`` and ``command`` of the program that holds a socket (``inode`` as in the reading sockets).

    Of several the one with the lowest PID. Raises ``PermissionError`` when it is none of those that we may look at, and
    ``LookupError`` when we may look at all of them: it is gone, or in a PID namespace that is not seen from here.
    """
    holders = programs_of(inode)
    if not holders:
        raise LookupError(f"no process holds the socket with inode {inode}")
    return holders[0]


def programs_of(inode: int) -> List[Dict[str, Any]]:
    """Return all of them, by PID; raises ``PermissionError`` when there are none, and some we may not look at."""
    found, closed = [], 0
    for pid in sorted(int(name) for name in os.listdir(_PROC) if name.isdigit()):
        try:
            if _holds(pid, f"socket:[{inode}]"):
                found.append({"pid": pid, "name": _name(pid), "command": _command(pid)})
        except PermissionError:
            closed += 1
        except OSError:  # it has ended meanwhile
            continue
    if closed and not found:
        raise PermissionError(
            f"not for this user to see: the open files of {closed} processes (ptrace(2), CAP_SYS_PTRACE)"
        )
    return found


def _holds(pid: int, wanted: str) -> bool:
    directory = _PROC / str(pid) / "fd"
    for descriptor in os.listdir(directory):
        try:
            if os.readlink(directory / descriptor) == wanted:
                return True
        except FileNotFoundError:  # closed meanwhile
            continue
    return False


def _name(pid: int) -> str:
    return (_PROC / str(pid) / "comm").read_text("utf-8", "replace").strip()


def _command(pid: int) -> str:
    words = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    return re.sub(r"\s+", " ", b" ".join(words).decode("utf-8", "replace")).strip()[:_LONGEST]
