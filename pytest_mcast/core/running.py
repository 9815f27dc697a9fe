"""A program that was started, what it has printed, and its end, with all that it has started itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import IO, Any, Dict, List, Mapping, Optional, Sequence, Tuple

from .deadline import Deadline
from .leader import Leader

__all__ = ["Guard", "Running"]

_MOST_LINES = 100_000  # of output that are kept; what comes after them is read and thrown away
_MOST_BYTES = 64 << 20  # the same
_LONGEST_LINE = 1 << 20  # bytes; a longer one is several lines


# Outlives who started it for a moment: at the end of its input it ends what it was told of.
_GUARD = """
import os, signal, sys
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass
"""


class Guard:
    """Ends process groups when this process has ended, by whatever it was (not on Windows)."""

    def __init__(self) -> None:
        self._process: Optional[subprocess.Popen[bytes]] = None

    def add(self, group: int) -> None:
        """Have it ended with us."""
        if self._process is None and sys.platform != "win32":
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", "-c", _GUARD], stdin=subprocess.PIPE, start_new_session=True
            )
        self._tell(f"+{group}")

    def remove(self, group: int) -> None:
        """Forget one that has ended."""
        self._tell(f"-{group}")

    def close(self) -> None:
        """End it, with what it was told of."""
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
            process.wait()

    def _tell(self, line: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):  # somebody has killed it
                self._process.stdin.write(line.encode() + b"\n")
                self._process.stdin.flush()


class Running:
    """A program in a process group of its own; ``environment`` is added to ours. Raises ``OSError`` as execve(2)."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        guard: Optional[Guard] = None,
        environment: Optional[Mapping[str, str]] = None,
        directory: Optional[str] = None,
        stdin: bool = False,
    ) -> None:
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
            cwd=directory,
            start_new_session=True,
        )
        self._leader = Leader(self._process)
        self._guard = guard
        if guard is not None:
            guard.add(self._process.pid)
        self._changed = threading.Condition()
        self._lines: List[Tuple[str, str]] = []  # the stream, and the line
        self._size = 0
        self._flooded = False
        self._reading = 2  # streams
        for name, stream in (("stdout", self._process.stdout), ("stderr", self._process.stderr)):
            threading.Thread(target=self._read, args=(name, stream), daemon=True).start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def look(self, seen: int, timeout: Optional[float]) -> Dict[str, Any]:
        """Return what it has printed after the first ``seen`` lines, and how it is.

        Waits until there is more to tell than that, or ``timeout`` seconds. ``ended``: no more output can come.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: len(self._lines) > seen or not self._reading or self._flooded, Deadline(timeout).remaining()
            )
            return {
                "lines": self._lines[seen : seen + 1000],
                "ended": not self._reading and len(self._lines) <= seen + 1000,
                "flooded": self._flooded,
                "returncode": self._leader.poll(),
            }

    def wait(self, timeout: Optional[float]) -> Optional[int]:
        """Wait for the end and return the exit code, or None after ``timeout`` seconds."""
        return self._leader.wait(timeout)

    def signal(self, name: str) -> None:
        """Send it a signal."""
        self._leader.signal(getattr(signal, name))

    def write(self, text: str) -> None:
        """Write to its standard input."""
        assert self._process.stdin is not None  # who did not ask for one has none to write to
        self._process.stdin.write(text.encode())
        self._process.stdin.flush()

    def close(self) -> None:
        """End it at once, with what it has started; again is no error."""
        self._leader.kill()
        if self._guard is not None:  # before somebody else can have its number
            self._guard.remove(self._process.pid)
        self._leader.end()

    def _read(self, name: str, stream: IO[bytes]) -> None:
        with stream:
            while True:
                line = stream.readline(_LONGEST_LINE)
                with self._changed:
                    if not line:
                        self._reading -= 1
                    elif len(self._lines) >= _MOST_LINES or self._size >= _MOST_BYTES:
                        self._flooded = True
                    else:
                        self._size += len(line)
                        self._lines.append((name, line.decode(errors="replace").rstrip("\r\n")))
                    self._changed.notify_all()
                if not line:
                    return
