"""Causes on the way of IGMP and MLD reports: they do not get to the switch, or do not say what they should."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from shlex import quote

from pytest_mcast.doctor.arrival import source_of
from pytest_mcast.doctor.check import Check, Match, Place
from pytest_mcast.doctor.facts import Facts, NotRead
from pytest_mcast.doctor.firewall import OUTGOING, Packet, Stop, stops
from pytest_mcast.doctor.flow import End, Flow
from pytest_mcast.doctor.switching import Way, always_flooded, way_through

__all__ = ["CHECKS", "old_version", "stopped_reports"]

_NEWEST = {"ipv4": ("IGMPv", 3), "ipv6": ("MLDv", 2)}
_FORCED = {"ipv4": "force_igmp_version", "ipv6": "force_mld_version"}

_LINK_LOCAL = "net.ipv4.igmp_link_local_mcast_reports"
_ENDS = ("CHANGE_TO_INCLUDE_MODE", "BLOCK_OLD_SOURCES", "LEAVE")  # records that say that nobody wants it any more
_REPORTS = {
    "ipv4": ("224.0.0.22", "igmp", "membership-report-v3"),
    "ipv6": ("ff02::16", "ipv6-icmp", "mld2-listener-report"),
}


def _report(family: str, *, incoming: str | None = None, outgoing: str | None = None) -> Packet:
    """Return a report of the newest version, of the current memberships (RFC 3376 section 4.2, RFC 3810 section 5.2)."""
    group, protocol, message = _REPORTS[family]
    return Packet(family, group, protocol, ttl=1, message=message, incoming=incoming, outgoing=outgoing)


def stopped_reports(flow: Flow, way: Way | None) -> Iterator[tuple[Stop, Place]]:
    """Yield what stops the reports of the receiver for sure: at its own host, or where they come into the switch."""
    end = flow.receiver
    if end is None:
        return
    packet = _report(flow.channel.family, outgoing=end.interface)
    yield from ((stop, "receiver") for stop in _sure(end.facts, packet, *OUTGOING))
    if way is not None:
        packet = _report(flow.channel.family, incoming=way.receiver.name)
        yield from ((stop, "switch") for stop in _sure(way.facts, packet, "ingress", "bridge prerouting"))


def _sure(facts: Facts, packet: Packet, *places: str) -> list[Stop]:
    try:
        return [stop for stop in stops(facts.firewall(), packet, *places) if stop.sure and not stop.limited]
    except NotRead:  # a check of its own says so
        return []


def old_version(flow: Flow, end: End) -> int | None:
    """Return the version by which a host reports, if it is an older one; None also where nobody can tell.

    For IPv6 the kernel tells only which one it is forced to. Raises ``NotRead``.
    """
    family = flow.channel.family
    forced = end.facts.conf(family, end.interface, _FORCED[family])
    newest = _NEWEST[family][1]
    if 0 < forced < newest:
        return forced
    version = end.facts.igmp_version(end.interface) if family == "ipv4" else None
    return version if version is not None and version < newest else None


def _matters(flow: Flow) -> Iterator[tuple[End, int, tuple[str, ...], bool]]:
    """Yield the receiving host if it reports by an older version and that matters: with what was seen, and if it is sure."""
    end = flow.receiver
    version = None if end is None else old_version(flow, end)
    if end is None or version is None:
        return
    if flow.call == "report":
        # An older report is one, too, unless the test has asked for more.
        yield end, version, (), bool(getattr(getattr(flow.error, "wanted", None), "newest", False))
        return
    way = way_through(flow)
    source = source_of(flow)
    if way is None or source is None or not way.goes_by_mdb(flow.channel.group):
        return
    # Measured (Linux 6.18): as soon as somebody has joined a source by IGMPv3 or MLDv2, those who have joined the group by
    # an older version do not get that source. The kernel adds them to its entry only when they report by the newest.
    entries = way.entries(flow.channel.group)
    others = [each for each in entries if each["source"] == source and not each["blocked"]]
    ours = [each for each in entries if each["port"] == way.receiver.name]
    if others and ours and not any(each["source"] for each in ours):
        ports = ", ".join(sorted(each["port"] for each in others))
        seen = f"the switch lets {source} through to {ports} only, and has {way.receiver.name} as a member of the group"
        yield end, version, (seen,), True


def _no_entries(flow: Flow) -> Iterator[Match]:
    way = way_through(flow) if flow.call == "report" else None
    if way is None or not way.ends_here or any(_never_reported(flow)):
        return
    name, group = way.bridge["name"], flow.channel.group
    if not way.options.get("snooping"):
        values = {"bridge": name, "group": group, "cure": "have it listen: mcast_lab.switch(snooping=True)"}
        yield Match("certain", (f"{name} does not listen to IGMP and MLD: it floods all groups",), values)
    elif always_flooded(group):
        values = {"bridge": name, "group": group, "cure": "wait for the entry of another group"}
        yield Match("certain", (f"{group} is flooded, whoever has joined it",), values)


def _wanted_record(flow: Flow) -> str | None:
    return getattr(getattr(flow.error, "wanted", None), "record", None)


def _nothing_joined(flow: Flow) -> Iterator[Match]:
    end = flow.receiver
    if flow.call != "report" or end is None or _wanted_record(flow) in _ENDS:
        return
    group, source = flow.channel.group, flow.channel.source
    joined = end.facts.memberships(group, end.interface)
    values = {"host": end.name, "group": group, "interface": end.interface}
    if not joined:
        seen = f"{end.name} has no membership of {group} on {end.interface}"
        yield Match("certain", (seen,), {**values, "what": group})
    elif source is not None and all(each["mode"] == "include" and source not in each["sources"] for each in joined):
        sources = ", ".join(sorted({one for each in joined for one in each["sources"]}))
        seen = f"{end.name} has joined {group} on {end.interface} for {sources}"
        yield Match("certain", (seen,), {**values, "what": f"{group} from {source}"})


def _joined_before(flow: Flow) -> Iterator[Match]:
    end = flow.receiver
    if flow.call != "report" or end is None or _wanted_record(flow) in _ENDS or any(_never_reported(flow)):
        return
    for each in end.facts.memberships(flow.channel.group, end.interface):
        if each["users"] > 1:
            seen = f"{each['users']} sockets have joined {flow.channel.group} on {end.interface} of {end.name}"
            yield Match("likely", (seen,), {"host": end.name, "group": flow.channel.group})


def _never_reported(flow: Flow) -> Iterator[Match]:
    end, group = flow.receiver, ipaddress.ip_address(flow.channel.group)
    if flow.call != "report" or end is None:
        return
    interface_local = isinstance(group, ipaddress.IPv6Address) and group.packed[1] & 0x0F <= 1
    if str(group) in ("224.0.0.1", "ff02::1") or interface_local:
        yield Match("certain", (f"the group is {group}",), {"group": group})


def _link_local_off(flow: Flow) -> Iterator[Match]:
    end = flow.receiver
    if flow.call != "report" or end is None or not always_flooded(flow.channel.group) or flow.channel.family != "ipv4":
        return
    if flow.channel.group != "224.0.0.1" and end.facts.sysctl(_LINK_LOCAL) == "0":
        values = {"host": end.name, "group": flow.channel.group}
        yield Match("certain", (f"{_LINK_LOCAL} = 0",), values)


def _forced_version(flow: Flow) -> Iterator[Match]:
    family = flow.channel.family
    for end, version, seen, sure in _matters(flow):
        forced = end.facts.conf(family, end.interface, _FORCED[family])
        if forced != version:
            continue
        names = [f"net.{family}.conf.{each}.{_FORCED[family]}" for each in ("all", end.interface.replace(".", "/"))]
        names = [name for name in names if end.facts.sysctl_int(name)]
        settings = [f"{name} = {end.facts.sysctl(name)}" for name in names]
        values = {"version": f"{_NEWEST[family][0]}{version}", "host": end.name}
        command = " ".join(quote(f"{name}=0") for name in names)
        yield Match("certain" if sure else "possible", (*settings, *seen), {**values, "settings": command})


def _old_querier(flow: Flow) -> Iterator[Match]:
    if flow.channel.family != "ipv4":
        return
    for end, version, seen, sure in _matters(flow):
        if end.facts.conf("ipv4", end.interface, _FORCED["ipv4"]) == version:
            continue
        way = way_through(flow)
        heard = f"IGMPv{version} is in force on {end.interface} of {end.name}, and no setting forces it"
        who = "a querier"
        if way is not None and way.asks("ipv4") and way.options.get("igmp_version") == version:
            who = f"the switch {way.bridge['name']}"
        values = {"version": version, "host": end.name, "who": who}
        yield Match("certain" if sure else "possible", (heard, *seen), values)


def _stopped(flow: Flow) -> Iterator[Match]:
    end = flow.receiver
    if end is None:
        return
    way = way_through(flow)
    matters = flow.call == "report" or (way is not None and way.carries and way.goes_by_mdb(flow.channel.group))
    if flow.call != "report" and way is not None:
        if not matters:
            return
        entries = way.entries(flow.channel.group)
        if any(each["port"] == way.receiver.name for each in entries):
            return
    end.facts.firewall()  # else it is said that it could not be read
    protocol = _NEWEST[flow.channel.family][0].rstrip("v")
    for stop, place in stopped_reports(flow, way):
        where = end.name if place == "receiver" or way is None else way.name
        command = stop.accepting(_report(flow.channel.family).selector)
        values = {"host": end.name, "where": where, "protocol": protocol, "command": command}
        yield Match("certain" if matters else "likely", (f"{stop.place} of {where}: {stop}",), values, place)


def _kept_from_listener(flow: Flow) -> Iterator[Match]:
    way = way_through(flow) if flow.call == "report" else None
    if way is None or way.ends_here or not way.options.get("snooping"):
        return
    version = old_version(flow, way.receiver.end)
    port = way.sender  # where those listen who have expected the report
    name = way.bridge["name"]
    if version is None or any(
        (each["bridge"], each["port"]) == (name, port.name) for each in way.facts.read("router_ports")
    ):
        return
    seen = (
        f"{way.receiver.end.name} reports by {_NEWEST[flow.channel.family][0]}{version}",
        f"{name} listens to reports, and {port.name} ({port.end.interface} of {port.end.name}) is no router port",
    )
    yield Match("certain", seen, {"port": port.name, "listener": port.end.name, "bridge": name})


#: Checks of reports.
CHECKS: tuple[Check, ...] = (
    Check(
        id="mdb.not-kept",
        stage="network",
        condition=_no_entries,
        sentence="the switch {bridge} keeps no entry for {group}, so that it is no use to wait for one",
        cure="{cure}",
        reads=("links of the switch: snooping", "the group"),
        reference="RFC 4541 section 2.1.2",
        place="code",
    ),
    Check(
        id="reports.nothing-joined",
        stage="network",
        condition=_nothing_joined,
        sentence="{host} has not joined {what} on {interface}, so that it has nothing to report",
        cure="join it there before the report is expected",
        reads=("memberships of who should report",),
        reference="RFC 3376 section 5.1; RFC 3810 section 6.1",
        place="code",
    ),
    Check(
        id="reports.joined-before",
        stage="network",
        condition=_joined_before,
        sentence="another socket on {host} had joined {group} before, and only the first one is reported",
        cure="listen before the first one joins, or ask for a report: listener.querier().query()",
        reads=("memberships of who should report",),
        reference="RFC 3376 section 5.1; RFC 3810 section 6.1",
        place="code",
    ),
    Check(
        id="reports.never",
        stage="network",
        condition=_never_reported,
        sentence="no host reports {group}: all systems are members, or no switch ever sees it",
        cure="expect the report of another group",
        reads=("the group",),
        reference="RFC 3376 section 5; RFC 3810 section 6",
        place="code",
    ),
    Check(
        id="reports.link-local-off",
        stage="network",
        condition=_link_local_off,
        sentence="{host} is set not to report groups of 224.0.0.0/24, of which {group} is one",
        cure="have it report them; they must be joined anew",
        command=f"sysctl -w {_LINK_LOCAL}=1",
        reads=(f"sysctl {_LINK_LOCAL}",),
        reference="RFC 4541 section 2.1.2; ip-sysctl",
        place="receiver",
    ),
    Check(
        id="reports.stopped",
        stage="network",
        condition=_stopped,
        sentence="the firewall of {where} stops the {protocol} reports of {host}, so that no switch hears what it has joined",
        cure="let reports pass",
        command="{command}",
        reads=("rules of nftables of the receiver and of the switch", "links and MDB of the switch"),
        reference="RFC 3376 section 4.2; RFC 3810 section 5.2; nft(8)",
        place="receiver",
        privilege="CAP_NET_ADMIN, and the program nft",
    ),
    Check(
        id="report-version.forced",
        stage="network",
        condition=_forced_version,
        sentence="{host} is set to report by {version}, which knows no sources",
        cure="let it use the newest version",
        command="sysctl -w {settings}",
        reads=("sysctls force_igmp_version, force_mld_version", "MDB of the switch"),
        reference="RFC 3376 section 7.2.1; RFC 3810 section 8.2.1; ip-sysctl",
        place="receiver",
    ),
    Check(
        id="report-version.old-querier",
        stage="network",
        condition=_old_querier,
        sentence="{host} reports by IGMPv{version}, which knows no sources, because {who} has asked by it",
        cure=(
            "have all queriers ask by IGMPv3 (a Linux bridge: mcast_igmp_version 3); "
            "hosts go back to it some minutes after the last older query"
        ),
        reads=("/proc/net/igmp of the receiver", "sysctl force_igmp_version", "links and MDB of the switch"),
        reference="RFC 3376 section 7.2.1 and 8.12",
        place="code",
    ),
    Check(
        id="reports.kept-from-listener",
        stage="network",
        condition=_kept_from_listener,
        sentence="the switch forwards reports of older versions to routers only, and {listener} is at no router port",
        cure="listen at a router port, or make this one",
        command="bridge link set dev {port} mcast_router 2",
        reads=("links and router ports of the switch", "version in force at the receiver"),
        reference="RFC 4541 section 2.1.1",
        place="switch",
    ),
)
