"""The machine we run on, by one of its interfaces."""

from __future__ import annotations

from pytest_mcast.core.interfaces import Interface

from .host import Host

__all__ = ["LocalHost"]


class LocalHost(Host):
    """The machine we run on (or whatever network namespace the process is in), by the interface ``interface``."""

    def __init__(self, interface: str | int | Interface, name: str = "local") -> None:
        super().__init__(name)
        self._interface = Interface.find(interface)

    @property
    def interface(self) -> Interface:
        """The interface that was named."""
        return self._interface
