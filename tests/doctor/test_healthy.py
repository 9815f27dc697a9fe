"""Fifty random networks that work: a datagram arrives, the doctor finds nothing, and the trace reaches every hop."""

from __future__ import annotations

import random
from contextlib import ExitStack
from dataclasses import replace

import pytest

from pytest_mcast import LabView, Receiver
from pytest_mcast.core import FAMILIES, MODES
from pytest_mcast.doctor import Observation, Party, diagnose
from pytest_mcast.doctor.trace import MARK, trace

from .networks import Network, payload_of, socket_of
from .scene import PlainReceiver

NETWORKS = 50
_SIZES = (1, 64, 1000, 1452, 1473, 3000, 9000, 20000)


@pytest.mark.parametrize("seed", range(NETWORKS))
def test_nothing_is_found_where_nothing_is_wrong(mcast_lab: LabView, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - networks are no secrets
    network = Network(mcast_lab, dice, dice.choice(FAMILIES), dice.choice(MODES))
    try:
        examine(network)
    except BaseException as error:
        error.add_note("\n  ".join([f"seed {seed}, {network.family}-{network.mode}:", *network.done]))
        raise


def examine(network: Network) -> None:
    """Send a datagram, which arrives, and then ask the doctor as if it had been lost."""
    tx, receivers, beside = network.build()
    channel = network.channel(tx)
    size = network.dice.choice(_SIZES)
    network.say(f"{channel}: {size} bytes")
    with ExitStack() as stack:
        observation = stack.enter_context(Observation(tx, *receivers))
        opened = {}
        for host in receivers:
            if network.maybe(0.3):
                network.neighbour(stack, host, channel)
            opened[host] = network.receiver(host, channel)
            stack.callback(opened[host].close)
        sender = stack.enter_context(network.sender(tx, channel))
        for host in receivers:
            if network.maybe(0.3):
                network.noise(stack, tx, host, channel)
        if beside:
            stack.enter_context(network.foreign(beside[0], channel))
        payload = network.dice.randbytes(size)
        sender.send(payload)
        for receiver in opened.values():
            assert payload_of(receiver) == payload
        flows = []
        for host, receiver in opened.items():
            ends = Party(tx, [sender.socket], "eth0"), Party(host, [socket_of(receiver)], "eth0")
            flow = observation.flow(channel, sender=ends[0], receiver=ends[1], call="receive", size=size)
            flows.append((ends, flow))  # before the traces, which are traffic
        for ends, flow in flows:
            found = trace(channel, *ends, size=size)
            hops = [f"{hop.name}: {hop.reached} ({hop.evidence})" for hop in found.hops]
            assert all(hop.reached for hop in found.hops), "\n".join(hops)
            for known in (flow, replace(flow, sent=1, received=1), replace(flow, trace=found)):
                diagnosis = diagnose(known)
                assert not diagnosis.findings, "\n".join(diagnosis.lines(limit=100))
        for receiver in opened.values():  # each of them has got all; ours keep it to themselves
            if isinstance(receiver, PlainReceiver):
                for _ in flows:
                    assert payload_of(receiver).startswith(MARK)
            else:
                assert isinstance(receiver, Receiver)
                assert receiver.receive() is None
