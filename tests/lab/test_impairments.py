"""Impaired cables: loss, duplicates, order, delay, rate, corruption; the same for the same seed."""

from __future__ import annotations

import secrets
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_mcast import InterfaceError, Lab, LabView, Link, Receiver, Sender, VirtualHost
from pytest_mcast.core import Deadline
from pytest_mcast.lab import Every, Exactly
from pytest_mcast.wire.impairment import Impairment, Judge

both_families = pytest.mark.parametrize("family", ["ipv4", "ipv6"])


def _numbers(receiver: Receiver, sender: Sender, count: int) -> list[int]:
    """Send that many numbers and return those that have come before the end, which is sent until it comes."""
    for number in range(1, count + 1):
        sender.send(b"%d" % number)
    got: list[int] = []
    end = secrets.token_hex(8).encode()
    while True:
        sender.send(end)
        payload = receiver.recv().payload
        if payload == end:
            return got
        if len(payload) < len(end):  # else it is an earlier end
            got.append(int(payload))


@both_families
def test_exactly_these_are_lost(mcast_lab: LabView, family: str) -> None:
    link = mcast_lab.link("mine")
    tx, rx = mcast_lab.hosts(2, link=link)
    receiver = rx.receiver(mcast_lab.channel(family))
    sender = tx.sender(receiver.channel)
    with link.impair(rx, loss=Exactly(2, 5)) as cable:
        assert _numbers(receiver, sender, 6) == [1, 3, 4, 6]
        assert cable.to_host.lost == [2, 5]
        assert cable.from_host.datagrams == 0  # what rx reports is none
    assert _numbers(receiver, sender, 6)[-6:] == [1, 2, 3, 4, 5, 6]


def test_every_third_on_the_way_from_a_host(mcast_lab: LabView) -> None:
    link = mcast_lab.link("mine")
    tx, rx, other = mcast_lab.hosts(3, link=link)
    receivers = [host.receiver(mcast_lab.channel()) for host in (rx, other)]
    with link.impair(tx, loss=Every(3)) as cable:
        for receiver in receivers:
            lost = len(cable.from_host.lost)
            got = _numbers(receiver, tx.sender(receiver.channel), 9)
            assert len(got) < 9
            assert len(cable.from_host.lost) >= lost + 3
        assert cable.from_host.lost[:3] == [3, 6, 9]
        assert not cable.to_host.lost


def test_the_same_seed_loses_the_same(mcast_lab: LabView) -> None:
    link = mcast_lab.link("mine")
    tx, rx = mcast_lab.hosts(2, link=link)
    receiver = rx.receiver(mcast_lab.channel())
    sender = tx.sender(receiver.channel)
    lost = []
    for seed in (7, 7, 8):
        with link.impair(rx, loss=0.2, seed=seed) as cable:
            got = _numbers(receiver, sender, 100)
            lost.append([number for number in cable.to_host.lost if number <= 100])
            assert [number for number in range(1, 101) if number not in got[-100:]] == lost[-1]
    assert lost[0] == lost[1] != lost[2]
    assert 5 < len(lost[0]) < 40


@both_families
def test_duplicates_and_datagrams_out_of_order(
    mcast_lab: LabView, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    monkeypatch.setattr("pytest_mcast.wire.cable._LATE", 60.0)  # a busy machine may take its time for the next one
    link = mcast_lab.link("mine")
    tx, rx = mcast_lab.hosts(2, link=link)
    receiver = rx.receiver(mcast_lab.channel(family))
    sender = tx.sender(receiver.channel)
    with link.impair(rx, duplicate=Exactly(3), reorder=Exactly(1, 4)) as cable:
        assert _numbers(receiver, sender, 6) == [2, 1, 3, 3, 5, 4, 6]
        assert (cable.to_host.duplicated, cable.to_host.reordered) == ([3], [1, 4])


@both_families
def test_what_is_corrupted_is_dropped_for_its_checksum(mcast_lab: LabView, family: str) -> None:
    link = mcast_lab.link("mine")
    tx, rx = mcast_lab.hosts(2, link=link)
    receiver = rx.receiver(mcast_lab.channel(family))
    with link.impair(rx, corrupt=Exactly(2)) as cable:
        assert _numbers(receiver, tx.sender(receiver.channel), 3) == [1, 3]
        assert cable.to_host.corrupted == [2]


def test_a_delay(mcast_lab: LabView) -> None:
    link = mcast_lab.link("mine")
    tx, rx = mcast_lab.hosts(2, link=link)
    receiver = rx.receiver(mcast_lab.channel())
    sender = tx.sender(receiver.channel)
    with link.impair(rx, delay=0.05):
        sent = sender.send(b"slow")
        arrived = receiver.recv()
        assert arrived.timestamp_ns is not None
        assert sent.timestamp_ns is not None
        assert arrived.timestamp_ns - sent.timestamp_ns >= 50_000_000


def test_what_comes_late_is_delayed_once(mcast_lab: LabView) -> None:
    link = mcast_lab.link("mine")
    tx, rx = mcast_lab.hosts(2, link=link)
    with link.impair(rx, reorder=Exactly(1), delay=600.0) as cable:
        before = time.monotonic()
        tx.sender(mcast_lab.channel()).send(b"nothing comes after it")
        deadline, due = Deadline(10), 0.0
        while not due:
            assert not deadline.passed()
            under_way = list(cable._cable._queue)  # type: ignore[union-attr] # other frames are delayed as well
            due = next((at for at, _, _, data in under_way if data.endswith(b"nothing comes after it")), 0.0)
        assert 600 <= due - before < 1200


def test_a_delay_of_years(mcast_lab: LabView) -> None:
    link = mcast_lab.link("mine")
    tx, rx = mcast_lab.hosts(2, link=link)
    receiver = rx.receiver(mcast_lab.channel())
    for delay, rate in ((1e300, None), (0.0, 1e-300)):
        with link.impair(rx, delay=delay, rate=rate) as cable:
            before = cable.to_host.datagrams
            tx.sender(receiver.channel).send(b"x")
            tx.sender(receiver.channel).send(b"y")
            deadline = Deadline(5)
            while cable.to_host.datagrams < before + 2 and not deadline.passed():
                pass  # raises what has ended the wire
            assert cable.to_host.datagrams == before + 2


def test_a_rate(mcast_lab: LabView) -> None:
    link = mcast_lab.link("mine")
    tx, rx = mcast_lab.hosts(2, link=link)
    receiver = rx.receiver(mcast_lab.channel())
    sender = tx.sender(receiver.channel)
    with link.impair(rx, rate=100_000):  # bytes a second
        started = time.monotonic()
        for _ in range(11):
            sender.send(bytes(958))  # frames of 1000 bytes
        receiver.expect(11)
        assert time.monotonic() - started >= 0.1


def test_a_burst_over_an_impaired_cable_is_accounted_for(mcast_lab: LabView) -> None:
    link = mcast_lab.link("mine")
    tx, rx = mcast_lab.hosts(2, link=link)
    receiver = rx.receiver(mcast_lab.channel())
    sender = tx.sender(receiver.channel)
    with link.impair(rx, loss=Every(10), seed=1) as cable, receiver.drain() as drain:
        account = drain.account(sender.burst(100, 500))  # for which every buffer has room
        assert account.lost == {"network": 10}
        assert [first + 1 for first, _ in account.missing] == cable.to_host.lost[:10]
        assert account.received == 90


@pytest.mark.parametrize("options", [{"reorder": Exactly(20)}, {"delay": (0, 0.02)}], ids=["reorder", "delay"])
def test_what_comes_after_the_end_of_a_burst_is_not_lost(
    mcast_lab: LabView, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    monkeypatch.setattr("pytest_mcast.core.drain._LATE", 10.0)  # the wire is a thread, which may be kept waiting
    link = mcast_lab.link("mine")
    tx, rx = mcast_lab.hosts(2, link=link)
    receiver = rx.receiver(mcast_lab.channel())
    with link.impair(rx, **options), receiver.drain() as drain:
        account = drain.account(tx.sender(receiver.channel).burst(20, 100))
        assert (account.received, account.lost) == (20, {})


def test_the_last_one_that_is_to_come_late(mcast_lab: LabView) -> None:
    link = mcast_lab.link("mine")
    tx, rx = mcast_lab.hosts(2, link=link)
    receiver = rx.receiver(mcast_lab.channel())
    with link.impair(rx, reorder=Exactly(1)):
        tx.sender(receiver.channel).send(b"nothing comes after it")
        assert receiver.recv().payload == b"nothing comes after it"


def test_a_cable_that_was_pulled_is_impaired_as_before(mcast_lab: LabView) -> None:
    link = mcast_lab.link("mine")
    tx, rx = mcast_lab.hosts(2, link=link)
    receiver = rx.receiver(mcast_lab.channel())
    with link.impair(rx, loss=Exactly(2)):
        for _ in range(2):
            link.down(rx)
            link.up(rx)
        assert _numbers(receiver, tx.sender(receiver.channel), 3) == [1, 3]


def test_the_mtu_of_an_impaired_cable(mcast_lab: LabView) -> None:
    link = mcast_lab.link("mine")
    tx, rx = mcast_lab.hosts(2, link=link)
    receiver = rx.receiver(mcast_lab.channel())
    with link.impair(rx):
        link.set_mtu(9000)
        tx.sender(receiver.channel).send(bytes(8000))
        assert len(receiver.recv().payload) == 8000


def test_a_wire_that_is_flooded_is_closed_at_once(mcast_lab: LabView) -> None:
    link = mcast_lab.link("mine")
    tx, rx = mcast_lab.hosts(2, link=link)
    receiver = rx.receiver(mcast_lab.channel())
    sender = tx.sender(receiver.channel)
    flooding = threading.Event()

    def flood() -> None:
        while not flooding.is_set():
            sender.send(bytes(1000))

    thread = threading.Thread(target=flood)
    with link.impair(rx, rate=1_000_000):
        thread.start()
        receiver.recv()
    flooding.set()
    thread.join()


def test_a_host_whose_number_is_that_of_the_switch(mcast_lab: LabView) -> None:
    for _ in range(2):  # ports and switches are counted apart
        switch = mcast_lab.switch(snooping=True)
        for host in mcast_lab.hosts(2, link=switch):
            switch.impair(host).close()


@both_families
def test_proofs_are_weaker_meanwhile(mcast_lab: LabView, family: str) -> None:
    link = mcast_lab.link("mine")
    good, bad, rx = mcast_lab.hosts(3, link=link)
    receiver = rx.receiver(mcast_lab.channel(family, source=good))
    with link.impair(rx, delay=0.01):
        verdict = receiver.expect_nothing(bad.sender(receiver.channel).send(b"spoof"), fence=good)
        assert not verdict.strong
    assert receiver.expect_nothing(bad.sender(receiver.channel).send(b"spoof"), fence=good).strong


def test_a_switch_that_snoops_knows_an_impaired_port(mcast_lab: LabView) -> None:
    switch = mcast_lab.switch(snooping=True)
    tx, rx = mcast_lab.hosts(2, link=switch)
    with switch.impair(rx, loss=Exactly(1)):
        receiver = rx.receiver(mcast_lab.channel())
        assert receiver.evidence.startswith("MDB entry")
        assert _numbers(receiver, tx.sender(receiver.channel), 2) == [2]
        assert switch.port(rx).flood
    receiver = rx.receiver(mcast_lab.channel())
    tx.sender(receiver.channel).send(b"whole")
    assert receiver.recv().payload == b"whole"


def test_a_cable_is_impaired_once(mcast_lab: LabView) -> None:
    link = mcast_lab.link("mine")
    (host,) = mcast_lab.hosts(1, link=link)
    with link.impair(host), pytest.raises(InterfaceError, match="is impaired already; close that first"):
        link.impair(host)
    link.impair(host)  # and is whole again when the link goes


def test_nothing_of_a_wire_is_left_when_its_lab_is_closed() -> None:
    def left() -> tuple[int, int]:
        return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))

    with Lab() as lab:  # what is opened once and for all is opened here
        lab.host("rx", interfaces={"eth0": "mine"})
    before = left()
    with Lab() as lab:
        cable = lab.link("mine").impair(lab.host("rx", interfaces={"eth0": "mine"}))
    assert all(now <= then for now, then in zip(left(), before, strict=True))
    cable.close()


def test_what_has_ended_a_wire_is_raised_when_it_is_closed(mcast_lab: LabView, monkeypatch: pytest.MonkeyPatch) -> None:
    link = mcast_lab.link("mine")
    tx, rx = mcast_lab.hosts(2, link=link)
    channel = mcast_lab.channel()

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Judge, "fate", broken)
    cable = link.impair(rx)
    tx.sender(channel).send(b"x")
    cable._cable._thread.join(10)  # type: ignore[union-attr] # nothing else tells
    with pytest.raises(ZeroDivisionError):
        cable.close()
    cable.close()
    assert switched_back(link, rx)


def test_a_host_goes_whatever_has_ended_its_wire(monkeypatch: pytest.MonkeyPatch) -> None:
    with Lab() as lab:
        tx, rx = lab.hosts(2)
        link = lab.link("lan")
        monkeypatch.setattr(Judge, "fate", lambda *_, **__: 1 / 0)
        cable = link.impair(rx)
        tx.sender(lab.channel()).send(b"x")
        cable._cable._thread.join(10)  # type: ignore[union-attr] # nothing else tells
        with pytest.raises(ZeroDivisionError):
            lab.remove(rx)
        assert rx.gone
        assert [port.host for port in link.ports] == [tx]
        assert not link.impaired


def switched_back(link: Link, host: VirtualHost) -> bool:
    port = link.port(host)
    return port.impaired is None and port.bridge_index == port.index and not link.impaired


def test_what_is_set_at_a_port_stays_when_its_cable_is_impaired(mcast_lab: LabView) -> None:
    switch = mcast_lab.switch(snooping=True)
    (host,) = mcast_lab.hosts(1, link=switch)
    port = switch.port(host)
    port.flood, port.fast_leave, port.multicast_router = False, True, "always"
    before = port.options()
    with switch.impair(host):
        assert port.options() == before
        port.fast_leave = False
    assert port.options() == {**before, "fast_leave": 0}


def test_a_shared_link_is_not_impaired(mcast_lab: LabView) -> None:
    with pytest.raises(InterfaceError, match=r"impair\(\) would change link lan for other tests"):
        mcast_lab.link().impair(mcast_lab.host())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"delay": (1,)}, r"delay \(1,\) is not a number of seconds, nor two"),
        ({"delay": "1"}, "delay '1' is not a number of seconds, nor two"),
        ({"seed": "mine"}, "seed 'mine' is not a whole number"),
        ({"loss": 1.1}, "loss 1.1 is neither a probability"),
        ({"duplicate": "often"}, "duplicate 'often' is neither"),
        ({"delay": -1}, "delay -1 is not a number of seconds"),
        ({"delay": (2, 1)}, r"delay \(2, 1\) is not"),
        ({"rate": 0}, "rate 0 is not a positive number"),
    ],
)
def test_what_cannot_be_an_impairment(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Impairment(**options)


@pytest.mark.parametrize("numbers", [(), (0,), (1, "2")])
def test_what_cannot_be_a_choice(numbers: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="whole numbers from 1"):
        Exactly(*numbers)
    with pytest.raises(ValueError, match="a whole number from 1"):
        Every(0)


def test_two_delays_may_be_a_list() -> None:
    assert Impairment(delay=[0.1, 0.2]).delays == (0.1, 0.2)


@pytest.mark.parametrize(("kind", "headers"), [(b"\x08\x00", 42), (b"\x86\xdd", 62)], ids=["ipv4", "ipv6"])
def test_no_bit_of_a_header_is_changed(kind: bytes, headers: int) -> None:
    judge = Judge(Impairment(corrupt=1.0), "to host")
    frame = bytes(12) + kind + bytes(headers - 14) + b"x"
    for _ in range(50):
        changed = judge.fate(frame, datagram=True).frame
        assert changed[:headers] == frame[:headers]
        assert changed != frame


def test_what_is_lost_does_not_depend_on_what_else_happens() -> None:
    more: list[dict[str, Any]] = [{}, {"corrupt": 0.5, "delay": (0, 1)}]
    judges = [Judge(Impairment(loss=0.3, seed=3, **each), "to host") for each in more]
    for judge in judges:
        for _ in range(200):
            judge.fate(bytes(100), datagram=True)
    assert judges[0].lost == judges[1].lost != []
