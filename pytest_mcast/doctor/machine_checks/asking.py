"""Questions that several checks of a machine ask."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pytest_mcast.doctor.facts import Facts, NotRead
from pytest_mcast.evidence import Reading

__all__ = ["FAMILIES", "GROUPS", "TUNNELS", "in_use", "is_loopback", "networks", "of_interface", "of_tried", "tried"]

#: The families, as users write them.
FAMILIES = {"ipv4": "IPv4", "ipv6": "IPv6"}
#: A group for each family that stands for all of it when the question is which way a group goes: of no assigned use.
GROUPS = {"ipv4": "239.255.77.1", "ipv6": "ff15::77:1"}
#: Kinds of links that are tunnels: of a VPN, mostly.
TUNNELS = ("tun", "wireguard", "ppp", "ipip", "sit", "gre", "ip6tnl", "vti", "xfrm")


def is_loopback(link: Mapping[str, Any]) -> bool:
    """Whether an interface is the loopback interface."""
    return "loopback" in link["flags"]


def in_use(facts: Facts) -> list[Mapping[str, Any]]:
    """Return the interfaces that are up and no loopback; raises ``NotRead``."""
    return [link for link in facts.read("links") if "up" in link["flags"] and not is_loopback(link)]


def tried(facts: Facts) -> Mapping[str, Any] | None:
    """Return the interface that was tried; None when none was, or it is gone. Raises ``NotRead`` without interfaces."""
    links = facts.read("links")
    try:
        name = facts.read("tried")["interface"]
    except NotRead:  # a snapshot that was taken for something else
        return None
    return next((link for link in links if link["name"] == name), None)


def of_tried(facts: Facts, family: str) -> Mapping[str, Any] | None:
    """Return the first verdict of a family that is not "yes", on the interface that was tried; None when there is none."""
    try:
        verdicts: Mapping[str, Mapping[str, Any] | None] = facts.read("tried")["capabilities"]
    except NotRead:  # a snapshot that was taken for something else
        return None
    return next((each for name, each in verdicts.items() if name.startswith(family) and each is not None), None)


def of_interface(facts: Facts, interface: str) -> Facts:
    """Return the same facts, as of a machine on which an interface is meant."""
    meant = Reading({"interface": interface, "capabilities": {}})
    return Facts(replace(facts.snapshot, readings={**facts.snapshot.readings, "tried": meant}))


def networks(facts: Facts, family: str) -> Iterator[tuple[str, ipaddress.IPv4Network | ipaddress.IPv6Network]]:
    """Yield each network that an interface in use is in, by its addresses; no link-local ones. Raises ``NotRead``."""
    names = {link["index"]: link["name"] for link in in_use(facts)}
    for each in facts.read("addresses"):
        if each["family"] == family and each["index"] in names:
            network = ipaddress.ip_network(f"{each['address']}/{each['prefix']}", strict=False)
            if not network.is_link_local and network.num_addresses > 1:
                yield names[each["index"]], network
