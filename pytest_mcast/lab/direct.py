"""A cable from host to host, without a switch that could judge what goes over it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from pytest_mcast.core.errors import InterfaceError

from . import netlink
from .link import Fabric, Link

if TYPE_CHECKING:
    from pytest_mcast.core.channels import Channel
    from pytest_mcast.wire import Capture, Filter

    from .counts import ChannelCount
    from .port import Port
    from .virtualhost import VirtualHost

__all__ = ["DirectLink"]


class DirectLink(Link):
    """A veth pair between two hosts; ``Lab.direct()`` makes them.

    A Linux bridge may drop what is malformed itself; this passes on every frame that fits into its MTU. There is no port
    to count or capture at, and no cable to pull: ``ends`` are the hosts, which can capture.
    """

    def __init__(self, name: str, number: int, fabric: Fabric) -> None:
        super().__init__(name, number, fabric)
        #: The hosts at its ends.
        self.ends: tuple[VirtualHost, ...] = ()

    def build(self) -> None:
        """Make nothing: it is there with its hosts."""

    def forget(self) -> None:
        """Delete nothing: it goes with its hosts."""

    def set_mtu(self, mtu: int) -> None:
        """Change the MTU of both ends; raises as ``Link.set_mtu``."""
        self.check_mtu(mtu)
        self.mtu = mtu
        for end in self.ends:
            end.configure(netlink.mtu(end.interface.index, mtu))

    def count(self, channel: Channel, mark: bytes = b"") -> ChannelCount:  # noqa: ARG002 - as that of other links
        """Raise ``InterfaceError``: there is no switch that could count."""
        self._refuse("count", "a capture of a host")

    def capture(self, wanted: Filter = None) -> Capture:  # noqa: ARG002 - as that of other links
        """Raise ``InterfaceError``: there is no switch to capture at."""
        self._refuse("capture", "host.capture() at one of its ends")

    def port(self, host: VirtualHost | str, interface: str | None = None) -> Port:  # noqa: ARG002 - as that of other links
        """Raise ``InterfaceError``: there is no switch with ports."""
        self._refuse("port", "host.configure()")

    def _refuse(self, what: str, instead: str) -> NoReturn:
        ends = " and ".join(str(end) for end in self.ends)
        raise InterfaceError(
            f"{what}() needs a switch, and {self} is a direct link of {ends}; use {instead}, or link()"
        )
