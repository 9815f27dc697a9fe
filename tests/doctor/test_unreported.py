"""A report that is not heard is explained by what its host had joined when it was waited for, not by what it has left since."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from pytest_mcast import Channel, LabView, MdbTimeout, NotReported, VirtualHost
from pytest_mcast.doctor import Diagnosis, Observation, diagnose, explain
from pytest_mcast.doctor.unreported import report_flow
from pytest_mcast.lab import RouteTimeout, RoutingDaemon

SOURCE = "10.77.0.1"


def _missing_report(observation: Observation, tx: VirtualHost, rx: VirtualHost, lab: LabView) -> Diagnosis:
    channel = lab.channel()
    rx.settle()
    with tx.listen() as listener:
        rx.receiver(channel)
        listener.expect_reports(2, channel, sender=rx)
        with pytest.raises(NotReported) as caught, rx.receiver(channel):
            listener.expect_report(channel, sender=rx, timeout=0.1)
    rx.close_endpoints()
    error = caught.value
    moment = error.moment or observation.moment([tx, rx])
    flow = report_flow(error, observation, [tx, rx], moment)  # type: ignore[arg-type] # what the observation has kept
    assert flow is not None
    assert flow.sender is not None
    assert (flow.call, flow.sender.name, flow.channel.group) == ("report", "tx", channel.group)
    return diagnose(flow)


@pytest.mark.parametrize("kept", [True, False])
def test_what_was_joined_then_is_what_counts(mcast_lab: LabView, *, kept: bool) -> None:
    tx, rx = mcast_lab.host("tx"), mcast_lab.host("rx")
    with Observation(tx, rx) as observation:

        def keep(error: Exception) -> None:
            assert isinstance(error, NotReported)
            error.moment = observation.moment([tx, rx])

        tx.lost = keep if kept else None
        try:
            diagnosis = _missing_report(observation, tx, rx, mcast_lab)
        finally:
            tx.lost = None
    found = [(finding.check, finding.confidence) for finding in diagnosis.findings]
    assert found == ([("reports.joined-before", "likely")] if kept else [])
    assert ("reports.nothing-joined" in diagnosis.unchecked) is not kept


@pytest.mark.parametrize(("impairment", "named"), [({"loss": 1.0}, False), ({"delay": 9.0}, True)])
def test_a_cable_that_loses_datagrams_loses_no_reports(
    mcast_lab: LabView, impairment: dict[str, Any], *, named: bool
) -> None:
    switch = mcast_lab.switch("loses", snooping=True)
    channel = mcast_lab.channel()
    tx, rx = (mcast_lab.host(name, interfaces={"eth0": switch}) for name in ("tx", "rx"))
    with Observation(tx, rx) as observation, switch.impair(rx, **impairment), tx.listen() as listener:
        with pytest.raises(MdbTimeout) as no_entry:
            switch.wait_for_entry(channel, rx, timeout=0)
        with pytest.raises(NotReported) as no_report:
            listener.expect_report(channel, sender=rx, timeout=0)
        checks = [
            {finding.check for each in explain(caught.value, observation, [tx, rx]) for finding in each.findings}
            for caught in (no_entry, no_report)
        ]
    assert ["cable.impaired" in each for each in checks] == [named, named]


def test_an_expected_query_is_no_report(mcast_lab: LabView) -> None:
    host = mcast_lab.host("tx")
    with Observation(host) as observation, host.listen() as listener:
        with pytest.raises(NotReported) as caught:
            listener.expect_query(timeout=0)
        assert report_flow(caught.value, observation, [host]) is None


def test_a_route_that_nobody_has_joined_for_is_explained_by_that(mcast_lab: LabView) -> None:
    with _missing_route(mcast_lab) as (error, member, channel), Observation(member) as observation:
        (diagnosis,) = explain(error, observation, [member])
        found = [(finding.check, finding.cause) for finding in diagnosis.findings]
        why = f"{member} has not joined {channel.group} on eth0, so that it has nothing to report"
        assert found == [("reports.nothing-joined", why)]


def test_a_route_that_is_another_ones_is_not_explained(mcast_lab: LabView) -> None:
    with _missing_route(mcast_lab, "elsewhere") as (error, member, _), Observation(member) as observation:
        assert explain(error, observation, [member]) == []


@pytest.mark.parametrize(
    ("joined", "found"), [("10.1.2.3", ["reports.nothing-joined"]), (SOURCE, []), (None, [])], ids=str
)
def test_a_route_for_another_source_than_was_joined(mcast_lab: LabView, joined: str | None, found: list[str]) -> None:
    def join(member: VirtualHost, channel: Channel) -> None:
        member.receiver(replace(channel, source=joined))

    with (
        _missing_route(mcast_lab, source=SOURCE, before=join) as (error, member, channel),
        Observation(member) as observation,
    ):
        (diagnosis,) = explain(error, observation, [member])
    causes = {each.check: each.cause for each in diagnosis.findings if each.check == "reports.nothing-joined"}
    assert list(causes) == found
    for cause in causes.values():
        assert cause.startswith(f"{member} has not joined {channel.group} from {SOURCE} on eth0")


@contextmanager
def _missing_route(
    lab: LabView,
    *more: str,
    source: str | None = None,
    before: Callable[[VirtualHost, Channel], object] = lambda *_: None,
) -> Iterator[tuple[RouteTimeout, VirtualHost, Channel]]:
    """Wait in vain for the route to a host, by a daemon that makes none; ``more`` are others on the same link."""
    link, channel = lab.link("far"), lab.channel()
    router = lab.router(interfaces={"near": lab.link("near"), "far": link})
    member, *_ = [lab.host(name, interfaces={"eth0": link}) for name in ("member", *more)]
    program = router.popen(["cat"])
    daemon = RoutingDaemon(router, program, member="joined {channel}")
    before(member, channel)
    with pytest.raises(RouteTimeout) as caught:
        daemon.wait_for_route(channel.group, "far", source=source, timeout=0.05)
    program.stop()
    yield caught.value, member, channel


def test_an_entry_is_told_of_when_it_is_missing_and_not_when_it_should_be_gone(mcast_lab: LabView) -> None:
    switch, channel = mcast_lab.switch(snooping=True), mcast_lab.channel()
    host = mcast_lab.host(interfaces={"eth0": switch})
    told: list[Exception] = []
    host.lost = told.append
    with Observation(host) as observation:
        with pytest.raises(MdbTimeout) as missing:
            switch.wait_for_entry(channel, host, timeout=0)
        receiver = host.receiver(channel)
        with pytest.raises(MdbTimeout) as there:
            switch.wait_until_gone(channel, host, timeout=0)
        assert told == [missing.value]
        assert report_flow(there.value, observation, [host]) is None
        receiver.close()
        # What it had joined meanwhile is not known, when nobody has looked.
        (diagnosis,) = explain(missing.value, observation, [host])
    assert "reports.nothing-joined" not in {finding.check for finding in diagnosis.findings}
    host.lost = None
