"""Multicast routers: static entries, TTL thresholds, RPF, counters, packets that wait for an entry."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_mcast import Delivered, LabView, NoVerdict, VirtualHost
from pytest_mcast.core import Channel
from pytest_mcast.lab import Router, RouteTimeout, RoutingDaemon, StaticRoute

both_families = pytest.mark.parametrize("family", ["ipv4", "ipv6"])
_SCOPE = {"ipv4": "organization-local", "ipv6": "site-local"}


def _network(lab: LabView, family: str, *, mode: str = "asm") -> tuple[VirtualHost, Router, VirtualHost, Channel]:
    tx = lab.host("tx", interfaces={"eth0": "left"})
    router = lab.router("router", interfaces={"eth0": "left", "eth1": "right"})
    rx = lab.host("rx", interfaces={"eth0": "right"})
    channel = lab.channel(
        family,
        source=tx if mode == "ssm" else None,
        scope=_SCOPE[family] if mode == "asm" or family == "ipv6" else None,
    )
    return tx, router, rx, channel


@both_families
@pytest.mark.parametrize("mode", ["asm", "ssm"])
def test_a_group_crosses_a_router(mcast_lab: LabView, family: str, mode: str) -> None:
    tx, router, rx, channel = _network(mcast_lab, family, mode=mode)
    source = tx.source(family, _SCOPE[family])
    router.route(channel.group, "eth0", ["eth1"], source=source)
    receiver = rx.receiver(channel)
    tx.sender(channel, ttl=2, source=source).send(b"over the hill")
    datagram = receiver.recv()
    assert (datagram.payload, datagram.source[0], datagram.ttl) == (b"over the hill", source, 1)
    assert router.counters(channel.group, source=source).packets == 1


@both_families
def test_ttl_1_stops_at_a_router(mcast_lab: LabView, family: str) -> None:
    tx, router, rx, channel = _network(mcast_lab, family)
    source = tx.source(family, _SCOPE[family])
    router.route(channel.group, "eth0", ["eth1"], source=source)
    receiver = rx.receiver(channel)
    with mcast_lab.link("right").count(channel) as right, mcast_lab.link("left").count(channel) as left:
        for ttl in (1, 2):
            tx.sender(channel, ttl=ttl, source=source).send(b"%d" % ttl)
        assert receiver.recv().payload == b"2"
        port = mcast_lab.link("right").port(router)
        assert right.received(port) == 1
        assert left.sent(mcast_lab.link("left").port(router)) == 2  # both were there


def test_a_threshold_of_an_entry(mcast_lab: LabView) -> None:
    tx, router, rx, channel = _network(mcast_lab, "ipv4")
    source = tx.source("ipv4")
    router.route(channel.group, "eth0", {"eth1": 8}, source=source)
    receiver = rx.receiver(channel)
    for ttl in (8, 9):
        tx.sender(channel, ttl=ttl).send(b"%d" % ttl)
    assert receiver.recv().payload == b"9"  # it forwards what is above the threshold (ip_mr_forward)
    assert receiver.receive() is None


@both_families
def test_what_comes_in_by_the_wrong_interface_is_dropped(mcast_lab: LabView, family: str) -> None:
    tx, router, rx, channel = _network(mcast_lab, family)
    source = tx.source(family, _SCOPE[family])
    router.route(channel.group, "eth1", ["eth0"], source=source)  # it is expected from the right
    receiver = rx.receiver(channel)
    with mcast_lab.link("right").count(channel) as count:
        tx.sender(channel, ttl=2, source=source).send(b"from the left")
        upcall = router.wait_for_upcall(channel.group, "wrong interface")
        assert (upcall.interface, upcall.source) == ("eth0", source)
        assert router.counters(channel.group, source=source).wrong_interface == 1
        assert count.received(mcast_lab.link("right").port(router)) == 0
    assert receiver.receive() is None


@both_families
def test_packets_that_wait_for_an_entry_come_late(mcast_lab: LabView, family: str) -> None:
    tx, router, rx, channel = _network(mcast_lab, family)
    source = tx.source(family, _SCOPE[family])
    router.forward(family)
    receiver = rx.receiver(channel)
    sender = tx.sender(channel, ttl=2, source=source)
    for number in range(6):
        sender.send(b"%d" % number)
    assert router.wait_for_upcall(channel.group).kind == "unresolved"
    assert receiver.receive() is None
    router.route(channel.group, "eth0", ["eth1"], source=source)
    waited = [datagram.payload for datagram in receiver.expect(4)]
    sender.send(b"the next")
    assert receiver.recv().payload == b"the next"
    assert waited == [b"0", b"1", b"2", b"3"]  # the kernel keeps so many (ipmr_cache_unresolved), and drops the rest


@both_families
def test_what_waits_for_an_entry_is_not_judged_as_kept_out(mcast_lab: LabView, family: str) -> None:
    tx, router, rx, channel = _network(mcast_lab, family)
    source = tx.source(family, _SCOPE[family])
    router.forward(family)
    receiver = rx.receiver(channel)
    sender = tx.sender(channel, ttl=2, source=source)
    sent = sender.send(b"waits")
    with pytest.raises(NoVerdict, match="the fence did not arrive"):  # it waits as well
        receiver.expect_nothing(sent, fence=sender, timeout=0.1)
    router.route(channel.group, "eth0", ["eth1"], source=source)
    with pytest.raises(Delivered, match="delivered: 5 bytes b'waits'"):
        receiver.expect_nothing(sent, fence=sender)


@both_families
def test_questions_about_several_groups(mcast_lab: LabView, family: str) -> None:
    tx, router, _, channel = _network(mcast_lab, family)
    other = mcast_lab.channel(family, scope=_SCOPE[family])
    router.forward(family)
    for each in (other, channel):
        tx.sender(each, ttl=2, source=tx.source(family, _SCOPE[family])).send(b"?")
    assert router.wait_for_upcall(channel.group).group == channel.group
    assert router.wait_for_upcall(other.group).group == other.group  # it was there before
    with pytest.raises(TimeoutError, match=f"was not asked about {channel.group}"):
        router.wait_for_upcall(channel.group, timeout=0.01)


@both_families
def test_messages_of_hosts_take_no_room_from_questions(mcast_lab: LabView, family: str) -> None:
    tx, router, _, channel = _network(mcast_lab, family)
    router.forward(family)
    querier = tx.querier(family)
    for _ in range(600):
        querier.query()
    tx.sender(channel, ttl=2, source=tx.source(family, _SCOPE[family])).send(b"?")
    assert router.wait_for_upcall(channel.group).group == channel.group


@both_families
def test_two_routers_and_a_link_that_nobody_listens_on(mcast_lab: LabView, family: str) -> None:
    tx = mcast_lab.host("tx", interfaces={"eth0": "a"})
    first = mcast_lab.router("first", interfaces={"eth0": "a", "eth1": "b", "eth2": "empty"})
    second = mcast_lab.router("second", interfaces={"eth0": "b", "eth1": "c"})
    rx = mcast_lab.host("rx", interfaces={"eth0": "c"})
    channel = mcast_lab.channel(family, scope=_SCOPE[family])
    source = tx.source(family, _SCOPE[family])
    for router in (first, second):
        router.route(channel.group, "eth0", ["eth1"])  # of any source
    receiver = rx.receiver(channel)
    with mcast_lab.link("empty").count(channel) as empty:
        tx.sender(channel, ttl=3, source=source).send(b"far")
        datagram = receiver.recv()
        assert (datagram.payload, datagram.ttl) == (b"far", 1)
        assert empty.received(mcast_lab.link("empty").port(first)) == 0


@pytest.mark.parametrize("mode", ["asm", "ssm"])
def test_a_host_is_the_address_that_it_sends_from_to_the_group(mcast_lab: LabView, mode: str) -> None:
    tx, router, rx, channel = _network(mcast_lab, "ipv6", mode=mode)
    router.route(channel.group, "eth0", ["eth1"], source=tx)
    receiver = rx.receiver(channel)
    tx.sender(channel, ttl=2).send(b"over the hill")
    assert receiver.recv().payload == b"over the hill"
    assert router.counters(channel.group.upper(), source=tx).packets == 1
    daemon = RoutingDaemon(router, router.popen(["cat"]))
    assert daemon.wait_for_route(channel.group, "eth1", source=tx).packets == 1
    line = StaticRoute(channel.group, "eth0", ["eth1"], tx).line()
    assert line == f"mroute from eth0 source {tx.source('ipv6', 'site-local')} group {channel.group} to eth1"
    router.unroute(channel.group, "eth0", source=tx)
    router.route(channel.group, "eth1", ["eth0"], source=tx)
    with pytest.raises(RouteTimeout, match="still goes to eth0"):
        daemon.wait_until_pruned(channel.group, "eth0", source=tx, timeout=0)


def test_what_is_asked_for_in_other_letters_is_found(mcast_lab: LabView) -> None:
    tx, router, _, channel = _network(mcast_lab, "ipv6")
    router.forward("ipv6")
    tx.sender(channel, ttl=2).send(b"?")
    assert router.wait_for_upcall(channel.group.upper()).group == channel.group


_WRONG: list[tuple[tuple[Any, ...], str]] = [
    (("239.1.2.3", "eth7", ["eth1"]), "'eth7' does not take part; there is eth0, eth1"),
    (("239.1.2.3", "eth0", "eth1"), r"outgoing 'eth1' is one name, where a list of names belongs: \['eth1'\]"),
    (("239.1.2.3", "eth0", {"eth1": 0}), "the least TTL of eth1: 0 is not from 1 to 254"),
    (("239.1.2.3", "eth0", {"eth1": "8"}), "the least TTL of eth1: '8' is not from 1 to 254"),
    (("239.1.2.3", "eth0", {"eth1": True}), "the least TTL of eth1: True is not from 1 to 254"),
    (("10.0.0.1", "eth0", ["eth1"]), "'10.0.0.1' is no multicast group"),
    (("mine", "eth0", ["eth1"]), "'mine' is no multicast group"),
    (("ff05::1:2%eth0", "eth0", ["eth1"]), "the group 'ff05::1:2%eth0' has a zone; name it without"),
    (("ff05::1:2", "eth0", {"eth1": 8}), "IPv6 has no least hop limit"),
]
_NO_SOURCES = ["mine", "", "0.0.0.0", "239.1.2.3", "fd6d::1"]


def test_what_cannot_be_an_entry(mcast_lab: LabView) -> None:
    router = mcast_lab.router(interfaces={"eth0": "left", "eth1": "right"})
    for arguments, text in _WRONG:
        with pytest.raises(ValueError, match=text):
            router.route(*arguments)
    for source in _NO_SOURCES:
        with pytest.raises(ValueError, match=f"source '{source}' is neither a host nor the ipv4 address of one"):
            router.route("239.1.2.3", "eth0", ["eth1"], source=source)


def test_what_is_not_there_is_told(mcast_lab: LabView) -> None:
    router = mcast_lab.router("r", interfaces={"eth0": "left", "eth1": "right"})
    with pytest.raises(OSError, match=r"\[Errno 99\] r has no entry \(\*, 239.1.2.3\); there is none"):
        router.counters("239.1.2.3")
    router.route("239.1.2.4", "eth0", ["eth1"], source="10.1.2.3")
    with pytest.raises(
        FileNotFoundError, match=r"has no entry \(\*, 239.1.2.4\); there is \(10.1.2.3, 239.1.2.4\) from"
    ):
        router.unroute("239.1.2.4", "eth0")
    with pytest.raises(ValueError, match="kind 'lost' is not one of unresolved, wrong interface, whole packet"):
        router.wait_for_upcall("239.1.2.3", "lost")
    for call in (router.forward, router.entries):
        with pytest.raises(ValueError, match="family 'ipv5' is not one of ipv4, ipv6"):
            call("ipv5")


def test_more_interfaces_than_the_kernel_forwards_between(mcast_lab: LabView) -> None:
    router = mcast_lab.router(interfaces={f"eth{number}": "mine" for number in range(33)})
    for _ in range(2):
        with pytest.raises(ValueError, match="eth32 is one too many"):
            router.route("239.1.2.3", "eth0", ["eth1"])
