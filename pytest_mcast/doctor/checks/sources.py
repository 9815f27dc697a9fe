"""Causes at the receiver's host: it does not take datagrams of that source, or not by that interface."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from shlex import quote
from typing import Any

from pytest_mcast.doctor.arrival import (
    conf_name,
    counted,
    from_elsewhere,
    has_impossible_source,
    named,
    packets,
    source_of,
    way_back,
)
from pytest_mcast.doctor.check import Check, Confidence, Match
from pytest_mcast.doctor.flow import End, Flow

__all__ = ["CHECKS"]

_REFUSING = ("blackhole", "prohibit", "throw", "unreachable")  # kinds of routes
_NOT_FROM_THERE = ("anycast", "broadcast", "local", "multicast")
_MAIN = 254  # the table that ip-route(8) means when none is named
_STRICT, _LOOSE = 1, 2  # rp_filter (Documentation/networking/ip-sysctl.rst)


def _own_source(flow: Flow) -> Iterator[Match]:
    end, source = from_elsewhere(flow), source_of(flow)
    if end is None or source is None or flow.channel.family != "ipv4":
        return  # Measured (Linux 6.18): IPv6 takes them
    if has_impossible_source(flow) or end.facts.conf("ipv4", end.interface, "accept_local"):
        return
    for address in end.facts.addresses(family="ipv4"):
        if address["address"] == source:
            device = end.facts.link(address["index"])["name"]
            evidence = (f"{device} of {end.name} has the address {source}", *_lost_before_delivery(end))
            yield Match("certain", evidence, named(end, source=source, prefix=address["prefix"], device=device))


def _impossible_source(flow: Flow) -> Iterator[Match]:
    end = from_elsewhere(flow)
    if end is not None and has_impossible_source(flow):
        source = source_of(flow)
        # Linux sends no such datagrams with IPv4 (EINVAL); other systems may.
        confidence: Confidence = "certain" if flow.channel.family == "ipv6" else "likely"
        evidence = (f"the sender sends from {source}", *_lost_before_delivery(end))
        yield Match(confidence, evidence, named(end, source=source))


def _local_route(flow: Flow) -> Iterator[Match]:
    """Yield that a route says that the source is here, or no host: for IPv4 that is as if it had that address."""
    end, source = from_elsewhere(flow), source_of(flow)
    if end is None or source is None or flow.channel.family != "ipv4" or has_impossible_source(flow):
        return
    if any(each["address"] == source for each in end.facts.addresses(family="ipv4")):
        return
    back = way_back(end.facts, source)
    if back is None or back["kind"] not in _NOT_FROM_THERE:
        return
    if back["kind"] == "local" and end.facts.conf("ipv4", end.interface, "accept_local"):
        return
    route = _route(back)
    yield Match(
        "certain", (f"{end.name} has the route: {route}", *_lost_before_delivery(end)), _of_route(end, source, back)
    )


def _reverse_path(flow: Flow, kind: str) -> Iterator[Match]:
    """Yield what the reverse path filter drops when the way back is of that kind: unicast, refused, none."""
    end, source = from_elsewhere(flow), source_of(flow)
    if end is None or source is None or flow.channel.family != "ipv4":
        return
    mode = end.facts.conf("ipv4", end.interface, "rp_filter")
    dropped = counted(end, "TcpExt.IPReversePathFilter")
    if mode not in (_STRICT, _LOOSE) or dropped == 0:
        return
    back = way_back(end.facts, source)
    if kind != ("none" if back is None else "refused" if back["kind"] in _REFUSING else back["kind"]):
        return
    if back is not None and kind == "unicast" and (mode == _LOOSE or back["interface"] == end.interface):
        return
    evidence = [f"rp_filter is {mode} on {end.interface}"]
    evidence += [f"the route to {source}: {_route(back)}" if back else f"{end.name} has no route to {source}"]
    evidence += [f"{packets(dropped)} dropped for it (TcpExt.IPReversePathFilter)"] if dropped else []
    values = {**_of_route(end, source, back), "setting": conf_name("ipv4", end.interface, "rp_filter")}
    yield Match("certain" if dropped else "likely", tuple(evidence), values)


def _another_way(flow: Flow) -> Iterator[Match]:
    yield from _reverse_path(flow, "unicast")


def _refused_way(flow: Flow) -> Iterator[Match]:
    yield from _reverse_path(flow, "refused")


def _no_way(flow: Flow) -> Iterator[Match]:
    yield from _reverse_path(flow, "none")


def _route(route: Mapping[str, Any]) -> str:
    """Write a route as ip-route(8) does."""
    kind = "" if route["kind"] == "unicast" else f"{route['kind']} "
    device = f" dev {quote(route['interface'])}" if route["interface"] else ""
    table = "" if route["table"] == _MAIN else f" table {route['table']}"
    return f"{kind}{route['destination']}{device}{table}"


def _of_route(end: End, source: str, route: Mapping[str, Any] | None) -> dict[str, object]:
    device = None if route is None else route["interface"]
    return named(end, source=source, way=device, route="" if route is None else _route(route))


def _lost_before_delivery(end: End) -> tuple[str, ...]:
    """Say that IPv4 has got something and passed nothing on, if it was so."""
    came, passed = counted(end, "Ip.InReceives"), counted(end, "Ip.InDelivers")
    return (f"{packets(came)} received by {end.name}, none delivered",) if came and passed == 0 else ()


#: Checks of where datagrams come from.
CHECKS: tuple[Check, ...] = (
    Check(
        id="source.own-address",
        stage="receiver",
        condition=_own_source,
        sentence="datagrams come from {source}, which is an address of {host} as well: it takes them for forged",
        cure="give one of the two hosts another address",
        command="ip address del {source}/{prefix} dev {device}",
        reads=("addresses", "sysctl: net.ipv4.conf.*.accept_local", "counters: Ip.InReceives, Ip.InDelivers"),
        reference="RFC 1812 section 5.3.7; Documentation/networking/ip-sysctl.rst (accept_local)",
        place="receiver",
    ),
    Check(
        id="source.local-route",
        stage="receiver",
        condition=_local_route,
        sentence="datagrams come from {source}, and a route of {host} says that no other host can have that address",
        cure="remove the route",
        command="ip route del {route}",
        reads=("routes", "rules", "addresses", "counters: Ip.InReceives, Ip.InDelivers"),
        reference="RFC 1812 section 5.3.7; ip-route(8)",
        place="receiver",
    ),
    Check(
        id="source.impossible",
        stage="receiver",
        condition=_impossible_source,
        sentence="datagrams come from {source}, which {host} takes from no other host",
        cure="bind the sender to an address of its interface: Sender(source=...), bind()",
        reads=("the sender's socket: getsockname()", "counters: Ip.InReceives, Ip.InDelivers"),
        reference="RFC 1122 section 3.2.1.3; RFC 4291 section 2.5.3",
        place="code",
    ),
    Check(
        id="rp-filter.strict",
        stage="receiver",
        condition=_another_way,
        sentence="{host} drops what comes from {source} by {interface}, because it would answer by {way} (rp_filter)",
        cure="accept sources that another interface leads to",
        command="sysctl -w {setting}=2",
        reads=("sysctl: net.ipv4.conf.*.rp_filter", "routes", "rules", "counters: TcpExt.IPReversePathFilter"),
        reference="RFC 3704 section 2.2; Documentation/networking/ip-sysctl.rst (rp_filter)",
        place="receiver",
    ),
    Check(
        id="rp-filter.refusing-route",
        stage="receiver",
        condition=_refused_way,
        sentence="{host} drops what comes from {source}, because its route to that address refuses (rp_filter)",
        cure="remove the route",
        command="ip route del {route}",
        reads=("sysctl: net.ipv4.conf.*.rp_filter", "routes", "rules", "counters: TcpExt.IPReversePathFilter"),
        reference="RFC 3704 section 2.2; ip-route(8)",
        place="receiver",
    ),
    Check(
        id="rp-filter.no-route",
        stage="receiver",
        condition=_no_way,
        sentence="{host} drops what comes from {source}, because it has no route to that address (rp_filter)",
        cure="give it a route to the sender",
        command="ip route add {source}/32 dev {interface}",
        reads=("sysctl: net.ipv4.conf.*.rp_filter", "routes", "rules", "counters: TcpExt.IPReversePathFilter"),
        reference="RFC 3704 section 2.4; Documentation/networking/ip-sysctl.rst (rp_filter)",
        place="receiver",
    ),
)
