"""A host with two interfaces: a membership is of one of them, and lasts while that goes down and up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mcast.core.errors import NoVerdict
from pytest_mcast.cores import CoreFailure
from pytest_mcast.cores.behaviours import interfaces
from pytest_mcast.cores.behaviours.interfaces import network, seen_from
from pytest_mcast.lab import netlink
from pytest_mcast.wire import Membership

from .situations import beside, heard, pour, situation, stray

if TYPE_CHECKING:
    from pytest_mcast.core.channels import Channel
    from pytest_mcast.cores import CoreReceiver
    from pytest_mcast.cores.behaviours import Bench
    from pytest_mcast.lab import VirtualHost

__all__: list[str] = []

_HOST = "RFC 1122 section 3.2.1.3, RFC 4607 section 4.2"
_FLOWS, _FLOOD = 24, 2000


@situation(
    "interface.second",
    "joined on the second interface, while another receiver of the host has joined on the first",
    "MUST",
    _HOST,
    outcome="what comes in on the second is delivered, and no other",
    reason="a membership is of the interface that was named",
)
def _second(bench: Bench) -> None:
    interfaces.second(bench)


@situation(
    "interface.both",
    f"one receiver on each interface, {_FLOWS} flows each",
    "MUST",
    _HOST,
    outcome="each gets what comes in on its own",
    reason="one group on two interfaces is two memberships",
)
def _both(bench: Bench) -> None:
    interfaces.both(bench)


@situation(
    "interface.wrong",
    "to a group that is joined on the other interface only",
    "MUST",
    _HOST,
    outcome="not delivered",
    reason="the interface on which it comes in is no member",
)
def _wrong(bench: Bench) -> None:
    rx, one, two = network(bench)
    channel = bench.channel(one, interface="eth0")
    receiver = bench.open(channel, rx, "eth0")
    stray(bench, seen_from(bench, channel, two), two, rx, "on eth1")
    flows = bench.flows(channel, one)
    flows.send("on eth0")
    bench.expect_exactly({receiver: flows}, rx)


def _same_address(bench: Bench, host: VirtualHost, channel: Channel) -> None:
    """Give a host the source address of a channel too, which is a host's of another link."""
    if channel.source is not None:
        host.configure(netlink.address(host.interface.index, channel.source, 64 if bench.family == "ipv6" else 16))


@situation(
    "interface.elsewhere",
    "to the channel, but by the other interface, where another receiver of the host has joined it",
    "MUST",
    _HOST,
    outcome="not delivered",
    reason="the interface on which it comes in is part of what was asked for (inet6_mc_check does not look at it)",
)
def _elsewhere(bench: Bench) -> None:
    rx, one, two = network(bench)
    channel = bench.channel(one, interface="eth0")
    _same_address(bench, two, channel)
    receiver = bench.open(channel, rx, "eth0")
    neighbour = rx.receiver(channel, interface="eth1", timeout=bench.timeout)
    stray(bench, channel, two, rx, "on eth1")
    neighbour.recv()
    flows = bench.flows(channel, one)
    flows.send("on eth0")
    bench.expect_exactly({receiver: flows}, rx)


@situation(
    "interface.other-source-elsewhere",
    "from another source by the other interface, where another receiver of the host wants any source of the group",
    "MUST",
    _HOST,
    outcome="not delivered",
    reason="the source filter of one interface is not bypassed by another (ip_mc_sf_allow does so by default)",
    modes=("ssm",),
)
def _other_source_elsewhere(bench: Bench) -> None:
    rx, one, two = network(bench)
    channel = bench.channel(one, interface="eth0")
    receiver = bench.open(channel, rx, "eth0")
    neighbour = rx.receiver(beside(channel), interface="eth1", timeout=bench.timeout)
    stray(bench, seen_from(bench, channel, two), two, rx, "on eth1")
    neighbour.recv()
    flows = bench.flows(channel, one)
    flows.send("on eth0")
    bench.expect_exactly({receiver: flows}, rx)


@situation(
    "interface.other-source-here",
    f"one receiver on each interface; from the source that is wanted on the other one, {_FLOWS} flows each",
    "MUST",
    _HOST,
    outcome="not delivered, to either receiver",
    reason="each interface has source filters of its own",
    modes=("ssm",),
)
def _other_source_here(bench: Bench) -> None:
    rx, one, two = network(bench)
    first = bench.channel(one, interface="eth0")
    second = seen_from(bench, first, two)
    receivers = {
        bench.open(channel, rx, name): bench.flows(channel, tx, _FLOWS)
        for channel, name, tx in ((first, "eth0", one), (second, "eth1", two))
    }
    for tx, wrong in ((one, second), (two, first)):
        _same_address(bench, tx, wrong)
        stray(bench, wrong, tx, rx, "from the source of the other one", _FLOWS)
    for number, flows in enumerate(receivers.values()):
        flows.send(f"on eth{number}")
    bench.expect_exactly(receivers, rx)


@situation(
    "interface.same-source-on-both",
    f"one receiver on each interface, for one channel, {_FLOWS} flows each",
    "MUST",
    _HOST,
    outcome="each gets what comes in on its own",
    reason="one channel on two interfaces is two memberships",
    modes=("ssm",),
)
def _same_source_on_both(bench: Bench) -> None:
    rx, one, two = network(bench)
    channel = bench.channel(one, interface="eth0")
    _same_address(bench, two, channel)
    receivers = {
        bench.open(channel, rx, name): bench.flows(channel, tx, _FLOWS) for name, tx in (("eth0", one), ("eth1", two))
    }
    for number, flows in enumerate(receivers.values()):
        flows.send(f"on eth{number}")
    bench.expect_exactly(receivers, rx)


@situation(
    "interface.other-left",
    f"one receiver on each interface, one of which is closed; {_FLOWS} flows to each",
    "MUST",
    _HOST,
    outcome="the other one gets what comes in on its own, before and after",
    reason="who leaves on one interface is still a member on the other",
)
def _other_left(bench: Bench) -> None:
    rx, one, two = network(bench)
    first = bench.channel(one, interface="eth0")
    second = seen_from(bench, first, two)
    receiver, leaving = bench.open(first, rx, "eth0"), bench.open(second, rx, "eth1")
    flows = bench.flows(first, one, _FLOWS)
    flows.send("before")
    leaving.close()
    stray(bench, second, two, rx, "on eth1", _FLOWS)
    flows.send("after")
    bench.expect_exactly({receiver: flows}, rx)


@situation(
    "interface.membership",
    "joined on the second interface: what the kernel has, and what each link hears",
    "MUST",
    "RFC 4607 section 4.2, RFC 3376 section 5.1, RFC 3810 section 6.1",
    outcome="the second one is a member and reports it there; the first one neither",
    reason="who asks on one interface asks there only",
    needs=(),
)
def _membership(bench: Bench) -> None:
    rx, _, two = network(bench)
    channel = bench.channel(two, interface="eth0")
    with bench.lab.listen("first") as elsewhere, bench.lab.listen("second") as wire:
        bench.open(channel, rx, "eth1")
        _expect_member(rx, channel, "eth1")
        heard(bench, wire, rx, channel)
        elsewhere.expect_no_report(channel.group, sender=rx)
        bench.evidence.append("not reported on eth0")


@situation(
    "interface.flood-elsewhere",
    f"{_FLOOD} datagrams on the other interface, where another receiver has joined the group, before one on its own",
    "kernel",
    "ip_mc_sf_allow: not queued for who has not asked; SO_BINDTODEVICE (socket(7))",
    outcome="its own is delivered, and no other",
    reason="what comes in elsewhere takes no room away",
)
def _flood_elsewhere(bench: Bench) -> None:
    rx, one, two = network(bench)
    channel = bench.channel(one, interface="eth0")
    second = seen_from(bench, channel, two)
    receiver, flows, flood = bench.open(channel, rx, "eth0"), bench.flows(channel, one), bench.flows(second, two)
    rx.receiver(second, interface="eth1")
    pour(flood, _FLOOD, rx, "on eth1")
    flows.send("on eth0")
    bench.expect_exactly({receiver: flows}, rx)


def _expect_member(rx: VirtualHost, channel: Channel, interface: str) -> None:
    wanted = Membership(interface, channel.group, sources=[] if channel.source is None else [channel.source])
    have = rx.memberships(channel.group)
    if have != {wanted}:
        shown = ", ".join(map(str, have)) or "no membership"
        raise CoreFailure("wrong", f"the kernel has {shown} for {channel}, not {wanted}")


def _on_own_link(bench: Bench) -> tuple[CoreReceiver, VirtualHost, VirtualHost]:
    rx, tx = bench.lab.hosts(2, link="own")
    return bench.open(bench.channel(tx), rx), rx, tx


@situation(
    "interface.cable",
    "the cable is pulled and plugged in again",
    "kernel",
    "netif_carrier_off: memberships stay (ip_mc_down, ipv6_mc_down are for an interface that is switched off)",
    outcome="delivered is what comes before and after",
    reason="a membership is the host's, and does not end with the link",
)
def _cable(bench: Bench) -> None:
    receiver, rx, tx = _on_own_link(bench)
    link, flows = bench.lab.link("own"), bench.flows(receiver.channel, tx)
    flows.send("before")
    link.down(rx)
    lost = tx.sender(receiver.channel)
    lost.send(b"lost")
    link.up(rx)
    _expect_member(rx, receiver.channel, "eth0")
    flows.send("after")
    bench.expect_exactly({receiver: flows}, rx)


@situation(
    "interface.down-and-up",
    "the interface is switched off and on again",
    "kernel",
    "ip_mc_down, ip_mc_up, ipv6_mc_down, ipv6_mc_up",
    outcome="delivered is what comes before and after, and the membership is reported again",
    reason="a membership is the socket's: it lasts as long as that, and routers must hear of it again",
)
def _down_and_up(bench: Bench) -> None:
    receiver, rx, tx = _on_own_link(bench)
    flows, index = bench.flows(receiver.channel, tx), rx.interface.index
    addresses = {address: 64 if ":" in address else 16 for address in rx.interface.addresses}
    flows.send("before")
    rx.configure(netlink.link(index, up=False))
    with tx.listen() as wire:
        rx.configure(netlink.link(index, up=True))
        missing = set(addresses) - set(rx.interface.addresses)  # those of IPv6 go with it
        rx.configure(*(netlink.address(index, address, addresses[address]) for address in sorted(missing)))
        _expect_member(rx, receiver.channel, "eth0")
        heard(bench, wire, rx, receiver.channel)
        if wire.lost:
            raise NoVerdict(f"{wire.name} has lost {wire.lost} messages")
    flows.send("after")
    bench.expect_exactly({receiver: flows}, rx)
