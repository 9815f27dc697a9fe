"""More than a receive buffer holds: what is lost and what is not, and whose buffer it is that others fill."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pytest_mcast.core.errors import NotReceived, NoVerdict
from pytest_mcast.cores import CoreFailure
from pytest_mcast.wire import udp_sockets

from .situations import beside, pour, situation

if TYPE_CHECKING:
    from pytest_mcast.cores import CoreReceiver, CountsDrops, Rejoins
    from pytest_mcast.cores.behaviours import Bench
    from pytest_mcast.cores.behaviours.bench import Flows
    from pytest_mcast.lab import VirtualHost

__all__: list[str] = []

_FULL = "__udp_enqueue_schedule_skb: SO_RCVBUF (socket(7))"
_MOST, _BEYOND = 50_000, 50  # datagrams that fill any buffer, and those that come after the first that was lost
_SMALL = 4096  # bytes of a receive buffer
_LARGE = 1300  # bytes of a payload that fits into a frame of any link
_FLOOD = 2000  # datagrams; by default a buffer holds 256
_BURST = {"large": 60, "small": 200}  # datagrams that one holds


def _dropped(rx: VirtualHost, port: int) -> int:
    with rx.inside():
        return sum(one.drops for one in udp_sockets(port))


def _overfill(bench: Bench, rx: VirtualHost, flows: Flows, size: int) -> int:
    """Send until the kernel has dropped something for want of room, and some more; return how many it has dropped."""
    while not (dropped := _dropped(rx, flows.channel.port)):
        if len(flows.payloads) > _MOST:
            raise NoVerdict(f"{len(flows.payloads)} datagrams of {size} bytes have not filled the buffer")
        pour(flows, 8, rx, "too much", size)
    pour(flows, _BEYOND, rx, "too much", size)
    dropped = _dropped(rx, flows.channel.port)
    bench.evidence.append(f"{len(flows.payloads)} datagrams sent, {dropped} dropped by the kernel")
    return dropped


def _drain(receiver: CoreReceiver) -> list[bytes]:
    """Return what is delivered without waiting."""
    delivered = []
    while True:
        try:
            delivered.append(receiver.recv(0).payload)
        except NotReceived:
            return delivered


def _idle(bench: Bench, receive_buffer: int | None = None) -> tuple[CoreReceiver, Flows, VirtualHost]:
    bench.can("idle")
    rx, tx = bench.lab.hosts(2)
    channel = bench.channel(tx)
    receiver, flows = bench.open(channel, rx, receive_buffer=receive_buffer), bench.flows(channel, tx)
    flows.send("the first one")
    bench.expect_exactly({receiver: flows}, rx)  # or nobody fills its buffer
    flows.payloads.clear()
    return receiver, flows, rx


def _expect_beginning(receiver: CoreReceiver, flows: Flows, delivered: list[bytes]) -> None:
    if not delivered or delivered != flows.payloads[: len(delivered)]:
        wrong = next(
            (n for n, pair in enumerate(zip(delivered, flows.payloads, strict=False)) if len(set(pair)) > 1), 0
        )
        raise CoreFailure(
            "wrong",
            f"{receiver!r} delivered {len(delivered)} of {len(flows.payloads)} datagrams, and not the first ones in order: "
            f"number {wrong} is another",
        )


@situation(
    "overflow.beginning",
    "small datagrams, more than the buffer holds while nobody reads",
    "kernel",
    _FULL + ": what is there stays, what comes is dropped",
    outcome="the first ones are delivered, in order and unaltered",
    reason="a full buffer takes nothing more, and keeps what it has",
)
def _beginning(bench: Bench) -> None:
    receiver, flows, rx = _idle(bench)
    _overfill(bench, rx, flows, 0)
    _expect_beginning(receiver, flows, _drain(receiver))


@situation(
    "overflow.beginning-of-large",
    "large datagrams, more than the buffer holds while nobody reads",
    "kernel",
    _FULL + ": what is there stays, what comes is dropped",
    outcome="the first ones are delivered, in order and unaltered",
    reason="a full buffer takes nothing more, and keeps what it has",
)
def _beginning_of_large(bench: Bench) -> None:
    receiver, flows, rx = _idle(bench)
    _overfill(bench, rx, flows, _LARGE)
    _expect_beginning(receiver, flows, _drain(receiver))


@situation(
    "overflow.beginning-of-fragmented",
    "fragmented datagrams, more than the buffer holds while nobody reads",
    "kernel",
    _FULL + ": what is there stays, what comes is dropped",
    outcome="the first ones are delivered, in order and unaltered",
    reason="a full buffer takes whole datagrams or none",
)
def _beginning_of_fragmented(bench: Bench) -> None:
    receiver, flows, rx = _idle(bench)
    _overfill(bench, rx, flows, 3 * _LARGE)
    _expect_beginning(receiver, flows, _drain(receiver))


@situation(
    "overflow.count",
    "more than the buffer holds while nobody reads, counted by the kernel",
    "kernel",
    _FULL + "; the column drops of /proc/net/udp (proc_net(5))",
    outcome="what was sent is delivered or counted as dropped, each",
    reason="what is lost is known",
)
def _count(bench: Bench) -> None:
    receiver, flows, rx = _idle(bench)
    dropped = _overfill(bench, rx, flows, 0)
    _expect_sum(receiver, flows, len(_drain(receiver)), dropped)


@situation(
    "overflow.told",
    "more than the buffer holds while nobody reads, counted by the receiver",
    "kernel",
    _FULL + "; SO_MEMINFO, SO_RXQ_OVFL (socket(7))",
    outcome="what was sent is delivered or told as dropped, each; before and after it was read",
    reason="who tells what was lost tells it right",
)
def _told(bench: Bench) -> None:
    bench.can("counts_drops")
    receiver, flows, rx = _idle(bench)
    _overfill(bench, rx, flows, 0)
    before = cast("CountsDrops", receiver).drops()
    delivered = len(_drain(receiver))
    for told in (before, cast("CountsDrops", receiver).drops()):
        _expect_sum(receiver, flows, delivered, told)


def _expect_sum(receiver: CoreReceiver, flows: Flows, delivered: int, dropped: int) -> None:
    sent = len(flows.payloads)
    if delivered + dropped != sent:
        raise CoreFailure(
            "wrong", f"{receiver!r}: {sent} datagrams were sent, {delivered} delivered and {dropped} counted as dropped"
        )


@situation(
    "overflow.recovers",
    "more than the buffer holds, and again when it was read",
    "kernel",
    _FULL + ", udp_rmem_release",
    outcome="what comes when there is room is delivered, each",
    reason="a buffer that was full is as good as new when it was read",
)
def _recovers(bench: Bench) -> None:
    receiver, flows, rx = _idle(bench)
    _overfill(bench, rx, flows, 0)
    _drain(receiver)
    flows.payloads.clear()
    for number in range(_BURST["large"]):
        flows.send(f"new {number}")
    bench.expect_exactly({receiver: flows}, rx, ordered=True)


@situation(
    "overflow.small-buffer",
    f"more than a buffer of {_SMALL} bytes holds while nobody reads",
    "kernel",
    _FULL,
    outcome="the first ones are delivered, and the rest is counted as dropped; what comes then is delivered",
    reason="the size of the buffer is what was asked for",
)
def _small_buffer(bench: Bench) -> None:
    receiver, flows, rx = _idle(bench, _SMALL)
    dropped = _overfill(bench, rx, flows, 0)
    delivered = _drain(receiver)
    _expect_beginning(receiver, flows, delivered)
    _expect_sum(receiver, flows, len(delivered), dropped)
    _expect_small(receiver, len(delivered))
    flows.payloads.clear()
    flows.send("new")
    bench.expect_exactly({receiver: flows}, rx)


def _expect_small(receiver: CoreReceiver, delivered: int) -> None:
    if delivered > 2 * _SMALL // 256:  # the kernel doubles the size, and counts more than 256 for each datagram
        raise CoreFailure("wrong", f"{receiver!r} had room for {delivered} datagrams in {_SMALL} bytes")


@situation(
    "overflow.small-buffer-beside",
    f"two receivers of one channel, one of which has a buffer of {_SMALL} bytes that is full",
    "kernel",
    _FULL + ": of each socket by itself",
    outcome="the other one gets all",
    reason="whose buffer is full is the only one to lose by it",
)
def _small_buffer_beside(bench: Bench) -> None:
    full, flows, rx = _idle(bench, _SMALL)
    receiver = bench.open(full.channel, rx)
    pour(flows, _BURST["large"], rx, "for both")
    bench.expect_exactly({receiver: flows}, rx, ordered=True)
    _expect_small(full, len(_drain(full)))


@situation(
    "overflow.rejoined",
    "more than the buffer holds while nobody reads, then left and joined again",
    "kernel",
    _FULL + "; the queue outlives the membership (ip_mc_leave_group)",
    outcome="nothing of the old is delivered, and all of the new",
    reason="who joins again begins anew, with room",
)
def _rejoined(bench: Bench) -> None:
    bench.can("rejoins")
    receiver, flows, rx = _idle(bench)
    _overfill(bench, rx, flows, 0)
    cast("Rejoins", receiver).leave()
    cast("Rejoins", receiver).join()
    flows.payloads.clear()
    for number in range(_BURST["large"]):
        flows.send(f"new {number}")
    bench.expect_exactly({receiver: flows}, rx, ordered=True)


@situation(
    "overflow.burst-of-small",
    f"{_BURST['small']} small datagrams at once, which the buffer holds",
    "kernel",
    _FULL + ": net.core.rmem_default",
    outcome="all are delivered, in order",
    reason="a burst that fits is no reason to lose anything",
)
def _burst_of_small(bench: Bench) -> None:
    _burst(bench, _BURST["small"], 0)


@situation(
    "overflow.burst-of-large",
    f"{_BURST['large']} large datagrams at once, which the buffer holds",
    "kernel",
    _FULL + ": net.core.rmem_default",
    outcome="all are delivered, in order",
    reason="a burst that fits is no reason to lose anything",
)
def _burst_of_large(bench: Bench) -> None:
    _burst(bench, _BURST["large"], _LARGE)


def _burst(bench: Bench, count: int, size: int) -> None:
    rx, tx = bench.lab.hosts(2)
    channel = bench.channel(tx)
    receiver, flows = bench.open(channel, rx), bench.flows(channel, tx)
    pour(flows, count, rx, "burst", size)
    bench.expect_exactly({receiver: flows}, rx, ordered=True)


@situation(
    "overflow.neighbour-full",
    "a burst, while another receiver of the channel does not read and has no room any more",
    "kernel",
    _FULL + ": of each socket by itself",
    outcome="all are delivered, in order",
    reason="whose buffer is full is the only one to lose by it",
)
def _neighbour_full(bench: Bench) -> None:
    rx, tx = bench.lab.hosts(2)
    channel = bench.channel(tx)
    receiver, flows = bench.open(channel, rx), bench.flows(channel, tx)
    neighbour = rx.receiver(channel, timeout=bench.timeout, receive_buffer=_SMALL)
    pour(flows, _BURST["large"], rx, "for both")
    if not neighbour.statistics().kernel_drops:
        raise NoVerdict(f"{neighbour!r} has not been full")
    bench.expect_exactly({receiver: flows}, rx, ordered=True)


@situation(
    "overflow.foreign-group",
    f"{_FLOOD} datagrams to another group on the port, which another receiver of the host wants, before one of its own",
    "kernel",
    "ip_mc_sf_allow, inet6_mc_check: not queued for who has not asked (IP_MULTICAST_ALL, ip(7))",
    outcome="its own is delivered, and no other",
    reason="what others have asked for takes no room away",
)
def _foreign_group(bench: Bench) -> None:
    rx, tx = bench.lab.hosts(2)
    channel = bench.channel(tx)
    other = beside(channel, channel.source, group=bench.channel(tx).group)
    receiver, flows, flood = bench.open(channel, rx), bench.flows(channel, tx), bench.flows(other, tx)
    rx.receiver(other)
    pour(flood, _FLOOD, rx, "for another")
    flows.send("its own")
    bench.expect_exactly({receiver: flows}, rx)


@situation(
    "overflow.foreign-source",
    f"{_FLOOD} datagrams from another source, which another receiver of the host wants, before one of its own",
    "kernel",
    "ip_mc_sf_allow, inet6_mc_check: not queued for who has not asked",
    outcome="its own is delivered, and no other",
    reason="what others have asked for takes no room away",
    modes=("ssm",),
)
def _foreign_source(bench: Bench) -> None:
    rx, one, another = bench.lab.hosts(3)
    channel = bench.channel(one)
    receiver, flows, flood = bench.open(channel, rx), bench.flows(channel, one), bench.flows(channel, another)
    rx.receiver(beside(channel))
    pour(flood, _FLOOD, rx, "for another")
    flows.send("its own")
    bench.expect_exactly({receiver: flows}, rx)
