"""The pipes of a connection, with several threads that write and close."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pytest_mcast.hosts.pipes import Pipes


class Broken(io.RawIOBase):
    """A pipe whose reader is found to be gone once ``found`` is set."""

    def __init__(self) -> None:
        self.asked, self.found = threading.Event(), threading.Event()

    def writable(self) -> bool:
        return True

    def write(self, _: object) -> int:
        self.asked.set()
        assert self.found.wait(10)
        raise BrokenPipeError


def pipes(raw: io.RawIOBase) -> Pipes:
    return Pipes("far", io.BufferedWriter(raw), io.BytesIO(b"ab"), lambda: 0, lambda: None)


def test_several_may_close_at_once_what_nobody_reads_any_more() -> None:
    """CPython frees the buffer for one of them and, one time in ten, writes from it for another one."""
    with ThreadPoolExecutor(8) as executor:
        for _ in range(100):
            raw = Broken()
            ours = pipes(raw)
            write = executor.submit(ours.write, b"x")
            assert raw.asked.wait(10)
            closing = [executor.submit(ours.close_write) for _ in range(7)]
            raw.found.set()
            assert isinstance(write.exception(10), BrokenPipeError)
            assert [each.exception(10) for each in closing] == [None] * 7
    with pytest.raises(ValueError, match="closed"):
        ours.write(b"y")


def test_an_end_in_the_middle_is_told() -> None:
    ours = pipes(Broken())
    assert ours.read(1) == b"a"
    with pytest.raises(EOFError, match="expected 2 bytes, got 1"):
        ours.read(2)
