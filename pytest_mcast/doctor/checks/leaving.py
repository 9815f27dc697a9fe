"""Causes on the way out of the sender: no address, no carrier, a queue, a packet filter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from shlex import quote
from typing import Any

from pytest_mcast.doctor.check import Check, Match
from pytest_mcast.doctor.firewall import stops
from pytest_mcast.doctor.flow import End, Flow
from pytest_mcast.doctor.tally import surely

from .choosing import chosen_otherwise
from .refusals import add_route, covering, ipsec_exemption, link_local_ipv4, link_of, table
from .refused_sends import packet_of

__all__ = ["CHECKS"]


def _out_by_meant(flow: Flow) -> tuple[End, Mapping[str, Any]] | None:
    """Return the sender and its interface, unless what it sends goes elsewhere, or nowhere."""
    end = flow.sender
    link = None if end is None else link_of(end)
    if end is None or link is None or "up" not in link["flags"] or any(chosen_otherwise(flow)):
        return None
    return end, link


def _no_carrier(flow: Flow) -> Iterator[Match]:
    found = _out_by_meant(flow)
    if found is None or flow.same_host or flow.segment is not None:  # the switch says more
        return
    end, link = found
    if not link["carrier"] and "loopback" not in link["flags"]:
        seen = f"{end.interface} of {end.name} is up and has no carrier (operstate {link['operstate']})"
        yield Match("certain", (seen,), {"interface": end.interface, "host": end.name})


def _loopback_route(flow: Flow) -> Iterator[Match]:
    found = _out_by_meant(flow)
    if found is None or flow.channel.family == "ipv4":
        return
    end, link = found
    if "loopback" not in link["flags"]:
        return
    for route in [each for each in covering(end.facts, flow) if each["index"] == link["index"]][:1]:
        if route["kind"] != "local":
            wrong = f"{route['kind']} {route['destination']} dev {end.interface} table {table(route['table'])}"
            wrong = wrong.replace(f"dev {end.interface} ", f"dev {quote(end.interface)} ")
            command = f"ip -6 route del {wrong} metric {route['metric']} && {add_route(link, 'ff00::/8')}"
            values = {"interface": end.interface, "kind": route["kind"], "command": command}
            yield Match("certain", (f"{end.name} has the route {wrong}",), values)


def _no_source(flow: Flow) -> Iterator[Match]:
    found = _out_by_meant(flow)
    if found is None or flow.channel.family == "ipv6" or flow.source is not None or not found[0].sockets:
        return
    end, link = found
    # The address of another interface is taken if there is one (net/ipv4/devinet.c, inet_select_addr).
    if not [each for each in end.facts.addresses(family="ipv4") if each["scope"] != "host"]:
        seen = f"{end.name} has no IPv4 address but those of lo, and the socket is bound to none"
        address = link_local_ipv4(link["mac"])
        yield Match("certain", (seen,), {"interface": end.interface, "host": end.name, "address": address})


def _queue_drops(flow: Flow) -> Iterator[Match]:
    found = _out_by_meant(flow)
    if found is None or flow.same_host:
        return
    end, link = found
    counter = "Udp.SndbufErrors" if flow.channel.family == "ipv4" else "Udp6SndbufErrors"
    dropped = end.changes[counter]
    for queue in end.facts.read("queues"):
        # A blackhole says nothing even to the kernel, which takes its drops for sent.
        if queue["index"] != link["index"] or not queue["root"] or not queue["drops"]:
            continue
        if not dropped and queue["kind"] != "blackhole":
            continue
        usual = queue["handle"] == 0  # the kernel has put it there by itself: it is full, and that is all
        blackhole = queue["kind"] == "blackhole"  # all that goes out there is lost, whoever else there is
        yield Match(
            "likely" if usual else "certain" if blackhole else surely(flow, "sender", counter),
            (
                f"the queue of {end.interface} is {queue['kind']}, and has dropped {queue['drops']} packets so far",
                *([f"{end.name} has counted {counter} +{dropped}"] if dropped else []),
            ),
            {
                "interface": end.interface,
                "kind": queue["kind"],
                "cure": "send more slowly" if usual else "go back to the usual queue, or send more slowly",
                "command": "" if usual else f"tc qdisc del dev {quote(end.interface)} root",
            },
            "code" if usual else None,
            shared=not blackhole,
        )


def _no_security(flow: Flow) -> Iterator[Match]:
    found = _out_by_meant(flow)
    if found is None:
        return
    end, _ = found
    dropped = end.changes["XfrmOutNoStates"]
    if dropped:
        seen = f"{end.name} has counted XfrmOutNoStates +{dropped}"
        values = {"group": flow.channel.group, "command": ipsec_exemption(flow)}
        yield Match(surely(flow, "sender", "XfrmOutNoStates"), (seen,), values, shared=True)


def _egress(flow: Flow) -> Iterator[Match]:
    found = _out_by_meant(flow)
    if found is None:
        return
    end, _ = found
    if flow.same_host:  # what loops back does not pass there
        return
    packet = packet_of(flow, end)
    for stop in stops(end.facts.firewall(), packet, "egress"):
        yield Match(
            "certain" if stop.sure else "possible",
            (f"{end.name} has in nftables: {stop}",),
            {"rule": str(stop), "command": stop.accepting(packet.selector)},
        )


#: Checks of the way out of the sender.
CHECKS: tuple[Check, ...] = (
    Check(
        id="sender.no-carrier",
        stage="sender",
        condition=_no_carrier,
        sentence="{interface} of {host} has no carrier: nothing is plugged in, or the other end is off",
        cure="plug in the cable, or switch on what is at its other end",
        reads=("links",),
        reference="netdevice(7), IFF_RUNNING; Documentation/networking/operstates.rst",
        place="sender",
    ),
    Check(
        id="route.loopback-not-local",
        stage="sender",
        condition=_loopback_route,
        sentence="IPv6 groups go over {interface} by a route of type {kind}, by which nothing is delivered",
        cure="put one of type local in its place",
        command="{command}",
        reads=("links", "routes"),
        reference="ip-route(8), type local",
        place="sender",
    ),
    Check(
        id="source.none",
        stage="sender",
        condition=_no_source,
        sentence="{host} has no IPv4 address, so that the datagrams come from 0.0.0.0, which receivers drop",
        cure="give {interface} one, of its network or a link-local one",
        command="ip addr add {address}/16 dev {interface}",
        reads=("links", "addresses", "the sender's socket: getsockname(2)"),
        reference="RFC 1122 section 3.2.1.3; RFC 3927",
        place="sender",
    ),
    Check(
        id="queue.drops",
        stage="sender",
        condition=_queue_drops,
        sentence="the queue of {interface} ({kind}) drops the datagrams, and send() says nothing",
        cure="{cure}",
        command="{command}",
        reads=("queues", "Udp SndbufErrors, Udp6SndbufErrors"),
        reference="tc(8); send(2), ENOBUFS",
        place="sender",
        passing=True,
    ),
    Check(
        id="ipsec.no-state",
        stage="sender",
        condition=_no_security,
        sentence="an IPsec policy wants {group} protected, and there is no key for it: send() says nothing",
        cure="exempt the group, or add a state for it",
        command="{command}",
        reads=("counters: XfrmOutNoStates (/proc/net/xfrm_stat)",),
        reference="RFC 4301 section 4.4; ip-xfrm(8)",
        place="sender",
    ),
    Check(
        id="firewall.egress",
        stage="sender",
        condition=_egress,
        sentence="a packet filter behind the sender's stack drops the datagrams, and send() says nothing: {rule}",
        cure="let them pass",
        command="{command}",
        reads=("firewall",),
        privilege="CAP_NET_ADMIN, to read the rules",
        reference="nft(8), hook egress",
        place="sender",
    ),
)
