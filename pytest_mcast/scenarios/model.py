"""What a scenario file says, once it has been read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cell", "HostSpec", "Scenario"]


@dataclass(frozen=True)
class HostSpec:
    """A host by its name in the file; ``kind`` is ``local`` or ``virtual``.

    ``interface`` is the one that a virtual host uses: its link to the others, or ``lo``.
    """

    name: str
    kind: str
    interface: str = "eth0"


@dataclass(frozen=True)
class Cell:
    """One sender, one receiver and their parameters; ``line`` is where the file declares it."""

    sender: str
    receiver: str
    family: str
    mode: str
    line: int

    @property
    def id(self) -> str:
        """The stable name of the cell: ``ipv4-ssm[one->two]``."""
        return f"{self.family}-{self.mode}[{self.sender}->{self.receiver}]"

    def as_dict(self) -> dict[str, str]:
        """Return the key of the cell as plain data."""
        return {"sender": self.sender, "receiver": self.receiver, "family": self.family, "mode": self.mode}


@dataclass(frozen=True)
class Scenario:
    """A file: its hosts by name, and its cells in order."""

    path: Path
    title: str
    hosts: Mapping[str, HostSpec]
    cells: tuple[Cell, ...]
