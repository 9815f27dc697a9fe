"""Links: cables pulled from outside, MTU, ports."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_mcast import InterfaceError, LabView, VirtualHost


def _state(host: VirtualHost) -> str:
    """Return the operational state of eth0, as the host sees it."""
    command = host.popen(["ip", "-o", "link", "show", "eth0"])
    assert command.wait() == 0
    return command.stdout[0].partition(" state ")[2].split()[0]


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
@pytest.mark.parametrize("whose", ["rx", "tx"])
def test_a_cable_is_pulled_and_plugged_in(mcast_lab: LabView, family: str, whose: str) -> None:
    link = mcast_lab.link("mine")
    tx, rx, other = (mcast_lab.host(name, interfaces={"eth0": "mine"}) for name in ("tx", "rx", "other"))
    channel = mcast_lab.channel(family)
    receivers = [host.receiver(channel) for host in (rx, other)]
    sender = tx.sender(channel)
    with link.count(channel) as count:
        for number in range(3):
            link.down(whose)
            assert _state(mcast_lab.host(whose)) in ("DOWN", "LOWERLAYERDOWN")
            sender.send(b"down")
            link.up(whose)
            assert _state(mcast_lab.host(whose)) == "UP"
            sender.send(b"up")
            assert receivers[0].recv().payload == b"up"
            both = number + 1 if whose == "tx" else 2 * (number + 1)
            assert count.received(link.port(tx)) == count.sent(link.port(other)) == both
            assert count.sent(link.port(rx)) == number + 1
    payloads = {datagram.payload for datagram in receivers[1].expect(3 if whose == "tx" else 6)}
    assert payloads == ({b"up"} if whose == "tx" else {b"up", b"down"})


def test_a_host_whose_cable_was_pulled_is_not_used_again(mcast_lab: LabView) -> None:
    host = mcast_lab.host()
    assert not host.touched
    mcast_lab.link().down(host)
    assert host.touched


@pytest.mark.parametrize("mtu", [1280, 9000])
def test_the_mtu_of_a_link(mcast_lab: LabView, mtu: int) -> None:
    link = mcast_lab.link("mine")
    tx, rx = (mcast_lab.host(name, interfaces={"eth0": link}) for name in ("tx", "rx"))
    link.set_mtu(mtu)
    late = mcast_lab.host("late", interfaces={"eth0": link})
    assert [host.interface.mtu for host in (tx, rx, late)] == [mtu] * 3
    for family in ("ipv4", "ipv6"):
        receivers = [host.receiver(mcast_lab.channel(family)) for host in (rx, late)]
        before = link.port(rx).counters()
        for receiver in receivers:
            tx.sender(receiver.channel).send(bytes(8000))
            assert receiver.recv().payload == bytes(8000)
        frames = (link.port(rx).counters() - before).sent
        assert frames >= 14 if mtu == 1280 else 2 <= frames < 14


@pytest.mark.parametrize("mtu", [1279, 65536, "1500", True])
def test_an_mtu_that_cannot_be(mcast_lab: LabView, mtu: int) -> None:
    with pytest.raises(ValueError, match=rf"mtu {mtu!r} is not a number of bytes from 1280 \(RFC 8200\) to 65535"):
        mcast_lab.link("mine").set_mtu(mtu)


def test_the_link_of_all_tests_is_not_changed(mcast_lab: LabView) -> None:
    with pytest.raises(InterfaceError, match="would change link lan for other tests; use a link of your own"):
        mcast_lab.link().set_mtu(9000)


def test_ports_know_who_is_there(mcast_lab: LabView) -> None:
    link = mcast_lab.link("mine")
    host = mcast_lab.host("two", interfaces={"eth0": link, "eth1": link})
    assert [(port.host, port.interface) for port in link.ports] == [(host, "eth0"), (host, "eth1")]
    assert link.port("two") is link.port(host, "eth0")
    assert "eth1 of two on mine" in repr(link.port(host, "eth1"))
    with pytest.raises(InterfaceError, match="host one is not on link mine; there is eth0 of two, eth1 of two"):
        link.port("one")
    with pytest.raises(InterfaceError, match="there is nobody"):
        mcast_lab.link("empty").port(host)
    with pytest.raises(InterfaceError, match="eth2 of host two"):
        link.port(host, "eth2")


def test_a_host_that_has_gone_has_no_port(mcast_lab: LabView) -> None:
    link = mcast_lab.link("mine")
    host = mcast_lab.host("one", interfaces={"eth0": link})
    mcast_lab._pool.lab.remove(host)
    assert link.ports == ()


def test_no_filter_between_the_ports() -> None:
    # Whatever the machine says: it is a setting of the namespace, where there is such a thing.
    from pytest_mcast import Lab

    with Lab() as lab, lab.switch_namespace:
        for file in Path("/proc/sys/net/bridge").glob("bridge-nf-call-*"):
            assert file.read_text().strip() == "0"
