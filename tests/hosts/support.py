"""What the tests of remote hosts share: other Pythons, processes at the far end, calls that are under way."""

from __future__ import annotations

import functools
import os
import select
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from pytest_mcast import RemoteHost

# Without what is installed for it, our own package above all.
BARE = f"{sys.executable} -I -S"


@functools.cache
def python(version: str) -> str | None:
    """Return a Python of that version that works; None if there is none on the path."""
    for directory in os.environ.get("PATH", "").split(os.pathsep):
        found = shutil.which(f"python{version}", path=directory)
        if found:  # which may be a script that chooses one here, and none elsewhere
            ask = [found, "-c", "import sys; sys.stdout.write(sys.executable)"]
            result = subprocess.run(ask, capture_output=True, text=True, check=False)
            if result.returncode == 0:
                return result.stdout
    return None


def oldest() -> str:
    """Return Python 3.9, without which CI fails; elsewhere it may be any."""
    found = python("3.9")
    assert found or not os.environ.get("CI")
    return found or BARE


def too_old() -> str:
    """Return a Python that is too old, or skip the test."""
    found = next(filter(None, map(python, ("3.8", "3.7", "3.6", "2.7"))), None)
    if found is None:
        pytest.skip("there is no Python before 3.9 on the path")
    return found


@contextmanager
def remote(specification: str, interface: str | None = "lo", **options: Any) -> Iterator[RemoteHost]:
    with closing(RemoteHost("far", specification, interface, **options)) as host:
        host.connect()
        yield host


class Process:
    """A process by its number in the PID namespace of another one (default: ours)."""

    def __init__(self, pid: str, beside: int | str = "self") -> None:
        self.pid = next(_numbered(pid, _pid_namespace(beside)))
        self._descriptor = os.pidfd_open(self.pid)

    def ended(self, timeout: float = 10.0) -> bool:
        """Wait for its end; False after ``timeout`` seconds."""
        return bool(select.select([self._descriptor], [], [], timeout)[0])

    def close(self) -> None:
        os.close(self._descriptor)


def _numbered(pid: str, namespace: int) -> Iterator[int]:
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            try:
                status = (directory / "status").read_text()
                numbers = next(line.split() for line in status.splitlines() if line.startswith("NSpid:"))
                if numbers[-1] == pid and _pid_namespace(directory.name) == namespace:
                    yield int(directory.name)
            except OSError:  # it has just ended, or is somebody else's
                continue


def _pid_namespace(process: int | str) -> int:
    return os.stat(f"/proc/{process}/ns/pid").st_ino


def lose_patience(host: RemoteHost) -> None:
    """Have a host given up at once that says nothing from now on. Before, a busy machine needs its time to say something."""
    assert host._connection is not None
    host._connection._silence = 0.1


@contextmanager
def under_way(host: RemoteHost, call: Callable[[], object]) -> Iterator[Future[object]]:
    """Make a call in a thread; inside, what it asks for is on its way."""
    connection = host._connection
    assert connection is not None
    send, sent = connection._channel.send, threading.Event()

    def noted(item: Any) -> None:
        send(item)
        if item[1] != "ping":
            sent.set()

    connection._channel.send = noted  # type: ignore[method-assign]
    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(call)
        assert sent.wait(10)
        yield future
