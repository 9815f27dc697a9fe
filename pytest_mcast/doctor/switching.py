"""The way of the datagrams of a flow through a switch: its bridge, the ports of both ends, and what it does with a group."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .facts import Facts
from .flow import End, Flow

__all__ = ["Port", "Way", "always_flooded", "way_through"]


@dataclass(frozen=True)
class Port:
    """A port of the switch: its link (of the reading ``links``), and the end of the flow that is plugged in there."""

    name: str
    link: Mapping[str, Any]
    end: End

    @property
    def up(self) -> bool:
        """Whether it is switched on."""
        return "up" in self.link["flags"]

    @property
    def options(self) -> Mapping[str, Any]:
        """What it is set to as the port of a bridge; nothing when it is none."""
        options: Mapping[str, Any] = self.link.get("port", {})
        return options

    @property
    def carries(self) -> bool:
        """Whether frames come in and go out here."""
        return self.up and self.options.get("state") == "forwarding"


@dataclass(frozen=True)
class Way:
    """From the port of the sender through a bridge to the port of the receiver; one port for what is for the switch itself."""

    name: str
    facts: Facts
    bridge: Mapping[str, Any]
    sender: Port
    receiver: Port

    @property
    def ports(self) -> tuple[Port, ...]:
        """The ports, in the order of the way."""
        return (self.receiver,) if self.ends_here else (self.sender, self.receiver)

    @property
    def ends_here(self) -> bool:
        """Whether it is the switch that has listened."""
        return self.sender.name == self.receiver.name

    @property
    def options(self) -> Mapping[str, Any]:
        """What the bridge is set to."""
        options: Mapping[str, Any] = self.bridge["bridge"]
        return options

    @property
    def carries(self) -> bool:
        """Whether the switch is on and both ports carry frames; else all that it does with groups is the same."""
        return "up" in self.bridge["flags"] and all(port.carries for port in self.ports)

    def plugged(self, port: Port) -> bool:
        """Whether it is a port of this bridge."""
        return bool(port.link["master"] == self.bridge["index"])

    def shuts_out(self, port: Port) -> bool:
        """Whether it takes nothing from who is at a port: that is locked, and the station not known there (802.1X)."""
        if not port.options.get("locked"):
            return False
        mac = port.end.facts.link(port.end.interface)["mac"]
        return not any((each["mac"], each["port"]) == (mac, port.name) for each in self.facts.read("fdb"))

    def entries(self, group: str) -> list[Mapping[str, Any]]:
        """Return its multicast entries of a group."""
        return [each for each in self.facts.mdb(self.bridge["name"]) if each["group"] == group]

    def asks(self, family: str) -> bool:
        """Whether the bridge itself asks for memberships: for IPv6 it needs a link-local address for that."""
        if not self.options.get("querier"):
            return False
        addresses = self.facts.addresses(self.bridge["name"], family)
        return family == "ipv4" or any(ipaddress.ip_address(each["address"]).is_link_local for each in addresses)

    def goes_by_mdb(self, group: str) -> bool:
        """Whether it sends a group to those who have joined only; else it floods it.

        Measured (Linux 6.18; br_multicast.h, br_multicast_querier_exists): entries count only while there is a querier.
        """
        if not self.options.get("snooping") or always_flooded(group):
            return False
        family = "ipv6" if ":" in group else "ipv4"
        return self.asks(family) or bool(self.options.get("other_querier", {}).get(family))


def way_through(flow: Flow) -> Way | None:
    """Return the way through the switch between both ends; None when there is none. Raises ``NotRead``."""
    if flow.segment is None or flow.receiver is None:
        return None
    facts = flow.segment.facts
    ends = (flow.segment.sender_port, flow.sender or flow.receiver), (flow.segment.receiver_port, flow.receiver)
    ports = (Port(name, facts.link(name), end) for name, end in ends)
    return Way(flow.segment.name, facts, facts.link(flow.segment.bridge), *ports)


def always_flooded(group: str) -> bool:
    """Whether a bridge floods a group whoever has joined it (RFC 4541 section 2.1.2; net/bridge/br_multicast.c)."""
    address = ipaddress.ip_address(group)
    if isinstance(address, ipaddress.IPv4Address):
        return address in ipaddress.IPv4Network("224.0.0.0/24")
    return group == "ff02::1"
