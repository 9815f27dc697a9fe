"""What users write, for the type checker: checked by mypy, never run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Optional, assert_type

from pytest_mcast import (
    COMPRESSED,
    AsyncReceiver,
    Capture,
    Channel,
    Context,
    Datagram,
    EchoResponder,
    Host,
    Interface,
    LabView,
    MdbEntry,
    Membership,
    NoReport,
    Port,
    Prober,
    Query,
    Receiver,
    Report,
    Sender,
    Sent,
    Subscription,
    Switch,
    Verdict,
    VirtualHost,
)
from pytest_mcast.cores import (
    AsyncCore,
    BuiltInCore,
    Capabilities,
    CoreReceiver,
    ExpectedFailure,
    ExternalCore,
    NaiveCore,
    ReceiveCore,
    find_core,
    read_description,
    self_check,
)
from pytest_mcast.packets import Packet, ProbeVerdict, deliver, raw, udp


def fixtures(
    mcast_channel: Channel,
    mcast_receiver: Receiver,
    mcast_sender: Sender,
    mcast_echo: EchoResponder,
    mcast_receiver_factory: Callable[..., Receiver],
    mcast_iface: Interface,
    mcast_sender_host: Host,
    mcast_lab: LabView,
) -> None:
    assert_type(mcast_channel.source, Optional[str])
    assert_type(mcast_receiver.recv(timeout=1).payload, bytes)
    assert_type(mcast_receiver.expect(2), list[Datagram])
    assert_type(mcast_sender.send(b""), Sent)
    assert_type(mcast_echo.replies, int)
    assert_type(mcast_receiver_factory(receive_buffer=1).channel, Channel)
    assert_type(mcast_iface.addresses, tuple[str, ...])
    with mcast_sender_host as host:
        assert_type(host.interfaces, list[Interface])
    assert_type(mcast_lab.channel("ipv6", source=mcast_lab.host("a")), Channel)
    assert_type(mcast_lab.host().popen(["true"]).wait(), int)
    assert_type(mcast_sender_host.memberships(mcast_channel.group), frozenset[Membership])
    with mcast_lab.listen() as wire:
        assert_type(wire.expect_report(mcast_channel, sender=mcast_sender_host), Report)
        assert_type(wire.expect_reports(2, "239.1.2.3", record="REPORT"), list[Report])
        assert_type(wire.querier("ipv6", version=1).query(mcast_channel), Query)
        assert_type(wire.expect_no_report(mcast_channel, sender=mcast_lab.host("a")), NoReport)


def proofs_and_switches(
    mcast_lab: LabView, mcast_probe: Prober, mcast_sender: Sender, mcast_receiver: Receiver
) -> None:
    assert_type(mcast_probe("ttl.zero").check(), ProbeVerdict)
    assert_type(udp(mcast_receiver.channel, ttl=0).fragmented(512, order=(0, 1)).with_length("-5"), Packet)
    assert_type(mcast_probe(raw(b"frame"), expect=deliver(2)).expect_delivered(), ProbeVerdict)
    tx, _ = mcast_lab.direct("tx", "rx")
    assert_type(tx, VirtualHost)
    assert_type(mcast_receiver.expect_nothing(mcast_sender.send(b""), fence=mcast_lab.host()), Verdict)
    switch = mcast_lab.switch(snooping=True, timers=COMPRESSED)
    assert_type(switch, Switch)
    host = mcast_lab.host(interfaces={"eth0": switch})
    assert_type(switch.wait_for_entry("239.1.2.3", host), MdbEntry)
    assert_type(switch.port(host), Port)
    with host.capture("udp") as capture:
        assert_type(capture, Capture)


async def event_loops(context: Context, mcast_receiver: Receiver) -> None:
    async with AsyncReceiver(context) as both:
        assert_type(await both.receive(timeout=1), tuple[Subscription, Datagram])
        both.on_datagram(lambda arrived: assert_type(arrived, tuple[Subscription, Datagram]))
    async for datagram in AsyncReceiver(mcast_receiver):
        assert_type(datagram, Datagram)


class MyCore:
    """A core as a user writes one."""

    name = "mine"
    version = "1"
    capabilities = Capabilities(families=("ipv4",), fields=frozenset({"payload"}))
    expected_failures = (ExpectedFailure("several.groups", "it loses some"),)

    def open(self, channel: Channel, host: Host, *, interface: str | None = None, timeout: float = 5.0) -> CoreReceiver:
        return BuiltInCore().open(channel, host, interface=interface, timeout=timeout)


def cores(mcast_core: ReceiveCore, mcast_lab: LabView) -> None:
    described = ExternalCore(read_description(Path("a.yaml")))
    every: list[ReceiveCore] = [mcast_core, MyCore(), BuiltInCore(), AsyncCore(), NaiveCore(), described]
    assert_type(find_core("naive", every), ReceiveCore)
    assert_type(self_check(mcast_core, mcast_lab, "ipv4", "asm"), list[str])
    with mcast_core.open(mcast_lab.channel(), mcast_lab.host(), interface="eth0") as receiver:
        assert_type(receiver, CoreReceiver)
        assert_type(receiver.recv().payload, bytes)
        assert_type(receiver.ready(), str)


def core() -> None:
    with Context() as context:
        assert_type(context.add(Channel("239.1.2.3", 0), "eth0"), Subscription)
        assert_type(context.receive(), Optional[tuple[Subscription, Datagram]])
        assert_type(context.receive_batch(2), list[tuple[Subscription, Datagram]])
        assert_type(context.statistics().since(context.statistics()).per_second("received"), Optional[float])
    # These are mistakes, and must be found.
    Channel("239.1.2.3", "5000")  # type: ignore[arg-type]
    Sender(Channel("239.1.2.3", 5000), ttl="1")  # type: ignore[arg-type]
