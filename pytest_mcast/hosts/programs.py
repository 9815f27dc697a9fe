"""A program on a remote host, used as one in a virtual host is."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.errors import HostError, ProgramError

if TYPE_CHECKING:
    from .connection import Connection

__all__ = ["RemoteProgram"]


class RemoteProgram:
    """A running program. ``stdout`` and ``stderr`` are the lines up to now, without their line ends."""

    def __init__(self, connection: Connection, command: Sequence[str], started: dict[str, Any]) -> None:
        self.command = list(command)
        #: The process id there.
        self.pid: int = started["pid"]
        self._connection = connection
        self._number = started["number"]
        self._lines: list[str] = []
        self._output: dict[str, list[str]] = {"stdout": [], "stderr": []}
        self._seen = 0
        self._ended = self._flooded = self._closed = False
        self._code: int | None = None

    @property
    def stdout(self) -> list[str]:
        """The lines of standard output up to now."""
        self._look()
        return self._output["stdout"]

    @property
    def stderr(self) -> list[str]:
        """The lines of standard error up to now."""
        self._look()
        return self._output["stderr"]

    @property
    def returncode(self) -> int | None:
        """The exit code, or the negative signal number; None while it runs."""
        self._look()
        return self._code

    @property
    def ended(self) -> bool:
        """Whether no more output can come."""
        self._look()
        return self._ended

    @property
    def flooded(self) -> bool:
        """Whether there was so much output that the rest of it is not kept; see ``Program``."""
        self._look()
        return self._flooded

    def wait_for_output(self, seen: int, deadline: Deadline) -> bool:
        """Wait until there are more lines of output, of either kind, than ``seen``; False when none can come, or in time."""
        self._look()
        while len(self._lines) <= seen and not (self._ended or self._flooded or deadline.passed()):
            self._look(deadline)
        return len(self._lines) > seen

    def expect(self, pattern: str | re.Pattern[str], timeout: float = 10.0) -> re.Match[str]:
        """Wait for a line of output (of either kind, not seen before) in which the pattern is found.

        Raises ``ProgramError`` with the output when ``timeout`` seconds pass, or the program ends, without it.
        """
        deadline = Deadline(timeout)
        while True:
            while self._seen < len(self._lines):
                self._seen += 1
                match = re.search(pattern, self._lines[self._seen - 1])
                if match:
                    return match
            if not self.wait_for_output(self._seen, deadline):
                why = "ended without" if self._ended else "too much output without" if self._flooded else "no"
                raise self._error(f"{why} {pattern!r}" + (f" in {timeout:g} s" if why == "no" else ""))

    def write(self, text: str) -> None:
        """Write to its standard input."""
        self._ask("write", text)

    def wait(self, timeout: float = 10.0) -> int:
        """Wait for the end and return the exit code; raises ``ProgramError`` after ``timeout`` seconds."""
        if self._code is None:
            self._code = self._ask("wait", timeout, waits=True, timeout=timeout)
        if self._code is None:
            raise self._error(f"goes on after {timeout:g} s")
        deadline = Deadline(1.0)  # not for the end of output: a child of it may hold the pipe open
        while not (self._ended or deadline.passed()):
            self._look(deadline)
        return self._code

    def stop(self, timeout: float = 5.0, number: int = signal.SIGTERM) -> int:
        """Ask it to end by a signal, make it after ``timeout`` seconds (SIGKILL), and return the exit code."""
        self._ask("signal", signal.Signals(number).name)
        try:
            return self.wait(timeout)
        except ProgramError:
            self._ask("signal", "SIGKILL")
            return self.wait(timeout)

    def kill(self) -> None:
        """End it at once (SIGKILL), with what it has started, and wait for that."""
        self._ask("close")

    @property
    def closed(self) -> bool:
        """Whether ``close()`` was called."""
        return self._closed

    def close(self) -> None:
        """End it at once; again is no error, nor when the connection is lost, which has ended it."""
        if not self._closed:
            with suppress(HostError):
                self._look()
            self._closed = True
            self._connection.drop(self._number)

    def transcript(self) -> str:
        """Return the command, the last lines of output and the exit code, a line each."""
        self._look()
        lines = [*self._lines[-20:], f"exit code {self._code}"]
        return "\n".join([" ".join(self.command), *(f"  {line}" for line in lines)])

    def _look(self, deadline: Deadline | None = None) -> None:
        """Fetch what it has printed; with a deadline, wait for it until then."""
        if self._closed or (self._ended and self._code is not None):
            return
        seconds = 0.0 if deadline is None else deadline.remaining()
        found = self._ask("look", len(self._lines), seconds, waits=seconds != 0, timeout=seconds)
        for stream, line in found["lines"]:
            self._output[stream].append(line)
            self._lines.append(line)
        self._ended, self._flooded, self._code = found["ended"], found["flooded"], found["returncode"]

    def _ask(self, what: str, *arguments: Any, waits: bool = False, timeout: float | None = 0.0) -> Any:
        return self._connection.call("ask", self._number, what, *arguments, waits=waits, timeout=timeout)

    def _error(self, text: str) -> ProgramError:
        return ProgramError(f"{self.command[0]} on {self._connection.name}: {text}\n{self.transcript()}")
