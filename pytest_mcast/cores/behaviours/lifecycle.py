"""Joining and leaving, as the kernel has it and as it is on the wire, not only by what is delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pytest_mcast.core.errors import NotReported
from pytest_mcast.wire import Membership

from ..protocol import CoreFailure, Rejoins
from .behaviour import behaviour
from .bench import Bench

if TYPE_CHECKING:
    from pytest_mcast.core.channels import Channel
    from pytest_mcast.lab import VirtualHost
    from pytest_mcast.wire import Listener

__all__ = ["again_in_place", "closed_and_opened", "join", "leave"]

# What a host reports of a change with IGMPv3 and MLDv2 (RFC 3376 section 5.1, RFC 3810 section 6.1, RFC 4604 section 2.2).
_JOIN = {"asm": "CHANGE_TO_EXCLUDE_MODE", "ssm": "ALLOW_NEW_SOURCES"}
_LEAVE = {"asm": "CHANGE_TO_INCLUDE_MODE", "ssm": "BLOCK_OLD_SOURCES"}


@behaviour(
    "lifecycle.join", "ready: the kernel is a member, and has reported it", "RFC 3376 section 5.1, RFC 3810 section 6.1"
)
def join(bench: Bench) -> None:
    """Look whether the membership is the channel's, in the kernel and on the wire."""
    rx, tx = bench.lab.hosts(2)
    channel = bench.channel(tx)
    with bench.lab.listen() as wire:
        receiver = bench.open(channel, rx)
        _expect_member(bench, rx, channel, receiver.interface.name)
        _expect_record(bench, wire, rx, channel, _JOIN)


@behaviour(
    "lifecycle.leave",
    "closed: the kernel is no member any more, and has reported it",
    "RFC 3376 section 5.1, RFC 3810 section 6.1",
)
def leave(bench: Bench) -> None:
    """Look whether closing gives the membership up, in the kernel and on the wire."""
    rx, tx = bench.lab.hosts(2)
    channel = bench.channel(tx)
    with bench.lab.listen() as wire:
        receiver = bench.open(channel, rx)
        receiver.close()
        _expect_no_member(bench, rx, channel)
        _expect_record(bench, wire, rx, channel, _LEAVE)


@behaviour("lifecycle.again", "closed and opened again: delivered is what comes from then on", "RFC 1112 section 6.1")
def closed_and_opened(bench: Bench) -> None:
    """Look whether what is sent in between is lost, and what follows is not."""
    bench.need("payload")
    rx, tx = bench.lab.hosts(2)
    channel = bench.channel(tx)
    before, flows = bench.flows(channel, tx), bench.flows(channel, tx)
    first = bench.open(channel, rx)
    before.send("before")
    bench.expect_exactly({first: before}, rx)
    first.close()
    before.send("in between")
    second = bench.open(channel, rx)
    flows.send("after")
    bench.expect_exactly({second: flows}, rx)


@behaviour("lifecycle.rejoin", "left and joined again in place: the same", "RFC 1112 section 6.1")
def again_in_place(bench: Bench) -> None:
    """Look whether what was queued before, and what is sent in between, is lost."""
    bench.can("rejoins")
    rx, tx = bench.lab.hosts(2)
    channel = bench.channel(tx)
    stale, flows = bench.flows(channel, tx), bench.flows(channel, tx)
    receiver = cast("Rejoins", bench.open(channel, rx))
    stale.send("queued before")
    receiver.leave()
    _expect_no_member(bench, rx, channel)
    stale.send("in between")
    receiver.join()
    _expect_member(bench, rx, channel, receiver.interface.name)
    flows.send("after")
    bench.expect_exactly({receiver: flows}, rx)


def _expect_member(bench: Bench, host: VirtualHost, channel: Channel, interface: str) -> None:
    sources = [] if channel.source is None else [channel.source]
    wanted, have = {Membership(interface, channel.group, sources=sources)}, host.memberships(channel.group)
    if have != wanted:
        raise CoreFailure("wrong", f"the kernel has {_show(have)} for {channel}, not {_show(wanted)}")
    bench.evidence.append(f"kernel: {_show(have)}")


def _expect_no_member(bench: Bench, host: VirtualHost, channel: Channel) -> None:
    have = host.memberships(channel.group)
    if have:
        raise CoreFailure("wrong", f"the kernel still has {_show(have)} after {channel} was left")
    bench.evidence.append("kernel: no membership any more")


def _expect_record(bench: Bench, wire: Listener, host: VirtualHost, channel: Channel, records: dict[str, str]) -> None:
    record = records[channel.mode]
    try:
        wire.expect_report(channel, sender=host, record=record, timeout=bench.timeout)
    except NotReported as error:
        raise CoreFailure("wrong", f"{host} has not reported {record} for {channel}\n{error}") from None
    bench.evidence.append(f"wire: {record}")


def _show(memberships: set[Membership] | frozenset[Membership]) -> str:
    return ", ".join(map(str, memberships)) or "no membership"
