"""Joining and leaving: which sources are let in and kept out, when it begins and when it ends, and how many there can be."""

from __future__ import annotations

import ipaddress
from itertools import islice
from typing import TYPE_CHECKING, cast

from pytest_mcast.core.errors import NotReceived
from pytest_mcast.cores import CoreFailure
from pytest_mcast.cores.behaviours import lifecycle
from pytest_mcast.packets import deliver, drop

from .situations import beside, prober, proved, situation, stray

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_mcast.cores import Filters, Rejoins
    from pytest_mcast.cores.behaviours import Bench
    from pytest_mcast.lab import VirtualHost
    from pytest_mcast.packets import Prober

__all__: list[str] = []

_SSM = "RFC 4607 section 4.2, RFC 3678 section 4.1.2"
_BLOCK = "ip_mc_sf_allow, inet6_mc_check (RFC 3376 section 3.1, RFC 3810 section 4.1, RFC 3678 section 4.1.1)"
_PER_SOCKET = "ip_mc_sf_allow, inet6_mc_check (RFC 3376 sections 3.1 and 3.2, RFC 3810 sections 4.1 and 4.2)"
_REUSED, _OPENED, _GROUPS = 200, 10, 25
# The kernel's limits are 10 (igmp_max_msf, of each network) and 64 (mld_max_msf, the machine's, which may have more).
_LEAST_SOURCES, _MOST_SOURCES = 9, 300


def _filtering(bench: Bench) -> tuple[Filters, VirtualHost, VirtualHost]:
    """Return a receiver whose sources can be changed, its host, and the one that sends to it."""
    bench.can("filters")
    rx, tx = bench.lab.hosts(2)
    return cast("Filters", bench.open(bench.channel(tx), rx)), rx, tx


def _sources(probe: Prober) -> Iterator[str]:
    """Yield addresses on the link of the sender that are nobody's."""
    own = ipaddress.ip_address(probe.legitimate.source or "")
    for number in range(0x2100, 0x3000):
        yield str(type(own)(int(own) ^ number))


@situation(
    "membership.source-joined",
    "from a source that was joined after the first one",
    "MUST",
    _SSM,
    outcome="not delivered before, delivered then; the first source as well",
    reason="a source that was asked for is wanted, and it takes the place of no other",
    modes=("ssm",),
)
def _source_joined(bench: Bench) -> None:
    receiver, rx, tx = _filtering(bench)
    with prober(bench, receiver, tx, rx) as probe:
        second = next(_sources(probe))
        probe(source=second).expect(drop())
        receiver.join_source(second)
        probe(source=second).expect(deliver())
        probe().expect(deliver())
    proved(bench, f"{second} is let in once it was joined, beside {receiver.channel.source}")


@situation(
    "membership.source-left",
    "from the second of two sources, which was left",
    "MUST",
    _SSM,
    outcome="delivered before, not delivered then; the first source still is",
    reason="a source that was given up is not wanted any more",
    modes=("ssm",),
)
def _source_left(bench: Bench) -> None:
    receiver, rx, tx = _filtering(bench)
    with prober(bench, receiver, tx, rx) as probe:
        second = next(_sources(probe))
        receiver.join_source(second)
        probe(source=second).expect(deliver())
        receiver.leave_source(second)
        probe(source=second).expect(drop())
        probe().expect(deliver())
    proved(bench, f"{second} is kept out once it was left")


@situation(
    "membership.source-left-with-neighbour",
    "from the second of two sources, which was left, while another receiver of the host wants it",
    "MUST",
    _SSM,
    outcome="not delivered",
    reason="what others want is nothing to this receiver",
    modes=("ssm",),
)
def _source_left_with_neighbour(bench: Bench) -> None:
    receiver, rx, tx = _filtering(bench)
    with prober(bench, receiver, tx, rx) as probe:
        second = next(_sources(probe))
        receiver.join_source(second)
        receiver.leave_source(second)
        probe(source=second, neighbour=True).expect(drop())
    proved(bench, f"{second} is kept out, though it comes in for another")


@situation(
    "membership.own-source-left",
    "from both of two sources, the first of which was left",
    "MUST",
    _SSM,
    outcome="delivered is what the second one sends",
    reason="the source that was there first is no other than any",
    modes=("ssm",),
)
def _own_source_left(bench: Bench) -> None:
    bench.can("filters")
    rx, one, another = bench.lab.hosts(3)
    channel, second = bench.channel(one), bench.channel(another).source
    assert second is not None
    receiver = cast("Filters", bench.open(channel, rx))
    receiver.join_source(second)
    receiver.leave_source(channel.source or "")
    stray(bench, channel, one, rx, "from the source that was left")
    flows = bench.flows(beside(channel, second), another)
    flows.send("from the other one")
    bench.expect_exactly({receiver: flows}, rx)


@situation(
    "membership.blocked",
    "from a source that was blocked",
    "kernel",
    _BLOCK,
    outcome="delivered before, not delivered then",
    reason="every source but those that are excluded is wanted",
    modes=("asm",),
)
def _blocked(bench: Bench) -> None:
    receiver, rx, tx = _filtering(bench)
    with prober(bench, receiver, tx, rx) as probe:
        source = next(_sources(probe))
        probe(source=source).expect(deliver())
        receiver.block(source)
        probe(source=source).expect(drop())
    proved(bench, f"{source} is kept out once it was blocked")


@situation(
    "membership.blocked-others",
    "from another source than the one that was blocked",
    "kernel",
    _BLOCK,
    outcome="delivered",
    reason="what is excluded is one source and no more",
    modes=("asm",),
)
def _blocked_others(bench: Bench) -> None:
    receiver, rx, tx = _filtering(bench)
    with prober(bench, receiver, tx, rx) as probe:
        source, other = islice(_sources(probe), 2)
        receiver.block(source)
        probe(source=other).expect(deliver())
        probe().expect(deliver())
    proved(bench, f"{other} is let in, though {source} was blocked")


@situation(
    "membership.blocked-with-neighbour",
    "from a source that was blocked, while another receiver of the host wants it",
    "kernel",
    _PER_SOCKET,
    outcome="not delivered",
    reason="each socket has a filter of its own, whatever comes in for others",
    modes=("asm",),
)
def _blocked_with_neighbour(bench: Bench) -> None:
    receiver, rx, tx = _filtering(bench)
    with prober(bench, receiver, tx, rx) as probe:
        source = next(_sources(probe))
        receiver.block(source)
        probe(source=source, neighbour=True).expect(drop())
    proved(bench, f"{source} is kept out, though it comes in for another")


@situation(
    "membership.blocked-and-included",
    "from a source that was blocked, and is the only one that another receiver of the host wants",
    "kernel",
    _PER_SOCKET,
    outcome="not delivered here, delivered there",
    reason="the interface lets in what any socket wants, and each socket what it wants itself",
    modes=("asm",),
)
def _blocked_and_included(bench: Bench) -> None:
    bench.can("filters")
    rx, one, another = bench.lab.hosts(3)
    channel = bench.channel(one)
    receiver = cast("Filters", bench.open(channel, rx))
    source = another.source(bench.family, channel.scope)
    neighbour = rx.receiver(beside(channel, source), timeout=bench.timeout)
    receiver.block(source)
    with prober(bench, receiver, one, rx, neighbour) as probe:
        verdict = probe(source=source)
        verdict.beside[0].expect(deliver())
        verdict.expect(drop())
    proved(bench, f"{source} is kept out here, and let in there")


@situation(
    "membership.unblocked",
    "from a source that was blocked and is so no more",
    "kernel",
    _BLOCK,
    outcome="delivered",
    reason="what is not excluded is wanted",
    modes=("asm",),
)
def _unblocked(bench: Bench) -> None:
    receiver, rx, tx = _filtering(bench)
    with prober(bench, receiver, tx, rx) as probe:
        source = next(_sources(probe))
        receiver.block(source)
        probe(source=source).expect(drop())
        receiver.unblock(source)
        probe(source=source).expect(deliver())
    proved(bench, f"{source} is let in again")


@situation(
    "membership.unblocked-one-of-two",
    "from both of two sources that were blocked, one of which is so no more",
    "kernel",
    _BLOCK,
    outcome="delivered from the one, not from the other",
    reason="the sources that are excluded do not depend on each other",
    modes=("asm",),
)
def _unblocked_one_of_two(bench: Bench) -> None:
    receiver, rx, tx = _filtering(bench)
    with prober(bench, receiver, tx, rx) as probe:
        one, other = islice(_sources(probe), 2)
        receiver.block(one)
        receiver.block(other)
        receiver.unblock(one)
        probe(source=one).expect(deliver())
        probe(source=other).expect(drop())
    proved(bench, f"{one} is let in again, {other} is not")


@situation(
    "membership.blocked-for-a-while",
    "three from one source: before it is blocked, while it is, and after that",
    "kernel",
    "ip_mc_sf_allow, inet6_mc_check: looked at when a datagram comes in",
    outcome="the first and the third are delivered",
    reason="the filter judges what comes in, and what came in is judged",
    modes=("asm",),
)
def _blocked_for_a_while(bench: Bench) -> None:
    bench.can("filters")
    rx, one, another = bench.lab.hosts(3)
    channel = bench.channel(one)
    receiver = cast("Filters", bench.open(channel, rx))
    source = another.source(bench.family, channel.scope)
    before, after = bench.flows(channel, another), bench.flows(channel, another)
    before.send("before")
    bench.expect_exactly({receiver: before}, rx)
    receiver.block(source)
    stray(bench, channel, another, rx, "while it is blocked")
    receiver.unblock(source)
    after.send("after")
    bench.expect_exactly({receiver: after}, rx)


@situation(
    "membership.asm-beside-ssm",
    "from two sources, one of which is the only one that another receiver of the host wants",
    "kernel",
    _PER_SOCKET,
    outcome="an any-source receiver gets both",
    reason="each socket has a filter of its own; the one of the interface is the union of them",
    modes=("asm",),
)
@situation(
    "membership.ssm-beside-asm",
    "from two sources, while another receiver of the host wants any",
    "MUST",
    "RFC 4607 section 4.2, RFC 3376 section 3.2, RFC 3810 section 4.2",
    outcome="a source-specific receiver gets its own",
    reason="each socket has a filter of its own; the one of the interface is the union of them",
    modes=("ssm",),
)
def _asm_and_ssm(bench: Bench) -> None:
    rx, tx = bench.lab.hosts(2)
    channel = bench.channel(tx)
    other_kind = tx.source(bench.family, channel.scope) if channel.source is None else None
    neighbour = rx.receiver(beside(channel, other_kind), timeout=bench.timeout)
    receiver = bench.open(channel, rx)
    with prober(bench, receiver, tx, rx, neighbour) as probe:
        for source in (probe.legitimate.source, next(_sources(probe))):
            verdict = probe(source=source)
            for one, wanted in ((verdict.beside[0], other_kind), (verdict, channel.source)):
                one.expect(deliver() if wanted in (None, source) else drop())
    proved(bench, "each of both gets its own")


@situation(
    "membership.stale",
    "queued before it was left, and sent before it was joined again",
    "MUST",
    "RFC 1112 section 6.1, RFC 1122 section 3.2.1.3",
    outcome="not delivered; what comes after joining again is",
    reason="who is no member gets nothing, and who joins again begins anew",
)
def _stale(bench: Bench) -> None:
    lifecycle.again_in_place(bench)


@situation(
    "membership.closed-and-opened",
    "sent between closing a receiver and opening another one",
    "MUST",
    "RFC 1112 section 6.1, RFC 1122 section 3.2.1.3",
    outcome="not delivered; what comes before and after is",
    reason="a new receiver begins anew",
)
def _closed_and_opened(bench: Bench) -> None:
    lifecycle.closed_and_opened(bench)


@situation(
    "membership.left-with-neighbour",
    "sent after it was left, while another receiver of the host still wants it",
    "MUST",
    "RFC 1122 section 3.2.1.3, RFC 4607 section 4.2",
    outcome="not delivered, then or after joining again",
    reason="who has left gets nothing, whoever else is there (ip(7) IP_MULTICAST_ALL does otherwise)",
)
def _left_with_neighbour(bench: Bench) -> None:
    bench.can("rejoins")
    rx, tx = bench.lab.hosts(2)
    channel = bench.channel(tx)
    receiver = cast("Rejoins", bench.open(channel, rx))
    neighbour = rx.receiver(channel, timeout=bench.timeout)
    flows = bench.flows(channel, tx)
    receiver.leave()
    stray(bench, channel, tx, rx, "for the neighbour")
    neighbour.recv()
    try:
        delivered = receiver.recv(0)
    except NotReceived:
        pass
    else:
        raise CoreFailure("wrong", f"{receiver!r} has left, and delivered {delivered!r}")
    receiver.join()
    flows.send("for both")
    bench.expect_exactly({receiver: flows}, rx)


@situation(
    "membership.other-source-next",
    "from the source of a receiver that was closed, to one of the same group with another source",
    "MUST",
    "RFC 4607 section 4.2",
    outcome="not delivered; what its own source sends is",
    reason="nothing is left of a membership that has ended",
    modes=("ssm",),
)
def _other_source_next(bench: Bench) -> None:
    rx, one, another = bench.lab.hosts(3)
    first = bench.channel(one)
    second = beside(first, bench.channel(another).source)
    wanted, flows = bench.flows(first, one), bench.flows(second, another)
    before = bench.open(first, rx)
    wanted.send("while it is wanted")
    bench.expect_exactly({before: wanted}, rx)
    before.close()
    receiver = bench.open(second, rx)
    stray(bench, first, one, rx, "from the source that was before")
    flows.send("from the source that is now")
    bench.expect_exactly({receiver: flows}, rx)


@situation(
    "membership.first-datagram",
    f"sent as soon as a receiver is ready, to {_OPENED} receivers one after the other",
    "kernel",
    "ip_mc_join_group, ipv6_sock_mc_join: the join has been done when the call returns (RFC 3376 section 3.1)",
    outcome="delivered, each",
    reason="ready means that nothing is lost from here on",
)
def _first_datagram(bench: Bench) -> None:
    rx, tx = bench.lab.hosts(2)
    for number in range(_OPENED):
        channel = bench.channel(tx)
        flows = bench.flows(channel, tx)
        receiver = bench.open(channel, rx)
        flows.send(f"as soon as receiver {number} is ready")
        bench.expect_exactly({receiver: flows}, rx)


@situation(
    "membership.first-datagram-again",
    f"sent as soon as it has joined again, {_REUSED} times",
    "kernel",
    "ip_mc_join_group, ipv6_sock_mc_join: the join has been done when the call returns (RFC 3376 section 3.1)",
    outcome="delivered, each",
    reason="joined means that nothing is lost from here on",
)
def _first_datagram_again(bench: Bench) -> None:
    bench.can("rejoins")
    rx, tx = bench.lab.hosts(2)
    channel = bench.channel(tx)
    receiver = cast("Rejoins", bench.open(channel, rx))
    sender = tx.sender(channel)
    for number in range(_REUSED):
        receiver.leave()
        sender.send(b"in between")
        receiver.join()
        payload = b"join %d" % number
        sender.send(payload)
        delivered = receiver.recv(bench.timeout)
        if delivered.payload != payload:
            raise CoreFailure("wrong", f"{receiver!r} delivered {delivered!r} after join {number}, not {payload!r}")
    bench.evidence.append(f"{_REUSED} datagrams delivered, each sent as soon as it had joined")


@situation(
    "membership.many-groups",
    f"{_GROUPS} groups at once, which is more than one socket may join",
    "kernel",
    "ip_mc_join_group: igmp_max_memberships, 20 for one socket (ip-sysctl)",
    outcome="each receiver gets its own",
    reason="a limit of sockets is no limit of a receive core, or it says so",
)
def _many_groups(bench: Bench) -> None:
    rx, tx = bench.lab.hosts(2)
    channels = [bench.channel(tx) for _ in range(_GROUPS)]
    receivers = {bench.open(channel, rx): bench.flows(channel, tx) for channel in channels}
    for number, flows in enumerate(receivers.values()):
        flows.send(f"group {number}")
    bench.expect_exactly(receivers, rx)


@situation(
    "membership.too-many-sources",
    "from one source more than the system takes for one group",
    "kernel",
    "ip_mc_source, ip6_mc_source: igmp_max_msf, mld_max_msf (ip-sysctl)",
    outcome="the error is told, and all sources that were joined before are delivered; or it is delivered as well",
    reason="what was refused is refused aloud, and costs nothing that was granted",
    modes=("ssm",),
)
def _too_many_sources(bench: Bench) -> None:
    receiver, rx, tx = _filtering(bench)
    with prober(bench, receiver, tx, rx) as probe:
        taken, refused = _up_to_the_limit(bench, receiver.join_source, _sources(probe))
        for source in (taken[0], taken[-1]) if refused else taken[-1:]:
            probe(source=source).expect(deliver())
        if refused:
            probe(source=refused).expect(drop())
        probe().expect(deliver())


@situation(
    "membership.too-many-blocked",
    "from one source more than the system blocks for one group",
    "kernel",
    "ip_mc_source, ip6_mc_source: igmp_max_msf, mld_max_msf (ip-sysctl)",
    outcome="the error is told, and all that were blocked before still are; or it is not delivered either",
    reason="what was refused is refused aloud, and costs nothing that was granted",
    modes=("asm",),
)
def _too_many_blocked(bench: Bench) -> None:
    receiver, rx, tx = _filtering(bench)
    with prober(bench, receiver, tx, rx) as probe:
        taken, refused = _up_to_the_limit(bench, receiver.block, _sources(probe))
        for source in (taken[0], taken[-1]) if refused else taken[-1:]:
            probe(source=source).expect(drop())
        if refused:
            probe(source=refused).expect(deliver())
        probe().expect(deliver())


def _up_to_the_limit(bench: Bench, call: Callable[[str], None], sources: Iterator[str]) -> tuple[list[str], str | None]:
    """Call something with one source after the other; return those that were taken, and the first that was refused."""
    taken: list[str] = []
    for source in islice(sources, _MOST_SOURCES):
        try:
            call(source)
        except OSError as error:
            if len(taken) < _LEAST_SOURCES:
                raise CoreFailure("refused", f"no more than {len(taken)} sources were taken: {error}") from None
            bench.evidence.append(f"source {len(taken) + 1}: {error}")
            return taken, source
        taken.append(source)
    bench.evidence.append(f"{len(taken)} sources were taken")
    return taken, None
