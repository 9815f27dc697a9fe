"""Runs one cell."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from pytest_mcast.core.errors import NotReceived

if TYPE_CHECKING:
    from pytest_mcast.core.groups import ChannelPicker
    from pytest_mcast.hosts import Host

    from .model import Cell

__all__ = ["run"]


def run(cell: Cell, sender: Host, receiver: Host, picker: ChannelPicker, *, timeout: float) -> None:
    """Send three datagrams from host to host and see that exactly they arrive, in order, from that source.

    ``timeout`` is in seconds, for all of them. Raises ``NotReceived`` when one is lost or is another.
    """
    source = sender.source(cell.family) if cell.mode == "ssm" else None
    with receiver.inside():
        channel = picker.pick(cell.family, source=source, interface=receiver.interface)
    nonce = secrets.token_hex(8)
    payloads = [f"pytest-mcast {nonce} {number} {channel}".encode() for number in range(3)]
    with receiver.receiver(channel, timeout=timeout) as member, sender.sender(channel, timeout=timeout) as origin:
        for payload in payloads:
            origin.send(payload)
        datagrams = member.expect(len(payloads))
    for datagram, payload in zip(datagrams, payloads, strict=True):
        if datagram.payload != payload or datagram.source[0] != (source or datagram.source[0]):
            raise NotReceived(f"{cell.id}: got {datagram!r} instead of {payload!r} from {source or 'any source'}")
