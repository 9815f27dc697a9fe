"""The pipes to and from the process that leads to a remote host, as execnet uses them, with one owner."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import IO

__all__ = ["Pipes"]


class Pipes:
    """What execnet's gateways read from and write to.

    Several threads write, and several close: execnet's own when nothing more is to be read, and those of whoever has had
    enough. A ``BufferedWriter`` that two threads close at once raises whatever happens in C (a ``ValueError`` of a buffer
    that is NULL, for one), so here one waits for the other.
    """

    def __init__(
        self, name: str, to: IO[bytes], from_: IO[bytes], wait: Callable[[], int | None], kill: Callable[[], None]
    ) -> None:
        from execnet.gateway_base import get_execmodel

        self.remoteaddress = name  # this and all that follows by the names that execnet asks for
        self.execmodel = get_execmodel("thread")
        self.wait, self.kill = wait, kill
        self._to, self._from = to, from_
        self._writing = threading.Lock()

    def read(self, numbytes: int) -> bytes:
        """Read as many bytes; raises ``EOFError``."""
        found = self._from.read(numbytes)
        if len(found) < numbytes:
            raise EOFError(f"expected {numbytes} bytes, got {len(found)}")
        return found

    def write(self, data: bytes) -> None:
        """Write all of it; raises ``OSError``, and ``ValueError`` when it is closed."""
        with self._writing:
            self._to.write(data)
            self._to.flush()

    def close_read(self) -> None:
        """Read no more; again is no error."""
        self._from.close()

    def close_write(self) -> None:
        """Write no more, after whoever is writing; again is no error, nor that nobody takes what was written."""
        with self._writing, suppress(OSError):
            self._to.close()
