"""Senders that do what a ``Sender`` does not: a plain socket, and one that injects frames that are built here."""

from __future__ import annotations

import socket
import struct
from typing import Any

from pytest_mcast import Sender
from pytest_mcast.core.datagrams import Sent
from pytest_mcast.packets import udp
from pytest_mcast.packets.template import frames_of
from tests.doctor.scene import Scene

__all__ = ["PlainSender", "crafted"]


class PlainSender:
    """A sender as users write it: a plain socket, bound to an address if one is given."""

    def __init__(self, scene: Scene, source: str | None = None) -> None:
        ipv6 = scene.family == "ipv6"
        with scene.tx.inside():
            self.socket = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
            index = socket.if_nametoindex("eth0")
            if ipv6:
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            else:
                self.socket.setsockopt(
                    socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4si", b"", b"", index)
                )
            if source is not None:
                self.socket.bind((source, 0))
        self._destination = scene.channel.group, scene.channel.port

    def send(self, payload: bytes) -> None:
        """Send a datagram."""
        self.socket.sendto(payload, self._destination)

    def close(self) -> None:
        """Close it."""
        self.socket.close()


def crafted(scene: Scene, **changes: Any) -> None:
    """Have the sender inject datagrams that are changed so (``packets.Packet``), of the same payload."""
    open_sender = scene.open_sender

    def open_it() -> Sender:
        sender = open_sender()
        source, port = sender.source
        source = changes.get("source", source.partition("%")[0])

        def send(payload: bytes) -> Sent:
            packet = udp(scene.channel, payload, source=source, source_port=port)
            frame = packet.as_frame(source_mac=scene.tx.injector().mac, cut=changes.get("cut"))
            wrong = frame.with_checksum(changes.get("checksum"), ip=changes.get("ip_checksum"))
            wrong = wrong.with_length(ip=changes.get("ip_length")).with_ip(**changes.get("ip_fields", {}))
            scene.tx.inject(*frames_of(wrong))
            return Sent(payload, sender.source, scene.channel, "eth0", sender.ttl, 0)

        sender.send = send  # type: ignore[method-assign]
        return sender

    scene.open_sender = open_it
