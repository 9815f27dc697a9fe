"""What is kept at the moment of a loss: enough, of what is there, and not more than there is time for."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from pytest_mcast import Channel, Lab, LabView, VirtualHost
from pytest_mcast.core.deadline import Deadline
from pytest_mcast.doctor import Flow, Match, Observation, Party, diagnose
from pytest_mcast.doctor.check import Check
from pytest_mcast.doctor.checks import CHECKS
from pytest_mcast.doctor.describing import MOST
from pytest_mcast.doctor.moment import Moment, fleeting
from pytest_mcast.lab import Exactly


def _open(stack: ExitStack, host: VirtualHost, count: int) -> list[socket.socket]:
    with host.inside():
        opened = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(count)]
        for each in opened:
            each.bind(("", 0))
    return opened


def test_sockets_of_the_user_are_found_in_each_host(mcast_lab: LabView) -> None:
    a, b = mcast_lab.hosts(2)
    channel = mcast_lab.channel()
    with ExitStack() as stack, Observation(a, b) as observation:
        ours = a.receiver(channel)
        a.echo(mcast_lab.channel())
        wanted = {host: _open(stack, host, 1)[0] for host in (a, b)}
        stale = _open(stack, b, 1)[0]
        moment = observation.moment([a, b], stale=[os.fstat(stale.fileno()).st_ino])
        plain = {each.host: each.options for each in moment.endpoints if each.owner is None}
        assert {host: options["local"] for host, options in plain.items()} == {
            host: list(sock.getsockname()) for host, sock in wanted.items()
        }
        (joined,) = [each.options["joined"] for each in moment.endpoints if each.owner is ours]
        assert [each["group"] for each in joined] == [channel.group]


def test_what_is_gone_keeps_nobody_from_the_rest(mcast_lab: LabView) -> None:
    a, b = mcast_lab.hosts(2)
    with Lab() as lab, Observation(a, b, c := lab.host()) as observation:
        receiver = a.receiver(mcast_lab.channel())
        b.close()
        observation.add(b)
        lab.close()
        moment = observation.moment([a, b, c])
        assert [each.owner for each in moment.endpoints] == [receiver]
        assert (list(moment.readings), list(moment.changes)) == ([a], [a])
        assert list(moment.switches) == [mcast_lab.link().namespace.descriptor]
        flow = observation.flow(receiver.channel, sender=Party(b), receiver=Party(c), moment=moment)
        assert flow.segment is None
        assert flow.sender is not None
        assert {each.refused for each in flow.sender.facts.snapshot.readings.values()} == {"the host is gone"}


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_what_a_router_forwarded_then_counts(mcast_lab: LabView, family: str) -> None:
    here, there = mcast_lab.link("here"), mcast_lab.link("there")
    tx, rx = mcast_lab.host("tx", interfaces={"eth0": here}), mcast_lab.host("rx", interfaces={"eth0": there})
    router = mcast_lab.router("r", interfaces={"eth0": here, "eth1": there})
    channel = mcast_lab.channel(family, scope={"ipv4": None, "ipv6": "site-local"}[family])

    def found(moment: Moment | None) -> list[str]:
        flow = observation.flow(channel, sender=Party(tx), receiver=Party(rx), moment=moment)
        return [each.check for each in diagnose(flow).findings if each.check in ("router.entry", "links.apart")]

    with Observation(tx, rx) as observation:
        router.route(channel.group, "eth0", ["eth1"])
        forwarding = observation.moment([tx, rx])
        router.unroute(channel.group, "eth0")
        assert found(forwarding) == []
        without = observation.moment([tx, rx])
        router.route(channel.group, "eth0", ["eth1"])
        assert found(without) == ["router.entry"]
        router.unroute(channel.group, "eth0")
        assert found(None) == ["router.entry"]
        router.close()
        assert (found(forwarding), found(None)) == ([], ["links.apart"])


def test_a_host_that_has_begun_to_route_since_did_not_then(mcast_lab: LabView) -> None:
    here, there = mcast_lab.link("here"), mcast_lab.link("there")
    tx, rx = mcast_lab.host("tx", interfaces={"eth0": here}), mcast_lab.host("rx", interfaces={"eth0": there})
    router, channel = mcast_lab.router("r", interfaces={"eth0": here, "eth1": there}), mcast_lab.channel()
    with Observation(tx, rx) as observation:
        moment = observation.moment([tx, rx])
        router.route(channel.group, "eth0", ["eth1"])
        flow = observation.flow(channel, sender=Party(tx), receiver=Party(rx), moment=moment)
        assert flow.apart is not None
        assert (flow.apart.routers, flow.apart.forwarders) == ((), ())


@pytest.mark.parametrize("routed", [False, True])
def test_a_cable_that_was_impaired_then_is_named(mcast_lab: LabView, routed: bool) -> None:
    here, there = mcast_lab.link("here"), mcast_lab.link("there" if routed else "here")
    tx, rx = mcast_lab.host("tx", interfaces={"eth0": here}), mcast_lab.host("rx", interfaces={"eth0": there})
    channel = mcast_lab.channel(source=tx)
    worse = rx
    if routed:
        worse = router = mcast_lab.router("r", interfaces={"eth0": here, "eth1": there})
        router.route(channel.group, "eth0", ["eth1"], source=tx)
    with Observation(tx, rx) as observation:
        with here.impair(worse, loss=Exactly(1)) as cable:
            receiver, sender = rx.receiver(channel), tx.sender(channel, ttl=2)
            sender.send(b"lost")
            lost = Deadline(5.0)
            while not cable.to_host.lost:
                assert not lost.passed()
            moment = observation.moment([tx, rx])
        ends = Party(tx, [sender.socket]), Party(rx, [receiver.subscription.socket])
        flow = observation.flow(channel, sender=ends[0], receiver=ends[1], moment=moment, sent=1, received=0)
    found = diagnose(flow).findings[0]
    assert (found.check, found.confidence) == ("cable.impaired", "certain")
    assert found.evidence[0] == f"the cable of {worse} is impaired on purpose: loss exactly 1, seed 0"


def test_of_many_the_newest_are_looked_at_and_the_one_it_is_about(mcast_lab: LabView) -> None:
    a = mcast_lab.host()
    first = a.receiver(mcast_lab.channel())
    for _ in range(MOST + 5):
        a.sender(mcast_lab.channel())
    with ExitStack() as stack, Observation(a) as observation:
        newest = _open(stack, a, MOST + 5)[5:]
        moment = observation.moment([a], about=first)
        assert len(moment.endpoints) == 2 * MOST + 6
        looked_at = [each for each in moment.endpoints if each.owner is not None and each.options]
        assert (len(looked_at), looked_at[0].owner) == (MOST + 1, first)
        plain = [each.options["local"] for each in moment.endpoints if each.owner is None]
        assert plain == [list(each.getsockname()) for each in newest]


def test_more_sockets_than_there_is_time_for_are_not_listed(mcast_lab: LabView) -> None:
    a = mcast_lab.host()
    with ExitStack() as stack:
        _open(stack, a, 500)
        assert len(fleeting(a)["sockets"].value) == 500
        _open(stack, a, 501)
        reading = fleeting(a)["sockets"]
        assert (reading.value, reading.refused[:27]) == (None, "there were 1001 UDP sockets")


def test_a_check_that_dies_is_told_and_the_others_are_asked() -> None:
    def dies(_: Flow) -> Iterator[Match]:
        raise KeyError("nothing there\nof that name")

    def finds(_: Flow) -> Iterator[Match]:
        yield Match("likely", ("seen",))

    model = next(each for each in CHECKS if each.stage == "receiver")
    fields = {"sentence": "found", "cure": "cure it", "command": ""}
    checks: list[Check] = [
        replace(model, id="broken", condition=dies),
        replace(model, id="fine", condition=finds, **fields),  # type: ignore[arg-type] # they are texts
        replace(model, id="mistyped", condition=finds, **{**fields, "sentence": "{missing}"}),  # type: ignore[arg-type]
    ]
    found = diagnose(Flow(Channel("239.1.2.3", 5000)), checks)
    assert [each.check for each in found.findings] == ["fine"]
    assert found.unchecked == {
        "broken": "the check failed: KeyError: 'nothing there\\nof that name'",
        "mistyped": "the check failed: KeyError: 'missing'",
    }
