"""Queries of every version and what hosts make of them; elections. RFC 2236, RFC 2710, RFC 3376, RFC 3810."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_mcast import (
    Channel,
    Deadline,
    LabView,
    Listener,
    NotReported,
    Querier,
    Query,
    Receiver,
    Record,
    VirtualHost,
)
from pytest_mcast.wire import Message

from ..wire.support import fall_back

FAMILIES = pytest.mark.parametrize("family", ["ipv4", "ipv6"])
OLDER = pytest.mark.parametrize(("family", "version"), [("ipv4", 1), ("ipv4", 2), ("ipv6", 1)])
NEWEST = {"ipv4": 3, "ipv6": 2}
SHORT = {"ipv4": 0.1, "ipv6": 0.02}
BUSY = 10.0  # seconds in which a thread of ours speaks, on a machine that is busy
OTHERS = {"ipv4": "10.65.250.9", "ipv6": "fe80::99:0"}
Trio = tuple[VirtualHost, VirtualHost, Listener]


@pytest.fixture
def trio(request: pytest.FixtureRequest, mcast_lab: LabView) -> Iterator[Trio]:
    """A host, a router, and what the router hears."""
    host, router = mcast_lab.hosts(2, link="own")
    if "family" in request.fixturenames and request.getfixturevalue("family") == "ipv6":
        host.settle()
    assert host.control is not None  # its tap is on
    with router.listen() as wire:
        yield host, router, wire


def _joined(host: VirtualHost, wire: Listener, *channels: Channel) -> list[Receiver]:
    """Join, and wait until nothing is due any more."""
    receivers = [host.receiver(channel) for channel in channels]
    for channel in channels:
        wire.expect_reports(2, channel, sender=host)
    return receivers


@FAMILIES
def test_a_general_query_is_answered_by_all_memberships(trio: Trio, mcast_lab: LabView, family: str) -> None:
    host, router, wire = trio
    anybody, specific = mcast_lab.channel(family), mcast_lab.channel(family, source=OTHERS[family])
    blocking, _ = _joined(host, wire, anybody, specific)
    blocking.subscription.block(OTHERS[family])
    wire.expect_reports(2, anybody, sender=host, record="BLOCK_OLD_SOURCES")
    query = router.querier(family).query(max_response=SHORT[family])
    answer = wire.expect_report(anybody, sender=host, answers=query)
    # RFC 3376 section 5.2, RFC 3810 section 6.2: all in one.
    assert answer.of(anybody) == (Record("MODE_IS_EXCLUDE", anybody.group, [OTHERS[family]]),)
    assert answer.of(specific) == (Record("MODE_IS_INCLUDE", specific.group, [OTHERS[family]]),)
    assert answer.version == NEWEST[family]
    assert 0 < answer.after(query) < SHORT[family] + 2  # seconds that a busy machine may take
    wrong = router.querier(family).query(checksum_ok=False)  # the same report has come before that
    wire.expect_no_report(specific, sender=host, answers=wrong)
    wire.expect_report(specific, sender=host, answers=query)


@FAMILIES
def test_a_specific_query_is_answered_for_its_group(trio: Trio, mcast_lab: LabView, family: str) -> None:
    host, router, wire = trio
    one, other = mcast_lab.channel(family), mcast_lab.channel(family)
    _joined(host, wire, one, other)
    query = router.querier(family).query(one, max_response=SHORT[family])
    assert (query.group, query.destination) == (one.group, one.group)
    assert wire.expect_report(one, sender=host, answers=query).records == (Record("MODE_IS_EXCLUDE", one.group),)
    wire.expect_no_report(other, sender=host, answers=query)


@FAMILIES
def test_a_query_of_sources_is_answered_for_those_that_are_wanted(trio: Trio, mcast_lab: LabView, family: str) -> None:
    host, router, wire = trio
    mine = host.source(family)
    channel = mcast_lab.channel(family, source=OTHERS[family])
    _joined(host, wire, channel)
    querier = router.querier(family)
    query = querier.query(channel, [OTHERS[family], mine], max_response=SHORT[family])
    answer = wire.expect_report(channel, sender=host, answers=query)
    assert answer.records == (Record("MODE_IS_INCLUDE", channel.group, [OTHERS[family]]),)
    query = querier.query(channel, [mine], max_response=SHORT[family])
    wire.expect_no_report(channel.group, sender=host, answers=query)  # RFC 3376 section 5.2: then there is none


@pytest.mark.parametrize(
    ("options", "query", "answered"),
    [
        ({"router_alert": False}, {}, True),  # RFC 3376 section 9.1 allows either
        ({"ttl": 2}, {}, True),  # no rule for those who receive it
        ({"source": "0.0.0.0"}, {}, True),  # a snooping switch (RFC 4541 section 2.1.1)
        ({"source": "192.0.2.1"}, {}, True),  # another subnet
        ({}, {"destination": "host"}, True),  # RFC 3376 section 4.1.12
        ({}, {"suppress": True}, True),  # for routers only (RFC 3376 section 4.1.5)
        ({}, {"checksum_ok": False}, False),
        ({}, {"cut": 11}, False),  # RFC 3376 section 7.1
        ({}, {"cut": 7}, False),
    ],
    ids=str,
)
def test_odd_queries_of_igmpv3(
    trio: Trio, mcast_lab: LabView, options: dict[str, Any], query: dict[str, Any], answered: bool
) -> None:
    host, router, wire = trio
    channel = mcast_lab.channel()
    _joined(host, wire, channel)
    if "destination" in query:
        query = {"destination": host.source("ipv4")}
    sent = router.querier(**options).query(**query)
    if answered:
        wire.expect_report(channel, sender=host, answers=sent, record="MODE_IS_EXCLUDE")
    else:
        wire.expect_no_report(channel, sender=host, answers=sent)


@pytest.mark.parametrize(
    ("options", "query", "answered"),
    [
        # RFC 3810 section 6.2: the node checks source, hop limit and router alert, and drops the query.
        ({"router_alert": False}, {}, False),
        ({"ttl": 2}, {}, False),
        ({"source": "::"}, {}, False),
        ({"source": "2001:db8::1"}, {}, False),
        ({"source": "fe80::dead"}, {}, True),
        ({}, {"destination": "host"}, True),
        ({}, {"suppress": True}, True),
        ({}, {"checksum_ok": False}, False),
        ({}, {"cut": 27}, False),  # RFC 3810 section 8.1
        ({}, {"cut": 23}, False),
    ],
    ids=str,
)
def test_odd_queries_of_mldv2(
    trio: Trio, mcast_lab: LabView, options: dict[str, Any], query: dict[str, Any], answered: bool
) -> None:
    host, router, wire = trio
    channel = mcast_lab.channel("ipv6")
    host.settle()
    _joined(host, wire, channel)
    if "destination" in query:
        query = {"destination": host.source("ipv6")}
    sent = router.querier("ipv6", **options).query(max_response=0.02, **query)
    if answered:
        wire.expect_report(channel, sender=host, answers=sent, record="MODE_IS_EXCLUDE")
    else:
        wire.expect_no_report(channel, sender=host, answers=sent)


@OLDER
def test_an_older_querier_pushes_hosts_off_the_newest_version(
    trio: Trio, mcast_lab: LabView, family: str, version: int
) -> None:
    host, router, wire = trio
    channel = mcast_lab.channel(family, source=router)
    fall_back(host, wire, family, version)
    receiver = host.receiver(channel)
    # The source is not on the wire any more (RFC 3376 section 7.2.1, RFC 3810 section 8.2.1) ...
    report = wire.expect_report(channel, sender=host, version=version)
    assert report.records == (Record("REPORT", channel.group),)
    if family == "ipv4":
        assert {membership.version for membership in host.memberships(channel.group)} == {version}
    # ... but the host's filter goes on working.
    assert {membership.sources for membership in host.memberships(channel.group)} == {frozenset({channel.source})}
    other = mcast_lab.host(interfaces={"eth0": "own"})
    spoof = other.sender(Channel.unchecked(channel.group, channel.port)).send(b"wrong source")
    receiver.expect_nothing(spoof, fence=router)
    # Newer queries are answered in the older form, as long as that lasts.
    if version == 2 or family == "ipv6":
        query = router.querier(family).query(channel, max_response=SHORT[family])
        wire.expect_report(channel, sender=host, version=version, answers=query)


@pytest.mark.parametrize(("family", "protects"), [("ipv4", False), ("ipv6", True)])
def test_whether_a_forced_version_protects(trio: Trio, mcast_lab: LabView, family: str, protects: bool) -> None:
    host, router, wire = trio
    name = "ipv6/conf/eth0/force_mld_version" if family == "ipv6" else "ipv4/conf/eth0/force_igmp_version"
    with host:
        Path("/proc/sys/net", name).write_text(str(NEWEST[family]))
    channel = mcast_lab.channel(family)
    _joined(host, wire, channel)
    query = router.querier(family, version=NEWEST[family] - 1).query(max_response=SHORT[family])
    if protects:
        wire.expect_no_report(channel, sender=host, answers=query)
    else:
        wire.expect_report(channel, sender=host, answers=query, version=NEWEST[family] - 1)


@FAMILIES
def test_the_fall_back_ends_after_the_time_that_the_newest_querier_has_said(
    trio: Trio, mcast_lab: LabView, family: str
) -> None:
    # RFC 3376 section 8.12, RFC 3810 section 9.12: robustness x query interval + response interval, so 1 s at the
    # least; Linux takes no robustness below 2 from MLD.
    host, router, wire = trio
    channel = mcast_lab.channel(family)
    _joined(host, wire, channel)
    newest = router.querier(family, robustness=1, interval=1)
    wire.expect_report(channel, sender=host, answers=newest.query(max_response=SHORT[family]))
    query = router.querier(family, version=NEWEST[family] - 1).query(max_response=SHORT[family])
    first = wire.expect_report(channel, sender=host, answers=query)
    assert first.version == NEWEST[family] - 1
    deadline = Deadline(10)
    while True:
        answer = wire.expect_report(channel, sender=host, answers=newest.query(channel, max_response=0.1))
        if answer.version == NEWEST[family]:
            break
        assert not deadline.passed()
    assert answer.after(query) > (0.9 if family == "ipv4" else 1.9)


@FAMILIES
def test_answers_are_spread_over_the_response_time(mcast_lab: LabView, family: str) -> None:
    # RFC 3376 section 5.2: a random delay from 0 to the maximum. That 16 of 16 fall in one eighth happens once in
    # two million million times.
    hosts = mcast_lab.hosts(16, link="own")
    router = hosts[0]
    channel = mcast_lab.channel(family)
    receivers = [host.receiver(channel) for host in hosts[1:]]
    with router.listen() as wire:
        query = router.querier(family).query(channel, max_response=0.4)
        delays = [wire.expect_report(channel, sender=host, answers=query).after(query) for host in hosts[1:]]
    assert len(receivers) == len(delays) == 15
    assert min(delays) > 0
    assert max(delays) - min(delays) > 0.05


def test_what_is_sent_is_what_is_heard(trio: Trio) -> None:
    _, router, wire = trio
    for family, group, source in (("ipv4", "239.1.2.3", "10.0.0.9"), ("ipv6", "ff15::3", "2001:db8::9")):
        queriers = [router.querier(family, version=version) for version in range(1, NEWEST[family] + 1)]
        queriers += [router.querier(family, robustness=5, interval=1000, ttl=3, router_alert=False)]
        sent = [querier.query() for querier in queriers]
        sent += [querier.query(group, max_response=2) for querier in queriers]
        sent += [queriers[-1].query(group, [source], max_response=1000, suppress=True)]
        assert wire.expect_queries(len(sent), sender=queriers[0]) == sent
        assert sent[-1].max_response == pytest.approx(1000, rel=0.05)  # rounded down to what there is a code for
        assert sent[-1].max_response <= 1000
        assert 0.95 * 1000 <= sent[-1].interval <= 1000
        assert (sent[-1].robustness, sent[-1].suppress, set(sent[-1].sources)) == (5, True, {source})
    assert sent[0].max_response == 0.1
    with pytest.raises(NotReported, match=r"no query from .*, within 0 s\nheard on "):
        wire.expect_query(sender="10.9.9.9", timeout=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"family": "ip"}, r"family 'ip' is not one of ipv4, ipv6"),
        ({"version": 4}, r"version 4 is not one of IGMP: 1, 2, 3"),
        ({"family": "ipv6", "version": 3}, r"version 3 is not one of MLD: 1, 2"),
        ({"source": "fe80::1"}, r"source 'fe80::1' is not an address of ipv4"),
        ({"robustness": 8}, r"robustness 8 is not 0 to 7 \(RFC 3376 section 4\.1\.6\)"),
    ],
)
def test_options_of_a_querier_are_checked(trio: Trio, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trio[1].querier(**{"source": "10.0.0.1" if options.get("family") != "ipv6" else "fe80::1"} | options)


def test_what_a_version_cannot_say_is_refused(trio: Trio) -> None:
    _, router, _ = trio
    for querier, arguments, message in (
        (
            router.querier(version=2),
            {"group": "239.1.2.3", "sources": ["10.0.0.1"]},
            "queries of IGMPv2 have no sources",
        ),
        (router.querier("ipv6", version=1), {"sources": ["fe80::1"]}, "queries of MLDv1 have no sources"),
        (router.querier(version=2), {"max_response": 26}, r"max_response 26 s: IGMPv2 says 0.1 to 25.5 s"),
        (router.querier(version=2), {"max_response": 0.05}, r"max_response 0.05 s: IGMPv2 says 0.1 to 25.5 s"),
        (router.querier(), {"max_response": 4000}, r"max_response 4000 s in tenths of a second is 40000 units"),
        (router.querier(), {"max_response": -1}, r"max_response -1 s in tenths of a second is -10 units"),
        (router.querier("ipv6", version=1), {"max_response": 66}, r"max_response 66 s: MLDv1 says 0 to 65.535 s"),
        (router.querier(interval=40000), {}, r"interval 40000 s is 40000 units, and can be no more than 31744"),
        (router.querier(), {"group": "everybody"}, "'everybody' does not appear to be an IPv4 or IPv6 address"),
    ):
        with pytest.raises(ValueError, match=message):
            querier.query(**arguments)


@pytest.mark.parametrize("options", [{"version": 2}, {"robustness": 3}, {"interval": 10}], ids=str)
def test_what_would_last_is_refused_on_the_link_of_all_tests(mcast_lab: LabView, options: dict[str, Any]) -> None:
    host = mcast_lab.host()
    host.querier().query("239.1.2.3")
    with pytest.raises(
        ValueError, match=r"the IGMPv\d querier 10\.\S+ on host1 would change .*hosts\(2, link=\"mine\"\)"
    ):
        host.querier(**options)
    mixed = mcast_lab.host(interfaces={"eth0": "lan", "eth1": "mine"})
    mixed.querier(interface="eth1", **options).query("239.1.2.3")
    with pytest.raises(ValueError, match="would change how the hosts of other tests report"):
        mixed.querier(interface="eth0", **options)


def _addresses(family: str) -> tuple[str, str]:
    return ("10.65.250.250", "10.65.250.251") if family == "ipv4" else ("fe80::250:0", "fe80::251:0")


@FAMILIES
def test_the_lowest_address_is_elected(mcast_lab: LabView, family: str) -> None:
    # RFC 3376 section 6.6.2, RFC 3810 section 7.6.2.
    one, two, watcher = mcast_lab.hosts(3, link="own")
    low, high = _addresses(family)
    with watcher.listen() as wire:
        # For longer than a busy machine can keep the lower one from speaking.
        higher = one.querier(family, source=high, interval=20)
        lower = two.querier(family, source=low, interval=0.1)
        assert (higher.state, lower.state) == ("idle", "idle")
        higher.start()
        wire.expect_query(sender=higher, timeout=BUSY)
        assert higher.state == "querier"
        lower.start()
        higher.wait_until("non-querier")
        assert lower.state == "querier"
        *_, last = wire.expect_queries(2, sender=lower, timeout=BUSY)  # what was under way has come
        wire.expect_queries(4, sender=lower, timeout=BUSY)
        assert not [query for query in wire.queries if query.source == high and query.timestamp_ns > last.timestamp_ns]
        higher.stop()


@FAMILIES
def test_a_querier_that_is_not_heard_any_more_is_succeeded(mcast_lab: LabView, family: str) -> None:
    one, two, watcher = mcast_lab.hosts(3, link="own")
    low, high = _addresses(family)
    with watcher.listen() as wire, one.querier(family, source=high, interval=0.1) as higher:
        lower = two.querier(family, source=low, interval=0.05).start()
        higher.start().wait_until("non-querier")
        lower.stop()  # silent for robustness times the interval and half of the response time
        assert lower.state == "idle"
        stopped = time.time_ns()
        higher.wait_until("querier")

        def taken_over(message: Message) -> list[int]:
            return [0] if message.source == high and message.timestamp_ns > stopped else []

        query = wire.wait_for(taken_over, Deadline(BUSY))
        assert isinstance(query, Query)
        assert query.version == NEWEST[family]


def test_a_proxy_takes_no_part_in_the_election(mcast_lab: LabView) -> None:
    one, two = mcast_lab.hosts(2, link="own")
    with (
        one.listen() as wire,
        one.querier(interval=0.05).start() as querier,
        two.querier(source="0.0.0.0", interval=0.05) as proxy,
    ):
        wire.expect_query(sender=querier, timeout=BUSY)
        proxy.query()
        wire.expect_query(sender="0.0.0.0")
        with pytest.raises(NotReported, match="is querier, not non-querier"):
            querier.wait_until("non-querier", 0.2)
        proxy.start()
        assert proxy.state == "querier"  # and it is silenced by nobody
        wire.expect_queries(3, sender="0.0.0.0", timeout=BUSY)
        assert proxy.state == "querier"


def test_against_the_querier_of_a_switch(mcast_lab: LabView) -> None:
    host, switch = mcast_lab.hosts(2, link="own")
    options = "mcast_snooping 1 mcast_igmp_version 3 mcast_mld_version 2 mcast_query_use_ifaddr 1"
    commands = (
        f"link add br0 type bridge {options} mcast_query_interval 100 mcast_startup_query_interval 100",
        "link set br0 up",
        "address add 10.65.250.200/16 dev br0",
        "address add fe80::200:0/64 dev br0 nodad",
        "link set eth0 master br0",
        "link set br0 type bridge mcast_querier 1",
    )
    switches = ("10.65.250.200", "fe80::200:0")
    with host.listen() as wire:
        for command in commands:
            program = switch.popen(["ip", *command.split()])
            assert program.wait() == 0, (command, program.stderr)
        for address in switches:  # before its first query it would believe in anybody
            wire.expect_query(sender=address, timeout=10)
        addresses = {"ipv4": ("10.65.250.250", "10.65.250.9"), "ipv6": ("fe80::250:0", "fe80::9:0")}
        higher = [host.querier(f, source=high, interval=2).start() for f, (high, _) in addresses.items()]
        for querier in higher:
            querier.wait_until("non-querier")
            querier.stop()
        lower = [host.querier(f, source=low, interval=0.1).start() for f, (_, low) in addresses.items()]
        for querier in lower:
            *_, last = wire.expect_queries(2, sender=querier, timeout=BUSY)
            # The switch would send one a second, which is its shortest interval.
            wire.expect_queries(12, sender=querier, timeout=BUSY)
            theirs = [query for query in wire.queries if query.source in switches and query.protocol == last.protocol]
            assert theirs
            assert all(query.timestamp_ns <= last.timestamp_ns for query in theirs)
            assert querier.state == "querier"
            querier.stop()


def test_what_ends_a_querier_is_raised(mcast_lab: LabView) -> None:
    host = mcast_lab.host(interfaces={"eth0": "own"})
    querier = host.querier(interval=0.02).start()
    assert host.popen(["ip", "link", "set", "eth0", "down"]).wait() == 0
    with pytest.raises(NotReported, match=r"the IGMPv3 querier .* is querier, not non-querier, after 5 s"):  # at once
        querier.wait_until("non-querier", 5)
    with pytest.raises(OSError, match="Network is down"):
        querier.stop()
    querier.stop()


def test_a_querier_ends_with_its_host(mcast_lab: LabView) -> None:
    host = mcast_lab.host(interfaces={"eth0": "own"})
    querier = host.querier(interval=0.02).start()
    assert querier.start() is querier
    names = {thread.name for thread in threading.enumerate()}
    assert str(querier) in names
    host.close_endpoints()
    assert str(querier) not in {thread.name for thread in threading.enumerate()}
    assert repr(querier) == f"<Querier {querier.source} on host1: idle>"


def test_queries_of_several_hosts_are_told_apart(trio: Trio) -> None:
    host, router, wire = trio
    queriers: list[Querier] = [host.querier(), router.querier()]
    queries = [querier.query("239.1.2.3") for querier in itertools.chain(queriers, reversed(queriers))]
    heard: list[Query] = [wire.expect_query(sender=querier) for querier in queriers]
    assert heard == queries[:2]
    assert wire.expect_query(sender=host) == queries[3]  # by its MAC
