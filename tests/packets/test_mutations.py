"""Valid packets in which something is changed at random: whatever it is, the harness neither crashes nor hangs."""

from __future__ import annotations

import random

import pytest

from pytest_mcast import Channel, Lab, NoVerdict
from pytest_mcast.packets import Packet, Prober, Template, deliver, raw
from pytest_mcast.packets.marks import new_mark

from ..support.mutations import mutated, verdicts

GROUPS = {"ipv4": "239.255.77.1", "ipv6": "ff12::77:1"}  # in a lab that nobody else is in
COUNT = 300


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_each_has_a_verdict_or_none_and_with_the_same_seed_the_same(family: str, seed: int) -> None:
    first, second = (verdicts(family, GROUPS[family], seed, COUNT) for _ in range(2))
    assert first == second
    assert len(first) == COUNT
    assert {"delivered 1", "delivered 0"} <= set(first)  # or the mutations are no good


def test_another_seed_gives_other_packets() -> None:
    frame = bytes(range(100))
    one, same, other = (mutated(random.Random(seed), frame) for seed in (1, 1, 2))  # noqa: S311 - reproducible, not secret
    assert one == same != other


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_every_beginning_of_a_frame_has_a_verdict_or_none(family: str) -> None:
    with Lab() as lab:
        rx, tx = lab.direct()
        receiver = rx.receiver(Channel(GROUPS[family], 40000))
        with Prober(receiver, tx, rx) as probe:
            right = probe.legitimate
            (frame,) = Template(Packet(**{**vars(right), "size": 64})).frames(new_mark(7, 7), 7)
            for length in range(len(frame)):
                try:
                    assert not probe(raw(frame[:length])).delivered, length
                except NoVerdict as error:
                    assert "it could not be sent" in str(error)  # noqa: PT017 - most of them can
            probe().expect(deliver())
