"""Keeps the file of a record up to date while the run goes on: what the journal has reaches those who read the file alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from .record import Record
from .store import write

__all__ = ["BackgroundWriter", "DirectWriter", "Writer"]

_INTERVAL = 0.5  # seconds: no result is much older when it reaches the file ...
_PAUSE = 10  # ... unless writing takes more than a tenth of that: times as long as it took
_CREDIT = 0.1  # seconds of processor time that writing may take in any case ...
_SHARE = 0.1  # ... and the share of the run's time after that, without waiting for the interval


class Writer(Protocol):
    """Writes what a function returns; ``error`` is the last failure to write, if nothing was written after it."""

    error: OSError | None

    def changed(self) -> None:
        """Say that there is something new."""

    def catch_up(self) -> None:
        """Say that now is a good time to write what is new."""

    def close(self) -> None:
        """Write for the last time."""


class DirectWriter:
    """Writes in the caller's thread, often enough: for a process that runs the tests itself.

    It has no thread, because that would change the tests: a process with threads gets no user namespace, and a warning
    when it forks. So nothing can be written while a test runs; ``catch_up`` before one begins makes up for that.
    """

    def __init__(self, path: Path, snapshot: Callable[[], Record]) -> None:
        self._path = path
        self._snapshot = snapshot
        self._begin = self._last = time.monotonic()
        self._spent = self._took = 0.0
        self._dirty = False
        self.error: OSError | None = None
        self._write()

    def changed(self) -> None:
        """Write it, unless that takes too much of the run's time."""
        self._dirty = True
        self.catch_up()

    def catch_up(self) -> None:
        """Write what is not yet written, unless that takes too much of the run's time."""
        now = time.monotonic()
        cheap = self._spent <= _CREDIT + _SHARE * (now - self._begin)
        if self._dirty and (cheap or now - self._last >= max(_INTERVAL, _PAUSE * self._took)):
            self._write()

    def close(self) -> None:
        """Write for the last time."""
        self._write()

    def _write(self) -> None:
        before = time.thread_time()  # not the clock: waiting for a busy machine takes nobody's time
        self._dirty = False
        self.error = _try(self._path, self._snapshot)
        self._took = time.thread_time() - before
        self._spent += self._took
        self._last = time.monotonic()


class BackgroundWriter:
    """Writes in a thread of its own, twice a second or less often: for a process that only waits for others."""

    def __init__(self, path: Path, snapshot: Callable[[], Record]) -> None:
        self._path = path
        self._snapshot = snapshot
        self._news = threading.Event()
        self._end = threading.Event()
        self.error: OSError | None = _try(path, snapshot)
        self._thread = threading.Thread(target=self._run, name="mcast-report", daemon=True)
        self._thread.start()

    def changed(self) -> None:
        """Have it written."""
        self._news.set()

    def catch_up(self) -> None:
        """Do nothing: the thread needs no telling."""

    def close(self) -> None:
        """Stop the thread, and write for the last time."""
        self._end.set()
        self._news.set()
        self._thread.join()
        self.error = _try(self._path, self._snapshot)

    def _run(self) -> None:
        while True:
            self._news.wait()
            if self._end.is_set():
                return
            self._news.clear()
            before = time.thread_time()
            self.error = _try(self._path, self._snapshot)
            self._end.wait(max(_INTERVAL, _PAUSE * (time.thread_time() - before)))


def _try(path: Path, snapshot: Callable[[], Record]) -> OSError | None:
    try:
        write(snapshot(), path)
    except OSError as error:  # a full disk must not end the run; the next write may do
        return error
    return None
