"""``as_user.py COMMAND...``: run a command as an ordinary user (nobody), whoever runs this.

An ordinary user gives up what he may have been given in a user namespace. Root gives up everything, after having made the
Python installation, the working tree and what is on PATH readable in a mount namespace of its own: they may be below
directories that only root can search, which are covered there, in part, by empty ones.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

NOBODY = 65534
_NEWNS, _BIND, _REC, _PRIVATE = 0x00020000, 0x1000, 0x4000, 0x40000  # sched.h, sys/mount.h

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def _mount(source: str, target: Path, kind: bytes | None, flags: int, data: bytes | None = None) -> None:
    _check(_libc.mount(source.encode(), bytes(target), kind, flags, data), f"mount {target}")


def _closed_ancestor(path: Path) -> Path | None:
    """Return the outermost directory on the way to a path that others cannot search."""
    for directory in reversed(path.parents):
        if not directory.stat().st_mode & 0o001:
            return directory
    return None


def _on_path() -> set[Path]:
    """Return where programs are: the directories on PATH, and for a ``bin`` what it belongs to."""
    directories = {Path(name) for name in os.environ.get("PATH", "").split(os.pathsep) if Path(name).is_absolute()}
    return {each.parent if each.name == "bin" else each for each in directories if each.is_dir()}


def _open_up(paths: set[Path]) -> None:
    """Make the paths readable for everybody, for this process and its children only."""
    _check(_libc.unshare(_NEWNS), "unshare")
    _mount("none", Path("/"), None, _REC | _PRIVATE)
    closed = {path: ancestor for path in paths if (ancestor := _closed_ancestor(path))}
    descriptors = {path: os.open(path, os.O_PATH) for path in closed}
    for ancestor in sorted(set(closed.values())):
        _mount("tmpfs", ancestor, b"tmpfs", 0, b"mode=755")
    for path in sorted(closed):
        if not path.exists():  # else it is below one that was bound before
            path.mkdir(parents=True)
            _mount(f"/proc/self/fd/{descriptors[path]}", path, None, _BIND | _REC)


def main() -> None:
    if os.geteuid() == 0:
        root = Path(__file__).resolve().parents[2]
        # pyvenv.cfg leads from the one prefix to the other; the executable may be reached over links in between.
        needed = {Path(sys.prefix), Path(sys.base_prefix), root, Path(sys.executable).resolve().parents[1]}
        _open_up({path.resolve() for path in needed | _on_path()})
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    else:
        _check(_libc.prctl(47, 4, 0, 0, 0), "prctl")  # PR_CAP_AMBIENT_CLEAR_ALL: exec drops what is left
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
