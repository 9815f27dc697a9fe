"""A host with two interfaces: the one that was named counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mcast.core.channels import Channel

from ..protocol import CoreFailure
from .behaviour import behaviour
from .bench import Bench

if TYPE_CHECKING:
    from pytest_mcast.lab import VirtualHost

__all__ = ["both", "network", "second", "seen_from"]

_FLOWS = 24


@behaviour(
    "interface.second",
    "joined on the second interface: delivered is what comes in there",
    "RFC 1112 section 7.1, RFC 3678 section 5.1",
)
def second(bench: Bench) -> None:
    """Look whether the interface that was named is joined, and the other one, where a neighbour listens, keeps silent."""
    bench.need("payload")
    rx, one, two = network(bench)
    channel = bench.channel(two, interface="eth0")
    receiver = bench.open(channel, rx, "eth1")
    joined = {membership.interface for membership in rx.memberships(channel.group)}
    if joined != {"eth1"}:
        raise CoreFailure(
            "wrong", f"told to receive on eth1, it joined on {', '.join(sorted(joined)) or 'no interface'}"
        )
    elsewhere = seen_from(bench, channel, one)
    flows, stray = bench.flows(channel, two), bench.flows(elsewhere, one)
    with rx.receiver(elsewhere, interface="eth0") as neighbour:  # so that the host lets it in
        stray.send("on eth0")
        neighbour.recv(bench.timeout)
        flows.send("on eth1")
        bench.expect_exactly({receiver: flows}, rx)


@behaviour(
    "interface.both",
    f"one receiver on each interface, {_FLOWS} flows each: each gets its own",
    "RFC 1112 section 7.1, RFC 3678 section 5.1",
)
def both(bench: Bench) -> None:
    """Look whether receivers of one group and port on two interfaces get what comes in on theirs."""
    bench.need("payload")
    rx, one, two = network(bench)
    first = bench.channel(one, interface="eth0")
    second_channel = seen_from(bench, first, two)
    receivers = {
        bench.open(first, rx, "eth0"): bench.flows(first, one, _FLOWS),
        bench.open(second_channel, rx, "eth1"): bench.flows(second_channel, two, _FLOWS),
    }
    for number, flows in enumerate(receivers.values()):
        flows.send(f"on eth{number}")
    bench.expect_exactly(receivers, rx)


def network(bench: Bench) -> tuple[VirtualHost, VirtualHost, VirtualHost]:
    """Return a host with two interfaces, and a neighbour on each of them."""
    lab = bench.lab
    rx = lab.host(interfaces={"eth0": "first", "eth1": "second"})
    one, two = (lab.host(interfaces={"eth0": link}) for link in ("first", "second"))
    return rx, one, two


def seen_from(bench: Bench, channel: Channel, host: VirtualHost) -> Channel:
    """Return the channel of the same group and port that the host is a source of."""
    source = None if channel.source is None else bench.channel(host, interface="eth0").source
    return Channel(channel.group, channel.port, source)
