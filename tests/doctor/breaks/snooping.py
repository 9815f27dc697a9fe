"""What is broken in a switch that listens to IGMP and MLD: what it knows of a group."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pytest_mcast import Channel, LabView, NotReceived, Receiver
from pytest_mcast.core.deadline import Deadline
from pytest_mcast.doctor import Finding, Flow, Observation, Party
from pytest_mcast.doctor.trace import trace
from pytest_mcast.hosts import Host
from pytest_mcast.lab import Switch, Timers
from tests.doctor.breaks.crafted_reports import send_report
from tests.doctor.breaks.network import both, filters, on_switch
from tests.doctor.breaks.plain import plain
from tests.doctor.breaks.silence import joined_and_silent
from tests.doctor.scene import Break, Scene

# What takes minutes takes a third of a second: a membership that nobody confirms is forgotten then.
_SOON = Timers(membership_interval=0.3)
_FOREIGN = {"ipv4": "10.1.2.3", "ipv6": "fe80::dead"}


class SnoopingScene(Scene):
    """A scene with a switch that snoops.

    While it is broken its receivers do not wait until the switch knows of them; once it is cured, they wait for the first
    datagram: a querier takes its time, and the kernel a tick of its clock to delete an entry.
    """

    state = "healthy"
    kept: Receiver | None = None

    def _receiver(self) -> Receiver:
        if self.state == "healthy":
            return self.rx.receiver(self.channel)  # returns when the switch knows
        receiver = Host.receiver(self.rx, self.channel)
        if self.state == "cured":
            self._wait_for(receiver)
        return receiver

    @property
    def snoops(self) -> Switch:
        """The switch."""
        assert isinstance(self.switch, Switch)
        return self.switch

    def cure(self, finding: Finding) -> None:
        """Run the command of a finding."""
        super().cure(finding)
        self.state = "cured"
        if self.kept is not None:
            self._wait_for(self.kept)

    def keep_receiver(self) -> None:
        """Have one receiver from now on, which is never closed before the end, and which reports nothing any more."""
        self.rx.settle()
        kept = joined_and_silent(self.rx, lambda: self.rx.receiver(self.channel))
        self.open_receiver = lambda: _Kept(kept)
        self.kept = kept

    def _wait_for(self, receiver: Receiver) -> None:
        deadline = Deadline(5.0)
        with self.tx.sender(self.channel) as sender:
            while True:
                sender.send(b"is it in force?")
                try:
                    receiver.recv(0.05)
                except NotReceived:
                    if deadline.passed():
                        raise
                else:
                    return


class _Kept:
    """A receiver that stays open when a scene closes it: its membership is what is broken."""

    def __init__(self, receiver: Receiver) -> None:
        self.subscription = receiver.subscription
        self.recv = receiver.recv

    def close(self) -> None:
        """Leave it as it is."""


def scene_of(mode: str = "asm", **settings: Any) -> Callable[[LabView, str], Scene]:
    """Return what makes a scene with a switch of these settings."""
    return lambda lab, family: SnoopingScene(lab, family, mode, lab.switch(**{"snooping": True, **settings}))


def breaking(*steps: Callable[[Any], object]) -> Callable[[Scene], None]:
    """Return what takes these steps in a scene with a snooping switch."""

    def run(scene: Scene) -> None:
        assert isinstance(scene, SnoopingScene)
        scene.state = "broken"
        for step in steps:
            step(scene)

    return run


def _forgotten(scene: SnoopingScene) -> None:
    scene.snoops.set(timers=_SOON)  # not before: a busy machine takes longer to see that it works
    scene.keep_receiver()
    scene.snoops.wait_until_gone(scene.channel, scene.rx)


def _flapped(scene: SnoopingScene) -> None:
    scene.keep_receiver()
    scene.snoops.down(scene.rx)
    scene.snoops.wait_until_gone(scene.channel, scene.rx)
    scene.snoops.up(scene.rx)


def _reported_as_unwanted(scene: SnoopingScene) -> None:
    """Somebody else behind the port says that nobody there wants the source (RFC 3376 section 4.2.12)."""
    scene.keep_receiver()
    source = scene.tx.source(scene.family)
    send_report(scene.rx, scene.channel.group, "block", source)
    of_source = Channel.unchecked(scene.channel.group, scene.channel.port, source)
    scene.snoops.wait_until_gone(of_source, scene.rx)


def _only_another_source(scene: SnoopingScene) -> None:
    scene.keep_receiver()
    assert scene.channel.source is not None
    send_report(scene.rx, scene.channel.group, "allow", _FOREIGN[scene.family])
    send_report(scene.rx, scene.channel.group, "block", scene.channel.source)
    scene.snoops.wait_until_gone(scene.channel, scene.rx)


def forgotten_by_switch(scene: SnoopingScene) -> None:
    """Wait until the switch has forgotten the receiver that worked."""
    scene.snoops.wait_until_gone(scene.channel, scene.rx)


def _no_address(scene: Scene) -> None:
    on_switch(
        "ip -6 address flush dev {bridge}; ip link set dev {bridge} type bridge mcast_snooping 0;"
        " ip link set dev {bridge} type bridge mcast_snooping 1; bridge link set dev {rx} mcast_flood off"
    )(scene)


def _local_scene(lab: LabView) -> Scene:
    scene = SnoopingScene(lab, "ipv4", link=lab.switch(snooping=True))
    scene.channel = Channel("224.0.0.199", scene.channel.port)
    return scene


def _locked(scene: Scene) -> None:
    on_switch("bridge link set dev {rx} locked on; ip link set dev {rx} type bridge_slave fdb_flush")(scene)


class LateScene(SnoopingScene):
    """One in which the switch hears of the receiver only after the datagram, which the doctor then sends once more."""

    #: Whether it does, as it does not for sockets of the user's own.
    again = True

    def _flow(self, observation: Observation, call: str, error: BaseException) -> Flow:
        assert isinstance(self.receiver, Receiver)
        assert self.sender is not None
        self.at_end.close()  # what stops the reports
        self.snoops.set(timers=Timers(query_interval=120.0))  # begins with a query
        self.snoops.wait_for_entry(self.channel, self.rx)
        flow: Flow = super()._flow(observation, call, error)
        if not self.again:
            return replace(flow, received=None)
        ends = (Party(host, interface="eth0") for host in (self.tx, self.rx))
        again = trace(self.channel, *ends, through=self.sender, into=self.receiver, join=False)
        return replace(flow, received=0, trace=again)


class LatePlainScene(LateScene):
    """The same, where it is not sent once more."""

    again = False


def _becomes_healthy(scene: Scene) -> None:
    assert isinstance(scene, SnoopingScene)
    scene.state = "healthy"


def _late(lab: LabView, family: str) -> Scene:
    return LateScene(lab, family, link=lab.switch(snooping=True))


def _joins_nothing(scene: Scene) -> None:
    scene.open_receiver = lambda: plain(scene, joins=False)


def _joins(scene: Scene) -> None:
    assert isinstance(scene, SnoopingScene)
    scene.state = "healthy"
    scene.open_receiver = scene._receiver


_ISOLATED = "for p in {tx} {rx}; do bridge link set dev $p isolated on; done;"
_PREROUTING = "type filter hook prerouting priority 0;"
_FLOOD_OFF = "bridge link set dev {rx} mcast_flood off"

#: Where something of the switch looks like a cause, and is none: only what really keeps the datagrams is named.
INNOCENT = (
    *both(
        "isolated, and locked with a known station",
        "switch-port.isolated",
        on_switch(_ISOLATED + "bridge link set dev {tx} locked on"),
    ),
    *both(
        "isolated, and without an entry where there is no querier",
        "switch-port.isolated",
        breaking(_forgotten, on_switch(_ISOLATED)),
        scene=scene_of(querier=False),
    ),
    *both(
        "isolated, and without an entry at a router port",
        "switch-port.isolated",
        breaking(_forgotten, on_switch(_ISOLATED + "bridge link set dev {rx} mcast_router 2")),
        scene=scene_of(querier=False, strict=True),
    ),
    *both(
        "nobody has joined, behind a switch that snoops",
        "membership.none",
        breaking(forgotten_by_switch, _joins_nothing),
        cure=_joins,
        scene=scene_of(),
        needs=(),
    ),
)

BREAKS = (
    *INNOCENT,
    *both("flooding off", "switch-port.flooding-off", on_switch(_FLOOD_OFF)),
    Break("flooding off, 224.0.0.199", "switch-port.flooding-off", breaking(on_switch(_FLOOD_OFF)), scene=_local_scene),
    *both("no querier", "querier.none", breaking(on_switch(_FLOOD_OFF)), scene=scene_of(querier=False)),
    Break(
        "no address to ask from",
        "querier.no-address",
        breaking(_no_address),
        scene=lambda lab: scene_of()(lab, "ipv6"),
    ),
    *both(
        "nobody asks any more",
        "mdb.no-entry",
        breaking(_forgotten),
        scene=scene_of(querier=False, strict=True),
    ),
    *both(
        "nobody asks any more, a source",
        "mdb.no-entry",
        breaking(_forgotten),
        scene=scene_of("ssm", querier=False, strict=True),
    ),
    # Linux reports again for IPv6 when the cable is back, for IPv4 it does not.
    Break(
        "the cable was out",
        "mdb.no-entry",
        breaking(_flapped),
        scene=lambda lab: scene_of(querier=False, strict=True)(lab, "ipv4"),
    ),
    *both(
        "sent too early",
        "mdb.too-late",
        breaking(forgotten_by_switch, filters("bridge t", _PREROUTING, "{reports} drop")),
        cure=_becomes_healthy,
        scene=_late,
        needs=("nft",),
        certain=False,
    ),
    Break(
        "sent too early, by plain sockets",
        "mdb.too-late",
        breaking(forgotten_by_switch, filters("bridge t", _PREROUTING, "{reports} drop")),
        cure=_becomes_healthy,
        scene=lambda lab: LatePlainScene(lab, "ipv4", link=lab.switch(snooping=True)),
        needs=("nft",),
        certain=False,
    ),
    *both(
        "a source is blocked",
        "mdb.blocked",
        breaking(_reported_as_unwanted),
        scene=scene_of(querier=False, strict=True),
    ),
    *both(
        "another source only",
        "mdb.other-sources",
        breaking(_only_another_source),
        scene=scene_of("ssm", querier=False, strict=True),
    ),
    *both(
        "locked port, no reports",
        "switch-port.locked",
        breaking(forgotten_by_switch, _locked),
        scene=scene_of(),
    ),
    *both(
        "reports stopped in the switch",
        "reports.stopped",
        breaking(forgotten_by_switch, filters("bridge t", _PREROUTING, "{reports} drop")),
        scene=scene_of(),
        needs=("nft",),
    ),
)
