"""Senders that are bound otherwise than a ``Sender`` is, or inject frames that are built here."""

from __future__ import annotations

import socket
import struct
from typing import Any

from pytest_mcast.packets import udp
from pytest_mcast.packets.template import frames_of
from tests.doctor.scene import PlainSender, Scene

__all__ = ["crafted", "plain_sender"]


def plain_sender(scene: Scene, source: str | None = None) -> PlainSender:
    """Open a plain socket that sends out of the sender's interface; bound to an address if one is given."""
    with scene.tx.inside():
        index = socket.if_nametoindex("eth0")
        if scene.family == "ipv6":
            sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        else:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4si", b"", b"", index))
    if source is not None:
        sock.bind((source, 0))
    return PlainSender(sock, (scene.channel.group, scene.channel.port))


class _Injector(PlainSender):
    """Sends with what is wrong on purpose: arguments of ``udp(...).with_checksum``, ``with_length`` and ``with_ip``."""

    def __init__(self, scene: Scene, wrong: dict[str, Any]) -> None:
        plain = plain_sender(scene, scene.tx.source(scene.family) if scene.family == "ipv4" else None)
        super().__init__(plain.socket, (scene.channel.group, scene.channel.port))
        self._scene = scene
        self._wrong = wrong
        self.count = 0

    def send(self, payload: bytes) -> object:
        """Inject a datagram."""
        scene, wrong = self._scene, self._wrong
        source = scene.tx.source(scene.family)
        packet = udp(scene.channel, payload, source=source, source_port=40000)
        packet = packet.as_frame(source_mac=scene.tx.injector().mac)
        packet = packet.with_checksum(wrong.get("checksum"), ip=wrong.get("ip_checksum"))
        self.count += 1
        scene.tx.inject(*frames_of(packet.with_length(ip=wrong.get("ip_length")).with_ip(**wrong.get("ip_fields", {}))))
        return None


def crafted(scene: Scene, **wrong: Any) -> None:
    """Have the sender inject datagrams with what is wrong (``checksum="bad"``)."""
    scene.open_sender = lambda: _Injector(scene, wrong)
