"""The plain fixtures live on the hosts of this directory's conftest."""

from __future__ import annotations

import pytest
from pytest_mcast import Channel, Host, Interface, Receiver, Sender, VirtualHost

from downstream.announcer import Announcer, Service

SERVICE = Service("pump", 4840)


def test_sender_and_receiver_live_there(
    mcast_receiver: Receiver, mcast_sender: Sender, mcast_sender_host: Host, mcast_receiver_host: Host
) -> None:
    assert (mcast_sender_host.name, mcast_receiver_host.name) == ("controller", "meter")
    mcast_sender.send(b"reading")
    datagram = mcast_receiver.recv()
    assert datagram.source[0] in mcast_sender_host.interface.addresses
    assert datagram.interface_index == mcast_receiver_host.interface.index


def test_interface_in_use_is_the_receivers(mcast_iface: Interface, mcast_receiver_host: Host) -> None:
    assert mcast_iface == mcast_receiver_host.interface
    assert mcast_iface.name == "field0"
    assert [interface.name for interface in mcast_receiver_host.interfaces] == ["lo", "field0", "office0"]


@pytest.mark.mcast(mode="asm", scope="organization-local")
@pytest.mark.parametrize("interface", ["field0", "office0"])
def test_announcement_leaves_by_the_interface(
    mcast_channel: Channel, mcast_sender_host: VirtualHost, mcast_receiver_host: VirtualHost, interface: str
) -> None:
    receiver = mcast_receiver_host.receiver(mcast_channel, interface=interface)
    with mcast_sender_host:
        announcer = Announcer(mcast_channel.group, mcast_channel.port, mcast_sender_host.find(interface).index)
    with receiver, announcer:
        announcer.announce(SERVICE)
        assert Service.decode(receiver.recv().payload) == SERVICE
