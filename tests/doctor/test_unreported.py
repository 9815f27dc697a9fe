"""A report that is not heard is explained by what its host had joined when it was waited for, not by what it has left since."""

from __future__ import annotations

import pytest

from pytest_mcast import LabView, NotReported, VirtualHost
from pytest_mcast.doctor import Diagnosis, Observation, diagnose
from pytest_mcast.doctor.unreported import report_flow


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


def test_an_expected_query_is_no_report(mcast_lab: LabView) -> None:
    host = mcast_lab.host("tx")
    with Observation(host) as observation, host.listen() as listener:
        with pytest.raises(NotReported) as caught:
            listener.expect_query(timeout=0)
        assert report_flow(caught.value, observation, [host]) is None
