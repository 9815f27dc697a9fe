"""What a failed proof of non-delivery is explained by."""

from __future__ import annotations

import pytest

from pytest_mcast import Delivered, LabView
from pytest_mcast.doctor import Observation, explain


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_a_copy_of_ones_own_is_explained(mcast_lab: LabView, family: str) -> None:
    tx, rx = mcast_lab.hosts(2)
    channel = mcast_lab.channel(family)
    with Observation(tx, rx) as observation, rx.receiver(channel) as receiver, rx.sender(channel) as own:
        with pytest.raises(Delivered) as caught:
            receiver.expect_nothing(own.send(b"mine"), fence=tx)
        assert caught.value.datagram is not None
        assert caught.value.datagram.payload == b"mine"
        (diagnosis,) = explain(caught.value, observation, [tx, rx])
    assert [(finding.check, finding.confidence) for finding in diagnosis.findings] == [("loopback.on", "certain")]


def test_what_is_of_the_channel_has_no_cause(mcast_lab: LabView) -> None:
    tx, rx = mcast_lab.hosts(2)
    channel = mcast_lab.channel()
    with Observation(tx, rx) as observation, rx.receiver(channel) as receiver, tx.sender(channel) as sender:
        with pytest.raises(Delivered) as caught:
            receiver.expect_nothing(sender.send(b"meant"), fence=tx)
        (diagnosis,) = explain(caught.value, observation, [tx, rx])
    assert not diagnosis.findings
