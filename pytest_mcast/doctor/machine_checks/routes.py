"""Which way groups go when a program names no interface, and what the packet filter makes of them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_mcast.doctor.check import Match
from pytest_mcast.doctor.checks.refusals import add_route
from pytest_mcast.doctor.facts import Facts
from pytest_mcast.doctor.machine_check import MachineCheck

from .asking import FAMILIES, GROUPS, TUNNELS, in_use, is_loopback, tried

__all__ = ["CHECKS"]

_ALL = {"ipv4": "224.0.0.0/4", "ipv6": "ff00::/8"}


def _no_route(facts: Facts) -> Iterator[Match]:
    for family, name in FAMILIES.items():
        answer = facts.route_to(GROUPS[family])
        if answer.get("error") != "ENETUNREACH":
            continue
        able = [link for link in in_use(facts) if facts.addresses(link["name"], family)]
        # A machine that has one family only on loopback does without the other, unless it has nothing else.
        others = [link for link in in_use(facts) if facts.addresses(link["name"])]
        loopback = next((link for link in facts.links() if is_loopback(link)), None)
        if not able and (others or loopback is None):
            continue
        interface = able[0] if able else loopback
        assert interface is not None  # see above
        evidence = [f"the kernel has no route to {GROUPS[family]} (ENETUNREACH)"]
        if not able:
            evidence.append(f"no interface but {interface['name']} is up and has an address")
        command = add_route(interface, _ALL[family])
        way = "give groups a way" if able else "run it in a private network (pytest-mcast run), or give groups a way"
        yield Match("likely", tuple(evidence), {"family": name, "command": command, "way": way})


def _thrown_away(facts: Facts) -> Iterator[Match]:
    for family, name in FAMILIES.items():
        group = GROUPS[family]
        answer = facts.route_to(group)
        if "error" not in answer or answer["error"] == "ENETUNREACH":
            continue
        routes = [
            each
            for each in facts.routes(family)
            if each["kind"] in ("blackhole", "prohibit", "unreachable") and _holds(each["destination"], group)
        ]
        for each in routes:
            command = (
                f"ip {'-6 ' * (family == 'ipv6')}route del {each['kind']} {each['destination']} table {each['table']}"
            )
            evidence = (f"the kernel answers {answer['error']} for {group}",)
            values = {"family": name, "kind": each["kind"], "destination": each["destination"], "command": command}
            yield Match("certain", evidence, values)


def _holds(destination: str, group: str) -> bool:
    return destination == "default" or ipaddress.ip_address(group) in ipaddress.ip_network(destination)


def _elsewhere(facts: Facts) -> Iterator[Match]:
    wanted = tried(facts)
    for family, name in FAMILIES.items():
        answer = facts.route_to(GROUPS[family])
        index = answer.get("index")
        if index is None:
            continue
        link = facts.link(index)
        named = wanted is not None and not is_loopback(wanted)
        tunnel = link["kind"] in TUNNELS
        if (named and wanted is not link and wanted is not None and facts.addresses(wanted["name"], family)) or (
            not named and tunnel
        ):
            better = wanted if named else _best(facts, family)
            evidence = f"the route to {GROUPS[family]} is by {link['name']}" + f" ({link['kind']})" * bool(link["kind"])
            values = {
                "family": name,
                "interface": link["name"],
                "what": ", a tunnel" if tunnel else "",
                "command": "" if better is None else add_route(better, _ALL[family]),
            }
            yield Match("likely" if tunnel else "possible", (evidence,), values)


def _best(facts: Facts, family: str) -> Mapping[str, Any] | None:
    able = (link for link in in_use(facts) if link["kind"] not in TUNNELS and "multicast" in link["flags"])
    return next((link for link in able if facts.addresses(link["name"], family)), None)


def _strict(facts: Facts) -> Iterator[Match]:
    able = [link for link in in_use(facts) if facts.addresses(link["name"], "ipv4")]
    for link in able if len(able) > 1 else ():
        name = link["name"]
        if facts.conf("ipv4", name, "rp_filter") == 1:
            evidence = (f"rp_filter in force on {name} is 1, and {len(able)} interfaces have IPv4 addresses",)
            yield Match("possible", evidence, {"interface": name, "sysctl": name.replace(".", "/")})


#: Checks of routes.
CHECKS: tuple[MachineCheck, ...] = (
    MachineCheck(
        id="machine.no-route",
        condition=_no_route,
        sentence="there is no {family} route to groups: a join or a send that names no interface fails",
        cure="{way}",
        command="{command}",
        reads=("links", "addresses", "route_to"),
        reference="ip(7): IP_ADD_MEMBERSHIP, imr_ifindex; ENODEV, ENETUNREACH",
    ),
    MachineCheck(
        id="machine.route-refuses",
        condition=_thrown_away,
        sentence="a route of kind {kind} to {destination} throws {family} groups away",
        cure="remove it",
        command="{command}",
        reads=("routes", "route_to"),
        reference="ip-route(8): blackhole, prohibit, unreachable",
    ),
    MachineCheck(
        id="machine.other-interface",
        condition=_elsewhere,
        sentence="{family} groups that name no interface go by {interface}{what}",
        cure="name the interface in every join and send, or give groups another way",
        command="{command}",
        reads=("links", "addresses", "route_to"),
        reference="ip(7): IP_MULTICAST_IF; ipv6(7): IPV6_MULTICAST_IF",
    ),
    MachineCheck(
        id="machine.rp-filter",
        condition=_strict,
        sentence="{interface} drops datagrams whose source would be answered by another interface (strict reverse path)",
        cure="make it loose",
        command="sysctl -w net.ipv4.conf.{sysctl}.rp_filter=2",
        reads=("links", "addresses", "sysctl net.ipv4.conf.*.rp_filter"),
        reference="RFC 3704 section 2.2; Linux: ip-sysctl.rst, rp_filter",
    ),
)
