"""What happens at tracepoints of the kernel while one thread runs (perf_event_open(2)), in memory shared with the kernel.

Descriptors hold it all: nothing is left when the process ends, however it does.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
from collections.abc import Iterator, Sequence

from .tracefs import Tracepoint, system_call

__all__ = ["TracepointRing"]

_NUMBERS = {  # of perf_event_open
    "x86_64": 298,
    "aarch64": 241,
    "riscv64": 241,
    "loongarch64": 241,
    "ppc64le": 319,
    "s390x": 331,
}
_TRACEPOINT = 2  # PERF_TYPE_TRACEPOINT
_TIME, _RAW, _GROUP = 1 << 2, 1 << 10, 1 << 3  # PERF_SAMPLE_TIME, PERF_SAMPLE_RAW, PERF_FORMAT_GROUP
_USE_CLOCK_ID = 1 << 25
_CLOCK_MONOTONIC = 1
_THIS_THREAD, _ANY_CPU = 0, -1
_FD_CLOEXEC = 1 << 3  # PERF_FLAG_FD_CLOEXEC
_SET_OUTPUT = 0x2405  # PERF_EVENT_IOC_SET_OUTPUT
_ATTRIBUTES = struct.Struct("=IIQQQQQII32xIi16x")  # struct perf_event_attr, 112 bytes (PERF_ATTR_SIZE_VER5)
_HEAD, _TAIL = 1024, 1032  # in struct perf_event_mmap_page
_RECORD = struct.Struct("=IHH")  # struct perf_event_header
_SAMPLE = struct.Struct("=QI")  # the time, the size of the data that follow
_POSITION = struct.Struct("=Q")
_SAMPLE_RECORD = 9  # PERF_RECORD_SAMPLE
_PAGES = 64  # a power of 2; within kernel.perf_event_mlock_kb, 516 by default


class TracepointRing:
    """The data of tracepoints that the calling thread passes, from whichever thread they are read.

    Raises ``OSError``: EACCES or EPERM without CAP_PERFMON of the machine, unless ``kernel.perf_event_paranoid`` is -1.
    """

    def __init__(self, tracepoints: Sequence[Tracepoint]) -> None:
        self._process = os.getpid()
        self._size = _PAGES * mmap.PAGESIZE
        self._files: list[int] = []
        self._map: mmap.mmap | None = None
        self._counted = 0
        try:
            for tracepoint in tracepoints:
                self._open(tracepoint.number)
            self._map = mmap.mmap(self._files[0], mmap.PAGESIZE + self._size)
            for file in self._files[1:]:
                _redirect(file, self._files[0])
            self.mark()
        except BaseException:  # whatever it is: let go, and pass it on
            self.close()
            raise

    def _open(self, number: int) -> None:
        machine = os.uname().machine
        if machine not in _NUMBERS:
            raise OSError(errno.ENOSYS, f"the number of perf_event_open on {machine} is not known here")
        attributes = _ATTRIBUTES.pack(
            _TRACEPOINT, _ATTRIBUTES.size, number, 1, _TIME | _RAW, _GROUP, _USE_CLOCK_ID, 0, 0, 0, _CLOCK_MONOTONIC
        )
        leader = self._files[0] if self._files else -1
        self._files.append(system_call(_NUMBERS[machine], attributes, _THIS_THREAD, _ANY_CPU, leader, _FD_CLOEXEC))

    def mark(self) -> None:
        """Forget what there is, and read from now on."""
        memory = self._memory()
        memory[_TAIL : _TAIL + 8] = memory[_HEAD : _HEAD + 8]
        self._counted = self._count()

    def read(self) -> tuple[list[tuple[int, bytes]], int]:
        """Return what has happened since the mark: times in ns (CLOCK_MONOTONIC) and data; and how many did not fit."""
        memory = self._memory()
        counted = self._count() - self._counted
        found = list(self._records(memory))
        return found, max(0, counted - len(found))  # one more may have come between the two

    def _records(self, memory: mmap.mmap) -> Iterator[tuple[int, bytes]]:
        (head,), (position,) = _POSITION.unpack_from(memory, _HEAD), _POSITION.unpack_from(memory, _TAIL)
        start = position % self._size
        ring = memory[mmap.PAGESIZE + start : mmap.PAGESIZE + min(self._size, start + head - position)]
        ring += memory[mmap.PAGESIZE : mmap.PAGESIZE + head - position - len(ring)]  # around the end
        at = 0
        while at < len(ring):
            kind, _, size = _RECORD.unpack_from(ring, at)
            if kind == _SAMPLE_RECORD:
                time, length = _SAMPLE.unpack_from(ring, at + _RECORD.size)
                data = at + _RECORD.size + _SAMPLE.size
                yield time, ring[data : data + length]
            at += size

    def _count(self) -> int:
        """Return how often the tracepoints were passed since they are open, whether it was written down or not."""
        answer = os.read(self._files[0], 8 * (1 + len(self._files)))
        return sum(struct.unpack_from(f"={len(self._files)}Q", answer, 8))

    def _memory(self) -> mmap.mmap:
        if self._map is None:
            raise ValueError("the ring is closed")
        if os.getpid() != self._process:  # the kernel does not give the memory to a child: it would be killed here
            raise ValueError(f"the ring is of process {self._process}, and a child that was forked has none of it")
        return self._map

    def close(self) -> None:
        """Close it; again is no error."""
        if self._map is not None and os.getpid() == self._process:
            self._map.close()
            self._map = None
        while self._files:
            os.close(self._files.pop())


def _redirect(file: int, to: int) -> None:
    import fcntl  # which not every system has that imports this

    fcntl.ioctl(file, _SET_OUTPUT, to)
