"""Two hosts and a cable."""

from __future__ import annotations

import pytest

from pytest_mcast import InterfaceError, Lab, LabView, NoVerdict
from pytest_mcast.packets import Prober, udp
from pytest_mcast.wire.frames import seen


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_what_one_sends_the_other_gets(mcast_lab: LabView, family: str) -> None:
    one, other = mcast_lab.direct("one", "other")
    assert (one.name, other.name) == ("one", "other")
    assert mcast_lab.host("one") is one
    for sender, receiver in ((one, other), (other, one)):
        channel = mcast_lab.channel(family, source=sender)
        received = receiver.receiver(channel)
        sender.sender(channel).send(b"straight")
        assert received.recv().payload == b"straight"


def test_no_other_host_hears_it(mcast_lab: LabView) -> None:
    tx, rx = mcast_lab.direct()
    another, again = mcast_lab.direct()
    assert len({tx.source("ipv4"), rx.source("ipv4"), another.source("ipv4"), again.source("ipv4")}) == 4
    channel = mcast_lab.channel()
    receivers = [host.receiver(channel) for host in (rx, again, mcast_lab.host())]
    sent = tx.sender(channel).send(b"between us")
    assert receivers[0].recv().payload == b"between us"
    for receiver in receivers[1:]:
        with pytest.raises(NoVerdict, match="the control has not seen it"):
            receiver.expect_nothing(sent, fence=another if receiver is receivers[1] else mcast_lab.host())


def test_it_passes_on_what_a_switch_may_drop(mcast_lab: LabView) -> None:
    tx, rx = mcast_lab.direct()
    with rx.capture() as capture, Prober(rx.receiver(mcast_lab.channel()), tx, rx) as probe:
        for packet in (udp().with_ip(version=5), udp().with_checksum(ip="bad"), udp().as_frame(cut=20)):
            frame = probe(packet).expect_not_delivered().shot.frames[0]
            assert frame in [each.data for each in capture.frames()]


def test_hosts_capture_and_the_link_says_who(mcast_lab: LabView) -> None:
    tx, rx = mcast_lab.direct("tx", "rx")
    channel = mcast_lab.channel()
    with tx.capture(channel) as out, rx.capture(channel) as into:
        tx.sender(channel).send(b"seen twice")
        for capture in (out, into):
            (frame,) = capture.frames()
            found = seen(frame.data)
            assert found is not None
            assert found.payload == b"seen twice"
    with Lab() as lab:
        first, second = lab.direct()
        link = lab.link("direct1")
        for refused in (link.capture, lambda: link.count(channel), lambda: link.port(first)):
            with pytest.raises(
                InterfaceError, match=rf"needs a switch, and direct1 is a direct link of {first} and {second}"
            ):
                refused()
        link.set_mtu(1400)
        assert [host.find("eth0").mtu for host in (first, second)] == [1400, 1400]


def test_a_name_is_given_once(mcast_lab: LabView) -> None:
    mcast_lab.direct("one", "two")
    for names in (("one", None), (None, "two"), ("three", "three")):
        with pytest.raises(InterfaceError, match=r"there is a host .* already; name another one, or none"):
            mcast_lab.direct(*names)
    with Lab() as lab:
        lab.direct("one", "two")
        for names in (("one", None), (None, "two"), ("three", "three")):
            with pytest.raises(InterfaceError, match=r"there is a host .* already; name another one, or none"):
                lab.direct(*names)
        assert len(lab._hosts) == 2


def test_its_number_is_free_again() -> None:
    with Lab() as lab:
        networks = set()
        for _ in range(3):
            first, second = lab.direct()
            networks.add(first.source("ipv4").split(".")[1])
            lab.remove(first)
            lab.remove(second)
        assert len(networks) == 1
        assert not [name for name in lab._links if name.startswith("direct")]
