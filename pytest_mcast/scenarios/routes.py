"""What a cell sends, on its way over the routers of the file: entries, TTLs, and what the routers have counted."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from .paths import Way, names_of

if TYPE_CHECKING:
    from pytest_mcast.core.channels import Channel
    from pytest_mcast.lab import Router, VirtualHost
    from pytest_mcast.lab.port import Port

    from .model import Cell
    from .stage import Stage, Station

__all__ = ["Routes"]

_FORWARDED = {"ipv4": None, "ipv6": "site-local"}  # instead of the scope of free groups, which for IPv6 is link-local
_TTL = 1  # of what stays on its link


class Routes:
    """The ways of one run of a cell. Entries are set by ``open()``, and taken away with its stack."""

    def __init__(self, cell: Cell, stage: Stage) -> None:
        self._cell = cell
        self._stage = stage
        self._ways = stage.scenario.paths.of(cell, stage.scenario.hosts)
        self._entries: list[tuple[str, Router, str, str | None]] = []  # of the sender, for what they have counted
        narrow = cell.scope is None and any(self._ways.values())
        #: The scope of the cell's groups; None is that of free groups.
        self.scope = _FORWARDED[cell.family] if narrow else cell.scope

    def way(self, station: Station) -> Way:
        """Return the routers between a host and the receiver's."""
        return self._ways.get(station.name, ())

    def ttl(self, station: Station) -> int:
        """Return the TTL with which a host sends: that of the cell, else what the way takes."""
        return self._cell.ttl if self._cell.ttl is not None else self._enough(station)

    def safe_ttl(self, station: Station) -> int:
        """Return the TTL of what has to get through: beacons and fences."""
        return max(self.ttl(station), self._enough(station)) if self.stops(station) else self.ttl(station)

    def ttl_on_arrival(self, station: Station) -> int:
        """Return what is left of the TTL when it gets there."""
        return self.ttl(station) - len(self.way(station))

    def stops(self, station: Station) -> str:
        """Say why nothing that a host sends gets over its routers; empty if it does. They forward nothing whose TTL is spent."""
        way, ttl = self.way(station), self._cell.ttl
        if not way or ttl is None or ttl > len(way):
            return ""
        routers = "router" if len(way) == 1 else "routers"
        return f"TTL {ttl} and {len(way)} {routers} on the way ({names_of(way)})"

    def last(self, station: Station) -> tuple[VirtualHost, str]:
        """Return from where its datagrams come onto the receiver's link: a router or the host, and the interface."""
        if way := self.way(station):
            return self._stage.router(way[-1].router), way[-1].outgoing
        assert station.virtual is not None
        return station.virtual, station.interface.name

    def last_port(self, station: Station) -> Port | None:
        """Return the port at which they come onto the receiver's link; None if the host is on no link."""
        if not self.way(station):
            return station.port
        router, outgoing = self.last(station)
        return router.plugged[router.find(outgoing).index]

    def open(self, station: Station, channel: Channel, stack: ExitStack, *, any_source: bool = False) -> None:
        """Have all routers on the way forward a channel from a host until the stack is closed: from it only, or from any source.

        Raises ``MissingCapability`` where the kernel cannot forward.
        """
        way = self.way(station)
        source = None if any_source or not way else station.source(channel.family, self.scope)
        for hop in way:
            router = self._stage.router(hop.router)
            router.route(channel.group, hop.incoming, [hop.outgoing], source=source)
            stack.callback(router.unroute, channel.group, hop.incoming, source=source)
            if station.name == self._cell.sender.host:
                self._entries.append((channel.group, router, hop.incoming, source))

    def evidence(self) -> list[str]:
        """Say over which routers the datagrams of each host go, and with which TTL they are sent."""
        return [
            f"from {name} over {'the router' if len(way) == 1 else 'the routers'} {names_of(way)}, "
            f"with TTL {self.ttl(self._stage.station(name))}"
            for name, way in self._ways.items()
            if way and not self.stops(self._stage.station(name))
        ]

    def account(self, channel: Channel) -> list[str]:
        """Say in lines what the entries for the cell's sender have counted up to now."""
        lines = []
        for group, router, incoming, source in self._entries:
            if group == channel.group:
                counted = router.counters(group, source=source)
                wrong = f", and {counted.wrong_interface} by another interface" if counted.wrong_interface else ""
                lines.append(
                    f"router {router}: {counted.packets - counted.wrong_interface} packets came in by {incoming} for it{wrong}"
                )
        return lines

    def _enough(self, station: Station) -> int:
        return _TTL + len(self.way(station))
