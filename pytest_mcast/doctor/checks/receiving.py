"""Causes at the receiver's host: what comes to it, or to its interface, and never gets to its sockets."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_mcast.doctor.arrival import has_impossible_source, packets, source_of, way_back
from pytest_mcast.doctor.check import Check, Match
from pytest_mcast.doctor.facts import NotRead
from pytest_mcast.doctor.flow import End, Flow

__all__ = ["CHECKS"]

_MASTERS = ("bond", "bridge", "openvswitch", "team")  # that take what comes to those they have
_STRICT, _LOOSE = 1, 2  # rp_filter (Documentation/networking/ip-sysctl.rst)


def _elsewhere(flow: Flow) -> End | None:
    """Return the receiver, if what it should get comes from another host."""
    return None if flow.same_host else flow.receiver


def _sysctl(family: str, interface: str, name: str) -> str:
    return f"net/{family}/conf/{interface}/{name}"  # with slashes, because of dots in names of interfaces


def _down(flow: Flow) -> Iterator[Match]:
    end = _elsewhere(flow)
    if end is not None and "up" not in end.facts.link(end.interface)["flags"]:
        yield Match("certain", (f"{end.interface} of {end.name} is down",), _values(end))


def _enslaved(flow: Flow) -> Iterator[Match]:
    end = _elsewhere(flow)
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
            _values(end, master=master["name"]),
        )


def _no_ipv6(flow: Flow) -> Iterator[Match]:
    end = _elsewhere(flow)
    if end is None or flow.channel.family != "ipv6" or not end.facts.conf("ipv6", end.interface, "disable_ipv6"):
        return
    evidence = [f"disable_ipv6 is 1 on {end.interface}"]
    discarded = _counted(end, "Ip6InDiscards")
    evidence += [f"{packets(discarded)} discarded there (Ip6InDiscards)"] if discarded else []
    setting = _sysctl("ipv6", end.interface, "disable_ipv6")
    yield Match("certain", tuple(evidence), _values(end, setting=setting))


def _mtu(flow: Flow) -> Iterator[Match]:
    end = _elsewhere(flow)
    if end is None or flow.size is None or flow.sender is None:
        return
    own, theirs = (each.facts.link(each.interface)["mtu"] for each in (end, flow.sender))
    largest = min(flow.size + (28 if flow.channel.family == "ipv4" else 48), theirs)
    if largest <= own:
        return
    dropped = _counted(end, f"{end.interface}.rx_dropped") or _counted(end, f"{end.interface}.rx_errors")
    evidence = [f"packets of {largest} bytes come to {end.interface}, whose MTU is {own}"]
    evidence += [f"{packets(dropped)} dropped by it (rx_dropped)"] if dropped else []
    yield Match("certain" if dropped else "likely", tuple(evidence), _values(end, mtu=theirs, largest=largest, own=own))


def _own_source(flow: Flow) -> Iterator[Match]:
    end, source = _elsewhere(flow), source_of(flow)
    if end is None or source is None or flow.channel.family != "ipv4":
        return  # Measured (Linux 6.18): IPv6 takes them
    if has_impossible_source(flow) or end.facts.conf("ipv4", end.interface, "accept_local"):
        return
    for address in end.facts.addresses(family="ipv4"):
        if address["address"] == source:
            device = end.facts.link(address["index"])["name"]
            evidence = (f"{device} of {end.name} has the address {source}", *_lost_before_delivery(end))
            yield Match("certain", evidence, _values(end, source=source, prefix=address["prefix"], device=device))


def _impossible_source(flow: Flow) -> Iterator[Match]:
    end = _elsewhere(flow)
    if end is not None and has_impossible_source(flow):
        source = source_of(flow)
        yield Match(
            "certain", (f"the sender sends from {source}", *_lost_before_delivery(end)), _values(end, source=source)
        )


def _no_source(flow: Flow) -> Iterator[Match]:
    """Yield that a sender without an address sends from 0.0.0.0, which no host takes but for groups of the link."""
    end, sender = _elsewhere(flow), flow.sender
    if end is None or sender is None or source_of(flow) is not None or flow.channel.family != "ipv4":
        return
    if flow.channel.group.startswith("224.0.0.") or any(
        each["scope"] != "host" for each in sender.facts.addresses(family="ipv4")
    ):
        return
    evidence = (f"{sender.name} has no IPv4 address but those of loopback", *_lost_before_delivery(end))
    yield Match("certain", evidence, _values(end, sender=sender.name, out=sender.interface))


def _reverse_path(flow: Flow) -> Iterator[Match]:
    """Yield what the reverse path filter drops: it sees no way back by the interface, or (loose) no way at all."""
    end, source = _elsewhere(flow), source_of(flow)
    if end is None or source is None or flow.channel.family != "ipv4":
        return
    mode = end.facts.conf("ipv4", end.interface, "rp_filter")
    dropped = _counted(end, "TcpExt.IPReversePathFilter")
    if mode not in (_STRICT, _LOOSE) or dropped == 0:
        return
    back = way_back(end.facts, source)
    by = None if back is None else back["interface"]
    if back is not None and (mode == _LOOSE or by == end.interface or back["kind"] != "unicast"):
        return
    evidence = [f"rp_filter is {mode} on {end.interface}"]
    evidence += [f"the route to {source} is by {by}" if by else f"{end.name} has no route to {source}"]
    evidence += [f"{packets(dropped)} dropped for it (TcpExt.IPReversePathFilter)"] if dropped else []
    setting = _sysctl("ipv4", end.interface, "rp_filter")
    yield Match(
        "certain" if dropped else "likely", tuple(evidence), _values(end, source=source, route=by, setting=setting)
    )


def _another_way(flow: Flow) -> Iterator[Match]:
    yield from (match for match in _reverse_path(flow) if match.values["route"] is not None)


def _no_way(flow: Flow) -> Iterator[Match]:
    yield from (match for match in _reverse_path(flow) if match.values["route"] is None)


def _values(end: End, **more: object) -> dict[str, object]:
    return {"host": end.name, "interface": end.interface, **more}


def _counted(end: End, name: str) -> int | None:
    """Return what a counter has counted; None when nobody has looked."""
    try:
        return end.changes[name]
    except NotRead:
        return None


def _lost_before_delivery(end: End) -> tuple[str, ...]:
    """Say that IPv4 has got something and passed nothing on, if it was so."""
    came, passed = _counted(end, "Ip.InReceives"), _counted(end, "Ip.InDelivers")
    return (f"{packets(came)} received by {end.name}, none delivered",) if came and passed == 0 else ()


#: Checks of what the receiver's host does with what comes in.
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
        id="source.none",
        stage="receiver",
        condition=_no_source,
        sentence="{sender} has no IPv4 address, so that its datagrams come from 0.0.0.0, which {host} does not take",
        cure="give {out} an IPv4 address",
        reads=("addresses of the sender's host", "counters: Ip.InReceives, Ip.InDelivers"),
        reference="RFC 1122 section 3.2.1.3; RFC 1812 section 5.3.7",
        place="sender",
    ),
    Check(
        id="rp-filter.strict",
        stage="receiver",
        condition=_another_way,
        sentence="{host} drops what comes from {source} by {interface}, because it would answer by {route} (rp_filter)",
        cure="accept sources that another interface leads to",
        command="sysctl -w {setting}=2",
        reads=("sysctl: net.ipv4.conf.*.rp_filter", "routes", "rules", "counters: TcpExt.IPReversePathFilter"),
        reference="RFC 3704 section 2.2; Documentation/networking/ip-sysctl.rst (rp_filter)",
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
