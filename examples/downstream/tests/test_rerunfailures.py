"""pytest-rerunfailures: every attempt has a channel of its own, so that nothing of the last one disturbs it."""

from __future__ import annotations

import pytest
from pytest_mcast import Channel, Receiver, Sender

CHANNELS: pytest.StashKey[list[Channel]] = pytest.StashKey()


@pytest.mark.flaky(reruns=1)
def test_passes_at_the_second_attempt(
    request: pytest.FixtureRequest, mcast_channel: Channel, mcast_receiver: Receiver, mcast_sender: Sender
) -> None:
    channels = request.node.stash.setdefault(CHANNELS, [])
    channels.append(mcast_channel)
    attempt = b"attempt %d" % len(channels)
    mcast_sender.send(attempt)
    mcast_sender.send(b"left unread")
    assert mcast_receiver.recv().payload == attempt
    assert len(channels) == 2, "the first attempt fails on purpose"
    assert channels[0].group != channels[1].group
