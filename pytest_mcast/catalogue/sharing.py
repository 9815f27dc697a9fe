"""Several sockets on one port: each gets exactly its own, whoever the others are, and whether they come or go.

A kernel that picks a socket by addresses and ports can lose some flows and not others, so there are many of them.
"""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

from pytest_mcast.cores import CoreFailure
from pytest_mcast.cores.behaviours import several
from pytest_mcast.lab.programs import ProgramError

from .situations import beside, situation, stray

if TYPE_CHECKING:
    from pytest_mcast.core.channels import Channel
    from pytest_mcast.cores.behaviours import Bench
    from pytest_mcast.lab import VirtualHost

__all__: list[str] = []

_EVERY_SOCKET = "__udp4_lib_mcast_deliver, __udp6_lib_mcast_deliver: one copy for each socket that wants it"
_FLOWS, _MANY, _FEW = 24, 12, 4

# Another program: binds a port on all addresses, as most do, joins a group, and says so; it never reads.
_PROGRAM = """
import socket, struct, sys
group, port, index = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
ipv6 = ":" in group
sock = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.bind(("::" if ipv6 else "0.0.0.0", port))
if ipv6:
    request = socket.inet_pton(socket.AF_INET6, group) + struct.pack("=I", index)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
else:
    request = socket.inet_aton(group) + bytes(4) + struct.pack("=i", index)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
print("ready", flush=True)
sys.stdin.read()
"""


@situation(
    "sharing.same-channel",
    f"two receivers of one channel, {_FLOWS} flows",
    "MUST",
    "RFC 4607 section 4.2, RFC 1112 section 7.2",
    outcome="both get all",
    reason="what several have asked for is for all of them",
)
def _same_channel(bench: Bench) -> None:
    several.same_channel(bench)


@situation(
    "sharing.many-of-one-channel",
    f"{_MANY} receivers of one channel, {_FEW} flows",
    "kernel",
    _EVERY_SOCKET + "; above 10 sockets on a port by another table",
    outcome="all get all",
    reason="what several have asked for is for all of them, however many they are",
)
def _many_of_one_channel(bench: Bench) -> None:
    rx, tx = bench.lab.hosts(2)
    channel = bench.channel(tx)
    receivers = [bench.open(channel, rx) for _ in range(_MANY)]
    flows = bench.flows(channel, tx, _FEW)
    flows.send("for all")
    bench.expect_exactly(dict.fromkeys(receivers, flows), rx)


@situation(
    "sharing.groups",
    f"three receivers of different groups, {_FLOWS} flows each",
    "MUST",
    "RFC 1122 section 3.2.1.3, RFC 4607 section 4.2",
    outcome="each gets its own",
    reason="a group is joined for whoever has asked for it (ip(7) IP_MULTICAST_ALL does otherwise)",
)
def _groups(bench: Bench) -> None:
    several.different_groups(bench)


@situation(
    "sharing.many-groups",
    f"{_MANY} receivers of different groups, {_FEW} flows each",
    "kernel",
    _EVERY_SOCKET + "; above 10 sockets on a port by another table",
    outcome="each gets its own",
    reason="a group is joined for whoever has asked for it, however many they are",
)
def _many_groups(bench: Bench) -> None:
    rx, tx = bench.lab.hosts(2)
    first = bench.channel(tx)
    channels = [first] + [beside(first, first.source, group=bench.channel(tx).group) for _ in range(_MANY - 1)]
    receivers = {bench.open(channel, rx): bench.flows(channel, tx, _FEW) for channel in channels}
    for number, flows in enumerate(receivers.values()):
        flows.send(f"group {number}")
    bench.expect_exactly(receivers, rx)


@situation(
    "sharing.sources",
    f"two receivers of one group from different sources, {_FLOWS} flows each",
    "MUST",
    "RFC 4607 section 4.2",
    outcome="each gets its own",
    reason="two sources are two channels",
    modes=("ssm",),
)
def _sources(bench: Bench) -> None:
    several.different_sources(bench)


@situation(
    "sharing.families",
    f"a receiver of IPv4 and one of IPv6, {_FLOWS} flows each",
    "kernel",
    "udp_v4_rehash, udp_v6_rehash: a table for each family (RFC 3493 section 5.3)",
    outcome="each gets its own",
    reason="the port of one family is not that of the other",
)
def _families(bench: Bench) -> None:
    several.both_families(bench)


@situation(
    "sharing.ports",
    f"two receivers of one group on different ports, {_FLOWS} flows each",
    "MUST",
    "RFC 1122 section 4.1.3.1, RFC 768",
    outcome="each gets its own",
    reason="the port says for whom it is",
)
def _ports(bench: Bench) -> None:
    rx, tx = bench.lab.hosts(2)
    first, other = bench.channel(tx), bench.channel(tx)
    second = type(first).unchecked(first.group, other.port, first.source)
    receivers = {bench.open(channel, rx): bench.flows(channel, tx, _FLOWS) for channel in (first, second)}
    for number, flows in enumerate(receivers.values()):
        flows.send(f"port {number}")
    bench.expect_exactly(receivers, rx)


@situation(
    "sharing.any-and-one-source",
    f"a receiver of one kind beside one of the other kind, of one group, {_FLOWS} flows from each of two hosts",
    "MUST",
    "RFC 4607 section 4.2, RFC 3376 section 3.2, RFC 3810 section 4.2",
    outcome="from any source it gets all, from one source what this one sends",
    reason="the interface lets in what any socket wants, and each socket what it wants itself",
)
def _any_and_one_source(bench: Bench) -> None:
    rx, one, another = bench.lab.hosts(3)
    channel = bench.channel(one)
    source = one.source(bench.family, channel.scope) if channel.source is None else None
    rx.receiver(beside(channel, source), timeout=bench.timeout)
    receiver = bench.open(channel, rx)
    flows = bench.flows(channel, one, _FLOWS)
    if channel.source is None:
        flows.senders += bench.flows(channel, another, _FLOWS).senders
    else:
        stray(bench, channel, another, rx, "from the other source", _FLOWS)
    flows.send("from what it wants")
    bench.expect_exactly({receiver: flows}, rx)


def _program(rx: VirtualHost, channel: Channel) -> None:
    """Start another program on the same port, which joins the group."""
    command = [sys.executable, "-ISc", _PROGRAM, channel.group, str(channel.port), str(rx.interface.index)]
    try:
        rx.popen(command, stdin=True, ready="^ready$")
    except ProgramError as error:
        if "in use" in str(error):
            raise CoreFailure("wrong", f"port {channel.port} is taken: it does not share it\n{error}") from None
        raise


def _with_program(bench: Bench, *, same_group: bool, first: bool) -> None:
    rx, tx = bench.lab.hosts(2)
    channel, other = bench.channel(tx), bench.channel(tx)
    theirs = beside(channel, None, group=None if same_group else other.group)
    if first:
        _program(rx, theirs)
    receiver = bench.open(channel, rx)
    if not first:
        _program(rx, theirs)
    flows = bench.flows(channel, tx, _FLOWS)
    if not same_group:
        stray(bench, beside(channel, channel.source, group=other.group), tx, rx, "for the other program", _FLOWS)
    flows.send("for this one")
    bench.expect_exactly({receiver: flows}, rx)


@situation(
    "sharing.program-same-group",
    f"another program, bound to the port on all addresses, has joined the same group; {_FLOWS} flows",
    "kernel",
    _EVERY_SOCKET + "; SO_REUSEADDR (socket(7))",
    outcome="it gets all",
    reason="multicast is for all that want it, in whatever program",
)
def _program_same_group(bench: Bench) -> None:
    _with_program(bench, same_group=True, first=False)


@situation(
    "sharing.program-other-group",
    f"another program, bound to the port on all addresses, has joined another group; {_FLOWS} flows to each",
    "MUST",
    "RFC 1122 section 3.2.1.3, RFC 4607 section 4.2",
    outcome="it gets its own",
    reason="what others have joined is nothing to this receiver (ip(7) IP_MULTICAST_ALL does otherwise)",
)
def _program_other_group(bench: Bench) -> None:
    _with_program(bench, same_group=False, first=False)


@situation(
    "sharing.program-first",
    f"another program is there before, bound to the port on all addresses; {_FLOWS} flows to the group of each",
    "kernel",
    _EVERY_SOCKET + "; SO_REUSEADDR (socket(7))",
    outcome="it starts, and gets its own",
    reason="who comes second has the same rights",
)
def _program_first(bench: Bench) -> None:
    _with_program(bench, same_group=False, first=True)


@situation(
    "sharing.wildcard-idle",
    f"a socket that has joined nothing is bound to the port on all addresses, {_FLOWS} flows",
    "kernel",
    _EVERY_SOCKET + "; SO_REUSEADDR (socket(7))",
    outcome="the receiver gets all",
    reason="a socket that is bound to more is no more entitled",
)
def _wildcard_idle(bench: Bench) -> None:
    _with_socket(bench, "::" if bench.family == "ipv6" else "0.0.0.0")  # noqa: S104 - that is the case


@situation(
    "sharing.unicast-socket",
    f"a socket is bound to the port on the host's own address, {_FLOWS} flows",
    "kernel",
    _EVERY_SOCKET + "; SO_REUSEADDR (socket(7))",
    outcome="the receiver gets all",
    reason="a socket for unicast is none for the group",
)
def _unicast_socket(bench: Bench) -> None:
    _with_socket(bench, "")


def _with_socket(bench: Bench, address: str) -> None:
    rx, tx = bench.lab.hosts(2)
    channel = bench.channel(tx)
    receiver = bench.open(channel, rx)
    with rx.inside():
        sock = socket.socket(socket.AF_INET6 if bench.family == "ipv6" else socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        zone = (0, rx.interface.index) if bench.family == "ipv6" else ()
        try:
            sock.bind((address or rx.source(bench.family, "link-local"), channel.port, *zone))
        except OSError as error:
            raise CoreFailure("wrong", f"{receiver!r} does not share its port: {error}") from None
        flows = bench.flows(channel, tx, _FLOWS)
        flows.send("for the member")
        bench.expect_exactly({receiver: flows}, rx)


@situation(
    "sharing.one-leaves",
    f"two receivers of one channel, one of which is closed; {_FLOWS} flows",
    "MUST",
    "RFC 4607 section 4.2, RFC 3376 section 3.2",
    outcome="the other one gets all, before and after",
    reason="one that leaves leaves for itself",
)
def _one_leaves(bench: Bench) -> None:
    rx, tx = bench.lab.hosts(2)
    channel = bench.channel(tx)
    leaving, receiver = bench.open(channel, rx), bench.open(channel, rx)
    flows = bench.flows(channel, tx, _FLOWS)
    flows.send("before")
    leaving.close()
    flows.send("after")
    bench.expect_exactly({receiver: flows}, rx)


@situation(
    "sharing.one-comes",
    f"a second receiver of a channel is opened, {_FLOWS} flows before and after",
    "MUST",
    "RFC 4607 section 4.2, RFC 1112 section 7.2",
    outcome="the first one gets all, the second one what comes since",
    reason="one that joins takes nothing from another, and gets nothing that was before",
)
def _one_comes(bench: Bench) -> None:
    rx, tx = bench.lab.hosts(2)
    channel = bench.channel(tx)
    receiver = bench.open(channel, rx)
    flows, later = bench.flows(channel, tx, _FLOWS), bench.flows(channel, tx, _FLOWS)
    flows.send("before")
    second = bench.open(channel, rx)
    later.send("after")
    flows.payloads += later.payloads
    flows.ports.update(later.ports)
    bench.expect_exactly({second: later}, rx)
    bench.expect_exactly({receiver: flows}, rx)


@situation(
    "sharing.other-group-leaves",
    f"two receivers of different groups, one of which is closed; {_FLOWS} flows to each",
    "MUST",
    "RFC 1122 section 3.2.1.3, RFC 4607 section 4.2",
    outcome="the other one gets its own, before and after",
    reason="one that leaves leaves its own group",
)
def _other_group_leaves(bench: Bench) -> None:
    rx, tx = bench.lab.hosts(2)
    channel, other = bench.channel(tx), bench.channel(tx)
    second = beside(channel, channel.source, group=other.group)
    leaving, receiver = bench.open(second, rx), bench.open(channel, rx)
    flows = bench.flows(channel, tx, _FLOWS)
    flows.send("before")
    leaving.close()
    stray(bench, second, tx, rx, "for the one that has left", _FLOWS)
    flows.send("after")
    bench.expect_exactly({receiver: flows}, rx)


@situation(
    "sharing.other-source-leaves",
    f"two receivers of one group from different sources, one of which is closed; {_FLOWS} flows from each",
    "MUST",
    "RFC 4607 section 4.2",
    outcome="the other one gets its own, before and after",
    reason="one that leaves leaves its own channel",
    modes=("ssm",),
)
def _other_source_leaves(bench: Bench) -> None:
    rx, one, another = bench.lab.hosts(3)
    channel = bench.channel(one)
    second = beside(channel, bench.channel(another).source)
    leaving, receiver = bench.open(second, rx), bench.open(channel, rx)
    flows = bench.flows(channel, one, _FLOWS)
    flows.send("before")
    leaving.close()
    stray(bench, second, another, rx, "for the one that has left", _FLOWS)
    flows.send("after")
    bench.expect_exactly({receiver: flows}, rx)
