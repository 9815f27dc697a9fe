"""Causes in the choice of the interface that a sender sends out of: another one than was meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_mcast.doctor.check import Check, Confidence, Match
from pytest_mcast.doctor.facts import NotRead
from pytest_mcast.doctor.flow import End, Flow

from .refusals import add_route, covering, covers, link_of, table

__all__ = ["CHECKS", "chosen_otherwise"]

_MAIN_TABLE = 254  # RT_TABLE_MAIN
_ANY = ("", "0.0.0.0", "::")  # noqa: S104 - what is looked for


def _socket(flow: Flow) -> tuple[End, Mapping[str, Any]] | None:
    """Return the sender and its socket, as far as both are known."""
    if flow.sender is None or not flow.sender.sockets:
        return None
    return flow.sender, flow.sender.sockets[0]


@dataclass(frozen=True)
class _Chosen:
    """The interface that a socket names, and how in words; ``option`` if it is told, not concluded from an address.

    ``sure`` if a single datagram cannot name another.
    """

    name: str
    how: str
    option: bool = True
    sure: bool = False


def _chosen(end: End, sock: Mapping[str, Any]) -> _Chosen | None:
    """Return what the socket names; None when it names nothing, or nobody can see it."""
    if sock.get("device"):
        return _Chosen(sock["device"], f"the socket is bound to {sock['device']}", sure=True)
    if sock.get("sent_to"):
        return _Chosen(
            sock["sent_to"], f"the datagrams are sent to an address with the scope id of {sock['sent_to']}", sure=True
        )
    named = sock.get("multicast_interface")
    if isinstance(named, int) and named:
        name = end.facts.link(named)["name"]
        return _Chosen(name, f"IPV6_MULTICAST_IF of the socket is {named} ({name})")
    for option, address in (("IP_MULTICAST_IF", named), ("the address", sock.get("local", [""])[0])):
        # An IPv4 socket that is bound to an address, and names nothing else, sends from the interface that has it.
        if sock.get("family") != "ipv4" or not isinstance(address, str) or address in _ANY:
            continue
        for found in end.facts.addresses(family="ipv4"):
            if found["address"] == address:
                name = end.facts.link(found["index"])["name"]
                return _Chosen(name, f"{option} of the socket is {address} ({name})", option=option.isupper())
    return None


def _sent_by(flow: Flow, other: str, *, named: bool = False) -> tuple[Confidence, str] | None:
    """Return how sure it is that the datagrams went out of another interface than was meant, and what shows that.

    A socket does not tell all: IPv4 not the index that it was given, nor any the scope id in the address of ``sendto()``, or
    IP_PKTINFO. But what was sent tells, in part: it is all that the host sends. None when they went where they should.
    ``named``: an option of the socket names the other one.
    """
    end = flow.sender
    assert end is not None
    try:
        here, there = (end.changes[f"{name}.tx_packets"] for name in (end.interface, other))
    except NotRead:
        return "likely", "nobody has counted what was sent"
    words = f"packets sent meanwhile: {there} by {other}, {here} by {end.interface}"
    wanted = flow.sent or 1
    if here >= wanted > there:
        return None
    return "certain" if there >= wanted and (named or here < wanted) else "likely", words


def chosen_otherwise(flow: Flow) -> Iterator[Match]:
    """Yield a match if the socket itself names another interface than is meant."""
    known = _socket(flow)
    if known is None:
        return
    end, sock = known
    chosen = _chosen(end, sock)
    if chosen is None or chosen.name == end.interface or link_of(end) is None:
        return
    values = {"other": chosen.name, "interface": end.interface}
    if chosen.sure:
        yield Match("certain", (chosen.how,), values)
    elif sent := _sent_by(flow, chosen.name, named=chosen.option):
        yield Match(sent[0], (chosen.how, sent[1]), values)


def _other_routed(flow: Flow) -> Iterator[Match]:
    known = _socket(flow)
    if known is None:
        return
    end, sock = known
    group = flow.channel.group
    other = end.facts.route_to(group).get("interface")
    link = link_of(end)
    if _chosen(end, sock) is not None or other in (None, end.interface) or link is None or any(_other_by_rule(flow)):
        return
    sent = _sent_by(flow, other)
    if sent is None:
        return
    yield Match(
        sent[0],
        (f"the route of {end.name} to {group} is by {other}, and the socket names no interface", sent[1]),
        {
            "other": other,
            "interface": end.interface,
            "command": add_route(link, f"{group}/{128 if flow.channel.family == 'ipv6' else 32}"),
        },
    )


def _other_by_rule(flow: Flow) -> Iterator[Match]:
    known = _socket(flow)
    if known is None or flow.channel.family == "ipv6":  # groups are in the local table of IPv6, which is asked before
        return
    end, sock = known
    if _chosen(end, sock) is not None or link_of(end) is None:
        return
    mark = sock.get("mark", 0)
    for rule in end.facts.rules("ipv4"):
        if rule["table"] == _MAIN_TABLE:
            return
        if rule["action"] != "lookup" or rule["source"] or rule["iif"] or rule["oif"]:
            continue
        if rule.get("mark") not in (None, mark) or not covers(rule["destination"], flow.channel.group):
            continue
        for route in covering(end.facts, flow, rule["table"])[:1]:
            if route["interface"] in (None, end.interface):
                return
            marked = f" with mark {mark}" if rule.get("mark") else ""
            to = rule["destination"] or "all"
            sent = _sent_by(flow, route["interface"])
            if sent is None:
                return
            yield Match(
                sent[0],
                (
                    f"{end.name} has the rule {rule['priority']}: to {to}{marked} lookup {table(rule['table'])}",
                    f"there {route['destination']} is by {route['interface']}, and the socket names no interface",
                    sent[1],
                ),
                {"other": route["interface"], "interface": end.interface, "priority": rule["priority"]},
            )
            return


#: Checks of the interface that a sender sends out of.
CHECKS: tuple[Check, ...] = (
    Check(
        id="sender.other-interface",
        stage="sender",
        condition=chosen_otherwise,
        sentence="the sender sends out of {other}, not of {interface}",
        cure="name {interface}: Sender(interface=), IP_MULTICAST_IF, IPV6_MULTICAST_IF",
        reads=(
            "the sender's socket: SO_BINDTODEVICE, IP_MULTICAST_IF, IPV6_MULTICAST_IF, getsockname(2)",
            "addresses",
            "proc/net/dev",
        ),
        reference="RFC 1112 section 6.1; ip(7), IP_MULTICAST_IF; ipv6(7), IPV6_MULTICAST_IF",
        place="code",
    ),
    Check(
        id="sender.route-elsewhere",
        stage="sender",
        condition=_other_routed,
        sentence="the sender names no interface, and the route leads out of {other}, not of {interface}",
        cure="add a route to the group, or name the interface in the code (IP_MULTICAST_IF, IPV6_MULTICAST_IF)",
        command="{command}",
        reads=("the sender's socket: IP_MULTICAST_IF, IPV6_MULTICAST_IF", "route_to", "proc/net/dev"),
        reference="RFC 1112 section 6.1; ip(7), IP_MULTICAST_IF; ipv6(7), IPV6_MULTICAST_IF",
        place="sender",
    ),
    Check(
        id="sender.rule-elsewhere",
        stage="sender",
        condition=_other_by_rule,
        sentence="a routing rule leads the datagrams out of {other}, not of {interface}",
        cure="delete the rule, or name the interface in the code (IP_MULTICAST_IF)",
        command="ip rule del priority {priority}",
        reads=("the sender's socket: IP_MULTICAST_IF, SO_MARK", "rules", "routes", "proc/net/dev"),
        reference="ip-rule(8); socket(7), SO_MARK",
        place="sender",
    ),
)
