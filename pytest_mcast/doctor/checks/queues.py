"""Causes at a socket that has joined and is bound as it should: its filter, its buffer, who reads from it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from pytest_mcast.doctor.check import Check, Match
from pytest_mcast.doctor.facts import NotRead
from pytest_mcast.doctor.flow import Flow
from pytest_mcast.doctor.hearing import Ear, ears, strangers
from pytest_mcast.doctor.obstacles import found

__all__ = ["CHECKS"]

_OF_EVERY_HOST = {"224.0.0.1", "ff01::1", "ff02::1"}
_SOLICITED = "ff02::1:ff"


def _full(flow: Flow, *, capped: bool) -> Iterator[Match]:
    for ear in _listening(flow):
        if not ear.drops or not ear.buffer:
            continue
        name = _errors(flow, "RcvbufErrors")
        counted = _counted(flow, name)
        if counted == 0:
            continue  # for another reason: a bad checksum, a filter
        limit = flow.receiver.facts.sysctl_int("net.core.rmem_max") if flow.receiver else 0
        if (ear.buffer >= 2 * limit) != capped:
            continue
        seen = (
            f"the kernel has dropped {ear.drops} datagrams at {ear.name}, whose buffer is {ear.buffer} bytes",
            *(() if counted is None else (f"{name} has counted {counted} since the test began",)),
            f"SO_RCVBUF is at most {limit} here (net.core.rmem_max), of which the kernel makes twice as many bytes",
        )
        sure = ear.known and counted is not None
        values = {"buffer": ear.buffer, "limit": limit, "more": 4 * limit}
        yield Match("certain" if sure else "likely", seen, values)


def _filtered(flow: Flow) -> Iterator[Match]:
    bad, full, sums = (_counted(flow, _errors(flow, name)) for name in ("InErrors", "RcvbufErrors", "InCsumErrors"))
    for ear in _listening(flow):
        if not ear.filter or not ear.drops or bad == 0:
            continue
        length = "an eBPF program" if ear.filter < 0 else f"a program of {ear.filter} instructions"
        seen = [f"{ear.name} has a socket filter, {length}", f"the kernel has dropped {ear.drops} datagrams at it"]
        sure = bad is not None and not full and not sums
        if sure:
            seen.append(f"{_errors(flow, 'InErrors')} has counted {bad}, none for want of room or a bad checksum")
        yield Match("certain" if sure else "likely", tuple(seen))


def _unread(flow: Flow) -> Iterator[Match]:
    listening = _listening(flow)
    came = _counted(flow, "Ip.InDelivers" if flow.channel.family == "ipv4" else "Ip6InDelivers")
    for ear in listening:
        if not ear.queued or came == 0:  # what is there was there before
            continue
        seen = f"{ear.queued} bytes of buffer are taken by datagrams that have arrived at {ear.name} and were not read"
        # Of a socket that is not known it may be meant; and they may be of another group that the host has joined.
        doubtful = not ear.known and len(listening) > 1
        only = ear.address == flow.channel.group or ear.takes_all is False
        alone = only or not [each for each in _groups(flow) if each != flow.channel.group]
        sure = ear.known and not ear.drops and alone and came is not None and came >= (flow.sent or 1)
        yield Match("certain" if sure else "possible" if doubtful else "likely", (seen,), shared=True)


def _groups(flow: Flow) -> set[str]:
    """Return the groups that the receiver's host has joined, but those that every host has (RFC 4291 section 2.8)."""
    if flow.receiver is None:
        return set()
    groups = {each["group"] for each in flow.receiver.facts.memberships()} - _OF_EVERY_HOST
    return {each for each in groups if not each.startswith(_SOLICITED)}


def _read_already(flow: Flow) -> Iterator[Match]:
    end, name = flow.receiver, _errors(flow, "InDatagrams")
    read, listening = _counted(flow, name), _listening(flow)
    if end is None or not flow.sent or flow.received != 0 or read is None or read < flow.sent or len(listening) != 1:
        return
    ear = listening[0]
    # Counted when they are read, for the whole host: so there must be nobody else who reads.
    if ear.queued or ear.drops or any(each["inode"] != ear.inode for each in end.facts.sockets()):
        return
    seen = (f"{flow.sent} were sent, and {name} has counted {read} that were read since the test began",)
    alone = f"{ear.name} is the only UDP socket of {end.name}, and nothing is left in it"
    yield Match("likely", (*seen, alone))


def _misrouted(flow: Flow) -> Iterator[Match]:
    end = flow.receiver
    if end is None or flow.channel.family != "ipv4":
        return
    for ear in _listening(flow):
        if not ear.reuse_port or ear.takes_all is not False or ear.address:
            continue
        others = [each for each in strangers(flow, end) if each.inode != ear.inode and not each.address]
        if not others:
            continue
        there = [each for each in others if each.queued]
        seen = f"{ear.name} has SO_REUSEPORT, IP_MULTICAST_ALL=0 and no address, and shares port {ear.port} with {others[0].name}"
        more = [f"{each.queued} bytes of buffer are taken by datagrams that arrived at {each.name}" for each in there]
        yield Match("certain" if there else "likely", (seen, *more), {"group": flow.channel.group})


def _listening(flow: Flow) -> list[Ear]:
    """Return the sockets that have no other reason not to get the datagrams."""
    return [] if found(flow) else ears(flow)


def _errors(flow: Flow, name: str) -> str:
    return ("Udp6" if flow.channel.family == "ipv6" else "Udp.") + name


def _counted(flow: Flow, name: str) -> int | None:
    """Return what a counter of the receiver has counted; None where nobody has."""
    try:
        return None if flow.receiver is None else flow.receiver.changes[name]
    except NotRead:
        return None


_LIST = "sockets: sock_diag, /proc/net/udp, udp6"

#: Checks of what becomes of datagrams at the receiver's socket.
CHECKS: tuple[Check, ...] = (
    Check(
        id="reuse-port.misrouted",
        stage="socket",
        condition=_misrouted,
        sentence="the kernel gives this flow to another socket on the port: it spreads flows over all that have SO_REUSEPORT",
        cure="use SO_REUSEADDR instead of SO_REUSEPORT, or bind to {group}",
        reads=("the receiver's socket: SO_REUSEPORT, IP_MULTICAST_ALL", _LIST),
        reference="Linux include/net/inet_hashtables.h inet_steal_sock; socket(7) SO_REUSEPORT",
        place="code",
        passing=True,
    ),
    Check(
        id="filter.drops",
        stage="socket",
        condition=_filtered,
        sentence="a filter that is attached to the socket drops the datagrams",
        cure="correct the filter, or take it off: SO_DETACH_FILTER",
        reads=("the receiver's socket: SO_GET_FILTER, SO_MEMINFO", "counters: Udp.InErrors, Udp6InErrors"),
        reference="socket(7) SO_ATTACH_FILTER",
        place="code",
        passing=True,
    ),
    Check(
        id="buffer.full",
        stage="socket",
        condition=partial(_full, capped=False),
        sentence="the socket's receive buffer ({buffer} bytes) was full, because datagrams came faster than they were read",
        cure="set SO_RCVBUF to more, up to net.core.rmem_max={limit} (Receiver(receive_buffer=...)), or read faster",
        reads=("the receiver's socket: SO_MEMINFO", _LIST, "counters: Udp.RcvbufErrors, Udp6RcvbufErrors"),
        reference="socket(7) SO_RCVBUF; udp(7)",
        place="code",
        passing=True,
    ),
    Check(
        id="buffer.capped",
        stage="socket",
        condition=partial(_full, capped=True),
        sentence="the socket's receive buffer ({buffer} bytes) was full, and it may not be larger on this host",
        cure="raise the limit and SO_RCVBUF, or read faster",
        command="sysctl -w net.core.rmem_max={more}",
        reads=("the receiver's socket: SO_MEMINFO", _LIST, "counters: Udp.RcvbufErrors, Udp6RcvbufErrors", "sysctl"),
        reference="socket(7) SO_RCVBUF; Documentation/admin-guide/sysctl/net.rst",
        place="receiver",
        passing=True,
        privilege="its cure: root in the machine's own network namespace",
        verified=False,  # made by the tests, but not cured: the limit is the machine's
    ),
    Check(
        id="socket.unread",
        stage="socket",
        condition=_unread,
        sentence="the datagrams have arrived at the socket, and nobody has read them: another was waited on, or not for long enough",
        cure="read from this socket, with a longer time-out, until recv() would block",
        reads=("the receiver's socket: SO_MEMINFO", _LIST),
        reference="udp(7) SIOCINQ",
        place="code",
        passing=True,
    ),
    Check(
        id="socket.read-already",
        stage="socket",
        condition=_read_already,
        sentence="the datagrams were read from the socket already: by another thread or process, or by code that threw them away",
        cure="let one reader have the socket: a thread, event loop or child process may still hold it, or a copy of it",
        reads=("counters: Udp.InDatagrams, Udp6InDatagrams", _LIST, "how many were sent and received"),
        reference="RFC 4113 udpInDatagrams; dup(2), fork(2)",
        place="code",
        passing=True,
    ),
)
