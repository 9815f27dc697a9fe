"""Causes in what the receiver has joined."""

from __future__ import annotations

from pytest_mcast.doctor.check import Check
from pytest_mcast.doctor.obstacles import obstacle

__all__ = ["CHECKS"]

_JOINED = "the receiver's socket: MCAST_MSFILTER"
_READS = (_JOINED, "memberships: /proc/net/igmp, igmp6, mcfilter, mcfilter6")

#: Checks of what the receiver's socket, and its host, have joined.
CHECKS: tuple[Check, ...] = (
    Check(
        id="membership.none",
        stage="socket",
        condition=obstacle("membership.none"),
        sentence="nobody has joined {group} on {interface}, or it was left again: binding to a group does not join it",
        cure="join it on {interface}, and stay joined: {how}",
        reads=_READS,
        reference="RFC 3678 section 4.1; ip(7) IP_ADD_MEMBERSHIP",
        place="code",
    ),
    Check(
        id="membership.other-interface",
        stage="socket",
        condition=obstacle("membership.other-interface"),
        sentence="the group was joined on {joined}, but the datagrams come in on {interface}",
        cure="name {interface} in the join: {how}",
        reads=(*_READS, "route to the group"),
        reference="RFC 3678 section 4.1; ip(7) IP_ADD_MEMBERSHIP, ipv6(7) IPV6_ADD_MEMBERSHIP",
        place="code",
    ),
    Check(
        id="membership.other-group",
        stage="socket",
        condition=obstacle("membership.other-group"),
        sentence="the socket has joined {joined}, but the datagrams go to {group}",
        cure="join the group that is sent to, {group}, on {interface}: {how}",
        reads=_READS,
        reference="RFC 1112 section 7.1",
        place="code",
    ),
    Check(
        id="membership.other-source",
        stage="socket",
        condition=obstacle("membership.other-source"),
        sentence="the group was joined for other sources ({sources}) than the datagrams come from, {source}",
        cure="join it for the address that the sender really has, {source}: {how}",
        reads=(*_READS, "the sender's socket: getsockname"),
        reference="RFC 4607 section 4.2; RFC 3376 section 3.1",
        place="code",
    ),
    Check(
        id="membership.source-blocked",
        stage="socket",
        condition=obstacle("membership.source-blocked"),
        sentence="the socket has blocked {source}, where the datagrams come from",
        cure="unblock it: MCAST_UNBLOCK_SOURCE, IP_UNBLOCK_SOURCE",
        reads=(*_READS, "the sender's socket: getsockname"),
        reference="RFC 3678 section 4.1.3",
        place="code",
    ),
    Check(
        id="membership.lost",
        stage="socket",
        condition=obstacle("membership.lost"),
        sentence="{interface} has lost the membership that the socket believes to have: it was reconfigured after the join",
        cure="join again, with a new socket, whenever {interface} was reconfigured (rtnetlink(7) tells)",
        reads=_READS,
        reference="Linux net/ipv4/igmp.c ip_mc_destroy_dev, net/ipv6/mcast.c ipv6_mc_destroy_dev",
        place="code",
    ),
    Check(
        id="multicast-all.off",
        stage="socket",
        condition=obstacle("multicast-all.off"),
        sentence="the group was joined by another socket, and this one takes only what it has joined itself (IP_MULTICAST_ALL=0)",
        cure="join with the socket that receives, or leave IP_MULTICAST_ALL, IPV6_MULTICAST_ALL at 1",
        reads=(*_READS, "the receiver's socket: IP_MULTICAST_ALL, IPV6_MULTICAST_ALL"),
        reference="ip(7) IP_MULTICAST_ALL",
        place="code",
    ),
)
