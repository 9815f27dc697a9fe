"""What is wrong with interfaces: the one that was tried, and those that disturb others."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_mcast.doctor.check import Confidence, Match
from pytest_mcast.doctor.facts import Facts, NotRead
from pytest_mcast.doctor.machine_check import MachineCheck

from .asking import FAMILIES, TUNNELS, in_use, is_loopback, networks, tried

__all__ = ["CHECKS"]

_LEAST_MTU_IPV6 = 1280  # RFC 8200 section 5


def _down(facts: Facts) -> Iterator[Match]:
    link = tried(facts)
    if link is not None and "up" not in link["flags"]:
        yield Match("certain", (f"{link['name']} lacks the flag up",), {"interface": link["name"]})


def _no_carrier(facts: Facts) -> Iterator[Match]:
    link = tried(facts)
    if link is None or is_loopback(link) or link["kind"] in TUNNELS:
        return
    if "up" in link["flags"] and not link["carrier"]:
        yield Match(
            "certain", (f"{link['name']} is up, its state is {link['operstate']}",), {"interface": link["name"]}
        )


def _no_multicast_flag(facts: Facts) -> Iterator[Match]:
    link = tried(facts)
    if link is None or is_loopback(link) or "multicast" in link["flags"] or link["kind"] in TUNNELS:
        return
    evidence = (f"{link['name']} has the flags {', '.join(link['flags']) or 'none'}",)
    yield Match("certain", evidence, {"interface": link["name"]})


def _tunnel(facts: Facts) -> Iterator[Match]:
    link = tried(facts)
    if link is not None and link["kind"] in TUNNELS:
        values = {"interface": link["name"], "kind": link["kind"]}
        flag = "has" if "multicast" in link["flags"] else "lacks"
        sure: Confidence = "likely" if flag == "lacks" else "possible"
        yield Match(sure, (f"{link['name']} is of kind {link['kind']} and {flag} the flag MULTICAST",), values)


def _no_address(facts: Facts) -> Iterator[Match]:
    link = tried(facts)
    if link is None or "up" not in link["flags"]:
        return
    for family, name in FAMILIES.items():
        if facts.addresses(link["name"], family) or (family == "ipv6" and _without_ipv6(facts, link["name"])):
            continue
        example = "10.99.0.1/24" if family == "ipv4" else "fd00:99::1/64"
        values = {"interface": link["name"], "family": name, "example": example}
        yield Match("likely", (f"{link['name']} has no {name} address",), values)


def _without_ipv6(facts: Facts, interface: str) -> bool:
    """Whether it has no address because it has no IPv6 at all, which others say."""
    return bool(list(_ipv6_off(facts)) or facts.link(interface)["mtu"] < _LEAST_MTU_IPV6)


def _ipv6_off(facts: Facts) -> Iterator[Match]:
    link = tried(facts)
    if link is None:
        return
    name = f"net.ipv6.conf.{link['name'].replace('.', '/')}.disable_ipv6"
    try:
        off = facts.sysctl(name) == "1"
    except NotRead:  # the whole of IPv6 may be absent; a machine without any is told by its addresses
        return
    if off:
        yield Match("certain", (f"{name}=1",), {"interface": link["name"], "sysctl": name})


def _small_mtu(facts: Facts) -> Iterator[Match]:
    for link in in_use(facts):
        if link["mtu"] < _LEAST_MTU_IPV6 and link["kind"] not in TUNNELS:
            sure: Confidence = "certain" if link is tried(facts) else "likely"
            values = {"interface": link["name"], "mtu": link["mtu"]}
            yield Match(sure, (f"{link['name']} has an MTU of {link['mtu']} bytes",), values)


def _duplicate(facts: Facts) -> Iterator[Match]:
    names = {link["index"]: link["name"] for link in facts.read("links")}
    for each in facts.read("addresses"):
        if "dadfailed" in each["flags"]:
            interface = names.get(each["index"], "?")
            values = {"interface": interface, "address": each["address"], "prefix": each["prefix"]}
            yield Match("likely", (f"{each['address']} of {interface} is marked dadfailed",), values)


def _two_in_one_network(facts: Facts) -> Iterator[Match]:
    for family in FAMILIES:
        seen: dict[object, str] = {}
        for interface, network in networks(facts, family):
            other = seen.setdefault(network, interface)
            if other != interface:
                evidence = (f"{other} and {interface} both have an address in {network}",)
                yield Match("possible", evidence, {"first": other, "second": interface, "network": network})


#: Checks of interfaces.
CHECKS: tuple[MachineCheck, ...] = (
    MachineCheck(
        id="machine.interface-down",
        condition=_down,
        sentence="{interface} is down: nothing is sent or received there",
        cure="set it up",
        command="ip link set {interface} up",
        reads=("links",),
        reference="netdevice(7): IFF_UP",
    ),
    MachineCheck(
        id="machine.interface-no-carrier",
        condition=_no_carrier,
        sentence="{interface} has no carrier: no cable, no partner, or the other end is down",
        cure="connect it, or set the other end up",
        reads=("links",),
        reference="RFC 2863 section 3.1.14; ip-link(8): NO-CARRIER",
    ),
    MachineCheck(
        id="machine.interface-no-multicast",
        condition=_no_multicast_flag,
        sentence="{interface} lacks the flag MULTICAST: the kernel has no way of sending to groups there",
        cure="set the flag",
        command="ip link set {interface} multicast on",
        reads=("links",),
        reference="netdevice(7): IFF_MULTICAST",
    ),
    MachineCheck(
        id="machine.interface-tunnel",
        condition=_tunnel,
        sentence="{interface} is a tunnel ({kind}): multicast passes only if its other end and its settings let it",
        cure="name the interface of the local network instead: --iface, --mcast-iface",
        reads=("links",),
        reference="ip-link(8); wg(8): AllowedIPs",
    ),
    MachineCheck(
        id="machine.interface-no-address",
        condition=_no_address,
        sentence="{interface} has no {family} address to send from",
        cure="give it one",
        command="ip address add {example} dev {interface}",
        reads=("links", "addresses"),
        reference="ip-address(8); RFC 6724 section 4",
    ),
    MachineCheck(
        id="machine.interface-ipv6-off",
        condition=_ipv6_off,
        sentence="IPv6 is switched off on {interface}",
        cure="switch it on",
        command="sysctl -w {sysctl}=0",
        reads=("sysctl net.ipv6.conf.*.disable_ipv6",),
        reference="Linux: Documentation/networking/ip-sysctl.rst, disable_ipv6",
    ),
    MachineCheck(
        id="machine.interface-small-mtu",
        condition=_small_mtu,
        sentence="the MTU of {interface} is below 1280 bytes, and there is no IPv6 on such a link",
        cure="give it a larger one",
        command="ip link set {interface} mtu 1500",
        reads=("links",),
        reference="RFC 8200 section 5",
    ),
    MachineCheck(
        id="machine.address-duplicate",
        condition=_duplicate,
        sentence="another machine has the address {address} of {interface} already, and so it is not used here",
        cure="take another address, or remove it from the other machine; until then remove it here",
        command="ip address del {address}/{prefix} dev {interface}",
        reads=("links", "addresses"),
        reference="RFC 4862 section 5.4",
    ),
    MachineCheck(
        id="machine.interface-same-network",
        condition=_two_in_one_network,
        sentence="{first} and {second} are in the same network: a group that names no interface goes by one of them only, "
        "and replies may take the other",
        cure="name the interface in every join and send, or take one of them down",
        reads=("links", "addresses"),
        reference="ip(7): IP_ADD_MEMBERSHIP, IP_MULTICAST_IF",
    ),
)
