"""Causes in a switch that listens to IGMP and MLD (RFC 4541): it does not know, or no longer, who wants a group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pytest_mcast.doctor.arrival import delivered, sent_out, source_of
from pytest_mcast.doctor.check import Check, Match
from pytest_mcast.doctor.flow import End, Flow
from pytest_mcast.doctor.switching import Way, always_flooded, way_through

from .reporting import stopped_reports

__all__ = ["CHECKS"]

_PROTOCOLS = {"ipv4": "IGMP", "ipv6": "MLD"}


def _carrying(flow: Flow) -> Way | None:
    """Return the way through the switch if it carries frames at all, so that it depends on groups what gets through."""
    way = None if flow.call == "report" else way_through(flow)
    return way if way is not None and way.carries else None


def _values(flow: Flow, way: Way) -> dict[str, object]:
    port = way.receiver
    names = {"host": port.end.name, "port": port.name, "bridge": way.bridge["name"]}
    return {**names, "group": flow.channel.group, "protocol": _PROTOCOLS[flow.channel.family]}


def _floods_not(flow: Flow) -> Way | None:
    """Return the way of a group that the switch floods, but not at the port of the receiver."""
    way = _carrying(flow)
    if way is None or way.goes_by_mdb(flow.channel.group) or way.receiver.options.get("mcast_flood", True):
        return None
    return way


def _flooding_off(flow: Flow) -> Iterator[Match]:
    way = _floods_not(flow)
    if way is None or (way.options.get("snooping") and not always_flooded(flow.channel.group)):
        return
    why = (
        "it does not listen to IGMP and MLD" if not way.options.get("snooping") else "it keeps no entries of this group"
    )
    seen = f"mcast_flood is off at {way.receiver.name}", f"{way.bridge['name']}: {why}"
    yield Match("certain", seen, _values(flow, way))


def _no_querier(flow: Flow) -> Iterator[Match]:
    way = _floods_not(flow)
    if way is None or not way.options.get("snooping") or always_flooded(flow.channel.group):
        return
    if not way.options.get("querier"):
        seen = f"{way.bridge['name']} does not ask, and has heard no {_PROTOCOLS[flow.channel.family]} querier"
        yield Match("certain", (seen, f"mcast_flood is off at {way.receiver.name}"), _values(flow, way))


def _querier_without_address(flow: Flow) -> Iterator[Match]:
    way = _floods_not(flow)
    if way is None or not way.options.get("snooping") or always_flooded(flow.channel.group):
        return
    if way.options.get("querier") and flow.channel.family == "ipv6":
        seen = f"{way.bridge['name']} is set to ask, and has no link-local address", "it has heard no other MLD querier"
        # Any will do that no host has; this one is of the bridge's own MAC address (RFC 4291 appendix A).
        yield Match("certain", seen, {**_values(flow, way), "address": _link_local(way.bridge["mac"])})


def _link_local(mac: str) -> str:
    octets = bytes.fromhex(mac.replace(":", ""))
    octets = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return "fe80::" + ":".join(f"{octets[at] << 8 | octets[at + 1]:x}" for at in range(0, 8, 2))


def _wanted(flow: Flow, end: End) -> bool:
    """Whether the receiving host has joined, so that it is the switch that does not know."""
    source = source_of(flow)
    for each in end.facts.memberships(flow.channel.group, end.interface):
        if each["mode"] == "include":
            return source is None or source in each["sources"]
        return source not in each["blocked"]
    return False


def _choosing(flow: Flow) -> Way | None:
    """Return the way through the switch if it goes by its entries, and the receiving host has joined."""
    way = _carrying(flow)
    if way is None or not way.goes_by_mdb(flow.channel.group) or not _wanted(flow, way.receiver.end):
        return None
    return way


def _entries(flow: Flow) -> tuple[Way, list[Mapping[str, Any]]] | None:
    """Return the entries of the group at the receiver's port, when they do not let the datagrams through."""
    way = _choosing(flow)
    if way is None:
        return None
    bridge = way.bridge["name"]
    if any((each["bridge"], each["port"]) == (bridge, way.receiver.name) for each in way.facts.read("router_ports")):
        return None
    entries = way.entries(flow.channel.group)
    here = [each for each in entries if each["port"] == way.receiver.name]
    source = source_of(flow)
    # An entry of the source comes before that of the group (br_mdb_entry_skb_get), if sources count at all.
    versions = {"ipv4": ("igmp_version", 3), "ipv6": ("mld_version", 2)}
    name, newest = versions[flow.channel.family]
    by_source = way.options.get(name) == newest and any(
        source is not None and each["source"] == source for each in entries
    )
    if by_source:
        passing = [each for each in here if each["source"] == source and not each["blocked"]]
    else:
        passing = [each for each in here if each["source"] is None and each["mode"] != "include"]
    return None if passing else (way, here)


def _joined(flow: Flow, way: Way) -> str:
    end = way.receiver.end
    return f"{end.name} has joined {flow.channel.group} on {end.interface}"


def _no_entry(flow: Flow) -> Iterator[Match]:
    found = _entries(flow)
    if found is None or found[1]:
        return
    way, _ = found
    if any(stopped_reports(flow, way)) or way.shuts_out(way.receiver):  # that is why
        return
    family = flow.channel.family
    asks = "asks by itself" if way.asks(family) else "does not ask, but has heard another querier, which may be gone"
    seen = (
        _joined(flow, way),
        f"{way.bridge['name']} has no entry of it at {way.receiver.name}",
        f"{way.bridge['name']} {asks}",
    )
    yield Match("certain", seen, _values(flow, way))


def _blocked(flow: Flow) -> Iterator[Match]:
    found = _entries(flow)
    source = source_of(flow)
    if found is not None and any(each["blocked"] and each["source"] == source for each in found[1]):
        way, _ = found
        seen = _joined(flow, way), f"the entry of {source} at {way.receiver.name} is blocked"
        yield Match("certain", seen, {**_values(flow, way), "source": source})


def _other_sources(flow: Flow) -> Iterator[Match]:
    found = _entries(flow)
    source = source_of(flow)
    if found is None or source is None or any(each["source"] == source for each in found[1]):
        return
    way, here = found
    others = [each["source"] for each in here if each["source"] is not None and not each["blocked"]]
    if others:
        seen = _joined(flow, way), f"the entries at {way.receiver.name} are for {', '.join(sorted(others))} only"
        yield Match("certain", seen, {**_values(flow, way), "source": source})


def _too_early(flow: Flow) -> Iterator[Match]:
    if flow.received or flow.receiver is None or flow.call != "receive":
        return
    if flow.trace is not None:
        if not flow.trace.delivered or flow.received is None:
            return
        why = "what was sent once more has arrived"
    else:  # sockets of the user's own, by which nothing is sent
        if flow.sender is None or not flow.sender.sockets or flow.sent == 0:
            return
        if not sent_out(flow.sender, flow.channel.family) or delivered(flow.receiver, flow.channel.family):
            return
        why = f"{flow.receiver.name} has delivered no datagram to any socket since the test began"
    way = _choosing(flow)
    if way is not None and _entries(flow) is None:
        seen = f"{way.bridge['name']} lets {flow.channel.group} through to {way.receiver.name} now"
        yield Match("likely", (seen, why), _values(flow, way))


_READS = ("links of the switch: querier, port", "MDB and router ports of the switch", "memberships of the receiver")

#: Checks of what the switch knows of a group.
CHECKS: tuple[Check, ...] = (
    Check(
        id="switch-port.flooding-off",
        stage="network",
        condition=_flooding_off,
        sentence="the switch floods {group}, but not at {port}, the port of {host}, where flooding is off",
        cure="flood multicast there, or have the switch listen to IGMP and MLD",
        command="bridge link set dev {port} mcast_flood on",
        reads=("links of the switch: snooping, flooding",),
        reference="bridge(8), mcast_flood",
        place="switch",
    ),
    Check(
        id="querier.none",
        stage="network",
        condition=_no_querier,
        sentence="nobody asks who wants {group}: the switch listens, but there is no {protocol} querier, and it goes by no entry",
        cure="have the switch, or a router, ask",
        command="ip link set dev {bridge} type bridge mcast_igmp_version 3 mcast_mld_version 2 mcast_querier 1",
        reads=("links of the switch: snooping, queriers, flooding",),
        reference="RFC 4541 section 2.1.1",
        place="switch",
    ),
    Check(
        id="querier.no-address",
        stage="network",
        condition=_querier_without_address,
        sentence="the switch is to ask by MLD, but has no IPv6 link-local address to ask from, and goes by no entry",
        cure="give the switch one, and have it begin anew",
        command=(
            "ip -6 address add {address}/64 dev {bridge} nodad && ip link set dev {bridge} type bridge mcast_querier 0"
            " && ip link set dev {bridge} type bridge mcast_querier 1"
        ),
        reads=("links of the switch: snooping, queriers, flooding", "addresses of the switch"),
        reference="RFC 3810 section 5.1.14",
        place="switch",
    ),
    Check(
        id="mdb.no-entry",
        stage="network",
        condition=_no_entry,
        sentence="the switch does not know that {host} wants {group}: it has heard no report, or has forgotten it since",
        cure="have somebody ask regularly (a querier), join again, or tell the switch",
        command="bridge mdb add dev {bridge} port {port} grp {group} permanent",
        reads=_READS,
        reference="RFC 4541 section 2.1.1; RFC 3376 section 6.2",
        place="switch",
    ),
    Check(
        id="mdb.too-late",
        stage="network",
        condition=_too_early,
        sentence="{group} was sent before the switch had heard that {host} has joined it, which takes some 10 ms",
        cure="wait for that: host.receiver() does, and switch.wait_for_entry(channel, host) for a socket of your own",
        reads=(*_READS, "a datagram that was sent once more"),
        reference="RFC 4541 section 2.1.1",
        place="code",
    ),
    Check(
        id="mdb.blocked",
        stage="network",
        condition=_blocked,
        sentence="the switch blocks {group} from {source} at {port}, the port of {host}: a report has said that nobody wants it",
        cure="have the hosts at that port asked, or delete the entry and join again",
        command="bridge mdb del dev {bridge} port {port} grp {group} src {source}",
        reads=_READS,
        reference="RFC 3376 section 6.4.2",
        place="switch",
    ),
    Check(
        id="mdb.other-sources",
        stage="network",
        condition=_other_sources,
        sentence="the switch lets {group} through to {host} from other sources than {source} only",
        cure="join again, or tell the switch",
        command="bridge mdb add dev {bridge} port {port} grp {group} src {source} permanent",
        reads=_READS,
        reference="RFC 3376 section 6.2.1",
        place="switch",
    ),
)
