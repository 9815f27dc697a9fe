"""Senders that send what no kernel would: frames that are built here."""

from __future__ import annotations

from typing import Any

from pytest_mcast import Sender
from pytest_mcast.core.datagrams import Sent
from pytest_mcast.packets import udp
from pytest_mcast.packets.template import frames_of
from tests.doctor.scene import Scene

__all__ = ["crafted"]


def crafted(scene: Scene, **changes: Any) -> None:
    """Have the sender inject datagrams that are changed so (``packets.Packet``), of the same payload."""
    open_sender = scene.open_sender

    def open_it() -> Sender:
        sender = open_sender()
        source, port = sender.source

        def send(payload: bytes) -> Sent:
            packet = udp(scene.channel, payload, source=source.partition("%")[0], source_port=port)
            frame = packet.as_frame(source_mac=scene.tx.injector().mac, cut=changes.get("cut"))
            wrong = frame.with_checksum(changes.get("checksum"), ip=changes.get("ip_checksum"))
            wrong = wrong.with_length(ip=changes.get("ip_length")).with_ip(**changes.get("ip_fields", {}))
            scene.tx.inject(*frames_of(wrong))
            return Sent(payload, sender.source, scene.channel, "eth0", sender.ttl, 0)

        sender.send = send  # type: ignore[method-assign]
        return sender

    scene.open_sender = open_it
