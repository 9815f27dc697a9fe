"""A program on a terminal of its own, and a person before it."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from pytest_mcast.core import Deadline

__all__ = ["Terminal", "enter"]


class Terminal:
    """Runs a command whose controlling terminal, input and output are a pseudo-terminal (pty(7)).

    Leaving the ``with`` waits for its end, 30 s at the most.
    """

    def __init__(self, command: Sequence[str], directory: Path) -> None:
        self._master, slave = os.openpty()
        try:
            self.process = subprocess.Popen(
                ["setsid", "--ctty", "--wait", *command], cwd=directory, stdin=slave, stdout=slave, stderr=slave
            )
        except BaseException:  # whatever it is: let go, and pass it on
            os.close(self._master)
            raise
        finally:
            os.close(slave)
        self.shown = ""

    def expect(self, text: str | None, timeout: float = 30) -> str:
        """Wait until the text is shown, or the program has ended when it is None; return what was shown since before."""
        start, deadline = len(self.shown), Deadline(timeout)
        while text is None or text not in self.shown[start:]:
            remaining = deadline.remaining()
            assert remaining is not None
            if not select.select([self._master], [], [], remaining)[0]:
                raise TimeoutError(f"{text!r} is not shown; there is\n{self.shown}")
            data = b""
            with suppress(OSError):  # EIO: nobody has the other end any more
                data = os.read(self._master, 4096)
            if not data:
                assert text is None, f"{text!r} was not shown, only\n{self.shown}"
                break
            self.shown += data.decode(errors="replace").replace("\r\n", "\n")
        return self.shown[start:]

    def write(self, text: str) -> None:
        """Type it."""
        os.write(self._master, text.encode())

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exception is not None:
            self.process.terminate()
        try:
            self.process.wait(30)
        finally:
            self.process.kill()
            self.process.wait()
            os.close(self._master)


def enter(shown: str, host: str) -> list[str]:
    """Return the words that were shown for entering a host, without COMMAND.

    If the tests are themselves in the user namespace of which the words speak, they need not, and cannot, enter it.
    """
    lines = shown.splitlines()
    (place,) = [number for number, line in enumerate(lines) if line == f"{host}:"]
    words = next(line for line in lines[place:] if line.startswith("  nsenter ")).split()
    assert words.pop() == "COMMAND"
    users = [word.partition("=")[2] for word in words if word.startswith("--user=")]
    if users and os.readlink(users[0]) == os.readlink("/proc/self/ns/user"):
        words = [word for word in words if word != f"--user={users[0]}"]
    return words
