"""Where a run happens: versions, system, commit, job of CI."""

from __future__ import annotations

import os
import platform
import re
from importlib import metadata
from pathlib import Path

import pytest

from pytest_mcast import __version__

from .ci import describe_ci

__all__ = ["describe_environment", "find_commit"]

_PACKAGES = ("pytest-xdist", "execnet", "scapy")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def describe_environment(directory: Path) -> dict[str, str]:
    """Return facts by name; what is not known is not there. The commit is that of CI, or is checked out in a directory."""
    versions = {name: _version(name) for name in _PACKAGES}
    ci = describe_ci(os.environ)
    facts = {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "pytest": pytest.__version__,
        "pytest-mcast": __version__,
        **versions,
        "system": platform.system(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "privilege": "root" if getattr(os, "geteuid", lambda: 1)() == 0 else "rootless",
        "commit": ci.pop("commit", "") or find_commit(directory),
        **ci,
    }
    return {name: value for name, value in facts.items() if value}


def find_commit(directory: Path) -> str:
    """Return the commit that is checked out in a directory, by git's files; empty if there is none, or they are unusual.

    Whether something was changed since is not looked at: that takes reading all files (gitrepository-layout(5)).
    """
    try:
        git = next(path / ".git" for path in (directory, *directory.parents) if (path / ".git").exists())
        if git.is_file():  # of a worktree or submodule
            git = git.parent / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        shared = git / "commondir"
        common = git / shared.read_text(encoding="utf-8").strip() if shared.exists() else git
        name = head.removeprefix("ref:").strip()
        commit = _resolve(name, (git, common)) if name != head else head
    except (StopIteration, OSError, ValueError):
        return ""
    return commit if _COMMIT.fullmatch(commit) else ""


def _resolve(name: str, places: tuple[Path, ...]) -> str:
    for place in places:
        if (place / name).is_file():
            return (place / name).read_text(encoding="utf-8").strip()
    packed = (places[-1] / "packed-refs").read_text(encoding="utf-8").splitlines()
    return next((line.partition(" ")[0] for line in packed if line.endswith(f" {name}")), "")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
