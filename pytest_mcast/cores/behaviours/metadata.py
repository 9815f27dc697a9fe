"""What a core tells of a datagram is right; what it does not tell is not held against it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..protocol import CoreFailure
from ..records import length_of
from .behaviour import behaviour
from .bench import Bench

if TYPE_CHECKING:
    from pytest_mcast.core.datagrams import Datagram
    from pytest_mcast.core.sender import Sender

    from ..protocol import CoreReceiver

__all__ = ["destination", "hop_limit", "interface", "length", "payload", "source"]

_TTL = 7
_BINARY = bytes(range(256)) * 4  # a kilobyte, every octet


@behaviour("metadata.source", "the sender's address and port are told", "recvfrom(2)")
def source(bench: Bench) -> None:
    """Look at source address and port."""
    bench.need("source", "source_port")
    datagram, sender, _ = _delivered(bench)
    _expect(bench, "source", datagram.source, sender.source)


@behaviour(
    "metadata.destination", "the group and port that it was sent to are told", "RFC 3542 section 6.2, ip(7) IP_PKTINFO"
)
def destination(bench: Bench) -> None:
    """Look at group and port."""
    bench.need("group", "port")
    datagram, sender, _ = _delivered(bench)
    channel = sender.channel
    _expect(bench, "destination", (datagram.destination, datagram.port), (channel.group, channel.port))


@behaviour("metadata.interface", "the interface on which it came in is told", "RFC 3542 section 6.2, ip(7) IP_PKTINFO")
def interface(bench: Bench) -> None:
    """Look at the number of the interface."""
    bench.need("interface")
    datagram, _, receiver = _delivered(bench)
    _expect(bench, "interface", datagram.interface_index, receiver.interface.index)


@behaviour("metadata.ttl", "its TTL or hop limit is told", "RFC 3542 section 6.3, ip(7) IP_RECVTTL")
def hop_limit(bench: Bench) -> None:
    """Look at the TTL."""
    bench.need("ttl")
    datagram, _, _ = _delivered(bench)
    _expect(bench, "TTL", datagram.ttl, _TTL)


@behaviour("metadata.length", "the length of its payload is told", "RFC 768")
def length(bench: Bench) -> None:
    """Look at the length of a payload, of which the core may tell less."""
    bench.need("length")
    datagram, _, _ = _delivered(bench, _BINARY)
    _expect(bench, "length", length_of(datagram), len(_BINARY))


@behaviour(
    "metadata.payload", "its payload is told, as far as the core says it does, whatever octets are in it", "RFC 768"
)
def payload(bench: Bench) -> None:
    """Look at a payload of all octets."""
    bench.need("payload")
    datagram, _, _ = _delivered(bench, _BINARY)
    cut = getattr(datagram, "truncated", False)
    _expect(
        bench, "payload", datagram.payload, _BINARY[: len(datagram.payload)] if cut and datagram.payload else _BINARY
    )


def _delivered(bench: Bench, content: bytes = b"what is told") -> tuple[Datagram, Sender, CoreReceiver]:
    rx, tx = bench.lab.hosts(2)
    channel = bench.channel(tx)
    receiver = bench.open(channel, rx)
    sender = tx.sender(channel, ttl=_TTL)
    sender.send(content)
    return receiver.recv(bench.timeout), sender, receiver


def _expect(bench: Bench, what: str, told: object, right: object) -> None:
    if told != right:
        raise CoreFailure("wrong", f"it tells that the {what} is {_show(told)}; it is {_show(right)}")
    bench.evidence.append(f"{what}: {_show(told)}")


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
