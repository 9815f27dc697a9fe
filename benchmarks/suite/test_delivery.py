"""One test, with our fixtures and by hand; ``benchmarks.fixtures`` runs it."""

from __future__ import annotations

import secrets
import socket

import pytest

from pytest_mcast import ChannelPicker, Receiver, Sender

GROUP = ChannelPicker(secrets.token_bytes(8)).pick("ipv4").group
LOOPBACK = socket.inet_aton("127.0.0.1")


@pytest.mark.mcast(family="ipv4", mode="asm")
def test_ours(mcast_receiver: Receiver, mcast_sender: Sender) -> None:
    mcast_sender.send(b"hello")
    assert mcast_receiver.recv().payload == b"hello"


def test_by_hand() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind((GROUP, 0))
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + LOOPBACK)
        receiver.settimeout(5)
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, LOOPBACK)
        sender.sendto(b"hello", (GROUP, receiver.getsockname()[1]))
        assert receiver.recv(65535) == b"hello"
