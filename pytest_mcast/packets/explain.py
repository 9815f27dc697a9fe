"""Frames and counters in words, for those who want to know why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .template import load_scapy

__all__ = ["DropReasons", "describe_frames", "hexdump"]

_FRAMES, _BYTES, _LINE = 3, 96, 16  # what is shown: of each of the first frames so many bytes, so many a line


class DropReasons(Protocol):
    """Something that can say why the kernel has dropped what it has dropped, where that is permitted."""

    def mark(self) -> object:
        """Return a point in time, now."""

    def reasons_since(self, mark: object, last_hop: str | None) -> list[str]:
        """Return the reasons since then, of what that interface has sent last (None: of all), a line each."""


def describe_frames(frames: Sequence[bytes]) -> list[str]:
    """Return what scapy says about the first frames, and their first bytes."""
    lines = []
    for number, frame in enumerate(frames[:_FRAMES], 1):
        of = f"frame {number} of {len(frames)}" if len(frames) > 1 else "frame"
        lines.append(f"{of}, {len(frame)} bytes: {_summary(frame)}")
        lines += hexdump(frame[:_BYTES])
        if len(frame) > _BYTES:
            lines.append(f"  and {len(frame) - _BYTES} bytes more")
    if len(frames) > _FRAMES:
        lines.append(f"and {len(frames) - _FRAMES} frames more")
    return lines


def hexdump(data: bytes) -> list[str]:
    """Return bytes as lines of 16, in hexadecimal and as text."""
    lines = []
    for start in range(0, len(data), _LINE):
        part = data[start : start + _LINE]
        text = "".join(chr(octet) if 0x20 <= octet < 0x7F else "." for octet in part)
        lines.append(f"  {start:04x}  {part.hex(' '):<{3 * _LINE}} {text}")
    return lines


def _summary(frame: bytes) -> str:
    try:
        return str(load_scapy().Ether(frame).summary())[:200]
    except Exception as error:  # noqa: BLE001 - frames are malformed on purpose, and dissectors fail in many ways
        return f"scapy cannot read it ({type(error).__name__}: {error})"[:200]
