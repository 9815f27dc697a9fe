"""Runs one cell."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from pytest_mcast.core.errors import NotReceived

if TYPE_CHECKING:
    from pytest_mcast.core.groups import ChannelPicker
    from pytest_mcast.core.receiver import Receiver
    from pytest_mcast.hosts import Host

    from .model import Cell

__all__ = ["run"]


def run(cell: Cell, sender: Host, receiver: Host, picker: ChannelPicker, *, timeout: float) -> list[str]:
    """Run a cell and return the evidence, a line for each thing that was shown.

    Three datagrams must arrive, in order and from that source; then, between two virtual hosts, one to another group on the
    same port must not, nor one from another source where the channel has a source. ``timeout`` is in seconds, for each
    of these. Raises ``NotReceived``, ``Delivered``, ``NoVerdict`` when nothing could be shown, and ``MissingCapability``.
    """
    source = sender.source(cell.family) if cell.mode == "ssm" else None
    with receiver.inside():
        channel = picker.pick(cell.family, source=source, interface=receiver.interface)
    nonce = secrets.token_hex(8)
    payloads = [f"pytest-mcast {nonce} {number} {channel}".encode() for number in range(3)]
    with receiver.receiver(channel, timeout=timeout) as member:
        with sender.sender(channel, timeout=timeout) as origin:
            for payload in payloads:
                origin.send(payload)
            datagrams = member.expect(len(payloads))
        for datagram, payload in zip(datagrams, payloads, strict=True):
            if datagram.payload != payload or datagram.source[0] != (source or datagram.source[0]):
                raise NotReceived(f"{cell.id}: got {datagram!r} instead of {payload!r} from {source or 'any source'}")
        evidence = [f"{len(payloads)} datagrams delivered in order (ready by {member.evidence})"]
        return evidence + _not_delivered(cell, sender, receiver, member, timeout)


def _not_delivered(cell: Cell, sender: Host, receiver: Host, member: Receiver, timeout: float) -> list[str]:
    """Show what is not delivered, where two hosts and a wire between them make it possible."""
    if sender is receiver:
        return ["non-delivery not shown: a host sends itself no crafted packets"]
    from pytest_mcast.packets import Prober

    cases = ["group.other", "ssm.wrong-source"] if cell.mode == "ssm" else ["group.other"]
    with Prober(member, sender, receiver, timeout=timeout) as probe:
        for case in cases:
            probe(case).check()
    return [f"{case} not delivered, by control and fence" for case in cases]
