"""The plain fixtures live on the hosts of this directory's conftest."""

from __future__ import annotations

from pytest_mcast import Host, Interface, Receiver, Sender


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
