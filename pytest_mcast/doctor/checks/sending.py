"""Causes at the sender: what never leaves it, or cannot get to where the receiver is."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from pytest_mcast.doctor.check import Check, Confidence, Match
from pytest_mcast.doctor.flow import End, Flow

from . import choosing, leaving

__all__ = ["CHECKS"]


_USUAL_TTL = 64  # ip-sysctl, ip_default_ttl; IPv6 hop_limit


def _ttl_zero(flow: Flow) -> Iterator[Match]:
    if flow.ttl != 0 or flow.same_host or flow.sender is None:
        return
    # Measured (Linux 6.18): without a member of the group on the sender's own interface they leave all the same.
    member = flow.sender.facts.memberships(flow.channel.group, flow.sender.interface)
    here = f"{flow.sender.name} has {'' if member else 'not '}joined the group on {flow.sender.interface}"
    yield Match("certain" if member else "possible", ("the socket sends with TTL (hop limit) 0", here))


def _networks(end: End, family: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Return the networks that an end is on; link-local ones are on every link."""
    found = [
        ipaddress.ip_network(f"{each['address']}/{each['prefix']}", strict=False)
        for each in end.facts.addresses(end.interface, family)
    ]
    return [network for network in found if not network.is_link_local]


def _behind_router(flow: Flow) -> tuple[End, End, str] | None:
    """Return both ends, and where they are in words, if their links are different ones with a router between them."""
    sender, receiver, family = flow.sender, flow.receiver, flow.channel.family
    if sender is None or receiver is None or flow.same_host or flow.segment is not None:
        return None
    if flow.apart is not None and not flow.apart.routers:
        return None  # no TTL helps
    here, there = _networks(sender, family), _networks(receiver, family)
    if not here or not there or any(one.overlaps(other) for one in here for other in there):
        return None
    words = f"{sender.name} is on {here[0]}, {receiver.name} on {there[0]}"
    return sender, receiver, words


def _sure(flow: Flow) -> Confidence:
    """Return how sure that is: two networks may be on one link, where nobody has seen the links."""
    return "certain" if flow.apart is not None else "likely"


def _ttl_one(flow: Flow) -> Iterator[Match]:
    found = _behind_router(flow)
    if found is None or flow.ttl != 1 or flow.channel.scope in ("interface-local", "link-local"):
        return
    sender, _, words = found
    evidence = ["the socket sends with TTL (hop limit) 1, the default", words]
    for sock in sender.sockets[:1]:
        usual = int(sender.facts.read("sysctl").get("net.ipv4.ip_default_ttl", _USUAL_TTL))
        unicast = sock.get("unicast_ttl", usual)
        if unicast not in (usual, _USUAL_TTL):
            evidence.append(f"its IP_TTL (IPV6_UNICAST_HOPS) is {unicast}, but that is for unicast only")
    yield Match(_sure(flow), tuple(evidence))


def _link_local_group(flow: Flow) -> Iterator[Match]:
    found = _behind_router(flow)
    if found is None or flow.channel.scope != "link-local":
        return
    _, receiver, words = found
    wider = "ff15::/16" if flow.channel.family == "ipv6" else "239.255.0.0/16"
    yield Match(_sure(flow), (words,), {"group": flow.channel.group, "receiver": receiver.name, "wider": wider})


def _interface_local_group(flow: Flow) -> Iterator[Match]:
    if flow.channel.scope != "interface-local" or flow.channel.family == "ipv4" or flow.sender is None:
        return
    if flow.receiver is not None and not flow.same_host:
        seen = f"the sender is {flow.sender.name}, the receiver {flow.receiver.name}"
        yield Match("certain", (seen,), {"group": flow.channel.group})


def _loopback_off(flow: Flow) -> Iterator[Match]:
    if flow.same_host and flow.loopback is False and flow.sender is not None:
        yield Match("certain", (f"sender and receiver are on {flow.sender.name}, and the sender's loopback is off",))


#: Checks of what the sender does.
CHECKS: tuple[Check, ...] = (
    Check(
        id="ttl.zero",
        stage="sender",
        condition=_ttl_zero,
        sentence="datagrams with TTL (hop limit) 0 do not leave a host that has joined the group itself",
        cure="set a TTL of at least 1: Sender(ttl=1), IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS",
        reads=("the sender's socket: IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS", "memberships"),
        reference="RFC 1112 section 6.1",
        place="code",
    ),
    Check(
        id="ttl.one",
        stage="sender",
        condition=_ttl_one,
        sentence="datagrams with TTL (hop limit) 1 end at the first router, and the receiver is behind one",
        cure="set a TTL of one more than there are routers: Sender(ttl=2), IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS",
        reads=("the sender's socket: IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS", "addresses of both ends", "sysctl"),
        reference="RFC 1112 section 6.1; RFC 3493 section 5.2",
        place="code",
    ),
    Check(
        id="scope.link-local",
        stage="sender",
        condition=_link_local_group,
        sentence="no router forwards the link-local group {group}, and {receiver} is on another link",
        cure="use a group of a wider scope, such as one in {wider}",
        reads=("addresses of both ends",),
        reference="RFC 5771 section 4; RFC 4291 section 2.7",
        place="code",
    ),
    Check(
        id="scope.interface-local",
        stage="sender",
        condition=_interface_local_group,
        sentence="datagrams to the interface-local group {group} never leave the host",
        cure="use a group of a wider scope: ff12::/16 for the link, ff15::/16 for the site",
        reads=("the group",),
        reference="RFC 4291 section 2.7",
        place="code",
    ),
    Check(
        id="loopback.off",
        stage="sender",
        condition=_loopback_off,
        sentence="with loopback off, receivers on the sender's own host get nothing",
        cure="leave it on: Sender(loopback=True), IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP",
        reads=("the sender's socket: IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP",),
        reference="RFC 1112 section 6.1; ip(7), IP_MULTICAST_LOOP",
        place="code",
    ),
    *choosing.CHECKS,
    *leaving.CHECKS,
)
