"""Causes of a refused join: a limit of the kernel, or what this socket, or another one, has already."""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_mcast.core.errors import MembershipError
from pytest_mcast.doctor.check import Check, Match
from pytest_mcast.doctor.flow import End, Flow

from .refusals import caller, said

__all__ = ["CHECKS"]

# What a membership takes of net.core.optmem_max, in bytes on a machine of 64 bits: struct ip_mc_socklist and struct
# ipv6_mc_socklist as slabs; measured by joining until it was refused (Linux 6.18: 48 and 56 bytes).
_BYTES = {"ipv4": 48, "ipv6": 56}
_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - what is looked for
_MLD_SOURCES = 64  # mld_max_msf where it cannot be read: in all network namespaces but the first


def _groups(end: End, family: str) -> list[Mapping[str, Any]]:
    """Return the memberships of a family; the kernel's own group of all hosts is no socket's."""
    ipv6 = family == "ipv6"
    return [
        each
        for each in end.facts.memberships()
        if (":" in each["group"]) == ipv6 and each["group"] != "224.0.0.1" and each["interface"] != "lo"
    ]


def _most_groups(flow: Flow) -> Iterator[Match]:
    end = _joiner(flow, errno.ENOBUFS)
    if end is None or flow.channel.family == "ipv6":
        return
    limit = end.facts.sysctl_int("net.ipv4.igmp_max_memberships")
    # Each socket may have that many; the host has no fewer than this one.
    joined = len(_groups(end, "ipv4"))
    if joined >= limit and _sources(end, flow) < end.facts.sysctl_int("net.ipv4.igmp_max_msf"):
        yield Match(
            "certain",
            (said(flow), f"net.ipv4.igmp_max_memberships = {limit}; {end.name} has joined {joined} groups"),
            {"limit": limit, "more": 2 * limit},
        )


def _sources(end: End, flow: Flow) -> int:
    """Return how many sources of the group are joined, or blocked; 0 when the group was to be joined from any."""
    here = end.facts.memberships(flow.channel.group, end.interface)
    which = "blocked" if flow.channel.source is None else "sources"
    return max((len(each[which]) for each in here), default=0)


def _filtered(flow: Flow) -> str:
    return "blocked" if flow.channel.source is None else "joined"


def _most_sources(flow: Flow) -> Iterator[Match]:
    end = _joiner(flow, errno.ENOBUFS)
    if end is None:
        return
    joined, what = _sources(end, flow), _filtered(flow)
    limit = end.facts.sysctl_int("net.ipv4.igmp_max_msf")
    if flow.channel.family == "ipv4" and joined >= limit:
        yield Match(
            "certain",
            (said(flow), f"net.ipv4.igmp_max_msf = {limit}; {joined} sources of {flow.channel.group} are {what}"),
            {"limit": limit, "more": 2 * limit, "group": flow.channel.group},
        )


def _most_sources_ipv6(flow: Flow) -> Iterator[Match]:
    end = _joiner(flow, errno.ENOBUFS)
    if end is None or flow.channel.family == "ipv4":
        return
    joined, what = _sources(end, flow), _filtered(flow)
    # Where the limit is not to be read it is the machine's; and IPv6 knows no other reason for this code.
    values = end.facts.read("sysctl")
    limit = values.get("net.ipv6.mld_max_msf")
    if joined >= int(limit or _MLD_SOURCES):
        known = (
            f"net.ipv6.mld_max_msf = {limit}"
            if limit
            else "net.ipv6.mld_max_msf is readable in the first network namespace only"
        )
        yield Match(
            "certain",
            (said(flow), f"{known}; {joined} sources of {flow.channel.group} are {what}"),
            {"joined": joined, "group": flow.channel.group},
        )


def _memory(flow: Flow) -> Iterator[Match]:
    ipv6 = flow.channel.family == "ipv6"
    end = _joiner(flow, errno.ENOMEM if ipv6 else errno.ENOBUFS)
    if end is None or any(_most_groups(flow)) or any(_most_sources(flow)):
        return
    limit = end.facts.sysctl_int("net.core.optmem_max")
    joined = len(_groups(end, flow.channel.family))
    needed = (joined + 1) * _BYTES[flow.channel.family]
    if needed > limit:
        yield Match(
            "certain",
            (
                said(flow),
                f"net.core.optmem_max = {limit} bytes",
                f"{end.name} has joined {joined} groups, and one more takes about {needed} bytes",
            ),
            {"limit": limit, "more": max(131072, 2 * limit)},  # the default of Linux 6.8 and later
        )


def _joiner(flow: Flow, *codes: int) -> End | None:
    return caller(flow, *codes) if flow.call in ("join", "bind", "block") else None


def _bound(flow: Flow, end: End) -> bool | None:
    """Return whether the socket that was to join has its port already; None when nobody knows the socket."""
    if isinstance(flow.error, MembershipError):  # ours, and it says so
        return True
    if not end.sockets:
        return None
    # Where the call is known to be the join itself, it does not matter.
    return bool(end.sockets[0].get("local", ["", 0])[1]) or "joins" in end.sockets[0]


def _port_taken(flow: Flow) -> Iterator[Match]:
    end = _joiner(flow, errno.EADDRINUSE)
    if end is None or _bound(flow, end):
        return
    readings = end.facts.snapshot.readings
    holders = end.facts.read("holders") if "holders" in readings else {}  # of another user's nobody may know
    joined = end.facts.memberships(flow.channel.group, end.interface)  # else it may be this socket's own
    everywhere = flow.call == "bind" and flow.channel.group in _WILDCARDS  # in the way of each address, and each in its
    for sock in end.facts.sockets(flow.channel.port):
        # A socket of IPv6 on the wildcard address has the port for IPv4, too, unless it is for IPv6 only.
        both = sock["local"] == "::" and not sock.get("v6only")
        alike = sock["family"] == flow.channel.family or both or flow.channel.family == "ipv6"
        if not alike or not (everywhere or sock["local"] in (*_WILDCARDS, flow.channel.group)):
            continue
        program = holders.get(str(sock["inode"]))
        who = f"user {sock['uid']}" if program is None else f"{program}, user {sock['uid']}"
        yield Match(
            "certain" if _bound(flow, end) is False or not joined else "likely",
            (
                said(flow),
                f"{end.name} has a socket on {sock['local']} port {flow.channel.port} (inode {sock['inode']})",
            ),
            {"port": flow.channel.port, "who": who},
        )
        return


def _joined(flow: Flow) -> Iterator[Match]:
    end = _joiner(flow, errno.EADDRINUSE)
    if end is None or not _bound(flow, end):
        return
    here = end.facts.memberships(flow.channel.group, end.interface)
    if here:
        bound = f"the socket is bound to port {flow.channel.port}, and " if flow.channel.port else ""
        yield Match(
            "certain",
            (said(flow), f"{bound}{end.name} has joined {flow.channel.group}"),
            {"group": flow.channel.group, "interface": end.interface},
        )


def _source_joined(flow: Flow) -> Iterator[Match]:
    end = _joiner(flow, errno.EADDRNOTAVAIL) if flow.call == "join" else None
    source = flow.channel.source
    if end is None or source is None:
        return
    here = end.facts.memberships(flow.channel.group, end.interface)
    if any(source in each["sources"] for each in here):
        yield Match(
            "certain",
            (said(flow), f"{end.name} has joined {flow.channel.group} from {source} on {end.interface}"),
            {"group": flow.channel.group, "source": source, "interface": end.interface},
        )


def _privileged(flow: Flow) -> Iterator[Match]:
    end = _joiner(flow, errno.EACCES)
    if end is None:
        return
    first = end.facts.sysctl_int("net.ipv4.ip_unprivileged_port_start")
    if 0 < flow.channel.port < first:
        yield Match(
            "certain",
            (said(flow), f"net.ipv4.ip_unprivileged_port_start = {first}, the port is {flow.channel.port}"),
            {"port": flow.channel.port, "first": first},
        )


def _no_group(flow: Flow) -> Iterator[Match]:
    end = _joiner(flow, errno.EINVAL)
    if end is not None and flow.call != "bind" and not ipaddress.ip_address(flow.channel.group).is_multicast:
        yield Match("certain", (said(flow),), {"group": flow.channel.group})


#: Checks of a refused join.
CHECKS: tuple[Check, ...] = (
    Check(
        id="limit.groups",
        stage="call",
        condition=_most_groups,
        sentence="a socket may join {limit} IPv4 groups (net.ipv4.igmp_max_memberships), and this was one more",
        cure="raise the limit, or open another socket",
        command="sysctl -w net.ipv4.igmp_max_memberships={more}",
        reads=("memberships", "net.ipv4.igmp_max_memberships", "net.ipv4.igmp_max_msf"),
        reference="ip-sysctl, igmp_max_memberships",
        place="receiver",
    ),
    Check(
        id="limit.sources",
        stage="call",
        condition=_most_sources,
        sentence="a socket may join, or block, {limit} sources of an IPv4 group (net.ipv4.igmp_max_msf), and this was one more",
        cure="raise the limit, or open another socket",
        command="sysctl -w net.ipv4.igmp_max_msf={more}",
        reads=("memberships", "net.ipv4.igmp_max_msf"),
        reference="ip-sysctl, igmp_max_msf; RFC 3678 section 3",
        place="receiver",
    ),
    Check(
        id="limit.sources-ipv6",
        stage="call",
        condition=_most_sources_ipv6,
        sentence="a socket may join, or block, {joined} sources of an IPv6 group (net.ipv6.mld_max_msf), and this was one more",
        cure="join the other sources with another socket, or raise net.ipv6.mld_max_msf of the whole machine",
        reads=("memberships", "net.ipv6.mld_max_msf"),
        reference="ip-sysctl, mld_max_msf",
        place="code",
    ),
    Check(
        id="limit.memory",
        stage="call",
        condition=_memory,
        sentence="the memory that the kernel has for the options of a socket, {limit} bytes (net.core.optmem_max), is used up",
        cure="raise the limit, or open another socket",
        command="sysctl -w net.core.optmem_max={more}",
        reads=("memberships", "net.core.optmem_max", "net.ipv4.igmp_max_memberships", "net.ipv4.igmp_max_msf"),
        reference="admin-guide/sysctl/net, optmem_max",
        place="receiver",
    ),
    Check(
        id="port.taken",
        stage="call",
        condition=_port_taken,
        sentence="port {port} belongs to another socket ({who}) that does not share it",
        cure="close that socket, or have both set SO_REUSEADDR before they bind",
        reads=("sockets", "/proc/PID/fd", "the socket: getsockname(2)"),
        reference="socket(7), SO_REUSEADDR",
        place="code",
    ),
    Check(
        id="port.privileged",
        stage="call",
        condition=_privileged,
        sentence="port {port} is for root only: ports for everybody begin at {first}",
        cure="open the ports from this one on for everybody, or use a higher one",
        command="sysctl -w net.ipv4.ip_unprivileged_port_start={port}",
        reads=("net.ipv4.ip_unprivileged_port_start",),
        reference="ip-sysctl, ip_unprivileged_port_start; ip(7), EACCES",
        place="receiver",
    ),
    Check(
        id="group.unicast",
        stage="call",
        condition=_no_group,
        sentence="{group} is not a group, but the address of one host",
        cure="join a group: 224.0.0.0/4, ff00::/8",
        reads=("the group",),
        reference="RFC 5771; RFC 4291 section 2.7; RFC 3678 section 5.1",
        place="code",
    ),
    Check(
        id="group.joined-already",
        stage="call",
        condition=_joined,
        sentence="this socket has joined {group} on {interface} already, and can do so only once",
        cure="join once with a socket, or leave in between; for one more source use MCAST_JOIN_SOURCE_GROUP",
        reads=("memberships", "the socket: getsockname(2)"),
        reference="RFC 3678 section 5.1",
        place="code",
    ),
    Check(
        id="source.joined-already",
        stage="call",
        condition=_source_joined,
        sentence="this socket has joined {group} from {source} on {interface} already, and can do so only once",
        cure="join each source once with a socket",
        reads=("memberships",),
        reference="RFC 3678 section 5.1",
        place="code",
    ),
)
