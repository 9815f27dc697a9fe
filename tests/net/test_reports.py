"""What a host reports of its memberships, on the wire: RFC 2236, RFC 2710, RFC 3376, RFC 3810."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pytest_mcast import (
    Channel,
    Deadline,
    Interface,
    LabView,
    Listener,
    LocalHost,
    NotReported,
    NoVerdict,
    Receiver,
    Record,
    Report,
    Reported,
    VirtualHost,
)
from pytest_mcast.core.groups import ChannelPicker
from pytest_mcast.lab import netlink
from pytest_mcast.wire.packets import IGMP, Packet, build_packet, internet_checksum

from ..wire.support import fall_back

FAMILIES = pytest.mark.parametrize("family", ["ipv4", "ipv6"])
SOURCES = {"ipv4": ("10.65.250.1", "10.65.250.2"), "ipv6": ("fe80::91:0", "fe80::92:0")}
NEWEST = {"ipv4": 3, "ipv6": 2}
ROUTERS = {"ipv4": "224.0.0.22", "ipv6": "ff02::16"}  # RFC 3376 section 4.2.14, RFC 3810 section 5.2.14
Pair = tuple[VirtualHost, Listener]


@pytest.fixture
def pair(request: pytest.FixtureRequest, mcast_lab: LabView) -> Iterator[Pair]:
    """A host and what another one hears."""
    host, other = mcast_lab.hosts(2, link="own")
    if "family" not in request.fixturenames or request.getfixturevalue("family") == "ipv6":
        host.settle()
    with other.listen() as wire:
        yield host, wire


def _changes(pair: Pair, group: str, family: str, *steps: tuple[Callable[[], Any], str, tuple[str, ...]]) -> None:
    """Take steps; each must be reported exactly twice, by one record."""
    host, wire = pair
    for step, kind, sources in steps:
        step()
        for report in wire.expect_reports(2, group, sender=host):
            assert report.of(group) == (Record(kind, group, sources),)
            assert (report.version, report.destination, report.ttl) == (NEWEST[family], ROUTERS[family], 1)
            assert report.router_alert
            assert report.source == host.source(family)
        wire.expect_no_report(group, sender=host)


@FAMILIES
def test_changes_of_an_any_source_membership(pair: Pair, mcast_lab: LabView, family: str) -> None:
    channel, (_, two) = mcast_lab.channel(family), SOURCES[family]
    receiver: list[Receiver] = []
    _changes(
        pair,
        channel.group,
        family,
        (lambda: receiver.append(pair[0].receiver(channel)), "CHANGE_TO_EXCLUDE_MODE", ()),
        (lambda: receiver[0].subscription.block(two), "BLOCK_OLD_SOURCES", (two,)),
        (lambda: receiver[0].subscription.unblock(two), "ALLOW_NEW_SOURCES", (two,)),
        (lambda: receiver.pop().close(), "CHANGE_TO_INCLUDE_MODE", ()),
    )


@FAMILIES
def test_changes_of_a_source_specific_membership(pair: Pair, mcast_lab: LabView, family: str) -> None:
    one, two = SOURCES[family]
    channel = mcast_lab.channel(family, source=one)
    receivers: list[Receiver] = []
    _changes(
        pair,
        channel.group,
        family,
        # RFC 4604 section 2.2: never CHANGE_TO_INCLUDE_MODE.
        (lambda: receivers.append(pair[0].receiver(channel)), "ALLOW_NEW_SOURCES", (one,)),
        (lambda: receivers[0].subscription.join_source(two), "ALLOW_NEW_SOURCES", (two,)),
        (
            lambda: receivers.append(pair[0].receiver(Channel.unchecked(channel.group, 0))),
            "CHANGE_TO_EXCLUDE_MODE",
            (),
        ),
        (lambda: receivers.pop().close(), "CHANGE_TO_INCLUDE_MODE", (one, two)),
        (lambda: receivers[0].subscription.leave_source(two), "BLOCK_OLD_SOURCES", (two,)),
        (lambda: receivers.pop().close(), "BLOCK_OLD_SOURCES", (one,)),
    )


@FAMILIES
def test_what_changes_nothing_is_not_reported(pair: Pair, mcast_lab: LabView, family: str) -> None:
    host, wire = pair
    one, two = SOURCES[family]
    channel = mcast_lab.channel(family, source=one)
    receiver = host.receiver(channel)
    receiver.subscription.join_source(two)
    wire.expect_reports(2, channel, sender=host, record="ALLOW_NEW_SOURCES")
    seen = len(wire.reports)
    again = host.receiver(Channel(channel.group, 0, source=two))
    proof = wire.expect_no_report(channel.group, sender=host, record="BLOCK_OLD_SOURCES")
    again.close()
    proof = wire.expect_no_report(channel.group, sender=host)
    assert proof.group == channel.group
    assert proof.sender == "host1"
    assert str(proof).startswith(f"host1 has not reported {channel.group}\nno timer of {channel.group} runs on it")
    assert proof.evidence[-1].endswith("after that, and reported it")
    assert not any(report.of(channel) for report in wire.reports[seen:])


@pytest.mark.parametrize("group", ["224.0.0.1", "ff11::8000:1"])
def test_some_groups_are_never_reported(pair: Pair, group: str) -> None:
    # RFC 3376 section 5, RFC 3810 section 6 (interface-local scope).
    host, wire = pair
    receiver = host.receiver(Channel(group, 0))
    wire.expect_no_report(group, sender=host)
    receiver.close()
    wire.expect_no_report(group, sender=host)


@pytest.mark.parametrize("reported", [True, False])
def test_link_local_groups_of_ipv4_are_reported_unless_that_is_switched_off(pair: Pair, reported: bool) -> None:
    host, wire = pair
    with host:
        Path("/proc/sys/net/ipv4/igmp_link_local_mcast_reports").write_text(str(int(reported)))
    receiver = host.receiver(Channel("224.0.0.77", 0))
    if reported:
        wire.expect_report(receiver.channel, sender=host, record="CHANGE_TO_EXCLUDE_MODE")
    else:
        wire.expect_no_report(receiver.channel, sender=host)


OLDER = pytest.mark.parametrize(("family", "version"), [("ipv4", 1), ("ipv4", 2), ("ipv6", 1)])


def test_the_group_that_is_not_reported_is_not_picked(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    host, wire = pair
    channel = ChannelPicker(b"the same").pick("ipv4")
    host.receiver(channel)
    wire.expect_reports(2, channel, sender=host)
    monkeypatch.setattr("secrets.token_bytes", lambda _: b"the same")
    proof = wire.expect_no_report(channel, sender=host)
    assert channel.group not in proof.evidence[-1]


@OLDER
@pytest.mark.parametrize("mode", ["asm", "ssm"])
def test_older_versions(pair: Pair, mcast_lab: LabView, family: str, version: int, mode: str) -> None:
    host, wire = pair
    fall_back(host, wire, family, version)
    channel = mcast_lab.channel(family, source=SOURCES[family][0] if mode == "ssm" else None)
    receiver = host.receiver(channel)
    # RFC 2236 section 3, RFC 2710 section 4: repeated once or twice, to the group itself; sources are not said.
    for report in wire.expect_reports(2, channel, sender=host, version=version):
        assert report.records == (Record("REPORT", channel.group),)
        assert (report.destination, report.ttl) == (channel.group, 1)
    wire.expect_no_report(channel, sender=host)
    receiver.close()
    if (family, version) == ("ipv4", 1):  # RFC 1112 has no leave
        wire.expect_no_report(channel, sender=host)
        return
    kind, routers = ("DONE", "ff02::2") if family == "ipv6" else ("LEAVE", "224.0.0.2")
    left = wire.expect_report(channel, sender=host, record=kind, version=version)
    assert (left.destination, left.records) == (routers, (Record(kind, channel.group),))
    wire.expect_no_report(channel, sender=host)


def test_igmpv2_keeps_quiet_when_another_host_has_reported(mcast_lab: LabView) -> None:
    host, router = mcast_lab.hosts(2, link="own")
    group = mcast_lab.channel().group
    payload = b"\x16\0\0\0" + socket.inet_aton(group)
    payload = payload[:2] + internet_checksum(payload).to_bytes(2, "big") + payload[4:]
    report = build_packet(Packet(router.injector().mac, "10.65.77.77", group, 1, True, IGMP, payload))
    with router.listen() as wire:
        fall_back(host, wire, "ipv4", 2)
        receiver = host.receiver(Channel(group, 0))
        wire.expect_reports(2, group, sender=host)
        querier = router.querier(version=2)
        for _ in range(20):
            query = querier.query(group, max_response=0.2)
            router.inject(report)
            theirs = wire.expect_report(group, sender="10.65.77.77")
            if theirs.after(query) < 0.004:  # sooner than any timer of the kernel
                break
            while any(each.pending_s is not None for each in host.memberships(group)):
                wire.wait_for(lambda _: [], Deadline(0.02))
        wire.expect_no_report(group, sender=host, answers=query)
        receiver.close()  # nor does it say that it leaves: it was not the last to report (RFC 2236 section 6)
        wire.expect_no_report(group, sender=host)


@FAMILIES
def test_a_report_that_is_still_due_is_found(pair: Pair, mcast_lab: LabView, family: str) -> None:
    host, wire = pair
    receiver = host.receiver(mcast_lab.channel(family))
    for _ in range(2):  # reported twice, and the second is not waited for
        with pytest.raises(Reported) as caught:
            wire.expect_no_report(receiver.channel, sender=host)
        wire.expect_report(receiver.channel, sender=host)
    text = str(caught.value)
    assert text.startswith(f"report of {receiver.channel.group} from host1: it was sent\nthe report: ")
    assert f"CHANGE_TO_EXCLUDE_MODE {receiver.channel.group}" in text
    assert "heard on host2: " in text


@OLDER
def test_a_report_that_a_timer_will_send_is_found(pair: Pair, mcast_lab: LabView, family: str, version: int) -> None:
    host, wire = pair
    fall_back(host, wire, family, version)
    host.set_report_interval(0.3)
    receiver = host.receiver(mcast_lab.channel(family))
    wire.expect_report(receiver.channel, sender=host)
    with pytest.raises(Reported):
        wire.expect_no_report(receiver.channel, sender=host)


@FAMILIES
@pytest.mark.parametrize("specific", [False, True])
def test_an_answer_that_is_still_due_is_found(pair: Pair, mcast_lab: LabView, family: str, specific: bool) -> None:
    host, wire = pair
    receiver = host.receiver(mcast_lab.channel(family))
    wire.expect_reports(2, receiver.channel, sender=host)
    for _ in range(3):  # the answer comes sooner or later
        query = wire.querier(family).query(receiver.channel if specific else None, max_response=0.2)
        with pytest.raises(Reported, match=f"MODE_IS_EXCLUDE {receiver.channel.group}"):
            wire.expect_no_report(receiver.channel, sender=host, answers=query)


@FAMILIES
def test_a_host_that_cannot_report_proves_nothing(pair: Pair, mcast_lab: LabView, family: str) -> None:
    host, wire = pair
    host.configure(netlink.link(host.interface.index, up=False))
    group = mcast_lab.channel(family).group
    with pytest.raises(NoVerdict, match=r"no verdict: host1 has not reported .* either, which it has joined since\n"):
        wire.expect_no_report(group, sender=host, timeout=0.1)


@FAMILIES
def test_a_query_that_the_host_has_not_seen_proves_nothing(pair: Pair, mcast_lab: LabView, family: str) -> None:
    host, wire = pair
    query = wire.querier(family).query()  # the host's tap is not on yet
    with pytest.raises(NoVerdict, match=r"no verdict: host1 has not seen the query; its tap is on since the first"):
        wire.expect_no_report(mcast_lab.channel(family), sender=host, answers=query)


def test_time_for_the_answer_is_needed(pair: Pair, mcast_lab: LabView) -> None:
    host, wire = pair
    receiver = host.receiver(mcast_lab.channel())
    query = wire.querier().query("239.9.9.9", max_response=3)
    with pytest.raises(NoVerdict, match=r"no verdict: the host has 3 s for an answer, and the time-out is 0.5 s"):
        wire.expect_no_report(receiver.channel, sender=host, answers=query, timeout=0.5)


@pytest.mark.parametrize(("family", "how"), [("ipv4", "sysctl"), ("ipv4", "query"), ("ipv6", "query")])
def test_the_robustness_variable_says_how_often(pair: Pair, mcast_lab: LabView, family: str, how: str) -> None:
    host, wire = pair
    channel, first = mcast_lab.channel(family), mcast_lab.channel(family)
    if how == "sysctl":
        with host:  # net.ipv6.mld_qrv is the whole machine's
            # Interfaces take it over when they come up, or when a query does not say it.
            Path("/proc/sys/net/ipv4/igmp_qrv").write_text("4")
    before = host.receiver(first)
    query = wire.querier(family, robustness=0 if how == "sysctl" else 4).query(max_response=0.1)
    wire.expect_report(first, sender=host, answers=query)
    before.close()
    receiver = host.receiver(channel)
    wire.expect_reports(4, channel, sender=host)
    wire.expect_no_report(channel, sender=host)
    receiver.close()


@FAMILIES
def test_a_failure_says_what_was_heard(pair: Pair, mcast_lab: LabView, family: str) -> None:
    host, wire = pair
    one, two = SOURCES[family]
    channel = mcast_lab.channel(family, source=one)
    receiver = host.receiver(channel)
    wire.expect_report(channel, sender=host)
    with pytest.raises(NotReported) as caught:
        wire.expect_report(channel, sender=host, version=NEWEST[family], record="BLOCK_OLD_SOURCES", timeout=0.1)
    name, start = ("MLD", "no report of") if family == "ipv6" else ("IGMP", "no report of")
    lines = str(caught.value).splitlines()
    assert lines[0] == (
        f"{start} {channel.group} from host1, version {NEWEST[family]}, BLOCK_OLD_SOURCES, with the source {one}, "
        "within 0.1 s"
    )
    assert lines[1].startswith("heard on host2: ")
    assert any(
        f" s {name}v{NEWEST[family]} from {host.source(family)}: " in line
        and f"ALLOW_NEW_SOURCES {channel.group} {{{one}}}" in line
        for line in lines[2:]
    )
    with pytest.raises(NotReported, match=f"no report of .*, with the source {two}, within"):
        wire.expect_report(Channel(channel.group, 0, source=two), sender=host, timeout=0)
    with pytest.raises(NotReported, match=r"only [0-9] times in 9, a report of .*, with exactly the sources \{"):
        wire.expect_reports(9, channel, sources=[one], timeout=0.15)
    with pytest.raises(NotReported, match=r"no report of .* from 10\.9\.9\.9"):
        wire.expect_report(channel.group, sender="10.9.9.9", timeout=0)
    with pytest.raises(NotReported, match=r"no report of .*, with exactly the sources"):
        wire.expect_report(channel.group, sources=[one, two], timeout=0)
    assert receiver.channel == channel


def test_options_are_checked(pair: Pair) -> None:
    _, wire = pair
    with pytest.raises(ValueError, match=r"record 'JOIN' is not one of MODE_IS_INCLUDE, .*, REPORT, LEAVE, DONE"):
        wire.expect_report("239.1.1.1", record="JOIN")
    with pytest.raises(ValueError, match="'all' does not appear to be an IPv4 or IPv6 address"):
        wire.expect_report("all")


@FAMILIES
def test_each_record_satisfies_one_expectation(pair: Pair, mcast_lab: LabView, family: str) -> None:
    host, wire = pair
    channels = [mcast_lab.channel(family) for _ in range(3)]
    with host.inside():  # at once, so that one report has all of them
        receivers = [Receiver(channel, host.interface) for channel in channels]
    try:
        for _ in range(2):
            for channel in channels:
                wire.expect_report(channel, sender=host)
        for channel in channels:
            with pytest.raises(NotReported):
                wire.expect_report(channel, timeout=0)
    finally:
        for receiver in receivers:
            receiver.close()


@FAMILIES
def test_senders_by_host_address_or_mac(mcast_lab: LabView, family: str) -> None:
    host, other = mcast_lab.hosts(2)
    channel = mcast_lab.channel(family)
    with other.listen() as wire, host.listen() as own:
        receivers = [each.receiver(Channel(channel.group, 0)) for each in (host, other)]
        for listener in (wire, own):  # each hears both: a host hears itself
            for each in (host, other):
                report = listener.expect_report(channel, sender=each)
                assert report.source == each.source(family)
        again = Channel(mcast_lab.channel(family).group, 0)
        receivers.append(host.receiver(again))
        mac = host.injector().mac
        assert wire.expect_report(again, sender=mac.upper()).mac == mac
        assert own.expect_report(again, sender=host.source(family)).mac == mac


@FAMILIES
def test_the_machine_we_run_on_as_the_sender(mcast_lab: LabView, family: str) -> None:
    (interface,) = [interface for interface in Interface.all() if not interface.loopback]
    local = LocalHost(interface)
    with mcast_lab.listen() as wire, local.receiver(ChannelPicker(b"local").pick(family)) as receiver:
        report = wire.expect_report(receiver.channel, sender=local)
        assert report.source in interface.addresses


def test_a_host_without_addresses_is_known_by_its_mac(pair: Pair, mcast_lab: LabView) -> None:
    host, wire = pair
    assert host.popen(["ip", "-4", "address", "flush", "dev", "eth0"]).wait() == 0
    receiver = host.receiver(mcast_lab.channel())
    report = wire.expect_report(receiver.channel, sender=host)
    assert report.source == "0.0.0.0"  # RFC 3376 section 4.2.13


def test_a_report_with_a_wrong_checksum_is_none(pair: Pair) -> None:
    host, wire = pair
    payload = b"\x16\0\x12\x34" + socket.inet_aton("239.1.2.3")
    host.inject(build_packet(Packet(host.injector().mac, host.source("ipv4"), "239.1.2.3", 1, True, IGMP, payload)))
    with pytest.raises(NotReported, match=r"IGMPv2 from 10\.\S+: REPORT 239\.1\.2\.3 \(bad checksum\)"):
        wire.expect_report("239.1.2.3", sender=host, timeout=0)


def test_nothing_is_lost_in_a_flood_of_datagrams(pair: Pair, mcast_lab: LabView) -> None:
    host, wire = pair
    sender = host.sender(mcast_lab.channel())
    payload = bytes(1200)
    for _ in range(20000):  # more than any buffer holds
        sender.send(payload)
    receiver = host.receiver(mcast_lab.channel())
    wire.expect_report(receiver.channel, sender=host)
    assert wire.lost == 0
    assert all(isinstance(message, Report) for message in wire.messages)


def test_what_a_listener_has_heard_remains_when_it_is_closed(mcast_lab: LabView) -> None:
    host, other = mcast_lab.hosts(2)
    with _listening(other) as wire:
        receiver = host.receiver(mcast_lab.channel())
        report = wire.expect_report(receiver.channel, sender=host)
    later = host.receiver(mcast_lab.channel())
    with _listening(other) as second:
        assert second is not wire
        assert second.messages == () or all(message.timestamp_ns > report.timestamp_ns for message in second.messages)
    assert report in wire.messages
    assert not any(heard.of(later.channel) for heard in wire.reports)
    with pytest.raises(NotReported):
        wire.expect_report(later.channel, timeout=5)  # at once: nothing can come any more
    wire.close()


@contextmanager
def _listening(host: VirtualHost) -> Iterator[Listener]:
    with host.listen() as wire:
        yield wire


def test_listeners_on_links(mcast_lab: LabView) -> None:
    host = mcast_lab.host(interfaces={"eth0": "left", "eth1": "right"})
    with mcast_lab.listen("left") as left, mcast_lab.listen("right") as right:
        receivers = [host.receiver(mcast_lab.channel(), interface=f"eth{number}") for number in (0, 1)]
        left.expect_report(receivers[0].channel, sender=host)
        right.expect_report(receivers[1].channel, sender=host)
        with pytest.raises(NotReported):
            left.expect_report(receivers[1].channel, timeout=0)


def test_taps_are_used_again(mcast_lab: LabView) -> None:
    host = mcast_lab.host()
    for _ in range(3):
        with host.listen(), host.listen():
            pass
    assert len(host._ears._taps) == 2


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_a_report_that_was_expected_has_a_comment_in_captures(mcast_lab: LabView, family: str) -> None:
    rx, other = mcast_lab.hosts(2)
    with other.capture() as capture, other.listen() as wire:
        receiver = rx.receiver(mcast_lab.channel(family))
        wire.expect_report(receiver.channel, sender=rx)
        comments = [comment for frame in capture.frames() for comment in frame.comments]
    assert len(comments) == 1
    assert comments[0].startswith("expected: ")
    assert receiver.channel.group in comments[0]
