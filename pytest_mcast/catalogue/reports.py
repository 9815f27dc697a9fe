"""What a host says of its memberships on the wire: IGMP and MLD, of their own accord and when they are asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pytest_mcast.core.channels import Channel
from pytest_mcast.cores import CoreFailure
from pytest_mcast.cores.behaviours import lifecycle
from pytest_mcast.lab.sysctls import write_sysctl
from pytest_mcast.packets import deliver, drop

from .situations import beside, heard, prober, proved, situation

if TYPE_CHECKING:
    from pytest_mcast.cores import CoreReceiver, Filters
    from pytest_mcast.cores.behaviours import Bench
    from pytest_mcast.lab import VirtualHost
    from pytest_mcast.wire import Listener, Query

__all__: list[str] = []

_CHANGE = "RFC 3376 section 5.1, RFC 3810 section 6.1"
_ANSWER = "RFC 3376 section 5.2, RFC 3810 section 6.2"
_SSM = "RFC 4607 section 4.2, RFC 3376 section 5.1, RFC 3810 section 6.1"
_OLDER = "RFC 3376 section 7.2.1, RFC 3810 section 8.2.1"
_NEWEST = {"ipv4": 3, "ipv6": 2}
_ROUTERS = {"ipv4": "224.0.0.22", "ipv6": "ff02::16"}
_OTHERS = {"ipv4": "10.65.91.1", "ipv6": "fe80::9191"}  # a source that is nobody's
_ROBUSTNESS = 2
_SECONDS = 0.1  # for an answer
_VERSIONS = {"ipv4": "ipv4/conf/{}/force_igmp_version", "ipv6": "ipv6/conf/{}/force_mld_version"}


@situation(
    "report.join",
    "a receiver becomes ready",
    "MUST",
    _SSM,
    outcome="the kernel is a member as the channel says, and has reported it",
    reason="routers and switches forward what was asked for",
    needs=(),
)
def _join(bench: Bench) -> None:
    lifecycle.join(bench)


@situation(
    "report.leave",
    "a receiver is closed",
    "MUST",
    _SSM,
    outcome="the kernel is a member no more, and has reported it",
    reason="routers and switches go on until they hear that it is over",
    needs=(),
)
def _leave(bench: Bench) -> None:
    lifecycle.leave(bench)


@situation(
    "report.form",
    "a receiver becomes ready: what its report looks like",
    "MUST",
    "RFC 3376 sections 4 and 4.2.14, RFC 3810 sections 5 and 5.2.14",
    outcome="of the newest version, to the routers, with TTL 1 and router alert, from an address of the link",
    reason="it is for the routers of the link only, and they must see it",
    needs=(),
)
def _form(bench: Bench) -> None:
    rx, tx = bench.lab.hosts(2)
    channel = bench.channel(tx)
    with bench.lab.listen() as wire:
        bench.open(channel, rx)
        report = heard(bench, wire, rx, channel)
    have = (report.version, report.destination, report.ttl, report.router_alert, report.source)
    wanted = (_NEWEST[bench.family], _ROUTERS[bench.family], 1, True, rx.source(bench.family))
    if have != wanted:
        raise CoreFailure("wrong", f"version, destination, TTL, router alert and source are {have}, not {wanted}")


@situation(
    "report.exact",
    "a receiver becomes ready: which sources its report has",
    "MUST",
    "RFC 3376 section 5.1, RFC 3810 section 6.1, RFC 4604 section 2.2",
    outcome="one record: of any source none is named, of one source that one",
    reason="what was not asked for is not forwarded",
    needs=(),
)
def _exact(bench: Bench) -> None:
    rx, tx = bench.lab.hosts(2)
    channel = bench.channel(tx)
    with bench.lab.listen() as wire:
        bench.open(channel, rx)
        record = "CHANGE_TO_EXCLUDE_MODE" if channel.source is None else "ALLOW_NEW_SOURCES"
        sources = [] if channel.source is None else [channel.source]
        heard(bench, wire, rx, channel.group, record=record, sources=sources)


@situation(
    "report.repeated",
    "a receiver becomes ready, and is closed: how often that is reported",
    "MUST",
    _CHANGE,
    outcome=f"as often as the robustness variable says, {_ROBUSTNESS} times",
    reason="a report may be lost",
    needs=(),
)
def _repeated(bench: Bench) -> None:
    rx, tx = bench.lab.hosts(2)
    channel = bench.channel(tx)
    with bench.lab.listen() as wire:
        receiver = bench.open(channel, rx)
        version = _NEWEST[bench.family]
        heard(bench, wire, rx, channel, version=version, times=_ROBUSTNESS)
        receiver.close()
        record = "CHANGE_TO_INCLUDE_MODE" if channel.source is None else "BLOCK_OLD_SOURCES"
        heard(bench, wire, rx, channel, version=version, record=record, times=_ROBUSTNESS)


def _changing(bench: Bench) -> tuple[Filters, VirtualHost, Listener]:
    """Return a receiver whose sources can be changed, when nothing of it is still to be reported."""
    bench.can("filters")
    rx, tx = bench.lab.hosts(2)
    wire = bench.lab.listen()  # closed with its host
    receiver = cast("Filters", bench.open(bench.channel(tx), rx))
    heard(bench, wire, rx, receiver.channel, times=_ROBUSTNESS)
    return receiver, rx, wire


def _expect(
    bench: Bench, wire: Listener, rx: VirtualHost, group: str, record: str, *sources: str, times: int = 1
) -> None:
    heard(bench, wire, rx, group, record=record, sources=sources, times=times)


@situation(
    "report.source-joined",
    "a second source is joined, and left",
    "MUST",
    _SSM,
    outcome="that source is reported as new, and as given up; the first one is not spoken of",
    reason="a change is what has changed",
    modes=("ssm",),
    needs=(),
)
def _source_joined(bench: Bench) -> None:
    receiver, rx, wire = _changing(bench)
    group, source = receiver.channel.group, _OTHERS[bench.family]
    receiver.join_source(source)
    _expect(bench, wire, rx, group, "ALLOW_NEW_SOURCES", source, times=_ROBUSTNESS)
    receiver.leave_source(source)
    _expect(bench, wire, rx, group, "BLOCK_OLD_SOURCES", source)


@situation(
    "report.blocked",
    "a source is blocked, and unblocked",
    "MUST",
    _CHANGE,
    outcome="that source is reported as given up, and as new",
    reason="a change is what has changed",
    modes=("asm",),
    needs=(),
)
def _blocked(bench: Bench) -> None:
    receiver, rx, wire = _changing(bench)
    group, source = receiver.channel.group, _OTHERS[bench.family]
    receiver.block(source)
    _expect(bench, wire, rx, group, "BLOCK_OLD_SOURCES", source, times=_ROBUSTNESS)
    receiver.unblock(source)
    _expect(bench, wire, rx, group, "ALLOW_NEW_SOURCES", source)


@situation(
    "report.one-of-two-leaves",
    "one of two receivers of the channel is closed",
    "MUST",
    _SSM,
    outcome="that is not reported",
    reason="the host is still a member, and only the last one to leave changes that",
    needs=(),
)
def _one_of_two_leaves(bench: Bench) -> None:
    rx, tx = bench.lab.hosts(2)
    channel = bench.channel(tx)
    with bench.lab.listen() as wire:
        bench.open(channel, rx)
        heard(bench, wire, rx, channel, times=_ROBUSTNESS)
        second = bench.open(channel, rx)
        second.close()
        leaving = "CHANGE_TO_INCLUDE_MODE" if channel.source is None else "BLOCK_OLD_SOURCES"
        wire.expect_no_report(channel.group, sender=rx, record=leaving)
    bench.evidence.append(f"wire: no {leaving}")


@situation(
    "report.any-beside-one",
    "another receiver of the host wants any source of the group, for a while",
    "MUST",
    "RFC 3376 sections 3.2 and 5.1, RFC 3810 sections 4.2 and 6.1",
    outcome="reported is that all are wanted, and then that this one's source is",
    reason="the state of an interface is the union of what its sockets want",
    modes=("ssm",),
    needs=(),
)
def _any_beside_one(bench: Bench) -> None:
    rx, tx = bench.lab.hosts(2)
    channel = bench.channel(tx)
    bench.open(channel, rx)
    with bench.lab.listen() as wire:
        with rx.receiver(beside(channel)):
            _expect(bench, wire, rx, channel.group, "CHANGE_TO_EXCLUDE_MODE")
        _expect(bench, wire, rx, channel.group, "CHANGE_TO_INCLUDE_MODE", channel.source or "")


def _member(bench: Bench) -> tuple[CoreReceiver, VirtualHost]:
    rx, tx = bench.lab.hosts(2)
    return bench.open(bench.channel(tx), rx), rx


def _expect_answer(bench: Bench, wire: Listener, rx: VirtualHost, channel: Channel, query: Query) -> None:
    record = "MODE_IS_EXCLUDE" if channel.source is None else "MODE_IS_INCLUDE"
    sources = [] if channel.source is None else [channel.source]
    heard(bench, wire, rx, channel.group, answers=query, record=record, sources=sources)


@situation(
    "report.general-query",
    "a router asks for all groups",
    "MUST",
    _ANSWER,
    outcome="answered with the membership as it is",
    reason="routers forget what nobody speaks of",
    needs=(),
)
def _general_query(bench: Bench) -> None:
    receiver, rx = _member(bench)
    with bench.lab.listen() as wire:
        query = wire.querier(bench.family).query(max_response=_SECONDS)
        _expect_answer(bench, wire, rx, receiver.channel, query)


@situation(
    "report.group-query",
    "a router asks for the group",
    "MUST",
    _ANSWER,
    outcome="answered with the membership as it is",
    reason="another host has left, and this one still wants it",
    needs=(),
)
def _group_query(bench: Bench) -> None:
    receiver, rx = _member(bench)
    with bench.lab.listen() as wire:
        query = wire.querier(bench.family).query(receiver.channel, max_response=_SECONDS)
        _expect_answer(bench, wire, rx, receiver.channel, query)


@situation(
    "report.source-query",
    "a router asks for the group and two sources, one of them the channel's",
    "MUST",
    _ANSWER,
    outcome="answered with the one that is wanted",
    reason="another host has left, and this one still wants it",
    modes=("ssm",),
    needs=(),
)
def _source_query(bench: Bench) -> None:
    receiver, rx = _member(bench)
    channel = receiver.channel
    with bench.lab.listen() as wire:
        sources = [channel.source or "", _OTHERS[bench.family]]
        query = wire.querier(bench.family).query(channel.group, sources, max_response=_SECONDS)
        _expect_answer(bench, wire, rx, channel, query)


@situation(
    "report.other-source-query",
    "a router asks for the group and a source that is not the channel's",
    "MUST",
    _ANSWER,
    outcome="not answered",
    reason="what nobody wants is to end",
    modes=("ssm",),
    needs=(),
)
def _other_source_query(bench: Bench) -> None:
    receiver, rx = _member(bench)
    group = receiver.channel.group
    with bench.lab.listen() as wire:
        query = wire.querier(bench.family).query(group, [_OTHERS[bench.family]], max_response=_SECONDS)
        wire.expect_no_report(group, sender=rx, answers=query)
    bench.evidence.append("wire: no answer")


@situation(
    "report.query-after-leave",
    "a router asks for the group when the receiver was closed",
    "MUST",
    _ANSWER,
    outcome="not answered",
    reason="what nobody wants is to end",
    needs=(),
)
def _query_after_leave(bench: Bench) -> None:
    receiver, rx = _member(bench)
    receiver.close()
    group = receiver.channel.group
    _ = rx.control
    with bench.lab.listen() as wire:
        query = wire.querier(bench.family).query(group, max_response=_SECONDS)
        wire.expect_no_report(group, sender=rx, answers=query)
    bench.evidence.append("wire: no answer")


@situation(
    "report.all-hosts",
    "a receiver of the group of all hosts of the link",
    "MUST",
    "RFC 3376 section 5, RFC 3810 section 6",
    outcome="delivered, and never reported: not when it is opened, asked for, or closed",
    reason="everybody is a member, and switches always forward it",
    modes=("asm",),
)
def _all_hosts(bench: Bench) -> None:
    rx, tx = bench.lab.hosts(2)
    group = "224.0.0.1" if bench.family == "ipv4" else "ff02::1"
    channel = Channel.unchecked(group, bench.channel(tx).port)
    with bench.lab.listen() as wire:
        receiver, flows = bench.open(channel, rx), bench.flows(channel, tx)
        flows.send("to all hosts")
        bench.expect_exactly({receiver: flows}, rx)
        query = wire.querier(bench.family).query(max_response=_SECONDS)
        wire.expect_no_report(group, sender=rx, answers=query)
        receiver.close()
        wire.expect_no_report(group, sender=rx)
    bench.evidence.append(f"wire: no report of {group}")


@situation(
    "report.link-local-group",
    "a receiver of a group of the link",
    "kernel",
    "igmp_group_added, mld_newpack: all but that of all hosts (igmp_link_local_mcast_reports, ip-sysctl; RFC 3376 section 5)",
    outcome="reported as any other",
    reason="a switch forwards to members what is no longer sent to all",
    modes=("asm",),
    needs=(),
)
def _link_local_group(bench: Bench) -> None:
    rx, tx = bench.lab.hosts(2)
    group = "224.0.0.117" if bench.family == "ipv4" else "ff02::7:7:7"
    channel = Channel.unchecked(group, bench.channel(tx).port)
    with bench.lab.listen() as wire:
        bench.open(channel, rx)
        heard(bench, wire, rx, group, record="CHANGE_TO_EXCLUDE_MODE")


def _older_querier(bench: Bench, version: int) -> tuple[VirtualHost, VirtualHost, Listener]:
    """Return a host that has heard of a querier of an older version, its neighbour, and what the link hears."""
    rx, tx = bench.lab.hosts(2, link="own")
    wire = tx.listen()  # closed with the host
    querier, channel = wire.querier(bench.family, version=version), bench.lab.channel(bench.family)
    if bench.family == "ipv4":  # read as it comes in
        querier.query(max_response=_SECONDS)
        return rx, tx, wire
    with rx.receiver(channel):  # MLD is read by a worker: an answer in this version shows that it has been
        query = querier.query(max_response=_SECONDS)
        heard(bench, wire, rx, channel, version=version, answers=query)
    return rx, tx, wire


@situation(
    "report.older-querier",
    "a querier of an older version is on the link (IGMPv2, MLDv1) when a receiver becomes ready",
    "MUST",
    _OLDER,
    outcome="reported in that version, to the group itself, without a source",
    reason="an older router understands no other",
    needs=(),
)
def _with_older_querier(bench: Bench) -> None:
    _expect_older(bench, {"ipv4": 2, "ipv6": 1}[bench.family])


@situation(
    "report.oldest-querier",
    "a querier of IGMPv1 is on the link when a receiver becomes ready",
    "MUST",
    "RFC 3376 section 7.2.1, RFC 1112 appendix I",
    outcome="reported in that version, to the group itself, without a source",
    reason="an older router understands no other",
    families=("ipv4",),
    needs=(),
)
def _with_oldest_querier(bench: Bench) -> None:
    _expect_older(bench, 1)


def _expect_older(bench: Bench, version: int) -> None:
    rx, tx, wire = _older_querier(bench, version)
    channel = bench.channel(tx)
    bench.open(channel, rx)
    report = heard(bench, wire, rx, channel.group, version=version, record="REPORT", sources=())
    if report.destination != channel.group:
        raise CoreFailure("wrong", f"reported to {report.destination}, not to {channel.group}")


@situation(
    "report.older-querier-leave",
    "a querier of an older version is on the link (IGMPv2, MLDv1) when a receiver is closed",
    "SHOULD",
    "RFC 2236 section 3, RFC 2710 section 4, RFC 3376 section 7.2.1, RFC 3810 section 8.2.1",
    outcome="told to all routers in that version: leave group, or done",
    reason="an older router waits for minutes otherwise",
    needs=(),
)
def _leave_with_older_querier(bench: Bench) -> None:
    version, record, routers = {"ipv4": (2, "LEAVE", "224.0.0.2"), "ipv6": (1, "DONE", "ff02::2")}[bench.family]
    rx, tx, wire = _older_querier(bench, version)
    channel = bench.channel(tx)
    receiver = bench.open(channel, rx)
    heard(bench, wire, rx, channel.group, version=version, record="REPORT")  # or there is nothing to take back
    receiver.close()
    report = heard(bench, wire, rx, channel.group, version=version, record=record)
    if report.destination != routers:
        raise CoreFailure("wrong", f"told to {report.destination}, not to {routers}")


@situation(
    "report.older-querier-filter",
    "a querier of an older version is on the link, whose reports have no sources; from another source",
    "MUST",
    "RFC 4607 section 4.2, RFC 3376 section 3.1, RFC 3810 section 4.1",
    outcome="not delivered",
    reason="the filter is the host's own, whatever it can tell others",
    modes=("ssm",),
)
def _filter_with_older_querier(bench: Bench) -> None:
    rx, tx, _ = _older_querier(bench, {"ipv4": 2, "ipv6": 1}[bench.family])
    receiver = bench.open(bench.channel(tx), rx)
    with prober(bench, receiver, tx, rx) as probe:
        probe(source="other").expect(drop())
        probe(source="other", neighbour=True).expect(drop())
        probe().expect(deliver())
    proved(bench, "another source is kept out")


@situation(
    "report.newest-query-in-older",
    "a router asks in the newest version, while a querier of an older one is on the link",
    "MUST",
    _OLDER,
    outcome="answered in the older version",
    reason="an older router understands no other",
    needs=(),
)
def _newest_query_in_older(bench: Bench) -> None:
    version = {"ipv4": 2, "ipv6": 1}[bench.family]
    rx, tx, wire = _older_querier(bench, version)
    channel = bench.channel(tx)
    bench.open(channel, rx)
    heard(bench, wire, rx, channel.group, version=version)
    query = wire.querier(bench.family).query(max_response=_SECONDS)
    report = heard(bench, wire, rx, channel.group, answers=query, record="REPORT")
    if report.version != version:
        raise CoreFailure("wrong", f"answered with {report}, not in version {version}")


def _forced(bench: Bench, version: int) -> tuple[VirtualHost, VirtualHost, Listener]:
    rx, tx = bench.lab.hosts(2)
    rx.touch()
    with rx.inside():
        for name in ("all", rx.interface.name):
            write_sysctl(_VERSIONS[bench.family].format(name), str(version), required=True)
    return rx, tx, bench.lab.listen()


@situation(
    "report.forced-version",
    "an older version is forced on the receiver's host (IGMPv1, MLDv1)",
    "kernel",
    "igmp_group_added, mld_in_v1_mode: force_igmp_version, force_mld_version (ip-sysctl)",
    outcome="reported in that version, to the group itself; from another source not delivered all the same",
    reason="the version is a matter of the wire, the filter is the host's own",
)
def _forced_version(bench: Bench) -> None:
    rx, tx, wire = _forced(bench, 1)
    channel = bench.channel(tx)
    receiver = bench.open(channel, rx)
    heard(bench, wire, rx, channel.group, version=1, record="REPORT")
    with prober(bench, receiver, tx, rx) as probe:
        probe().expect(deliver())
        probe(source="other").expect(deliver() if channel.source is None else drop())
    proved(bench, "the source filter is in force")


@situation(
    "report.forced-igmpv2",
    "IGMPv2 is forced on the receiver's host; a receiver becomes ready, and is closed",
    "kernel",
    "igmp_group_added, igmp_group_dropped: force_igmp_version (ip-sysctl; RFC 2236 sections 3 and 6)",
    outcome="reported to the group, and left at all routers",
    reason="that is what IGMPv2 says",
    families=("ipv4",),
    needs=(),
)
def _forced_igmpv2(bench: Bench) -> None:
    rx, tx, wire = _forced(bench, 2)
    channel = bench.channel(tx)
    receiver = bench.open(channel, rx)
    heard(bench, wire, rx, channel.group, version=2, record="REPORT")
    receiver.close()
    heard(bench, wire, rx, channel.group, version=2, record="LEAVE")


@situation(
    "report.forced-igmpv1-leave",
    "IGMPv1 is forced on the receiver's host; a receiver is closed",
    "kernel",
    "igmp_group_dropped: force_igmp_version (ip-sysctl; RFC 1112 appendix I)",
    outcome="nothing is told",
    reason="IGMPv1 has no message for that",
    families=("ipv4",),
    needs=(),
)
def _forced_igmpv1_leave(bench: Bench) -> None:
    rx, tx, wire = _forced(bench, 1)
    channel = bench.channel(tx)
    receiver = bench.open(channel, rx)
    heard(bench, wire, rx, channel.group, version=1, record="REPORT")
    receiver.close()
    wire.expect_no_report(channel.group, sender=rx, record="LEAVE")
    bench.evidence.append("wire: no leave")
