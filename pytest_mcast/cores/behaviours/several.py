"""Several receivers on one host and one port: each gets exactly its own, from every sender's port.

A kernel that picks a socket by addresses and ports can lose some flows and not others, so there are many of them.
"""

from __future__ import annotations

from .behaviour import behaviour
from .bench import Bench, Unsupported

__all__ = ["both_families", "different_groups", "different_sources", "same_channel"]

_FLOWS = 24


@behaviour(
    "several.groups", f"three groups on one port, {_FLOWS} flows each: each gets its own", "RFC 1112 section 7.2"
)
def different_groups(bench: Bench) -> None:
    """Look whether receivers of different groups on one port lose nothing and get nothing of each other."""
    bench.need("payload")
    rx, tx = bench.lab.hosts(2)
    first = bench.channel(tx)
    channels = [first] + [type(first)(bench.channel(tx).group, first.port, first.source) for _ in range(2)]
    receivers = {bench.open(channel, rx): bench.flows(channel, tx, _FLOWS) for channel in channels}
    for number, flows in enumerate(receivers.values()):
        flows.send(f"group {number}")
    bench.expect_exactly(receivers, rx)


@behaviour(
    "several.sources",
    f"two sources of one group and port, {_FLOWS} flows each: each gets its own",
    "RFC 4607 section 4.2",
    modes=("ssm",),
)
def different_sources(bench: Bench) -> None:
    """Look whether receivers of different sources lose nothing and get nothing of each other."""
    bench.need("payload")
    rx, one, another = bench.lab.hosts(3)
    first = bench.channel(one)
    second = type(first)(first.group, first.port, bench.channel(another).source)
    receivers = {
        bench.open(channel, rx): bench.flows(channel, host, _FLOWS)
        for channel, host in ((first, one), (second, another))
    }
    for number, flows in enumerate(receivers.values()):
        flows.send(f"source {number}")
    bench.expect_exactly(receivers, rx)


@behaviour(
    "several.same",
    f"two receivers of one channel, {_FLOWS} flows: both get all",
    "RFC 1122 section 4.1.3.3, socket(7) SO_REUSEADDR",
)
def same_channel(bench: Bench) -> None:
    """Look whether two receivers of the same channel both get everything."""
    bench.need("payload")
    rx, tx = bench.lab.hosts(2)
    channel = bench.channel(tx)
    receivers = [bench.open(channel, rx) for _ in range(2)]
    flows = bench.flows(channel, tx, _FLOWS)
    flows.send("for both")
    bench.expect_exactly(dict.fromkeys(receivers, flows), rx)


@behaviour(
    "several.families", f"IPv4 and IPv6 on one port, {_FLOWS} flows each: each gets its own", "RFC 3493 section 5.3"
)
def both_families(bench: Bench) -> None:
    """Look whether a receiver of the other family on the same port disturbs."""
    bench.need("payload")
    other = "ipv4" if bench.family == "ipv6" else "ipv6"
    if other not in bench.core.capabilities.families:
        raise Unsupported(f"it has no {other}")
    rx, tx = bench.lab.hosts(2)
    first, second = bench.channel(tx), bench.channel(tx, family=other)
    second = type(first)(second.group, first.port, second.source)
    receivers = {bench.open(channel, rx): bench.flows(channel, tx, _FLOWS) for channel in (first, second)}
    for number, flows in enumerate(receivers.values()):
        flows.send(f"family {number}")
    bench.expect_exactly(receivers, rx)
