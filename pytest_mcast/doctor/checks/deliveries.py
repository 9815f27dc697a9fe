"""Causes of deliveries that should not be: another group, source or interface than the receiver is for."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from pytest_mcast.doctor.check import Check, Match
from pytest_mcast.doctor.flow import End, Flow, Unwanted
from pytest_mcast.doctor.hearing import Ear, Joined, ears, listed

__all__ = ["CHECKS"]


def _cases(flow: Flow) -> Iterator[tuple[End, Ear, Unwanted, str, str]]:
    """Yield, for each socket that may have got it, the socket, the datagram, its group and where it came in."""
    if flow.receiver is None or flow.unwanted is None:
        return
    for ear in ears(flow):
        if not ear.elsewhere and ear.port == flow.channel.port:
            group = flow.unwanted.group or flow.channel.group
            yield flow.receiver, ear, flow.unwanted, group, flow.unwanted.interface or flow.receiver.interface


def _by(ear: Ear, group: str, interface: str) -> Joined | None:
    """Return the membership of a socket by which it gets a datagram: IPv6 does not look at the interface."""
    of_group = [each for each in ear.joined or () if each.group == group]
    here = next((each for each in of_group if each.interface == interface), None)
    return here or (next(iter(of_group), None) if ":" in group else None)


def _unicast(flow: Flow) -> Iterator[Match]:
    for _, ear, _, group, _ in _cases(flow):
        if not ipaddress.ip_address(group).is_multicast and not ear.address:
            seen = f"{ear.name} is bound to no address; the datagram was sent to {group}, which is no group"
            values = {"address": group, "group": flow.channel.group}
            yield Match("certain" if ear.known else "likely", (seen,), values)


def _of_others(flow: Flow) -> Iterator[Match]:
    for end, ear, _, group, interface in _cases(flow):
        if not _is_group(group) or ear.takes_all is not True or ear.address not in ("", group):
            continue
        if ear.joined is not None and _by(ear, group, interface) is not None:
            continue
        if end.facts.memberships(group, interface):
            mine = "has" if ear.joined is None else "has not, but it has"
            seen = (
                f"{end.name} has joined {group} on {interface}",
                f"{ear.name} {mine} IP_MULTICAST_ALL=1 (IPV6_MULTICAST_ALL), the default",
            )
            yield Match("certain" if ear.joined is not None else "likely", seen, {"group": flow.channel.group})


def _joined_too(flow: Flow) -> Iterator[Match]:
    for end, ear, _, group, interface in _cases(flow):
        wanted = (flow.channel.group, end.interface)
        own = next((each for each in ear.joined or () if (each.group, each.interface) == (group, interface)), None)
        if own is not None and (group, interface) != wanted and ear.address in ("", group):
            seen = f"{ear.name} has joined {group} on {interface} as well"
            yield Match("certain", (seen,), {"group": group, "interface": interface})


def _any_interface(flow: Flow) -> Iterator[Match]:
    for end, ear, _, group, interface in _cases(flow):
        own = _by(ear, group, interface)
        if own is None or own.interface == interface or ear.device or interface == end.interface:
            continue
        seen = (
            f"{ear.name} has joined {group} on {own.interface}, is bound to no interface, and got this on {interface}"
        )
        yield Match("certain", (seen,), {"joined": own.interface, "interface": end.interface})


def _sources(flow: Flow) -> Iterator[tuple[Ear, str, str, Joined]]:
    for _, ear, datagram, group, interface in _cases(flow):
        own, wanted, source = _by(ear, group, interface), flow.channel.source, datagram.source
        if own is not None and group == flow.channel.group and None not in (wanted, source) and wanted != source:
            yield ear, str(wanted), str(source), own


def _any_source(flow: Flow) -> Iterator[Match]:
    for ear, wanted, source, own in _sources(flow):
        if own.mode == "exclude":
            seen = (
                f"{ear.name} has joined {own.group} on {own.interface} for any source; the datagram came from {source}"
            )
            yield Match("certain", (seen,), {"group": own.group, "wanted": wanted})


def _more_sources(flow: Flow) -> Iterator[Match]:
    for ear, wanted, source, own in _sources(flow):
        if own.mode == "include" and source in own.sources:
            seen = f"{ear.name} has joined {own.group} on {own.interface} for {listed(own.sources)}"
            yield Match("certain", (seen,), {"source": source, "wanted": wanted})


def _own_copy(flow: Flow) -> Iterator[Match]:
    for end, ear, datagram, group, interface in _cases(flow):
        own = {each["address"] for each in end.facts.addresses()}
        proper = group == flow.channel.group and interface == end.interface and not list(_sources(flow))
        if datagram.source not in own or not proper:
            continue
        seen = [f"the datagram came from {datagram.source}, an address of {end.name} itself; {ear.name} is a member"]
        sure = flow.same_host and flow.loopback is True
        if sure:
            seen.append("the sender's socket has IP_MULTICAST_LOOP=1 (IPV6_MULTICAST_LOOP), the default")
        yield Match("certain" if sure else "likely", tuple(seen), {"host": end.name})


def _misrouted(flow: Flow) -> Iterator[Match]:
    for _, ear, _, group, interface in _cases(flow):
        if not _is_group(group) or ":" in group or _by(ear, group, interface) is not None or ear.joined is None:
            continue
        if ear.takes_all is False and ear.reuse_port and not ear.address:
            seen = (
                f"{ear.name} has not joined {group}; it has SO_REUSEPORT, IP_MULTICAST_ALL=0 and is bound to no address"
            )
            yield Match("certain", (seen,), {"group": flow.channel.group})


def _is_group(address: str) -> bool:
    return ipaddress.ip_address(address).is_multicast


_READS = (
    "the datagram: IP_PKTINFO, IPV6_RECVPKTINFO",
    "the receiver's socket: getsockname, MCAST_MSFILTER, IP_MULTICAST_ALL, IPV6_MULTICAST_ALL",
)
_HOST = "memberships: /proc/net/igmp, igmp6"

#: Checks of a datagram that was delivered and should not have been.
CHECKS: tuple[Check, ...] = (
    Check(
        id="bind.wildcard",
        stage="unwanted",
        condition=_unicast,
        sentence="the socket is bound to no address, so it gets what is sent to {address} and its port as well",
        cure="bind to the group, {group}, where the system allows it, or look at the destination (IP_PKTINFO)",
        reads=_READS,
        reference="ip(7) Address format",
        place="code",
    ),
    Check(
        id="multicast-all.on",
        stage="unwanted",
        condition=_of_others,
        sentence="the socket gets what other sockets of the host have joined (IP_MULTICAST_ALL=1)",
        cure="set IP_MULTICAST_ALL (IPV6_MULTICAST_ALL) to 0, and bind to the group, {group}",
        reads=(*_READS, _HOST),
        reference="ip(7) IP_MULTICAST_ALL",
        place="code",
    ),
    Check(
        id="membership.more",
        stage="unwanted",
        condition=_joined_too,
        sentence="the socket has joined {group} on {interface} itself, beside the channel",
        cure="leave it, or take a socket for each channel, bound to its group and interface",
        reads=_READS,
        reference="RFC 3678 section 1",
        place="code",
    ),
    Check(
        id="device.none",
        stage="unwanted",
        condition=_any_interface,
        sentence="IPv6 matches the memberships of a socket by group only: one joined on {joined} gets it from everywhere",
        cure="bind the socket to {interface} (SO_BINDTODEVICE), or look at the interface of each datagram (IPV6_RECVPKTINFO)",
        reads=(*_READS, "the receiver's socket: SO_BINDTODEVICE"),
        reference="Linux net/ipv6/mcast.c inet6_mc_check; RFC 3542 section 6.2",
        place="code",
    ),
    Check(
        id="membership.any-source",
        stage="unwanted",
        condition=_any_source,
        sentence="the group was joined for any source, though only {wanted} is meant",
        cure="join it for that source: MCAST_JOIN_SOURCE_GROUP, IP_ADD_SOURCE_MEMBERSHIP with {wanted}",
        reads=_READS,
        reference="RFC 4607 section 4.2; RFC 4604 section 2.2.1: the kernel does not refuse it for 232/8, ff3x::/32",
        place="code",
    ),
    Check(
        id="membership.more-sources",
        stage="unwanted",
        condition=_more_sources,
        sentence="the group was joined for {source} as well, though only {wanted} is meant",
        cure="leave that source: MCAST_LEAVE_SOURCE_GROUP, IP_DROP_SOURCE_MEMBERSHIP with {source}",
        reads=_READS,
        reference="RFC 3678 section 4.1.3",
        place="code",
    ),
    Check(
        id="loopback.on",
        stage="unwanted",
        condition=_own_copy,
        sentence="the datagram is {host}'s own: what is sent to a group is looped back to the members on the host itself",
        cure="switch it off at the socket that sends: Sender(loopback=False), IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP",
        reads=(*_READS, "addresses", "the sender's socket: IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP"),
        reference="RFC 1112 section 6.1; ip(7) IP_MULTICAST_LOOP",
        place="code",
    ),
    Check(
        id="reuse-port.stray",
        stage="unwanted",
        condition=_misrouted,
        sentence="the kernel gives it to this socket instead of the one that has joined: both have SO_REUSEPORT",
        cure="use SO_REUSEADDR instead of SO_REUSEPORT, or bind to {group}",
        reads=(*_READS, "the receiver's socket: SO_REUSEPORT"),
        reference="Linux include/net/inet_hashtables.h inet_steal_sock; socket(7) SO_REUSEPORT",
        place="code",
    ),
)
