"""Probes: evidence, what they leave alone, and when there is no verdict."""

from __future__ import annotations

import os
import socket
import threading
from typing import Any

import pytest

from pytest_mcast import (
    Channel,
    Datagram,
    Delivered,
    Interface,
    LabView,
    LocalHost,
    MissingCapability,
    NotReceived,
    NoVerdict,
    Receiver,
    SubscriptionError,
    VirtualHost,
)
from pytest_mcast.lab import netlink
from pytest_mcast.packets import Prober, cases
from pytest_mcast.packets.marks import new_mark, payload_with

KINDS = [(family, mode) for family in ("ipv4", "ipv6") for mode in ("asm", "ssm")]

kinds = pytest.mark.parametrize(("family", "mode"), KINDS)


def _hosts(lab: LabView, family: str, mode: str, **options: Any) -> tuple[VirtualHost, VirtualHost, Receiver]:
    """Return a sender's host, a receiver's host, and a receiver there."""
    tx, rx = lab.hosts(2)
    return tx, rx, rx.receiver(lab.channel(family, source=tx if mode == "ssm" else None), **options)


def _payloads(receiver: Receiver) -> list[bytes]:
    """Return what the receiver has delivered and nobody has asked for."""
    payloads = []
    while True:
        try:
            payloads.append(receiver.recv(0).payload)
        except NotReceived:
            return payloads


class TestEvidence:
    @kinds
    def test_a_verdict_says_what_was_sent_and_who_saw_it(self, mcast_lab: LabView, family: str, mode: str) -> None:
        tx, rx, receiver = _hosts(mcast_lab, family, mode)
        with Prober(receiver, tx, rx) as probe:
            verdict = probe("legitimate").check()
            (datagram,) = verdict.datagrams
            assert datagram.source == (tx.source(family), probe.legitimate.source_port)
            assert verdict.control == f"the tap of {rx} saw it come in on eth0"
            assert verdict.fence.endswith(", arrived after it")
            assert str(probe.legitimate) in verdict.probe
            assert str(verdict).startswith("delivered: legitimate: 64 bytes from ")
            verdict = probe(checksum="bad").expect_not_delivered()
            assert "UDP checksum bad" in verdict.probe
            assert verdict.datagrams == ()
            assert verdict.receiver == repr(receiver)
            assert verdict.waited_for == ("fence",)

    @kinds
    @pytest.mark.parametrize("changes", [{"group": "other"}, {"port": "other"}, {"group": "other", "port": "other"}])
    def test_a_neighbour_that_gets_it_is_evidence(
        self, mcast_lab: LabView, family: str, mode: str, changes: dict[str, Any]
    ) -> None:
        tx, rx, receiver = _hosts(mcast_lab, family, mode)
        with Prober(receiver, tx, rx) as probe:
            verdict = probe(neighbour=True, **changes).expect_not_delivered()
            assert ", and <Receiver " in verdict.control
            assert verdict.control.endswith(" got it")
            assert "got it" not in probe(**changes).expect_not_delivered().control

    @pytest.mark.parametrize("family", ["ipv4", "ipv6"])
    def test_a_neighbour_may_want_another_source(self, mcast_lab: LabView, family: str) -> None:
        tx, rx, receiver = _hosts(mcast_lab, family, "ssm")
        with Prober(receiver, tx, rx) as probe:
            verdict = probe(source="other", neighbour=True).expect_not_delivered()
            assert "got it" in verdict.control
            probe("asm.any-source" if receiver.channel.mode == "asm" else "legitimate").check()

    def test_a_neighbour_that_gets_nothing_is_no_evidence(self, mcast_lab: LabView) -> None:
        tx, rx, receiver = _hosts(mcast_lab, "ipv4", "asm")
        with Prober(receiver, tx, rx) as probe, pytest.raises(NoVerdict) as info:
            probe(checksum="bad", neighbour=True)
        assert ", which wants it, has not got it\n" in str(info.value)

    def test_what_neighbours_have_not_read_does_not_count(self, mcast_lab: LabView) -> None:
        """A neighbour is opened once, and goes on receiving; its buffer holds 256 small datagrams."""
        tx, rx, receiver = _hosts(mcast_lab, "ipv4", "ssm")
        with Prober(receiver, tx, rx) as probe:
            probe("ssm.wrong-source-with-neighbour").check()
            for _ in range(300):
                probe("ssm.wrong-source").check()
            probe("ssm.wrong-source-with-neighbour").check()

    def test_the_interface_of_the_receiver_is_where_it_was_seen(self, mcast_lab: LabView) -> None:
        tx, rx = mcast_lab.host(interfaces={"a": "left"}), mcast_lab.host(interfaces={"nic7": "left"})
        receiver = rx.receiver(mcast_lab.channel(source=tx))
        with Prober(receiver, tx, rx) as probe:
            assert probe("ssm.wrong-source").check().control.endswith(" saw it come in on nic7")


class TestOtherDatagrams:
    @kinds
    def test_they_are_still_there_in_their_order(self, mcast_lab: LabView, family: str, mode: str) -> None:
        tx, rx, receiver = _hosts(mcast_lab, family, mode)
        sender = tx.sender(receiver.channel)
        with Prober(receiver, tx, rx) as probe:
            sender.send(b"1")
            sender.send(b"2")
            probe("legitimate").check()
            sender.send(b"3")
            probe("checksum.bad").check()
            sender.send(b"4")
        assert _payloads(receiver) == [b"1", b"2", b"3", b"4"]

    def test_what_looks_like_a_probe_of_somebody_else_is_theirs(self, mcast_lab: LabView) -> None:
        tx, rx, receiver = _hosts(mcast_lab, "ipv4", "asm")
        with Prober(receiver, tx, rx) as mine, Prober(receiver, tx, rx) as other:
            assert mine().delivered
            assert other().delivered
        for payload in (b"mcast-probe:", b"mcast-probe:" + bytes(32), payload_with(new_mark(1, 2), 64)):
            tx.sender(receiver.channel).send(payload)
            with Prober(receiver, tx, rx) as probe:
                probe("checksum.bad").check()
            assert _payloads(receiver) == [payload]

    def test_a_late_one_does_not_cost_the_others(self, mcast_lab: LabView) -> None:
        """When an earlier probe turns up, what else had arrived stays for recv()."""
        tx, rx, receiver = _hosts(mcast_lab, "ipv4", "asm")
        with Prober(receiver, tx, rx) as probe:
            verdict = probe()
            number = probe._crafter._number - 1
            receiver.give_back(verdict.datagrams)  # as a receiver would that delivers it now
            probe._subjects[0].judged[number] = "the probe that was not delivered", False
            tx.sender(receiver.channel).send(b"mine")
            with pytest.raises(
                Delivered, match=r"delivered late, after the verdict .* the probe that was not delivered"
            ):
                probe()
            assert _payloads(receiver) == [b"mine"]


def _text(info: pytest.ExceptionInfo[NoVerdict]) -> list[str]:
    """Return the lines of the error; sent, control, fence and counters are among them."""
    lines = str(info.value).splitlines()
    for start in ("no verdict: ", "sent: ", "control: ", "fence: ", "receiver: ", "the tap of ", "counters of "):
        assert any(line.startswith(start) for line in lines), start
    return lines


class TestNoVerdict:
    @kinds
    def test_where_the_receiver_has_left(self, mcast_lab: LabView, family: str, mode: str) -> None:
        tx, rx, receiver = _hosts(mcast_lab, family, mode)
        with Prober(receiver, tx, rx, timeout=0.05) as probe:
            receiver.subscription.leave()
            with pytest.raises(NoVerdict) as info:
                probe("checksum.bad")
        lines = _text(info)
        assert lines[0] == "no verdict: the fence did not arrive within 0.05 s"
        assert lines[1].startswith("sent: checksum.bad: 64 bytes from ")
        assert f"receiver: {receiver!r}" in lines
        assert repr(receiver).endswith(": bound>")

    @kinds
    def test_where_the_buffer_of_the_receiver_is_full(self, mcast_lab: LabView, family: str, mode: str) -> None:
        tx, rx, receiver = _hosts(mcast_lab, family, mode, receive_buffer=4096)
        sender = tx.sender(receiver.channel)
        with Prober(receiver, tx, rx, timeout=0.05) as probe:
            for _ in range(50):
                sender.send(b"fill")
            assert (receiver.statistics().kernel_drops or 0) > 0
            with pytest.raises(NoVerdict) as info:
                probe("group.other")
            lines = _text(info)
            assert lines[0].startswith("no verdict: the fence did not arrive")
            drops = "Udp.RcvbufErrors" if family == "ipv4" else "Udp6RcvbufErrors"
            assert f"{drops} +" in lines[-1]
            assert any("dropped by the kernel" in line and "dropped by the kernel 0" not in line for line in lines)
            assert set(_payloads(receiver)) == {b"fill"}
            probe("group.other").check()

    @kinds
    def test_where_the_link_is_down(self, mcast_lab: LabView, family: str, mode: str) -> None:
        tx, rx, receiver = _hosts(mcast_lab, family, mode)
        with Prober(receiver, tx, rx, timeout=0.05) as probe:
            rx.configure(netlink.link(rx.find("eth0").index, up=False))
            with pytest.raises(NoVerdict) as info:
                probe("checksum.bad")
        assert f"control: the tap of {rx} did not see it" in _text(info)

    @pytest.mark.parametrize("family", ["ipv4", "ipv6"])
    def test_where_the_frames_are_larger_than_the_receiver_takes(self, mcast_lab: LabView, family: str) -> None:
        tx, rx, receiver = _hosts(mcast_lab, family, "asm")
        assert rx.popen(["ip", "link", "set", "eth0", "mtu", "1280"]).wait() == 0
        with Prober(receiver, tx, rx, timeout=0.05) as probe:
            with pytest.raises(NoVerdict) as info:
                probe(size=1400, checksum="bad")
            assert f"control: the tap of {rx} did not see it" in _text(info)
            probe(size=1200).expect_delivered()

    @kinds
    def test_where_the_control_is_not_on_the_receivers_side(self, mcast_lab: LabView, family: str, mode: str) -> None:
        """The fence arrives, but the host that was named as the receiver's has seen nothing."""
        tx, _, receiver = _hosts(mcast_lab, family, mode)
        another = mcast_lab.host(interfaces={"eth0": "elsewhere"})
        with Prober(receiver, tx, another) as probe, pytest.raises(NoVerdict) as info:
            probe("checksum.bad")
        lines = _text(info)
        assert lines[0] == "no verdict: the control has not seen it"
        assert f"control: the tap of {another} did not see it" in lines
        assert any(line.startswith("fence: ") for line in lines)

    def test_a_tap_that_ordinary_traffic_has_filled_still_sees_a_probe(self, mcast_lab: LabView) -> None:
        """Nobody reads a tap until there is something to prove; by then it must have room."""
        tx, rx, receiver = _hosts(mcast_lab, "ipv4", "asm")
        rx.control._tap._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        rx.touch()  # nobody else is to have this tap
        sender, for_nobody = tx.sender(receiver.channel), tx.sender(mcast_lab.channel())
        with Prober(receiver, tx, rx) as probe:
            for _ in range(500):
                sender.send(b"ordinary")
                receiver.recv()
            probe("checksum.bad").check()
            for _ in range(500):
                for_nobody.send(b"ordinary")
            probe("checksum.bad").check()

    def test_that_it_was_delivered_needs_no_other_evidence(self, mcast_lab: LabView) -> None:
        tx, _, receiver = _hosts(mcast_lab, "ipv4", "asm")
        another = mcast_lab.host(interfaces={"eth0": "elsewhere"})
        with Prober(receiver, tx, another) as probe:
            verdict = probe("legitimate").check()
        assert verdict.control == f"the tap of {another} did not see it"


class TestRefusals:
    def test_a_host_and_itself(self, mcast_lab: LabView) -> None:
        host = mcast_lab.host("alone")
        with pytest.raises(
            ValueError, match="a host cannot send crafted packets to itself: alone is sender and receiv"
        ):
            Prober(host.receiver(mcast_lab.channel()), host, host)

    def test_a_local_host(self, mcast_lab: LabView) -> None:
        host = mcast_lab.host()
        receiver = host.receiver(mcast_lab.channel())
        local = LocalHost(next(interface for interface in Interface.all() if interface.loopback))
        for hosts in ((local, local), (local, host), (host, local)):
            with pytest.raises(MissingCapability) as info:
                Prober(receiver, *hosts)
            assert str(info.value).startswith("packets: ")
            assert str(info.value).endswith("run pytest with --mcast-lab")
            assert f"{local.interface.name} of this machine" in str(info.value)

    def test_an_unknown_change(self, mcast_lab: LabView) -> None:
        tx, rx, receiver = _hosts(mcast_lab, "ipv4", "asm")
        with Prober(receiver, tx, rx) as probe:
            with pytest.raises(ValueError, match=r"a probe has no hops; it has checksum, .*, group, .*, vlan$"):
                probe(hops=3)
            with pytest.raises(ValueError, match="a probe has no mtu; it has"):
                probe(mtu=1400)
            with pytest.raises(ValueError, match="group='group' says nothing; there is another source, mac"):
                probe(group="group")
            with pytest.raises(ValueError, match="ttl='other' says nothing; there is another source, group, port"):
                probe(ttl="other")
            with pytest.raises(ValueError, match="source='othr' says nothing; it may be other, receiver, group"):
                probe(source="othr")
            with pytest.raises(ValueError, match="checksum='wrong' is neither 'bad' nor"):
                probe(checksum="wrong")
            with pytest.raises(ValueError, match="ttl=300 is not from 0 to 255"):
                probe(ttl=300)
            with pytest.raises(LookupError, match=r"did you mean 'ttl\.zero'"):
                probe("ttl.zer0")
            with pytest.raises(
                ValueError, match=r"the case ssm.wrong-source is for ipv4 or ipv6, ssm; .* is ipv4, asm"
            ):
                probe("ssm.wrong-source")
            assert not _payloads(receiver)

    def test_a_change_of_a_case_leaves_no_expectation(self, mcast_lab: LabView) -> None:
        """Nobody has said what a correct receiver does with a legitimate datagram that is not one."""
        tx, rx, receiver = _hosts(mcast_lab, "ipv4", "asm")
        with Prober(receiver, tx, rx) as probe:
            with pytest.raises(ValueError, match="nothing says whether it should be delivered"):
                probe("legitimate", checksum="bad").check()
            with pytest.raises(ValueError, match="nothing says whether it should be delivered"):
                probe(ttl=3).check()

    def test_a_receiver_that_is_closed(self, mcast_lab: LabView) -> None:
        tx, rx, receiver = _hosts(mcast_lab, "ipv4", "asm")
        with Prober(receiver, tx, rx) as probe:
            probe("checksum.bad").check()
            receiver.close()
            with pytest.raises(SubscriptionError, match="is closed"):
                probe("checksum.bad")


class Repeats:
    """A receiver that can deliver again what it has delivered before."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self.channel: Channel = receiver.channel
        self.again: list[Datagram] = []

    def recv(self, timeout: float | None = None) -> Datagram:
        return self.again.pop() if self.again else self._receiver.recv(timeout)


class TestEnd:
    def test_a_probe_that_turns_up_at_the_end_is_found_out(self, mcast_lab: LabView) -> None:
        tx, rx, receiver = _hosts(mcast_lab, "ipv4", "asm")
        repeats = Repeats(receiver)
        probe = Prober(repeats, tx, rx)
        (datagram,) = probe().datagrams
        probe._subjects[0].judged[probe._crafter._number - 1] = "the probe", False
        repeats.again.append(datagram)
        with pytest.raises(
            Delivered, match="delivered late, after the verdict was that it was not: the probe\nas <Data"
        ):
            probe.close()
        probe.close()

    def test_a_failed_test_gets_no_second_error(self, mcast_lab: LabView) -> None:
        tx, rx, receiver = _hosts(mcast_lab, "ipv4", "asm")
        probe = Prober(receiver, tx, rx, timeout=60)
        probe("checksum.bad").check()
        rx.configure(netlink.link(rx.find("eth0").index, up=False))
        with pytest.raises(ZeroDivisionError), probe:
            raise ZeroDivisionError

    def test_a_last_fence_that_is_lost_is_no_verdict(self, mcast_lab: LabView) -> None:
        tx, rx, receiver = _hosts(mcast_lab, "ipv4", "asm")
        probe = Prober(receiver, tx, rx, timeout=0.05)
        probe("checksum.bad").check()
        rx.configure(netlink.link(rx.find("eth0").index, up=False))
        with pytest.raises(NoVerdict, match="no verdict: a last fence did not arrive"):
            probe.close()

    def test_what_was_delivered_needs_no_last_fence(self, mcast_lab: LabView) -> None:
        tx, rx, receiver = _hosts(mcast_lab, "ipv4", "asm")
        with Prober(receiver, tx, rx, timeout=0.05) as probe:
            probe("legitimate").check()
            rx.configure(netlink.link(rx.find("eth0").index, up=False))

    def test_a_copy_that_turns_up_at_the_end_is_found_out(self, mcast_lab: LabView) -> None:
        tx, rx, receiver = _hosts(mcast_lab, "ipv4", "asm")
        repeats = Repeats(receiver)
        probe = Prober(repeats, tx, rx)
        repeats.again += probe("legitimate").check().datagrams
        with pytest.raises(Delivered, match="delivered again, after the verdict: legitimate: 64 bytes"):
            probe.close()

    def test_a_receiver_that_is_closed_or_has_left_delivers_nothing_late(self, mcast_lab: LabView) -> None:
        tx, rx, receiver = _hosts(mcast_lab, "ipv4", "asm")
        with Prober(receiver, tx, rx, timeout=0.05) as probe:
            probe("checksum.bad").check()
            receiver.subscription.leave()
        receiver.subscription.join()
        with Prober(receiver, tx, rx, timeout=0.05) as probe:
            probe("checksum.bad").check()
            receiver.close()

    @kinds
    def test_no_descriptor_and_no_neighbour_is_left(self, mcast_lab: LabView, family: str, mode: str) -> None:
        tx, rx, receiver = _hosts(mcast_lab, family, mode)
        before = os.listdir("/proc/self/fd")
        tx.injector()
        opened = [number for number in os.listdir("/proc/self/fd") if number not in before]
        for _ in range(3):
            with Prober(receiver, tx, rx) as probe:
                for case in cases(family, mode):
                    probe(case).check()
        assert sorted(os.listdir("/proc/self/fd")) == sorted([*before, *opened])


def test_two_probers_in_two_threads_do_not_disturb_each_other(mcast_lab: LabView) -> None:
    tx, rx = mcast_lab.hosts(2)
    channels = [mcast_lab.channel(source=tx), mcast_lab.channel("ipv6", source=tx)]
    errors: list[BaseException] = []

    def work(channel: Channel) -> None:
        try:
            with rx.receiver(channel) as receiver, Prober(receiver, tx, rx) as probe:
                for _ in range(10):
                    for case in cases(channel.family, channel.mode):
                        probe(case).check()
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(channel,)) for channel in channels]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        raise error


def test_two_probers_may_share_a_receiver(mcast_lab: LabView) -> None:
    tx, rx, receiver = _hosts(mcast_lab, "ipv4", "asm")
    with Prober(receiver, tx, rx) as one, Prober(receiver, tx, rx) as other:
        for probe in (one, other, one):
            for case in cases("ipv4", "asm"):
                probe(case).check()


@kinds
def test_probe_and_fence_have_comments_in_captures(mcast_lab: LabView, family: str, mode: str) -> None:
    tx, rx = mcast_lab.hosts(2)
    with rx.capture("udp") as capture:
        receiver = rx.receiver(mcast_lab.channel(family, source=tx if mode == "ssm" else None))
        with Prober(receiver, tx, rx) as probe:
            probe("checksum.bad").check()
            comments = [comment for frame in capture.frames() for comment in frame.comments]
    assert len(comments) == 2
    assert comments[0].startswith("probe checksum.bad: 64 bytes from ")
    assert comments[0].endswith(": not delivered")
    assert comments[1] == "fence: it has arrived"


def test_what_was_sent_and_its_fence_have_comments_in_captures(mcast_lab: LabView) -> None:
    rx, good, bad = mcast_lab.hosts(3)
    with rx.capture("udp") as capture:
        receiver = rx.receiver(mcast_lab.channel(source=good))
        receiver.expect_nothing(bad.sender(receiver.channel).send(b"spoof"), fence=good)
        comments = [comment for frame in capture.frames() for comment in frame.comments]
    assert comments == ["probe: not delivered", "fence: it has arrived"]
