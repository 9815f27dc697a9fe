"""How large the datagrams are that were lost is known of a ``Sender``, and the one that is sent once more is as large."""

from __future__ import annotations

import pytest

from pytest_mcast import LabView, NotReceived
from pytest_mcast.doctor import Observation, explain

from .breaks.damage import BREAKS
from .scene import Scene


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_lost_fragments_are_certain(mcast_lab: LabView, family: str) -> None:
    scene = Scene(mcast_lab, family)
    next(each for each in BREAKS if each.check == "fragments.lost").breaks(scene)
    tx, rx, size = scene.tx, scene.rx, scene.payload_size
    with Observation(tx, rx) as observation, rx.receiver(scene.channel) as receiver, tx.sender(scene.channel) as sender:
        sender.send(b"small")
        assert receiver.recv().payload == b"small"
        observation.mark()
        sender.send(bytes(size))
        assert sender.largest == size
        with pytest.raises(NotReceived) as caught:
            receiver.recv(0.05)
        (diagnosis,) = explain(caught.value, observation, [tx, rx], again=True)
    assert diagnosis.flow.size == size
    assert diagnosis.trace is not None
    assert diagnosis.trace.delivered is False
    certain = [each.check for each in diagnosis.findings if each.confidence == "certain"]
    assert certain == ["fragments.lost"], diagnosis.lines()
