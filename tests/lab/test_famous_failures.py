"""The famous failures of multicast: each with its symptom, its cause made on purpose, and its cure."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pytest_mcast import Channel, LabView, VirtualHost
from pytest_mcast.lab import COMPRESSED, Switch, netlink
from pytest_mcast.lab.sysctls import write_sysctl

both_families = pytest.mark.parametrize("family", ["ipv4", "ipv6"])
_MULTICAST_ALL = {"ipv4": (socket.IPPROTO_IP, 49), "ipv6": (socket.IPPROTO_IPV6, 29)}  # linux/in.h, linux/in6.h


def _hosts(lab: LabView, switch: Switch, *names: str) -> Iterator[VirtualHost]:
    return (lab.host(name, interfaces={"eth0": switch}) for name in names)


def _report_once(host: VirtualHost, group: str) -> None:
    """Report a membership that the host does not have, so that it will not answer when asked (RFC 3376, RFC 3810)."""
    packed = ipaddress.ip_address(group).packed
    to_exclude = struct.pack("!BBH", 4, 0, 0) + packed
    with host.inside():
        if len(packed) == 4:
            report = struct.pack("!BBHHH", 0x22, 0, 0, 0, 1) + to_exclude
            total = sum(struct.unpack(f"!{len(report) // 2}H", report))
            checksum = ~((total >> 16) + (total & 0xFFFF)) & 0xFFFF
            report = report[:2] + struct.pack("!H", checksum) + report[4:]
            with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP) as sock:
                sock.sendto(report, ("224.0.0.22", 0))
        else:
            report = struct.pack("!BBHHH", 143, 0, 0, 0, 1) + to_exclude
            router_alert = bytes([0, 0, 5, 2, 0, 0, 1, 0])
            with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_HOPOPTS, router_alert)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
                sock.sendto(report, ("ff02::16", 0, 0, host.interface.index))


@contextmanager
def _unsolicited_reports(listener: VirtualHost, host: VirtualHost) -> Iterator[Callable[[str], None]]:
    """Give a function that waits until a host has reported an IPv4 group as often as it does without being asked.

    That is twice, the second time at random within a second (RFC 3376 section 8.11, and its default robustness).
    """
    with listener.inside():
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP)
    source = socket.inet_aton(host.source("ipv4"))

    def wait(group: str) -> None:
        reports = 0
        while reports < 2:
            packet = sock.recv(1000)
            message = packet[4 * (packet[0] & 15) :]
            reports += packet[12:16] == source and message[0] == 0x22 and message[12:16] == socket.inet_aton(group)

    with sock:
        sock.settimeout(30)
        request = socket.inet_aton("224.0.0.22") + struct.pack("=4si", bytes(4), listener.interface.index)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        yield wait


@both_families
def test_the_stream_that_stops_after_260_seconds(mcast_lab: LabView, family: str) -> None:
    """A switch that nobody makes ask forgets its members, 260 seconds after the join; here 3."""
    switch = mcast_lab.switch(snooping=True, querier=False, strict=True, timers=COMPRESSED)
    tx, rx, silent = _hosts(mcast_lab, switch, "tx", "rx", "silent")
    receiver = rx.receiver(mcast_lab.channel(family))
    sender = tx.sender(receiver.channel)
    with switch.count(receiver.channel) as count:
        sender.send(b"it works")
        assert receiver.recv().payload == b"it works"

        switch.wait_until_gone(receiver.channel, rx, timeout=30)
        assert receiver.subscription.state == "joined"
        sender.send(b"it stops")
        receiver_of_fence = rx.receiver(
            mcast_lab.channel(family)
        )  # a new join still works, and that confuses everybody
        tx.sender(receiver_of_fence.channel).send(b"fence")
        receiver_of_fence.recv()
        assert (count.received(switch.port(tx)), count.sent(switch.port(rx))) == (2, 1)

        switch.set(querier=True)
        switch.wait_for_entry(receiver.channel, rx)
        unanswered = mcast_lab.channel(family)
        _report_once(silent, unanswered.group)
        switch.wait_for_entry(unanswered, silent)
        switch.wait_until_gone(unanswered, silent, timeout=30)  # who does not answer is forgotten after 3 s
        sender.send(b"it goes on")
        assert receiver.recv().payload == b"it goes on"


@pytest.mark.parametrize(("family", "old", "new"), [("ipv4", 2, 3), ("ipv6", 1, 2)])
def test_a_querier_of_an_old_version_takes_the_sources_away(
    mcast_lab: LabView, family: str, old: int, new: int
) -> None:
    """IGMPv2 and MLDv1 know no sources: everybody's datagrams come down the line, and only the host sorts them."""
    name = {"ipv4": "igmp_version", "ipv6": "mld_version"}[family]
    for version, expected in ((old, 1), (new, 0)):
        switch = mcast_lab.switch(snooping=True, **{name: version})  # type: ignore[arg-type]
        good, bad, rx = (mcast_lab.host(interfaces={"eth0": switch}) for _ in range(3))
        receiver = rx.receiver(mcast_lab.channel(family, source=good))
        source = receiver.channel.source if version == new else None
        assert switch.wait_for_entry(receiver.channel, rx).source == source
        foreign = Channel(receiver.channel.group, receiver.channel.port, bad.source(family))
        with switch.count(foreign) as count:
            bad.sender(receiver.channel).send(b"bad")
            good.sender(receiver.channel).send(b"good")
            assert receiver.recv().payload == b"good"
            assert count.sent(switch.port(rx)) == expected


@both_families
def test_groups_that_another_socket_has_joined(mcast_lab: LabView, family: str) -> None:
    """A socket bound to the wildcard address gets what anybody on the host has joined, unless it says no."""
    tx, rx = mcast_lab.hosts(2)
    channel = mcast_lab.channel(family)
    foreign = Channel(mcast_lab.channel(family).group, channel.port)
    index = rx.interface.index
    version = socket.AF_INET6 if family == "ipv6" else socket.AF_INET
    for multicast_all, expected in ((1, [b"foreign", b"ours"]), (0, [b"ours"])):
        with rx.inside():
            sock = socket.socket(version, socket.SOCK_DGRAM)
        with sock:
            sock.settimeout(10)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(*_MULTICAST_ALL[family], multicast_all)
            sock.bind(("", channel.port))
            group = socket.inet_pton(version, channel.group)
            if family == "ipv6":
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group + struct.pack("=I", index))
            else:
                request = group + struct.pack("=4si", bytes(4), index)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
            with rx.receiver(foreign) as somebody_else:
                tx.sender(foreign).send(b"foreign")
                assert somebody_else.recv().payload == b"foreign"  # it was there
                tx.sender(channel).send(b"ours")
                assert [sock.recv(100) for _ in expected] == expected


def test_a_flap_of_the_interface_and_nobody_asks(mcast_lab: LabView) -> None:
    """The switch forgets whoever is unplugged. Linux reports again for IPv6 only, so that IPv4 waits for a query."""
    switch = mcast_lab.switch(snooping=True, querier=False, strict=True)
    tx, rx = _hosts(mcast_lab, switch, "tx", "rx")
    with _unsolicited_reports(tx, rx) as wait_for_reports:
        ipv4, ipv6 = (rx.receiver(mcast_lab.channel(family)) for family in ("ipv4", "ipv6"))
        wait_for_reports(ipv4.channel.group)  # else the second one comes after the flap, sometimes
    senders = [tx.sender(receiver.channel) for receiver in (ipv4, ipv6)]
    switch.down(rx)
    for receiver in (ipv4, ipv6):
        switch.wait_until_gone(receiver.channel, rx)
    switch.up(rx)
    switch.wait_for_entry(ipv6.channel, rx)
    with switch.count(ipv4.channel) as count:
        for sender in senders:
            sender.send(b"plugged in again")
        assert ipv6.recv().payload == b"plugged in again"
        assert (count.received(switch.port(tx)), count.sent(switch.port(rx))) == (1, 0)
    assert switch.mdb(ipv4.channel) == ()

    switch.set(querier=True)
    switch.wait_for_entry(ipv4.channel, rx)
    for _ in range(2):
        senders[0].send(b"asked")
        assert ipv4.recv().payload == b"asked"
        switch.down(rx)  # and a switch that asks does so as soon as somebody is plugged in
        switch.wait_until_gone(ipv4.channel, rx)
        switch.up(rx)
        switch.wait_for_entry(ipv4.channel, rx)


def test_an_address_that_is_still_tested_for_duplicates(mcast_lab: LabView) -> None:
    """For a second or more after it was added, nothing can be sent from an IPv6 address (RFC 4862 section 5.4)."""
    tx, rx = mcast_lab.hosts(2)
    channel = mcast_lab.channel("ipv6")
    receiver = rx.receiver(channel)
    name = tx.interface.name
    with tx:
        write_sysctl(f"ipv6/conf/{name}/accept_dad", "1")
        write_sysctl(f"ipv6/conf/{name}/dad_transmits", "60")  # a minute of it
    tx.configure(netlink.address(tx.interface.index, "fe80::dad:0", 64, dad=True))
    with pytest.raises(OSError, match="Cannot assign requested address"):
        tx.sender(channel, source="fe80::dad:0")
    tx.configure(netlink.address(tx.interface.index, "fe80::dad:1", 64))  # without it (IFA_F_NODAD)
    tx.sender(channel, source="fe80::dad:1").send(b"at once")
    assert receiver.recv().source[0].partition("%")[0] == "fe80::dad:1"


def test_a_receiver_of_ours_takes_no_foreign_groups(mcast_lab: LabView) -> None:
    tx, rx = mcast_lab.hosts(2)
    channel = mcast_lab.channel()
    foreign = Channel(mcast_lab.channel().group, channel.port)
    ours, theirs = rx.receiver(channel), rx.receiver(foreign)
    sent = tx.sender(foreign).send(b"foreign")
    assert theirs.recv().payload == b"foreign"
    ours.expect_nothing(sent, fence=tx)
