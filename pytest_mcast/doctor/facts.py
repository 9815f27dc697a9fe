"""What was read of a machine, understood: the same questions for every system.

Each question raises ``NotRead`` where the answer could not be read, so that nobody takes "unknown" for "no".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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

    def sysctl_int(self, name: str) -> int:
        """Return a sysctl that is a number; raises ``NotRead``."""
        return int(self.sysctl(name))

    def conf(self, family: str, interface: str, name: str) -> int:
        """Return the setting of an interface that is in force (``net.ipv4.conf.eth0.rp_filter``); raises ``NotRead``.

        With ``all`` as Linux has it (Documentation/networking/ip-sysctl.rst): the larger, both, either, or not at all.
        """
        own, common = (
            self.sysctl_int(f"net.{family}.conf.{each}.{name}") for each in (interface.replace(".", "/"), "all")
        )
        return _IN_FORCE.get((family, name), _own)(own, common)

    def links(self) -> list[Mapping[str, Any]]:
        """Return the interfaces; raises ``NotRead``."""
        found: list[Mapping[str, Any]] = self.read("links")
        return found

    def link(self, interface: str | int) -> Mapping[str, Any]:
        """Return an interface by its name or index; raises ``NotRead`` when there is none."""
        found = next((link for link in self.links() if interface in (link["name"], link["index"])), None)
        if found is None:
            raise NotRead(f"interface {interface}", "there is no such interface any more")
        return found

    def addresses(self, interface: str | None = None, family: str | None = None) -> list[Mapping[str, Any]]:
        """Return the addresses: ``address``, ``prefix``, ``scope``, ``flags``; of an interface, of a family."""
        index = None if interface is None else self.link(interface)["index"]
        return [
            each
            for each in self.read("addresses")
            if index in (None, each["index"]) and family in (None, each["family"])
        ]

    def routes(self, family: str | None = None) -> list[Mapping[str, Any]]:
        """Return the routes of all tables (254 is main, 255 local); raises ``NotRead``."""
        return [each for each in self.read("routes") if family in (None, each["family"])]

    def rules(self, family: str | None = None) -> list[Mapping[str, Any]]:
        """Return the rules that choose the table; raises ``NotRead``."""
        return [each for each in self.read("rules") if family in (None, each["family"])]

    def route_to(self, group: str) -> Mapping[str, Any]:
        """Return the way to a group (``interface``, ``source``, ``gateway``, ``kind``), or its ``error``."""
        answers: Mapping[str, Mapping[str, Any]] = self.read("route_to")
        if group not in answers:
            raise NotRead(f"the route to {group}", "the kernel was not asked for it")
        return answers[group]

    def sockets(self, port: int | None = None, family: str | None = None) -> list[Mapping[str, Any]]:
        """Return the UDP sockets of the host, whoever they belong to: of a port, of a family."""
        return [
            each for each in self.read("sockets") if port in (None, each["port"]) and family in (None, each["family"])
        ]

    def memberships(self, group: str | None = None, interface: str | None = None) -> list[Mapping[str, Any]]:
        """Return the memberships: of a group, on an interface."""
        return [
            each
            for each in self.read("memberships")
            if group in (None, each["group"]) and interface in (None, each["interface"])
        ]

    def igmp_version(self, interface: str) -> int | None:
        """Return the IGMP version in force on an interface; None when it has joined nothing. Raises ``NotRead``."""
        return next((each["version"] for each in self.memberships(interface=interface) if each["version"]), None)

    def mdb(self, bridge: str | None = None) -> list[Mapping[str, Any]]:
        """Return the multicast entries of bridges: ``bridge``, ``port``, ``group``, ``source``."""
        return [each for each in self.read("mdb") if bridge in (None, each["bridge"])]

    def router_ports(self, bridge: str | None = None) -> list[Mapping[str, Any]]:
        """Return the ports of bridges that get every group: ``bridge``, ``port``, ``type``, ``timer_s``."""
        return [each for each in self.read("router_ports") if bridge in (None, each["bridge"])]

    def offload(self, interface: str, name: str) -> bool:
        """Return whether an interface does something instead of the kernel (``gro``, ``rx-checksum``); raises ``NotRead``."""
        offloads: Mapping[str, Mapping[str, bool]] = self.read("offloads")
        if name not in offloads.get(interface, {}):
            raise NotRead(f"{name} of {interface}", "the interface does not tell")
        return offloads[interface][name]

    def namespace(self) -> int:
        """Return the cookie of the network namespace: ``namespace`` of ``socket_options`` is the same in it."""
        cookie: int = self.read("namespace")
        return cookie

    def place(self) -> str | None:
        """Return which network namespace of which machine this is; None where there is no telling."""
        try:
            found: str = self.read("place")
        except NotRead:
            return None
        return found or None

    def firewall(self) -> list[Mapping[str, Any]]:
        """Return the rule set of nftables as libnftables-json(5) has it, the list ``nftables``; raises ``NotRead``."""
        found: list[Mapping[str, Any]] = self.read("firewall")
        return found


def _own(own: int, _: int) -> int:
    return own


def _any(own: int, common: int) -> int:
    return int(bool(own or common))


def _both(own: int, common: int) -> int:
    return int(bool(own and common))


# include/linux/inetdevice.h: IN_DEV_MAXCONF, IN_DEV_ORCONF, IN_DEV_ANDCONF; net/ipv6/mcast.c: all before the own, if set.
_IN_FORCE: Mapping[tuple[str, str], Callable[[int, int], int]] = {
    ("ipv4", "rp_filter"): max,
    ("ipv4", "accept_local"): _any,
    ("ipv4", "route_localnet"): _any,
    ("ipv4", "mc_forwarding"): _both,
    ("ipv4", "force_igmp_version"): lambda own, common: common or own,
    ("ipv6", "force_mld_version"): lambda own, common: common or own,
    ("ipv6", "accept_dad"): max,
}
