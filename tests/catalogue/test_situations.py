"""What the cases that are more than a datagram are written with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_mcast import Channel, LabView, NoVerdict
from pytest_mcast.catalogue import case, find_case, matching
from pytest_mcast.catalogue.situations import beside, pour, situation, stray
from pytest_mcast.cores import BuiltInCore, CoreFailure
from pytest_mcast.cores.behaviours import Bench
from pytest_mcast.lab import netlink


@pytest.fixture
def bench(mcast_lab: LabView) -> Iterator[Bench]:
    with Bench(BuiltInCore(), mcast_lab, "ipv4", "asm") as bench:
        yield bench


def test_a_function_becomes_a_case(monkeypatch: pytest.MonkeyPatch, bench: Bench) -> None:
    monkeypatch.setattr(case, "_CASES", {})

    @situation("mine.own", "done", "kernel", "ip(7)", outcome="so it is", reason="it is mine", families=("ipv4",))
    def mine(bench: Bench) -> None:
        bench.evidence.append("seen")

    found = find_case("mine.own")
    found.look(bench)
    mine(bench)
    assert bench.evidence == ["seen", "seen"]
    assert (found.expected, found.area) == ("so it is", "mine")
    assert [kind for _, *kind in matching([("ipv4", "asm"), ("ipv6", "asm")])] == [["ipv4", "asm"]]


def test_a_stray_must_have_come(bench: Bench) -> None:
    rx, tx = bench.lab.hosts(2, link="own")
    channel = bench.channel(tx)
    bench.open(channel, rx)
    stray(bench, channel, tx, rx, "it comes", 3)
    rx.configure(netlink.link(rx.interface.index, up=False))
    with pytest.raises(NoVerdict, match=r"b'it does not 0 [0-9a-f]+ ' has not come to host1\nthe tap of host1 saw"):
        stray(bench, channel, tx, rx, "it does not")


def test_what_is_beside_a_channel_has_its_port() -> None:
    channel = Channel("232.1.2.3", 5000, "10.0.0.1")
    assert beside(channel) == Channel.unchecked("232.1.2.3", 5000)
    assert beside(channel, "10.0.0.2", group="232.1.2.4") == Channel("232.1.2.4", 5000, "10.0.0.2")


def test_so_many_are_poured_of_such_a_size(bench: Bench) -> None:
    rx, tx = bench.lab.hosts(2)
    channel = bench.channel(tx)
    receiver, flows = bench.open(channel, rx), bench.flows(channel, tx, 2)
    pour(flows, 6, rx, "large", 1000)
    assert [len(payload) for payload in flows.payloads] == 6 * [1000]
    assert len(set(flows.payloads)) == 6
    bench.expect_exactly({receiver: flows}, rx, ordered=True)
    with pytest.raises(CoreFailure, match=r"did not deliver|were lost|twice"):
        bench.expect_exactly({receiver: flows}, rx)  # they are not delivered again
