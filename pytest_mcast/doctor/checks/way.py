"""Causes on the way that a trace shows, or that is missing in the receiver's routes."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from pytest_mcast.doctor.arrival import counted, from_elsewhere, packets
from pytest_mcast.doctor.check import Check, Match
from pytest_mcast.doctor.flow import Flow
from pytest_mcast.doctor.tally import lost

__all__ = ["CHECKS"]

_REFUSING = ("blackhole", "prohibit", "throw", "unreachable")  # kinds of routes


def _network_loses(flow: Flow) -> Iterator[Match]:
    """Yield that it left the one host and did not come to the other, with nothing of ours between them."""
    sender, receiver, trace = flow.sender, flow.receiver, flow.trace
    if sender is None or receiver is None or trace is None or flow.segment is not None:
        return
    hops = {hop.name: hop for hop in trace.hops}
    out, into = (hops.get(f"{end.name}: {end.interface}") for end in (sender, receiver))
    if "network" not in hops or out is None or into is None or not out.reached or into.reached is not False:
        return
    link = receiver.facts.link(receiver.interface)
    if not link["carrier"] or not receiver.facts.memberships(flow.channel.group, receiver.interface):
        return  # which is why
    evidence = tuple(f"{hop.name}: {hop.evidence}" for hop in (out, into))
    yield Match("certain", evidence, {"sender": sender.name, "receiver": receiver.name, "group": flow.channel.group})


def _no_route_in(flow: Flow) -> Iterator[Match]:
    """Yield that IPv6 takes no group from the interface: what comes in is looked up in the routes, strictly by interface."""
    end = from_elsewhere(flow)
    if end is None or flow.channel.family != "ipv6":
        return
    group = ipaddress.ip_address(flow.channel.group)
    link = end.facts.link(end.interface)
    if "up" not in link["flags"] or not link["carrier"] or not end.facts.addresses(end.interface, "ipv6"):
        return  # its routes are gone with that
    for route in end.facts.routes("ipv6"):
        # Measured (Linux 6.18): by the default route nothing is taken.
        there = route["destination"] != "default" and group in ipaddress.ip_network(route["destination"])
        if there and route["interface"] == end.interface and route["kind"] not in _REFUSING:
            return
    evidence = [f"{end.name} has no route to {flow.channel.group} on {end.interface}, in no table"]
    # The second where there is a default route, which would have it forwarded.
    for counter in ("Ip6InNoRoutes", "Ip6InAddrErrors"):
        count = counted(end, counter)
        if count:
            evidence.append(f"{packets(count)} dropped for such a reason ({counter})")
    yield Match("certain", tuple(evidence), {"receiver": end.name, "interface": end.interface})


def _impaired(flow: Flow) -> Iterator[Match]:
    """Yield that a cable is impaired on purpose, if it has lost something; a delay may be too long for who waits."""
    between = flow.segment or flow.apart
    if between is None or not between.impaired:
        return
    count = between.wire_lost
    seen = (*between.impaired, f"datagrams lost or damaged on this way: {count}")
    sure = count > 0 and count == lost(flow)
    # Lost on purpose: that is no less so beside other causes, but somebody else's may be among what it has counted.
    yield Match("certain" if sure else "likely" if count else "possible", seen, shared=True)


#: Checks of the way from host to host.
CHECKS: tuple[Check, ...] = (
    Check(
        id="cable.impaired",
        stage="network",
        condition=_impaired,
        sentence="an impaired cable loses datagrams on purpose",
        cure="end the impairment, or expect the loss",
        reads=("the impairments of the lab's cables, and what they have lost",),
        reference="Link.impair()",
        place="code",
        passing=True,
    ),
    Check(
        id="network.loses",
        stage="network",
        condition=_network_loses,
        sentence="what is between {sender} and {receiver} does not carry {group}: a datagram left the one and did not come to the other",
        cure="look there for snooping without a querier, isolated ports (client isolation of Wi-Fi), VLANs, and routers "
        "without multicast routing or with a TTL that is used up",
        reads=("a trace: packet sockets, or counters, at both hosts", "memberships"),
        reference="RFC 4541 section 2.1; RFC 1112 section 6.1",
        place="switch",
    ),
    Check(
        id="route.in",
        stage="receiver",
        condition=_no_route_in,
        sentence="{receiver} has no route to the group on {interface}, without which IPv6 takes nothing from there",
        cure="add the route that the kernel makes for each interface",
        command="ip -6 route add multicast ff00::/8 dev {interface} table local",
        reads=("routes of all tables", "Ip6InNoRoutes, Ip6InAddrErrors"),
        reference="RFC 4293 (ipSystemStatsInNoRoutes); ip-route(8)",
        place="receiver",
    ),
)
