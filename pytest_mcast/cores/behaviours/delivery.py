"""Datagrams of the channel are delivered."""

from __future__ import annotations

from .behaviour import behaviour
from .bench import Bench

__all__ = ["several_senders", "single", "succession"]

_MANY = 100


@behaviour("delivery.one", "a datagram is delivered once", "RFC 1112 section 7.2, RFC 4291 section 2.7")
def single(bench: Bench) -> None:
    """Look whether one datagram is delivered once."""
    bench.need("payload")
    rx, tx = bench.lab.hosts(2)
    channel = bench.channel(tx)
    receiver, flows = bench.open(channel, rx), bench.flows(channel, tx)
    flows.send("one")
    bench.expect_exactly({receiver: flows}, rx)


@behaviour("delivery.order", f"{_MANY} datagrams at once are delivered in order", "RFC 768, UDP on one link")
def succession(bench: Bench) -> None:
    """Look whether many datagrams are delivered in order."""
    bench.need("payload")
    rx, tx = bench.lab.hosts(2)
    channel = bench.channel(tx)
    receiver, flows = bench.open(channel, rx), bench.flows(channel, tx)
    for number in range(_MANY):
        flows.send(f"datagram {number} of")
    bench.expect_exactly({receiver: flows}, rx, ordered=True)


@behaviour(
    "delivery.senders", "an any-source channel is received from every host", "RFC 1112 section 7.2", modes=("asm",)
)
def several_senders(bench: Bench) -> None:
    """Look whether the datagrams of several hosts are delivered."""
    bench.need("payload")
    rx, one, another = bench.lab.hosts(3)
    channel = bench.channel(one)
    receiver = bench.open(channel, rx)
    flows = bench.flows(channel, one)
    flows.senders += bench.flows(channel, another).senders
    flows.send("from each host")
    bench.expect_exactly({receiver: flows}, rx)
