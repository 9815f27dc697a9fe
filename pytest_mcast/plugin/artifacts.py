"""Files that a test leaves on purpose: a directory for each test, under ``--mcast-output``."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Artifacts", "directory_name"]

_LONGEST = 120  # characters; file systems allow 255 bytes
_TICK = 0.05  # seconds by which the clock of a file system may be behind ours


def directory_name(nodeid: str) -> str:
    """Return a name for the directory of a test: readable, safe on every file system, no other test's.

    Separators become hyphens. Where that loses something, a part of a hash is added.
    """
    name = nodeid.replace("::", "-").replace("/", "-")
    safe = re.sub(r"[^A-Za-z0-9_.,+=@\[\]-]", "_", name).lstrip(".-").rstrip(".")
    test, _, parameters = nodeid.partition("[")
    whole = safe == name and len(name) <= _LONGEST
    if whole and "-" not in test and "/" not in parameters and "::" not in parameters:
        return name
    digest = hashlib.sha256(nodeid.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{safe[-(_LONGEST - 9) :].lstrip('.-')}-{digest}"


class Artifacts:
    """The output directory, for tests that were started at the time ``since`` (seconds since 1970) or later.

    Other processes write there at the same time: workers, and other runs. Nothing of theirs is overwritten; what a test
    has left in an earlier run goes when the test runs again.
    """

    def __init__(self, root: Path, since: float) -> None:
        self.root = root
        self._since = since - _TICK

    def add(self, nodeid: str, name: str, write: Callable[[Path], object]) -> Path:
        """Write a file for a test and return its path; a second one of that name gets a number: ``name-2.suffix``."""
        directory = self.root / directory_name(nodeid)
        directory.mkdir(parents=True, exist_ok=True)
        stem, dot, suffix = name.partition(".")
        with self._alone(directory):
            self._discard(directory, name)
            names = itertools.chain([name], (f"{stem}-{number}{dot}{suffix}" for number in itertools.count(2)))
            path = next(path for path in map(directory.joinpath, names) if not path.exists())
            write(path)
        return path

    def discard(self, nodeid: str, name: str) -> None:
        """Remove what an earlier run has left of that name."""
        directory = self.root / directory_name(nodeid)
        if directory.is_dir():
            with self._alone(directory):
                self._discard(directory, name)

    def relative(self, path: Path) -> str:
        """Return the path as seen from the output directory."""
        return path.relative_to(self.root).as_posix()

    @contextmanager
    def _alone(self, directory: Path) -> Iterator[None]:
        if sys.platform == "win32":  # where there are no virtual hosts whose artifacts these could be
            yield
        else:
            import fcntl

            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
            finally:
                os.close(descriptor)

    def _discard(self, directory: Path, name: str) -> None:
        stem, dot, suffix = name.partition(".")
        pattern = re.compile(rf"{re.escape(stem)}(-\d+)?{re.escape(dot + suffix)}")
        for path in directory.iterdir():
            if pattern.fullmatch(path.name) and path.stat().st_mtime < self._since:
                path.unlink()
