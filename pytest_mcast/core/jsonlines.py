"""Counts in a file of JSON lines (https://jsonlines.org): one header, then a row for each sample."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any, BinaryIO, Callable, Dict, Optional, Union

from . import system
from .metrics import Change, Sampler, Snapshot

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["FORMAT", "MetricsLog"]

#: What the header of such a file calls its format.
FORMAT = "pytest-mcast metrics 1"


class MetricsLog:
    """Appends rows to a file: ``MetricsLog("context.jsonl", context.statistics, {"host": "a"})``.

    The header has ``format``, ``kind`` (of ``Snapshot``), ``about`` (what the caller says, an object) and ``created``
    (seconds since 1970). Each row has ``time`` (the same), ``total`` (every count and gauge), ``seconds`` since the row
    before (or since the log was opened), ``change`` and ``per_second``; and ``last``, the last datagram of a subscription.

    Raises ``ValueError`` when the file begins with something else than a header of the same format, kind and ``about``,
    ``BlockingIOError`` when somebody is writing to it, and ``OSError``.
    """

    def __init__(
        self,
        path: Union[str, os.PathLike[str]],
        take: Callable[[], Snapshot],
        about: Optional[Dict[str, Any]] = None,
    ) -> None:
        self.path = os.fspath(path)
        self._sampler = Sampler(take)
        self._sampler.sample()
        header = {"format": FORMAT, "kind": self._previous.KIND, "about": about or {}}
        created = _line({**header, "created": time.time()})
        self._file: BinaryIO = open(self.path, "ab+", buffering=0)  # noqa: SIM115 - closed by close(); rows are whole
        try:
            system.lock(self._file)
            self._file.seek(0)
            with open(self.path, "rb") as existing:
                first = existing.readline()
                existing.seek(max(0, existing.seek(0, os.SEEK_END) - 1))
                torn = existing.read() not in (b"", b"\n")
            if not first:
                self._file.write(created)
            else:
                self._check(first, json.loads(created))
                if torn:  # by the end of who wrote it
                    self._file.write(b"\n")
        except BaseException:  # whatever it is: let go, and pass it on
            self._file.close()
            raise

    def write(self) -> Snapshot:
        """Take a snapshot, write its row, and return it."""
        change = self._sampler.sample()
        assert change is not None  # there is one from the beginning
        snapshot = self._previous
        self._file.write(_line({"time": snapshot.time_ns / 1e9, **_row(snapshot, change)}))
        return snapshot

    def close(self) -> None:
        """Close the file; again is no error."""
        self._file.close()

    @property
    def _previous(self) -> Snapshot:
        assert self._sampler.previous is not None
        return self._sampler.previous

    def _check(self, line: bytes, header: Dict[str, Any]) -> None:
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if not isinstance(found, dict) or "format" not in found:
            raise ValueError(
                f"{self.path} does not begin with a header of this format, {FORMAT!r}, but with {line[:80]!r}"
            )
        for key in ("format", "kind", "about"):
            if found.get(key) != header[key]:
                raise ValueError(f"{self.path} has {key} {found.get(key)!r} in its header, not {header[key]!r}")

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(
        self,
        exception_type: Optional[type[BaseException]],
        exception: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()


def _row(snapshot: Snapshot, change: Change) -> Dict[str, Any]:
    rates = {name: change.per_second(name) for name in snapshot.RATES}
    row = {"total": snapshot.counts(), "seconds": change.seconds, "change": change.counts, "per_second": rates}
    last = getattr(snapshot, "last", None)
    if last is not None:
        time_s = None if last.timestamp_ns is None else last.timestamp_ns / 1e9
        row["last"] = {"time": time_s, "source": last.source[0], "port": last.source[1], "length": len(last.payload)}
    return row


def _line(row: Dict[str, Any]) -> bytes:
    return json.dumps(row, separators=(",", ":")).encode() + b"\n"
