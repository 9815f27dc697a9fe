"""The kernel's counters of one network namespace, from anywhere."""

from __future__ import annotations

import os
import threading

import pytest

from pytest_mcast import LabView
from pytest_mcast.packets import Packet, Template
from pytest_mcast.packets.marks import new_mark
from pytest_mcast.wire import Counters


def test_nothing_has_changed_where_nothing_happens(mcast_lab: LabView) -> None:
    with mcast_lab.host(interfaces={}).inside():
        counters = Counters()
    assert counters.changes() == {}
    counters.close()


def test_datagrams_are_counted_in_the_namespace_they_came_to(mcast_lab: LabView) -> None:
    one, other = mcast_lab.hosts(2)
    receiver = other.receiver(mcast_lab.channel())
    counters = {}
    for host in (one, other):
        with host.inside():
            counters[host] = Counters()
    sender = one.sender(receiver.channel)
    for _ in range(3):
        sender.send(b"x")
    receiver.expect(3)  # the kernel counts what is read
    changes = counters[other].changes()
    assert (changes["Udp.InDatagrams"], changes["IpExt.InMcastPkts"]) == (3, 3)
    assert "Udp.OutDatagrams" not in changes
    assert counters[one].changes()["Udp.OutDatagrams"] == 3
    counters[other].mark()
    assert "Udp.InDatagrams" not in counters[other].changes()
    sender.send(b"x")
    receiver.recv()
    assert counters[other].changes()["Udp.InDatagrams"] == 1
    for one_of_them in counters.values():
        one_of_them.close()


@pytest.mark.parametrize(("family", "name"), [("ipv4", "Udp.InCsumErrors"), ("ipv6", "Udp6InCsumErrors")])
def test_what_is_wrong_with_a_datagram_is_counted(mcast_lab: LabView, family: str, name: str) -> None:
    tx, rx = mcast_lab.hosts(2)
    channel = rx.receiver(mcast_lab.channel(family)).channel
    with rx.inside():
        counters = Counters()
    packet = Packet(tx.source(family), 40000, channel.group, channel.port, source_mac=tx.injector().mac, checksum="bad")
    tx.inject(*Template(packet).frames(new_mark(1, 1), 1))
    assert counters.changes()[name] == 1
    counters.close()


def test_they_are_those_of_the_thread_that_opened_them(mcast_lab: LabView) -> None:
    host = mcast_lab.host()
    opened: list[Counters] = []

    def open_them() -> None:
        with host.inside():
            opened.append(Counters())

    thread = threading.Thread(target=open_them)
    thread.start()
    thread.join()
    (counters,) = opened
    receiver = host.receiver(mcast_lab.channel())
    host.sender(receiver.channel).send(b"x")  # looped back
    receiver.recv()
    assert counters.changes()["Udp.InDatagrams"] == 1
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(counters.changes()["Udp.InDatagrams"]))
    thread.start()
    thread.join()
    assert seen == [1]
    counters.close()


def test_closing_leaves_no_descriptor() -> None:
    before = os.listdir("/proc/self/fd")
    counters = Counters()
    assert os.listdir("/proc/self/fd") != before
    counters.close()
    counters.close()
    assert os.listdir("/proc/self/fd") == before
