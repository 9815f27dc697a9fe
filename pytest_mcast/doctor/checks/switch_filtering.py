"""Causes in the switch between two hosts: its own packet filters, and those for routed packets that it sends frames through."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_mcast.doctor.arrival import source_of
from pytest_mcast.doctor.check import Check, Confidence, Match
from pytest_mcast.doctor.firewall import BRIDGED, Packet, Stop, stops
from pytest_mcast.doctor.flow import Flow
from pytest_mcast.doctor.switching import Way, way_through

__all__ = ["CHECKS"]

_ROUTED = ("prerouting", "forward", "postrouting")
_CALLS = {"ipv4": "iptables", "ipv6": "ip6tables"}


def _datagram(flow: Flow, incoming: str, outgoing: str) -> Packet:
    channel = flow.channel
    source = source_of(flow)
    return Packet(
        channel.family,
        channel.group,
        source=source,
        port=channel.port,
        ttl=flow.ttl,
        incoming=incoming,
        outgoing=outgoing,
    )


def _match(stop: Stop, packet: Packet, way: Way, *more: str) -> Match:
    counted = () if stop.packets is None else (f"its counter: {stop.packets} packets",)
    confidence: Confidence = "likely" if not stop.sure or stop.limited else "certain"
    seen = (f"{stop.place} of {way.name}: {stop}", *counted, *more)
    return Match(confidence, seen, {"switch": way.name, "command": stop.accepting(packet.selector)})


def _firewall(flow: Flow) -> Iterator[Match]:
    way = way_through(flow)
    if way is None or flow.call == "report":
        return
    packet = _datagram(flow, way.sender.name, way.receiver.name)
    for stop in stops(way.facts.firewall(), packet, "ingress", *BRIDGED, "egress"):
        yield _match(stop, packet, way)


def _routed_firewall(flow: Flow) -> Iterator[Match]:
    way = way_through(flow)
    if way is None or flow.call == "report":
        return
    name, bridge = _CALLS[flow.channel.family], way.bridge["name"]
    sysctl = f"net.bridge.bridge-nf-call-{name}"
    if way.facts.read("sysctl").get(sysctl, "0") != "0":  # without the module br_netfilter there is none
        why = f"{sysctl} = 1"
    elif way.options.get(f"nf_call_{name}"):
        why = f"nf_call_{name} of {bridge} is 1"
    else:
        return
    packet = _datagram(flow, bridge, bridge)
    for stop in stops(way.facts.firewall(), packet, *_ROUTED):
        yield _match(stop, packet, way, why)


#: Checks of the switch's packet filters.
CHECKS: tuple[Check, ...] = (
    Check(
        id="switch.firewall",
        stage="network",
        condition=_firewall,
        sentence="the firewall of the switch {switch} stops the datagrams",
        cure="let the group pass",
        command="{command}",
        reads=("rules of nftables of the switch (families bridge and netdev)",),
        reference="nft(8)",
        place="switch",
        privilege="CAP_NET_ADMIN, and the program nft",
    ),
    Check(
        id="switch.bridge-nf",
        stage="network",
        condition=_routed_firewall,
        sentence="the switch {switch} sends frames through the firewall for routed packets, which stops the datagrams",
        cure="let the group pass, or switch bridge-nf-call-iptables off",
        command="{command}",
        reads=("sysctls bridge-nf-call-*", "links of the switch", "rules of nftables of the switch"),
        reference="ip-sysctl (Documentation/networking/ip-sysctl.rst, /proc/sys/net/bridge)",
        place="switch",
        privilege="CAP_NET_ADMIN, and the program nft",
    ),
)
