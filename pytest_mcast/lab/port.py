"""A port of a switch: where a host is plugged in."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import bridge, netlink

if TYPE_CHECKING:
    from pytest_mcast.core.channels import Channel

    from .impaired import ImpairedCable
    from .link import Link
    from .virtualhost import VirtualHost

__all__ = ["MULTICAST_ROUTER", "Port", "PortCounters"]

#: Whether all multicast goes out by a port (bridge(8), ``mcast_router``): as there is a router, when one was heard, or never.
MULTICAST_ROUTER = ("never", "learned", "always")


@dataclass(frozen=True)
class PortCounters:
    """Frames and bytes that a switch has received from a host and sent to it, whatever they were; and what it dropped."""

    received: int
    sent: int
    received_bytes: int
    sent_bytes: int
    dropped: int

    def __sub__(self, earlier: PortCounters) -> PortCounters:
        return PortCounters(*(ours - theirs for ours, theirs in zip(self._all(), earlier._all(), strict=True)))

    def _all(self) -> tuple[int, ...]:
        return (self.received, self.sent, self.received_bytes, self.sent_bytes, self.dropped)


class Port:
    """The port of a link at which an interface of a host is; ``Link.port()`` finds it."""

    def __init__(self, link: Link, host: VirtualHost, interface: str, host_index: int, index: int, device: str) -> None:
        self.link = link
        self.host = host
        self.interface = interface
        self.host_index = host_index
        self.index = index
        #: What of it is in the switch: itself, or the near end of a wire that impairs it.
        self.bridge_index = index
        self.bridge_device = self.device = device
        #: What impairs the cable here.
        self.impaired: ImpairedCable | None = None

    def options(self) -> dict[str, int]:
        """Return what can be set here, by the names of ``bridge.port_options``."""
        state = bridge.link_state(self.link.connection, self.bridge_index)
        return {name: bridge.port_option(state, name) for name in ("mcast_flood", "fast_leave", "multicast_router")}

    def set_options(self, **values: int) -> None:
        """Set what ``options()`` returns."""
        self.link.connection.run(bridge.port_options(self.bridge_index, **values))
        self.host.touch()  # the port goes with it

    @property
    def flood(self) -> bool:
        """Whether multicast goes out here that the switch has no entry for (bridge(8): ``mcast_flood``)."""
        return bool(self._option("mcast_flood"))

    @flood.setter
    def flood(self, flood: bool) -> None:
        self.set_options(mcast_flood=int(flood))

    @property
    def fast_leave(self) -> bool:
        """Whether a leave ends it at once, without a query whether there are others behind this port."""
        return bool(self._option("fast_leave"))

    @fast_leave.setter
    def fast_leave(self, fast_leave: bool) -> None:
        self.set_options(fast_leave=int(fast_leave))

    @property
    def multicast_router(self) -> str:
        """Whether all multicast goes out here: ``never``, ``learned`` (the default: when a query came in) or ``always``."""
        return MULTICAST_ROUTER[min(self._option("multicast_router"), 2)]

    @multicast_router.setter
    def multicast_router(self, which: str) -> None:
        if which not in MULTICAST_ROUTER:
            raise ValueError(f"multicast_router {which!r} is not one of {', '.join(MULTICAST_ROUTER)}")
        self.set_options(multicast_router=MULTICAST_ROUTER.index(which))

    def counters(self) -> PortCounters:
        """Return the kernel's counters of all frames here up to now; two of them can be subtracted."""
        found = bridge.statistics(bridge.link_state(self.link.connection, self.index))
        received, sent, received_bytes, sent_bytes, _, _, received_dropped, sent_dropped = found
        return PortCounters(received, sent, received_bytes, sent_bytes, received_dropped + sent_dropped)

    def down(self) -> None:
        """Pull the cable: returns when host and switch have noticed it."""
        self._set_up(up=False)

    def up(self) -> None:
        """Plug the cable in: returns when host and switch can use it."""
        self._set_up(up=True)

    def wait_until_ready(self, channel: Channel) -> str | None:
        """Wait until the switch forwards the channel to the host; see ``Link.wait_until_ready``."""
        return self.link.wait_until_ready(self, channel)

    def _set_up(self, *, up: bool) -> None:
        self.host.touch()
        self.link.connection.run(netlink.link(self.index, up=up))
        with self.host.inside():
            there = netlink.Netlink()
        with closing(there):
            for connection, index in ((there, self.host_index), (self.link.connection, self.index)):
                if up:
                    connection.wait_until_up(index)
                else:
                    connection.wait_until_down(index)

    def _option(self, name: str) -> int:
        return self.options()[name]

    def __repr__(self) -> str:
        return f"<Port of {self.interface} of {self.host} on {self.link}>"
