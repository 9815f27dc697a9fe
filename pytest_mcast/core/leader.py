"""The first process of a group of its own, whose number is kept from others until all of the group has been ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any, Optional

__all__ = ["Leader"]


class Leader:
    """The process of a ``Popen`` with ``start_new_session=True``; nothing else may wait for it, or send it signals.

    When it has ended it stays a zombie until ``end()``: until then no process and no group gets its number, so what is sent to
    the group gets to nobody else (waitid(2), WNOWAIT). Where Python has no ``os.waitid`` (Windows, macOS before 3.13)
    it is a zombie no longer, and only members that go on keep the number.
    """

    def __init__(self, process: subprocess.Popen[Any]) -> None:
        self.pid = process.pid
        self._process = process
        self._code: Optional[int] = None
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._free = False  # its number may be anybody's
        self._thread = threading.Thread(target=self._wait, name=f"end of {self.pid}", daemon=True)
        self._thread.start()

    def poll(self) -> Optional[int]:
        """Return the exit code, or the negative signal number; None while it runs."""
        return self.wait(0)

    def wait(self, timeout: Optional[float] = None) -> Optional[int]:
        """Wait for its end and return the exit code, or None after ``timeout`` seconds."""
        self._ended.wait(timeout)
        return self._code

    def signal(self, number: int) -> None:
        """Send a signal to it alone; none if it has ended."""
        with self._lock:
            if not self._ended.is_set():
                with suppress(ProcessLookupError):
                    os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once, with all of its group; nothing after ``end()``."""
        with self._lock:
            if self._free:
                return
            if sys.platform == "win32":
                self._process.kill()
            else:
                with suppress(ProcessLookupError, PermissionError):  # it has ended, with all of them (macOS: EPERM)
                    os.killpg(self.pid, signal.SIGKILL)

    def end(self) -> int:
        """End what there is of the group, wait for the process, let go of its number, and return the exit code."""
        self.kill()
        self._thread.join()
        with self._lock:
            self._free = True
            self._process.wait()
        assert self._code is not None  # the thread has ended
        return self._code

    def _wait(self) -> None:
        code = _end_of(self.pid)
        self._code = self._process.wait() if code is None else code
        self._ended.set()


def _end_of(pid: int) -> Optional[int]:
    """Wait for the end of a child and return its exit code, as ``Popen`` has it; it stays a zombie. None: nobody can tell."""
    system: Any = os  # of which Windows, and macOS before Python 3.13, have no waitid
    if not hasattr(system, "waitid"):
        return None
    try:
        end = system.waitid(system.P_PID, pid, system.WEXITED | system.WNOWAIT)
    except ChildProcessError:  # whoever ignores SIGCHLD has no zombies
        return None
    status = int(end.si_status)
    return status if end.si_code == system.CLD_EXITED else -status
