"""Many receivers beside each other: each gets exactly its own."""

from __future__ import annotations

import itertools

import pytest

from pytest_mcast import Channel, LabView, Receiver


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_twenty_groups_on_one_port(mcast_lab: LabView, family: str) -> None:
    rx, tx = mcast_lab.hosts(2)
    group = {"ipv4": "239.255.7.{}", "ipv6": "ff12::8000:{}"}[family]
    channels = [Channel(group.format(number), 5000) for number in range(10, 30)]
    receivers = [rx.receiver(channel) for channel in channels]
    for number, channel in itertools.product(range(3), channels):
        tx.sender(channel).send(f"{number} {channel}".encode())
    for receiver in receivers:
        expected = [f"{number} {receiver.channel}".encode() for number in range(3)]
        assert [datagram.payload for datagram in receiver.expect(3)] == expected
        assert receiver.subscription.receive() is None  # the others were sent before


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_two_sources_of_one_group(mcast_lab: LabView, family: str) -> None:
    rx, one, two = mcast_lab.hosts(3)
    first = mcast_lab.channel(source=one, family=family)
    second = Channel(first.group, first.port, two.source(family))
    from_one, from_two = rx.receiver(first), rx.receiver(second)
    one.sender(first).send(b"one")
    two.sender(second).send(b"two")
    one.sender(first).send(b"one again")
    assert [datagram.payload for datagram in from_one.expect(2)] == [b"one", b"one again"]
    assert from_two.recv().payload == b"two"
    assert from_one.subscription.receive() is None
    assert from_two.subscription.receive() is None


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_one_channel_on_two_interfaces(mcast_lab: LabView, family: str) -> None:
    links = {"nic0": "left", "nic1": "right"}
    rx = mcast_lab.host(interfaces=links)
    tx = mcast_lab.host(interfaces=links)
    channel = mcast_lab.channel(family)
    receivers = {name: rx.receiver(channel, interface=name) for name in links}
    for name in links:
        tx.sender(channel, interface=name).send(name.encode())
    for name, receiver in receivers.items():
        assert receiver.recv().payload == name.encode()
        assert receiver.subscription.receive() is None
        assert receiver.statistics().rejected == {}  # the kernel has kept the other away (SO_BINDTODEVICE)


def test_all_receivers_of_one_channel_get_it(mcast_lab: LabView) -> None:
    rx, tx = mcast_lab.hosts(2)
    channel = mcast_lab.channel()
    receivers = [rx.receiver(channel) for _ in range(12)]
    tx.sender(channel).send(b"for everybody")
    assert [receiver.recv().payload for receiver in receivers] == [b"for everybody"] * 12


def test_a_thousand_receivers_do_not_hit_the_limit_of_select(mcast_lab: LabView) -> None:
    rx, tx = mcast_lab.hosts(2)
    channel = mcast_lab.channel()
    receivers: list[Receiver] = []
    # Each has a socket and an epoll descriptor: so many that the numbers pass FD_SETSIZE.
    while not receivers or receivers[-1].fileno() <= 1024:
        receivers.append(rx.receiver(channel, receive_buffer=4096))
    tx.sender(channel).send(b"x")
    assert receivers[-1].recv().payload == b"x"
