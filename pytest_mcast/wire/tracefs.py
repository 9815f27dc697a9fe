"""Tracepoints of the kernel, as tracefs describes them (Documentation/trace/events.rst of Linux).

Where tracefs is not mounted it is read by a mount that has no place and is held by a descriptor (fsmount(2)), so that
nothing of it is seen and nothing is left.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["Tracepoint", "kind_of", "read_tracepoints", "system_call"]

_PLACES = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
# The same numbers on every architecture (asm-generic/unistd.h).
_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432
_CLOEXEC, _CMD_CREATE = 1, 6  # linux/mount.h
_FIELD = re.compile(r"field:[^;]*?(\w+)(?:\[[^]]*\])?;\s*offset:(\d+);\s*size:(\d+);")
_SYMBOL = re.compile(r'\{\s*(\w+)\s*,\s*"(\w+)"\s*\}')


@dataclass(frozen=True)
class Tracepoint:
    """A tracepoint: its number, where in its data the fields are, and the names of a field's values if it has such.

    ``fields`` maps names to offset and size in bytes.
    """

    name: str
    number: int
    fields: Mapping[str, tuple[int, int]] = field(hash=False)
    symbols: Mapping[int, str] = field(hash=False)

    @classmethod
    def parse(cls, name: str, text: str) -> Tracepoint:
        """Read a ``format`` file."""
        number = re.search(r"^ID: (\d+)$", text, re.MULTILINE)
        if number is None:
            raise ValueError(f"the format of {name} has no ID: {text[:80]!r}")
        fields = {word: (int(offset), int(size)) for word, offset, size in _FIELD.findall(text)}
        printed = text.partition("print fmt:")[2]
        symbols = {int(value, 0): word for value, word in _SYMBOL.findall(printed) if value[0].isdigit()}
        return cls(name, int(number[1]), fields, symbols)

    def number_in(self, data: bytes, name: str) -> int:
        """Return a field that is a number, or an address."""
        offset, size = self.fields[name]
        return int.from_bytes(data[offset : offset + size], sys.byteorder)

    def text_in(self, data: bytes, name: str) -> str:
        """Return a field that is a text of any length (``__data_loc``: where it is, and its length above)."""
        place = self.number_in(data, name)
        start, length = place & 0xFFFF, place >> 16
        return data[start : start + length].partition(b"\0")[0].decode(errors="replace")


def kind_of(data: bytes) -> int:
    """Return the number of the tracepoint that data are of (``common_type``)."""
    return int.from_bytes(data[:2], sys.byteorder)


def read_tracepoints(*names: str) -> list[Tracepoint]:
    """Return the tracepoints of these names, such as ``skb/kfree_skb``; raises ``OSError`` where they cannot be read."""
    with _tracefs() as directory:
        return [Tracepoint.parse(name, _read(f"events/{name}/format", directory)) for name in names]


def system_call(number: int, *arguments: bytes | int | None) -> int:
    """Make a system call that no library has a function for; raises ``OSError``."""
    whole = (ctypes.c_long(each) if isinstance(each, int) else each for each in arguments)
    result = ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *whole)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(result)


@contextmanager
def _tracefs() -> Iterator[int]:
    """Open the directory of tracefs."""
    directory = _mounted()
    if directory is None:
        context = system_call(_FSOPEN, b"tracefs", _CLOEXEC)
        try:
            system_call(_FSCONFIG, context, _CMD_CREATE, None, None, 0)
            directory = system_call(_FSMOUNT, context, _CLOEXEC, 0)
        finally:
            os.close(context)
    try:
        yield directory
    finally:
        os.close(directory)


def _mounted() -> int | None:
    for place in _PLACES:
        if os.access(f"{place}/events", os.X_OK):  # an empty directory is where it could be mounted
            return os.open(place, os.O_PATH | os.O_CLOEXEC)
    return None


def _read(path: str, directory: int) -> str:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    with open(file, encoding="ascii", errors="replace") as opened:
        return opened.read()
