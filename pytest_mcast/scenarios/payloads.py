"""The payloads of a cell: made to be known again, and sent as many at once as a receiver has room for."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence

__all__ = ["Payloads", "bursts"]

_MARK = 29  # bytes of a payload that are ours alone
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_BEACON, _END = b"pytest-mcast beacon ", b"pytest-mcast end "  # the second is that of checks.Fence
# What waits for a receiver fits into Linux's default buffer (net.core.rmem_default, 212992) with its bookkeeping of up to
# 2.3 kB for each fragment.
_MOST, _MOST_BYTES = 32, 65536


class Payloads:
    """Makes the payloads of one run of a cell, of ``size`` bytes (None: short ones that end with ``text``)."""

    def __init__(self, size: int | None, text: str) -> None:
        self._size = size
        self._text = text
        self._nonce = secrets.token_hex(8)
        self._count = 0

    @property
    def beacon(self) -> bytes:
        """What shows that anything gets through at all."""
        return _BEACON + self._nonce.encode()

    def make(self, count: int, *, same: bool) -> list[bytes]:
        """Return that many, all the ``same`` or each with a number, as far as the size has room for it."""
        if same:
            return [self._next()] * count
        return [self._next() for _ in range(count)]

    def may_be_ours(self, payload: bytes) -> bool:
        """Say whether what was told of a payload can be of this run; short ones are all alike."""
        mark = f"pytest-mcast {self._nonce}".encode()
        known = self._size is None or self._size >= _MARK
        return not known or payload[:_MARK] == mark[: len(payload)]

    def is_help(self, payload: bytes) -> bool:
        """Say whether it is a beacon or a fence, which no step has sent."""
        return payload.startswith((_BEACON, _END))

    def _next(self) -> bytes:
        self._count += 1
        text = f"pytest-mcast {self._nonce} {self._count} "
        if self._size is None:
            return (text + self._text).encode()
        return (text + _LETTERS * (self._size // len(_LETTERS) + 1))[: self._size].encode()


def bursts(payloads: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Yield them in order, as many at once as any receiver has room for."""
    step = max(1, min(_MOST, _MOST_BYTES // max(map(len, payloads))))
    for start in range(0, len(payloads), step):
        yield payloads[start : start + step]
