"""Causes at the receiver's host: its interface, or its IPsec policy, keeps datagrams from its sockets."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_mcast.doctor.arrival import conf_name, counted, delivered, from_elsewhere, named, packets
from pytest_mcast.doctor.check import Check, Match
from pytest_mcast.doctor.flow import Flow
from pytest_mcast.doctor.obstacles import obstacle
from pytest_mcast.doctor.tally import surely

__all__ = ["CHECKS"]

_BY_POLICY = ("XfrmInPolBlock", "XfrmInNoPols", "XfrmInTmplMismatch")
_MASTERS = ("bond", "bridge", "openvswitch", "team")  # that take what comes to those they have


def _down(flow: Flow) -> Iterator[Match]:
    end = from_elsewhere(flow)
    if end is not None and "up" not in end.facts.link(end.interface)["flags"]:
        yield Match("certain", (f"{end.interface} of {end.name} is down",), named(end))


def _no_carrier(flow: Flow) -> Iterator[Match]:
    end = from_elsewhere(flow)
    if end is None:
        return
    link = end.facts.link(end.interface)
    if "up" in link["flags"] and not link["carrier"]:
        # On a switch that we see into, the cause is at its port.
        yield Match("likely" if flow.segment else "certain", (f"{end.interface} is up, without carrier",), named(end))


def _enslaved(flow: Flow) -> Iterator[Match]:
    end = from_elsewhere(flow)
    if end is None:
        return
    index = end.facts.link(end.interface)["master"]
    master = None if index is None else end.facts.link(index)
    if master is not None and master["kind"] in _MASTERS:
        joined = f"{end.name} has joined {flow.channel.group} on {end.interface}"
        there = end.facts.memberships(flow.channel.group, master["name"])
        evidence = (f"{end.interface} is part of the {master['kind']} {master['name']}",)
        yield Match(
            "likely" if there else "certain",
            evidence if there else (*evidence, joined),
            named(end, master=master["name"]),
        )


def _no_ipv6(flow: Flow) -> Iterator[Match]:
    end = from_elsewhere(flow)
    if end is None or flow.channel.family != "ipv6" or not end.facts.conf("ipv6", end.interface, "disable_ipv6"):
        return
    evidence = [f"disable_ipv6 is 1 on {end.interface}"]
    discarded = counted(end, "Ip6InDiscards")
    evidence += [f"{packets(discarded)} discarded there (Ip6InDiscards)"] if discarded else []
    setting = conf_name("ipv6", end.interface, "disable_ipv6")
    yield Match("certain", tuple(evidence), named(end, setting=setting))


def _mtu(flow: Flow) -> Iterator[Match]:
    end = from_elsewhere(flow)
    if end is None or flow.size is None or flow.sender is None:
        return
    own, theirs = (each.facts.link(each.interface)["mtu"] for each in (end, flow.sender))
    largest = min(flow.size + (28 if flow.channel.family == "ipv4" else 48), theirs)
    if largest <= own:
        return
    dropped = counted(end, f"{end.interface}.rx_dropped") or counted(end, f"{end.interface}.rx_errors")
    evidence = [f"packets of {largest} bytes come to {end.interface}, whose MTU is {own}"]
    evidence += [f"{packets(dropped)} dropped by it (rx_dropped)"] if dropped else []
    yield Match("certain" if dropped else "likely", tuple(evidence), named(end, mtu=theirs, largest=largest, own=own))


def _ipsec(flow: Flow) -> Iterator[Match]:
    end = flow.receiver
    if end is None or delivered(end, flow.channel.family):
        return
    counts = {name: end.changes[name] for name in _BY_POLICY}
    evidence = tuple(f"{packets(count)} dropped for it ({name})" for name, count in counts.items() if count)
    if evidence:
        direction = f"dir in src ::/0 dst {flow.channel.group}/128"
        if flow.channel.family == "ipv4":
            direction = f"dir in src 0.0.0.0/0 dst {flow.channel.group}/32"
        yield Match(surely(flow, "receiver", *_BY_POLICY), evidence, named(end, policy=direction), shared=True)


#: Checks of the receiver's interface.
CHECKS: tuple[Check, ...] = (
    Check(
        id="receiver-interface.down",
        stage="receiver",
        condition=_down,
        sentence="{interface} of {host} is down, so that nothing comes in",
        cure="switch the interface on",
        command="ip link set {interface} up",
        reads=("links",),
        reference="ip-link(8)",
        place="receiver",
    ),
    Check(
        id="receiver-interface.no-carrier",
        stage="receiver",
        condition=_no_carrier,
        sentence="{interface} of {host} has no carrier, so that nothing comes in",
        cure="plug the cable in, or switch on what is at its other end",
        reads=("links",),
        reference="RFC 2863 section 3.1.14; ip-link(8)",
        place="receiver",
    ),
    Check(
        id="receiver-interface.enslaved",
        stage="receiver",
        condition=_enslaved,
        sentence="what comes to {interface} of {host} belongs to {master}, where nobody has joined",
        cure="join on {master}, or take {interface} out of it",
        command="ip link set {interface} nomaster",
        reads=("links", "memberships"),
        reference="ip-link(8)",
        place="receiver",
    ),
    Check(
        id="receiver-interface.no-ipv6",
        stage="receiver",
        condition=_no_ipv6,
        sentence="IPv6 is switched off on {interface} of {host}, which discards what comes",
        cure="switch IPv6 on",
        command="sysctl -w {setting}=0",
        reads=("sysctl: net.ipv6.conf.*.disable_ipv6", "counters: Ip6InDiscards"),
        reference="Documentation/networking/ip-sysctl.rst",
        place="receiver",
    ),
    Check(
        id="receiver-interface.mtu",
        stage="receiver",
        condition=_mtu,
        sentence="packets of {largest} bytes do not fit into the MTU of {interface} of {host}, {own}",
        cure="give the interface the MTU of the link",
        command="ip link set {interface} mtu {mtu}",
        reads=("links", "counters: rx_dropped of the interface"),
        reference="RFC 894; RFC 2464 section 2",
        place="receiver",
    ),
    Check(
        id="ipsec.policy",
        stage="receiver",
        condition=_ipsec,
        sentence="an IPsec policy of {host} refuses the datagrams: they come unprotected",
        cure="exempt the group",
        command="ip xfrm policy add {policy} action allow priority 1",
        reads=("counters: XfrmInPolBlock, XfrmInNoPols, XfrmInTmplMismatch (/proc/net/xfrm_stat)",),
        reference="RFC 4301 section 4.4.1; ip-xfrm(8)",
        place="receiver",
    ),
    Check(
        id="device.gone",
        stage="socket",
        condition=obstacle("device.gone"),
        sentence="the interface that the socket has joined on was removed; one of the same name is another interface",
        cure="open the socket anew, and join, whenever the interface was made again (rtnetlink(7) tells)",
        reads=("sockets", "links"),
        reference="Linux net/ipv4/igmp.c ip_mc_destroy_dev; socket(7), SO_BINDTODEVICE",
        place="code",
    ),
)
