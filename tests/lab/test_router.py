"""Multicast routers: static entries, TTL thresholds, RPF, counters, packets that wait for an entry."""

from __future__ import annotations

import pytest

from pytest_mcast import Delivered, LabView, NoVerdict, VirtualHost
from pytest_mcast.core import Channel
from pytest_mcast.lab import Router

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


def test_what_cannot_be_an_entry(mcast_lab: LabView) -> None:
    router = mcast_lab.router(interfaces={"eth0": "left", "eth1": "right"})
    with pytest.raises(ValueError, match=r"'eth7' does not take part; there is eth0, eth1"):
        router.route("239.1.2.3", "eth7", ["eth1"])
    with pytest.raises(ValueError, match=r"the least TTL of eth1: 0 is not from 1 to 254"):
        router.route("239.1.2.3", "eth0", {"eth1": 0})
    with pytest.raises(ValueError, match=r"'10.0.0.1' is no multicast group"):
        router.route("10.0.0.1", "eth0", ["eth1"])
    with pytest.raises(ValueError, match=r"IPv6 has no least hop limit"):
        router.route("ff05::1:2", "eth0", {"eth1": 8})
    with pytest.raises(OSError, match=r"\[Errno 99\]"):
        router.counters("239.1.2.3")
