"""The interface that datagrams really go out of, although what the socket says of itself looks like another."""

from __future__ import annotations

import socket
import struct

import pytest

from pytest_mcast import LabView
from pytest_mcast.doctor.checks.choosing import CHECKS

from .breaks.plain_sender import plain_socket
from .scene import PlainReceiver, PlainSender, Scene

_MANY = 20  # more than the host sends by itself meanwhile


class _Deaf(PlainReceiver):
    """Gets it, and does not tell."""

    def recv(self, timeout: float | None = None) -> bytes:
        super().recv(5.0)
        raise TimeoutError


class _Sender(PlainSender):
    count = 0

    def send(self, payload: bytes) -> object:
        for _ in range(_MANY):
            super().send(payload)
        self.count += _MANY
        return payload


def _index_and_other_address(scene: Scene, index: int) -> PlainSender:
    sock = plain_socket(scene.tx, "ipv4")
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=8xi", index))
    sock.bind((scene.tx.find("eth9").ipv4[0], 0))
    return _Sender(sock, (scene.channel.group, scene.channel.port))


def _scope_id(scene: Scene, index: int) -> PlainSender:
    scene.sh(scene.tx, f"ip -6 route add multicast {scene.channel.group}/128 dev eth9 table local")
    return _Sender(plain_socket(scene.tx, "ipv6"), (scene.channel.group, scene.channel.port, 0, index))


@pytest.mark.parametrize(("family", "opens_sender"), [("ipv4", _index_and_other_address), ("ipv6", _scope_id)])
def test_an_interface_that_the_socket_does_not_tell(mcast_lab: LabView, family: str, opens_sender: object) -> None:
    scene = Scene(mcast_lab, family)
    scene.tx = mcast_lab.host("tx with two", interfaces={"eth0": scene.switch, "eth9": "beside"})
    index = scene.tx.find("eth0").index
    scene.open_sender = lambda: opens_sender(scene, index)  # type: ignore[operator]
    scene.open_receiver = lambda: _Deaf(scene.rx.receiver(scene.channel).subscription.socket)
    said = scene.fails()
    assert not [each for each in said.findings if each.check in {check.id for check in CHECKS}], said.lines()
