"""Causes at the receiver's host: its firewall."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_mcast.doctor.arrival import came_in, datagram, delivered
from pytest_mcast.doctor.check import Check, Confidence, Match
from pytest_mcast.doctor.facts import NotRead
from pytest_mcast.doctor.firewall import INCOMING, Stop, stops
from pytest_mcast.doctor.flow import Flow

__all__ = ["CHECKS"]

_OTHER_LOSSES = ("Ip.InHdrErrors", "Ip.InAddrErrors", "Ip.InDiscards", "Ip.ReasmReqds", "Udp.InErrors")
_WHERE = {
    "ingress": "as they come in by {interface}",
    "prerouting": "before they are routed",
    "input": "before a socket gets them",
}


def _stops(flow: Flow) -> Iterator[tuple[Stop, Confidence]]:
    """Yield what stops the datagrams on their way in, and how sure that is."""
    end = flow.receiver
    if end is None:
        return
    # What a host hears of itself comes by the interface that it was sent out of (net/core/dev.c, dev_loopback_xmit).
    found = stops(end.facts.firewall(), datagram(flow, incoming=end.interface), *INCOMING)
    for stop in found:
        if stop.sure:
            yield stop, "certain"
        elif stop.packets != 0 and _may_be_lost(flow, stop):
            fits = len(found) == 1 and _is_lost(flow, stop)
            yield stop, "certain" if fits else "likely" if stop.packets else "possible"


def _may_be_lost(flow: Flow, stop: Stop) -> bool:
    """Return whether there is a reason to think that something was stopped; True when nobody has counted."""
    end, family = flow.receiver, flow.channel.family
    if end is None or (flow.sent is not None and flow.received is not None and flow.received >= flow.sent):
        return False
    try:
        if delivered(end, family) < (flow.sent or 1) or stop.packets:
            return True
        # IPv4 counts what is for groups of the host, in fragments as they come; IPv6 also the reports of other hosts.
        waiting = end.changes["Ip.ReasmReqds"] - end.changes["Ip.ReasmOKs"]
        return family == "ipv4" and end.changes["IpExt.InMcastPkts"] - waiting > end.changes["Ip.InDelivers"]
    except NotRead:
        return True


def _is_lost(flow: Flow, stop: Stop) -> bool:
    """Return whether the counters say that all that was lost was lost at ``input``, where nothing else can be at work.

    Those of IPv6 do not, because they count the reports of other hosts as well.
    """
    end = flow.receiver
    assert end is not None
    if flow.channel.family != "ipv4" or stop.place != "input":
        return False
    try:
        lost = came_in(end, "ipv4") - end.changes["Ip.InDelivers"]
        if not 0 < lost <= end.changes["IpExt.InMcastPkts"] or any(end.changes[name] for name in _OTHER_LOSSES):
            return False
    except NotRead:
        return False
    if stop.packets is not None:
        return stop.packets >= lost
    try:  # other rules, that nobody sees
        return not end.facts.read("firewall_legacy")
    except NotRead:
        return False


def _match(flow: Flow, stop: Stop, confidence: Confidence) -> Match:
    assert flow.receiver is not None
    interface = flow.receiver.interface
    counted = "" if stop.packets is None else f" (counted until now: {stop.packets})"
    # Fragments but the first have no port.
    port = stop.place == "input" and flow.channel.family == "ipv4"
    packet = datagram(flow, incoming=interface)
    evidence = [f"{stop}{counted}"]
    if not stop.sure:
        evidence.append("whether that is for these datagrams cannot be told from the rules")
        if confidence == "certain":
            evidence.append("by the counters, all that was lost was lost there, and nothing else there can stop it")
    values = {
        "may": "stops" if confidence == "certain" else "may stop",
        "host": flow.receiver.name,
        "where": _WHERE[stop.place].format(interface=interface),
        "group": flow.channel.group,
        "command": stop.accepting(packet.selector if port or not _in_fragments(flow) else packet.selector_of_fragments),
    }
    return Match(confidence, tuple(evidence), values)


def _in_fragments(flow: Flow) -> bool:
    """Return whether the datagrams come in fragments."""
    if flow.size is None or flow.sender is None:
        return False
    mtu: int = flow.sender.facts.link(flow.sender.interface)["mtu"]
    return flow.size + 48 > mtu


def _policy(flow: Flow) -> Iterator[Match]:
    yield from (_match(flow, *one) for one in _stops(flow) if one[0].handle is None and one[0].sure)


def _rule(flow: Flow) -> Iterator[Match]:
    yield from (_match(flow, *one) for one in _stops(flow) if _is_rule(one[0]) and one[0].action == "drop")


def _reject(flow: Flow) -> Iterator[Match]:
    yield from (_match(flow, *one) for one in _stops(flow) if _is_rule(one[0]) and one[0].action == "reject")


def _is_rule(stop: Stop) -> bool:
    return stop.handle is not None and stop.sure


def _limited(flow: Flow) -> Iterator[Match]:
    yield from (_match(flow, *one) for one in _stops(flow) if one[0].limited and not one[0].sure)


def _unclear(flow: Flow) -> Iterator[Match]:
    yield from (_match(flow, *one) for one in _stops(flow) if not one[0].limited and not one[0].sure)


def _legacy(flow: Flow) -> Iterator[Match]:
    if flow.receiver is not None and (tables := flow.receiver.facts.read("firewall_legacy")):
        what = f"the rules of {', '.join(tables)} on {flow.receiver.name}"
        raise NotRead(what, "they are of legacy iptables: look at iptables-legacy-save -c, ip6tables-legacy-save -c")
    return iter(())


_READS = ("firewall (nft -j list ruleset)", "counters: Ip, IpExt, Ip6, Udp, Udp6")
_PRIVILEGE = "CAP_NET_ADMIN, and the program nft"
_CURE = "accept the group before that"

#: Checks of the receiver's packet filters.
CHECKS: tuple[Check, ...] = (
    Check(
        id="firewall.policy",
        stage="receiver",
        condition=_policy,
        sentence="the firewall of {host} drops the datagrams {where}: no rule accepts them",
        cure="accept the group",
        command="{command}",
        reads=_READS,
        reference="nft(8), CHAINS",
        place="receiver",
        privilege=_PRIVILEGE,
    ),
    Check(
        id="firewall.drop",
        stage="receiver",
        condition=_rule,
        sentence="a rule of the firewall of {host} drops the datagrams {where}",
        cure=_CURE,
        command="{command}",
        reads=_READS,
        reference="nft(8), RULES",
        place="receiver",
        privilege=_PRIVILEGE,
    ),
    Check(
        id="firewall.reject",
        stage="receiver",
        condition=_reject,
        sentence="a rule of the firewall of {host} rejects the datagrams {where}; nobody is told, because they are multicast",
        cure=_CURE,
        command="{command}",
        reads=_READS,
        reference="nft(8), REJECT STATEMENT; RFC 1122 section 3.2.2",
        place="receiver",
        privilege=_PRIVILEGE,
    ),
    Check(
        id="firewall.limit",
        stage="receiver",
        condition=_limited,
        sentence="the firewall of {host} lets only some of the datagrams pass {where}",
        cure=_CURE,
        command="{command}",
        reads=_READS,
        reference="nft(8), LIMIT STATEMENT",
        place="receiver",
        privilege=_PRIVILEGE,
    ),
    Check(
        id="firewall.unclear",
        stage="receiver",
        condition=_unclear,
        sentence="the firewall of {host} has a rule that {may} the datagrams {where}",
        cure=_CURE,
        command="{command}",
        reads=_READS,
        reference="nft(8), RULES",
        place="receiver",
        privilege=_PRIVILEGE,
    ),
    Check(
        id="firewall.legacy",
        stage="receiver",
        condition=_legacy,
        sentence="",  # it only says what was not looked at
        cure="",
        reads=("firewall_legacy (/proc/net/ip_tables_names, ip6_tables_names)",),
        reference="iptables-legacy(8)",
        place="receiver",
        verified=False,
    ),
)
