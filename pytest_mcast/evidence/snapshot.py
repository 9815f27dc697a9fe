"""A snapshot: everything that was read of a machine (or network namespace) at one moment, by name."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Sequence

__all__ = ["Reading", "Snapshot", "read_all", "take_snapshot"]


@dataclass(frozen=True)
class Reading:
    """One thing that was read: plain JSON; or, with ``refused``, why it could not be read, in words."""

    value: Any = None
    refused: str = ""


@dataclass(frozen=True)
class Snapshot:
    """What a machine says about itself; ``system`` is ``sys.platform``: linux, darwin, win32, freebsd..."""

    system: str
    readings: Mapping[str, Reading]

    def to_json(self) -> Dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "system": self.system,
            "readings": {
                name: {"refused": each.refused} if each.refused else {"value": each.value}
                for name, each in self.readings.items()
            },
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Snapshot:
        """Return what ``to_json`` was of."""
        return cls(data["system"], {name: Reading(**each) for name, each in data["readings"].items()})


def take_snapshot(groups: Sequence[str] = ()) -> Dict[str, Any]:
    """Read everything that can be read in the calling thread's network namespace, as ``Snapshot.to_json`` has it.

    ``groups`` are addresses (of groups, or of sources) that the kernel is asked the route to.
    Plain values, because remote hosts answer by it. What cannot be read is there with the reason; it raises nothing.
    """
    readers: Dict[str, Callable[[], Any]] = {"machine": _machine}
    if sys.platform.startswith("linux"):
        from . import linux

        readers.update(linux.readers(groups))
    system = "linux" if sys.platform.startswith("linux") else sys.platform
    return {"system": system, "readings": read_all(readers)}


def read_all(readers: Mapping[str, Callable[[], Any]]) -> Dict[str, Dict[str, Any]]:
    """Read all of it, by name, as ``Snapshot.to_json`` has readings; what cannot be read is there with the reason."""
    readings: Dict[str, Dict[str, Any]] = {}
    for name, read in readers.items():
        try:
            readings[name] = {"value": read()}
        except Exception as error:  # noqa: BLE001 - of whatever it dies: that is said, and the others are read
            readings[name] = {"refused": _reason(error)}
    return readings


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:  # without the number, which is for programs
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def _machine() -> Dict[str, str]:
    return {
        "system": platform.system(),
        "release": platform.release(),
        "version": platform.version(),
        "machine": platform.machine(),
        "python": platform.python_version(),
    }
