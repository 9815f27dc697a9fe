"""What the packet filter of this machine makes of multicast, and of the protocols that it lives on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_mcast.doctor.check import Confidence, Match
from pytest_mcast.doctor.facts import Facts, NotRead
from pytest_mcast.doctor.firewall import INCOMING, OUTGOING, Packet, Stop, stops
from pytest_mcast.doctor.machine_check import MachineCheck

from .asking import GROUPS, in_use, tried

__all__ = ["CHECKS"]

_ALL = {"ipv4": "224.0.0.0/4", "ipv6": "ff00::/8"}
# What is stopped, in words; the packet; where it passes.
_Asked = tuple[str, Packet, Sequence[str]]


def _packets(interface: str) -> Iterator[_Asked]:
    for family, name, group in (("ipv4", "IPv4", GROUPS["ipv4"]), ("ipv6", "IPv6", GROUPS["ipv6"])):
        yield f"{name} multicast", Packet(family, group, incoming=interface), INCOMING
        yield f"{name} multicast", Packet(family, group, outgoing=interface), OUTGOING
    query = Packet("ipv4", "224.0.0.1", "igmp", message="membership-query", ttl=1, incoming=interface)
    yield "IGMP queries", query, INCOMING
    report = Packet("ipv4", "224.0.0.22", "igmp", message="membership-report-v3", ttl=1, outgoing=interface)
    yield "IGMP reports", report, OUTGOING
    query = Packet("ipv6", "ff02::1", "ipv6-icmp", message="mld-listener-query", ttl=1, incoming=interface)
    yield "MLD queries", query, INCOMING
    report = Packet("ipv6", "ff02::16", "ipv6-icmp", message="mld2-listener-report", ttl=1, outgoing=interface)
    yield "MLD reports", report, OUTGOING


def _stopped(facts: Facts) -> Iterator[Match]:
    listing = facts.firewall()
    named = tried(facts)
    names = {link["name"]: link is named for link in ([named] if named else []) + in_use(facts)}
    # Each rule or policy once: what it stops, where, and the commands that let it pass.
    found: dict[str, tuple[Stop, dict[str, None], dict[str, None], dict[str, None]]] = {}
    certain: set[str] = set()
    for interface, is_named in names.items():
        for what, packet, places in _packets(interface):
            for stop in stops(listing, packet, *places):
                if stop.sure and is_named and not stop.limited:
                    certain.add(str(stop))
                _, whats, where, commands = found.setdefault(str(stop), (stop, {}, {}, {}))
                selector = packet.selector.replace(packet.destination, _ALL[packet.family])
                whats[what] = where[interface] = commands[stop.accepting(selector)] = None
    for words, (stop, whats, where, commands) in found.items():
        fits: Confidence = "likely" if stop.sure and not stop.limited else "possible"
        confidence: Confidence = "certain" if words in certain else fits
        verb = "stops" if stop.sure else "may stop"
        values = {
            "what": ", ".join(whats),
            "verb": verb + (" part of" if stop.limited else ""),
            "interfaces": ", ".join(where),
            "command": "\n".join(commands),
        }
        yield Match(confidence, (words,), values)


def _legacy(facts: Facts) -> Iterator[Match]:
    try:
        facts.firewall()
        tables = facts.read("firewall_legacy")
    except NotRead:  # who may not read the one may not read the other; the other check says it
        return
    if tables:
        yield Match("possible", (f"there are legacy tables: {', '.join(tables)}",), {})


#: Checks of the packet filter.
CHECKS: tuple[MachineCheck, ...] = (
    MachineCheck(
        id="machine.firewall",
        condition=_stopped,
        sentence="the packet filter {verb} {what} on {interfaces}",
        cure="let it pass",
        command="{command}",
        reads=("links", "firewall"),
        reference="nft(8); RFC 4890 section 4.3.1 for MLD",
        privilege="CAP_NET_ADMIN to read nftables",
    ),
    MachineCheck(
        id="machine.firewall-legacy",
        condition=_legacy,
        sentence="the legacy iptables have rules, which are not read here and may drop multicast, IGMP or MLD",
        cure="look for rules that drop: iptables-legacy-save, ip6tables-legacy-save",
        reads=("firewall", "firewall_legacy"),
        reference="iptables-save(8)",
        verified=False,
    ),
)
