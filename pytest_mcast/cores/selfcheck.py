"""Before a core is believed: it reports a datagram that was sent, and none that was not."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from pytest_mcast.core.errors import NotReceived

from .protocol import CoreFailure, ReceiveCore
from .records import length_of

if TYPE_CHECKING:
    from pytest_mcast.core.channels import Channel
    from pytest_mcast.hosts import Host

__all__ = ["Network", "self_check"]


class Network(Protocol):
    """Two hosts, or the same one twice, and channels between them."""

    def hosts(self, count: int) -> Sequence[Host]:
        """Return that many hosts."""

    def channel(self, family: str, *, source: Host | None = None) -> Channel:
        """Return a channel that nobody else uses; source-specific when there is a ``source``."""


def self_check(core: ReceiveCore, lab: Network, family: str, mode: str, *, timeout: float = 5.0) -> list[str]:
    """Return the evidence that a core can be believed for a kind of channel.

    What it says before anything was sent would be made up; then one datagram is sent, of which what it tells must be
    right; then another, before which it must have nothing more to say. ``timeout`` is in seconds, for each. Raises
    ``CoreFailure``, and ``MissingCapability`` when it is not there.
    """
    rx, tx = lab.hosts(2)
    channel = lab.channel(family, source=tx if mode == "ssm" else None)
    evidence = []
    with core.open(channel, rx, timeout=timeout) as receiver, tx.sender(channel, timeout=timeout) as sender:
        evidence.append(f"ready: {receiver.ready()}")
        for payload in (f"{secrets.token_hex(8)} self-check".encode() for _ in range(2)):
            sender.send(payload)
            try:
                datagram = receiver.recv(timeout)
            except NotReceived as error:
                raise CoreFailure(
                    "wrong", f"{core.name} did not report a datagram that was sent to {channel}\n{error}"
                ) from None
            told = {
                "payload": (
                    datagram.payload,
                    payload[: len(datagram.payload) or None] if datagram.truncated else payload,
                ),
                "length": (length_of(datagram), len(payload)),
                "source": (datagram.source[0], sender.source[0]),
                "source_port": (datagram.source[1], sender.source[1]),
                "group": (datagram.destination, channel.group),
                "port": (datagram.port, channel.port),
                "interface": (datagram.interface_index, receiver.interface.index),
                "ttl": (datagram.ttl, sender.ttl),
            }
            for name, (said, right) in told.items():
                if name in receiver.fields and said != right:
                    text = f"{core.name} reported a datagram that was not sent: its {name} is {said!r}, not {right!r}"
                    raise CoreFailure("wrong", f"{text}\n{datagram!r}")
    evidence.append("a datagram that was sent was reported, and none that was not")
    return evidence
