"""What is broken on the way of IGMP and MLD reports: they are stopped, or say too little."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from functools import partial

from pytest_mcast import Channel, LabView, MdbTimeout, NotReported, Switch
from pytest_mcast.doctor import Diagnosis, Observation, diagnose
from pytest_mcast.doctor.unreported import report_flow
from pytest_mcast.hosts import Host
from tests.doctor.breaks.network import both, on_receiver
from tests.doctor.breaks.silence import joined_and_silent
from tests.doctor.breaks.snooping import SnoopingScene, breaking, forgotten_by_switch, scene_of
from tests.doctor.scene import Break, Receives, Scene

_FORCE = {"ipv4": "net.ipv4.conf.{}.force_igmp_version=2", "ipv6": "net.ipv6.conf.{}.force_mld_version=1"}


class ReportScene(Scene):
    """A scene in which the sender listens for the report of what the receiver joins."""

    #: Whether an older report will not do.
    newest = False

    def works(self) -> None:
        """See that the report is heard."""
        assert self._joins(5.0) is None

    def fails(self) -> Diagnosis:
        """See that it is not, and return what the doctor says."""
        diagnosis = self._joins(0.2)
        assert diagnosis is not None, "it was heard: nothing was broken"
        return diagnosis

    def pick(self) -> Channel:
        """Return a channel that was not used before."""
        return self.lab.channel(self.family)

    def _joins(self, timeout: float) -> Diagnosis | None:
        self.channel = self.pick()  # another one: the end of the last is reported, too
        version = {"ipv4": 3, "ipv6": 2}[self.family] if self.newest else None
        with Observation(self.tx, self.rx) as observation, self.tx.listen() as listener, closing(self.open_receiver()):
            try:
                listener.expect_report(self.channel, sender=self.rx, version=version, timeout=timeout)
            except NotReported as error:
                hosts = [self.tx, self.rx]
                error.moment = observation.moment(hosts)
                flow = report_flow(error, observation, hosts, error.moment)
                assert flow is not None
                return diagnose(flow)
        return None


class EntryScene(ReportScene):
    """One in which it is the switch that has to hear it, and to make an entry."""

    def _joins(self, timeout: float) -> Diagnosis | None:
        self.channel = self.pick()
        assert isinstance(self.link, Switch)
        with Observation(self.rx) as observation, closing(self.open_receiver()):
            try:
                self.link.wait_for_entry(self.channel, self.rx, timeout=timeout)
            except MdbTimeout as error:
                error.moment = observation.moment([self.rx])
                flow = report_flow(error, observation, [self.rx], error.moment)
                assert flow is not None
                return diagnose(flow)
        return None


class SourceEntryScene(EntryScene):
    """The same, of a channel with a source."""

    def pick(self) -> Channel:
        """Return a channel that was not used before."""
        return self.lab.channel(self.family, source=self.tx.source(self.family))


class NewestReportScene(ReportScene):
    """One in which the report must be of the newest version."""

    newest = True


class LocalReportScene(ReportScene):
    """One with groups of 224.0.0.0/24, of which those from 224.0.0.180 on are nobody's (IANA)."""

    def pick(self) -> Channel:
        """Return the next one."""
        self.last = getattr(self, "last", 179) + 1
        return Channel(f"224.0.0.{self.last}", 5000)


def _snooping(lab: LabView, family: str) -> Scene:
    return ReportScene(lab, family, link=lab.switch(snooping=True))


def _entry(lab: LabView, family: str) -> Scene:
    return EntryScene(lab, family, link=lab.switch(snooping=True))


def _source_entry(lab: LabView, family: str) -> Scene:
    return SourceEntryScene(lab, family, link=lab.switch(snooping=True))


def _force(scene: Scene, which: str = "eth0") -> None:
    """Force an older version, once the host has said all that it has to by the newest.

    What is pending is sent by the newest version whatever is forced meanwhile, and what has just been joined goes with it
    (igmp_ifc_timer_expire(), igmp_gq_timer_expire()). The helper stays open: its end would be reported, too.
    """
    joined_and_silent(scene.rx, lambda: Host.receiver(scene.rx, scene.lab.channel(scene.family)))
    scene.sh(scene.rx, f"sysctl -w {_FORCE[scene.family].format(which)}")


def _force_all(scene: Scene) -> None:
    _force(scene, "all")


def _beside_a_newer_one(scene: SnoopingScene) -> None:
    """Have another host join the source by the newest version, and ours by an older one.

    Ours goes first: a Linux bridge asks everybody when somebody is plugged in (br_port_state_selection()).
    """
    scene.rx.settle()  # a new host reports everything by the newest version once more
    _force(scene)
    other = scene.lab.host("other", interfaces={"eth0": scene.switch})
    other.receiver(scene.channel)


def _older_query(scene: Scene) -> None:
    """Ask by IGMPv2, which is remembered for minutes (RFC 3376 section 8.12)."""
    scene.tx.querier("ipv4", version=2).query()


def _listens(scene: Scene, *, snooping: bool = True) -> None:
    assert isinstance(scene.link, Switch)
    scene.link.set(snooping=snooping, querier=snooping)


def _is_newest_again(scene: Scene) -> None:
    """Have a host that has not heard it, as after these minutes."""
    scene.rx = scene.lab.host("another", interfaces={"eth0": scene.switch})


_OUTPUT = "nft add table {ip} t; nft 'add chain {ip} t c {{ type filter hook output priority 0; }}'; nft 'add rule {ip} t c {reports} drop'"


def _joins_nothing(scene: Scene) -> None:
    scene.open_receiver = lambda: scene.rx.receiver(scene.lab.channel(scene.family))


def _joins_another_source(scene: Scene) -> None:
    def opened() -> Receives:
        other = replace(scene.channel, source={"ipv4": "10.99.0.9", "ipv6": "fd99::9"}[scene.family])
        return scene.rx.receiver(other)

    scene.open_receiver = opened


def _joins(scene: Scene) -> None:
    scene.open_receiver = lambda: scene.rx.receiver(scene.channel)


def _joins_twice(scene: Scene) -> None:
    """Have two sockets join, the first one before anybody listens."""
    assert isinstance(scene, ReportScene)
    channel = scene.lab.channel(scene.family)
    scene.rx.settle()
    with scene.tx.listen() as listener:
        scene.rx.receiver(channel)
        listener.expect_reports(2, channel, sender=scene.rx)
    scene.pick = lambda: channel  # type: ignore[method-assign]


def _picks_another(scene: Scene) -> None:
    scene.pick = lambda: scene.lab.channel(scene.family)  # type: ignore[attr-defined]


def _all_systems(scene: Scene) -> None:
    group = {"ipv4": "224.0.0.1", "ipv6": "ff02::1"}[scene.family]
    scene.pick = lambda: Channel(group, 5000)  # type: ignore[attr-defined]


BREAKS = (
    *both("nothing is joined", "reports.nothing-joined", _joins_nothing, cure=_joins, scene=ReportScene, needs=()),
    *both(
        "joined before",
        "reports.joined-before",
        _joins_twice,
        cure=_picks_another,
        scene=ReportScene,
        needs=(),
        certain=False,
    ),
    Break(
        "an entry of a switch that does not listen",
        "mdb.not-kept",
        partial(_listens, snooping=False),
        cure=_listens,
        scene=lambda lab: EntryScene(lab, "ipv4", link=lab.switch(snooping=True)),
    ),
    Break(
        "an entry of a group that is flooded",
        "mdb.not-kept",
        lambda scene: setattr(scene, "pick", lambda: Channel("224.0.0.190", 5000)),
        cure=_picks_another,
        scene=lambda lab: EntryScene(lab, "ipv4", link=lab.switch(snooping=True)),
    ),
    *both(
        "an entry of what is not joined", "reports.nothing-joined", _joins_nothing, cure=_joins, scene=_entry, needs=()
    ),
    *both(
        "joined for another source",
        "reports.nothing-joined",
        _joins_another_source,
        cure=_joins,
        scene=_source_entry,
        needs=(),
    ),
    *both("the group of all systems", "reports.never", _all_systems, cure=_picks_another, scene=ReportScene, needs=()),
    Break(
        "groups of the link are not reported",
        "reports.link-local-off",
        on_receiver("sysctl -w net.ipv4.igmp_link_local_mcast_reports=0"),
        scene=lambda lab: LocalReportScene(lab, "ipv4"),
    ),
    *both(
        "reports stopped at the host",
        "reports.stopped",
        breaking(forgotten_by_switch, on_receiver(_OUTPUT)),
        scene=scene_of(),
        needs=("nft",),
    ),
    *both(
        "reports stopped, nobody hears them", "reports.stopped", on_receiver(_OUTPUT), scene=ReportScene, needs=("nft",)
    ),
    *both(
        "version forced, and others use the newest",
        "report-version.forced",
        breaking(forgotten_by_switch, _beside_a_newer_one),
        scene=scene_of("ssm"),
        needs=("sysctl",),
    ),
    *both(
        "version forced, the newest is expected",
        "report-version.forced",
        _force,
        scene=NewestReportScene,
        needs=("sysctl",),
    ),
    Break(
        "version forced for all interfaces",
        "report-version.forced",
        _force_all,
        scene=NewestReportScene,
    ),
    Break(
        "an older querier",
        "report-version.old-querier",
        _older_query,
        _is_newest_again,
        scene=NewestReportScene,
    ),
    *both(
        "an older report is for routers only",
        "reports.kept-from-listener",
        _force,
        scene=_snooping,
        needs=("bridge", "sysctl"),
    ),
)
