"""``--mcast-capture``: what the virtual hosts of a test send and receive, in a file of its own."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .artifacts import Artifacts
from .settings import Settings

if TYPE_CHECKING:
    from pytest_mcast.hosts import Host
    from pytest_mcast.wire import Capture

    from .watch import Watch

__all__ = ["Captures"]

_FILE = "capture.pcapng"


class Captures:
    """The captures of the running test. They lie in memory until the test has failed, or has ended."""

    def __init__(self, settings: Settings, watch: Watch, since: float, here: Path) -> None:
        #: When the run began, in seconds since 1970.
        self.since = since
        self._setting = settings.capture
        self._artifacts = Artifacts(settings.output.value, since)
        self._watch = watch
        self._here = here  # where the user is
        self._captures: list[Capture] = []
        self._missing: str | None = None
        self._warned = False
        self._begin()
        watch.arrivals.append(self._arrive)

    def _begin(self) -> None:
        for capture in self._captures:
            capture.close()
        self._captures = []
        self._failed = False
        self._ran = False
        self._path: Path | None = None
        self._written: list[tuple[int, int]] = []

    def _arrive(self, host: Host) -> None:
        from pytest_mcast.core.errors import MissingCapability
        from pytest_mcast.lab import VirtualHost

        if not isinstance(host, VirtualHost):
            return
        try:
            self._captures.append(host.capture())
        except MissingCapability as missing:
            self._missing = f"{self._setting.origin}: {missing}"
            if not self._warned:
                self._warned = True
                warnings.warn(pytest.PytestWarning(self._missing), stacklevel=2)

    def follow(self, item: pytest.Item, report: pytest.TestReport) -> list[str]:
        """Write the file when it is time to, tell the report, and return the files of the test up to now.

        A failure is written at once, because its report is to name the file, and again when the test has ended.
        """
        self._failed = self._failed or report.failed
        self._ran = self._ran or report.when == "call"
        wanted = self._failed or (self._ran and self._setting.value == "on")
        try:
            if wanted:
                self._write(item)
            elif report.when == "teardown":
                self._artifacts.discard(item.nodeid, _FILE)
            text = self._tell()
        except OSError as error:
            text = f"it cannot be written: {error}"
        if report.failed and text:
            report.sections.append(("mcast capture", text))
        found = [self._artifacts.relative(self._path)] if wanted and self._path is not None else []
        if report.when == "teardown":
            self._begin()
        return found

    def _tell(self) -> str:
        if self._path is not None:
            counts = ", ".join(
                f"{capture.viewpoint} {len(capture)} frames" + (f" (and lost {capture.lost})" if capture.lost else "")
                for capture in self._captures
            )
            return f"{os.path.relpath(self._path, self._here)}: {counts}"
        if self._missing is not None:
            return self._missing
        if self._watch.others:
            return f"none: virtual hosts are captured, not {', '.join(map(str, self._watch.others))}"
        return ""

    def _write(self, item: pytest.Item) -> None:
        from pytest_mcast.wire import save_captures

        counts = [(len(capture), capture.commented) for capture in self._captures]
        if counts == self._written:  # or there are none
            return
        attempt = getattr(item, "execution_count", 1)  # of pytest-rerunfailures
        comment = item.nodeid + (f", attempt {attempt}" if attempt > 1 else "")

        def write(path: Path) -> None:
            save_captures(path, self._captures, comment)

        if self._path is None:
            self._path = self._artifacts.add(item.nodeid, _FILE, write)
        else:
            write(self._path)
        self._written = counts
