"""A fixture overridden in a module: the receiver is the product's, the host one of this test's own network."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_mcast import Channel, Host, LabView, Sender

from downstream.announcer import Listener, Service

SERVICE = Service("gateway", 502)


@pytest.fixture
def mcast_sender_host(mcast_lab: LabView) -> Host:
    return mcast_lab.host("sender")


@pytest.fixture
def mcast_receiver_host(mcast_lab: LabView) -> Host:
    return mcast_lab.host("receiver")


@pytest.fixture
def mcast_receiver(mcast_channel: Channel, mcast_receiver_host: Host) -> Iterator[Listener]:
    index = mcast_receiver_host.interface.index
    with mcast_receiver_host:
        listener = Listener(mcast_channel.group, mcast_channel.port, index, mcast_channel.source)
    with listener:
        yield listener


def test_delivery(mcast_receiver: Listener, mcast_sender: Sender) -> None:
    sent = mcast_sender.send(SERVICE.encode())
    assert mcast_receiver.hear(timeout=5) == (SERVICE, sent.source[0])
