"""Plain test functions: what each fixture is for. Those with a channel run once for each kind of channel."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_mcast import Channel, EchoResponder, Host, Interface, LabView, Receiver, Sender


def test_what_is_sent_is_received(mcast_receiver: Receiver, mcast_sender: Sender) -> None:
    sent = mcast_sender.send(b"hello")
    datagram = mcast_receiver.recv()
    assert (datagram.payload, datagram.source) == (b"hello", sent.source)


def test_echo_comes_back_to_the_sender(mcast_sender: Sender, mcast_echo: EchoResponder) -> None:
    mcast_sender.send(b"hello")
    assert mcast_sender.recv().payload == b"hello"
    assert mcast_echo.running


def test_channel_is_of_the_kind_in_the_id(request: pytest.FixtureRequest, mcast_channel: Channel) -> None:
    assert request.node.callspec.id == f"{mcast_channel.family}-{mcast_channel.mode}"


@pytest.mark.mcast(family="ipv4", mode="asm", scope="organization-local")
def test_marker_narrows_the_channel(mcast_channel: Channel) -> None:
    assert (mcast_channel.family, mcast_channel.mode, mcast_channel.scope) == ("ipv4", "asm", "organization-local")


def test_all_receivers_of_a_channel_get_a_datagram(
    mcast_receiver_factory: Callable[..., Receiver], mcast_sender: Sender
) -> None:
    receivers = [mcast_receiver_factory() for _ in range(3)]
    mcast_sender.send(b"to all")
    assert [receiver.recv().payload for receiver in receivers] == [b"to all"] * 3


@pytest.mark.mcast(family="ipv4", mode="asm")
def test_ttl_is_the_senders(mcast_receiver: Receiver, mcast_sender_factory: Callable[..., Sender]) -> None:
    mcast_sender_factory(ttl=7).send(b"seven")
    assert mcast_receiver.recv().ttl == 7


def test_echo_with_a_payload_of_its_own(mcast_sender: Sender, mcast_echo_factory: Callable[..., EchoResponder]) -> None:
    responder = mcast_echo_factory(payload=b"always this", stop_on_empty=True)
    mcast_sender.send(b"anything")
    assert mcast_sender.recv().payload == b"always this"
    mcast_sender.send(b"")
    responder.wait()


def test_interface_is_one_of_the_receivers_host(mcast_iface: Interface, mcast_receiver_host: Host) -> None:
    assert mcast_iface in mcast_receiver_host.interfaces


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_ssm_keeps_other_sources_out(mcast_lab: LabView, family: str) -> None:
    rx, good, bad = mcast_lab.hosts(3)
    channel = mcast_lab.channel(family, source=good)
    receiver = rx.receiver(channel)
    control = rx.receiver(Channel(channel.group, channel.port, bad.source(family)))
    bad.sender(channel).send(b"from elsewhere")
    assert control.recv().payload == b"from elsewhere"  # it was on the wire, and arrived
    good.sender(channel).send(b"from the source")
    assert receiver.recv().payload == b"from the source"
    statistics = receiver.statistics()
    assert (statistics.received, statistics.rejected) == (1, {})  # the kernel kept it out, not the receiver
