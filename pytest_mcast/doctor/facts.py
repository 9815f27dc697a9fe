"""What was read of a machine, understood: the same questions for every system.

Each question raises ``NotRead`` where the answer could not be read, so that nobody takes "unknown" for "no".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_mcast.core.errors import McastError
from pytest_mcast.evidence import Snapshot

__all__ = ["Facts", "NotRead"]


class NotRead(McastError, LookupError):  # noqa: N818 - a state of the evidence, not a slip
    """Something could not be read; ``what`` is its name, ``reason`` why not."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(what, reason)
        self.what = what
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.what}: {self.reason}"


class Facts:
    """The facts in a snapshot; built once, asked often."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.system = snapshot.system

    def read(self, name: str) -> Any:
        """Return a reading as it is; raises ``NotRead``."""
        reading = self.snapshot.readings.get(name)
        if reading is None:
            raise NotRead(name, f"not read on {self.system}")
        if reading.refused:
            raise NotRead(name, reading.refused)
        return reading.value

    def sysctl(self, name: str) -> str:
        """Return a sysctl such as ``net.ipv4.conf.eth0.rp_filter``; raises ``NotRead``."""
        values: Mapping[str, str] = self.read("sysctl")
        if name not in values:
            raise NotRead(name, "there is no such sysctl here, or it is not for us to read")
        return values[name]

    def link(self, interface: str) -> Mapping[str, Any]:
        """Return an interface by its name; raises ``NotRead`` when there is none."""
        links: list[Mapping[str, Any]] = self.read("links")
        found = next((link for link in links if link["name"] == interface), None)
        if found is None:
            raise NotRead(f"interface {interface}", "there is no such interface any more")
        return found

    def addresses(self, interface: str, family: str) -> list[Mapping[str, Any]]:
        """Return the addresses of an interface: ``address``, ``prefix``, ``flags``."""
        index = self.link(interface)["index"]
        return [each for each in self.read("addresses") if (each["index"], each["family"]) == (index, family)]

    def memberships(self, group: str, interface: str | None = None) -> list[Mapping[str, Any]]:
        """Return the memberships of a group, on one interface if it is named."""
        return [
            each
            for each in self.read("memberships")
            if each["group"] == group and interface in (None, each["interface"])
        ]
