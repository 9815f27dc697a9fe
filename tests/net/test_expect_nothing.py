"""``Receiver.expect_nothing``: what was sent was not delivered, or was, or nothing is proved."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_mcast import (
    Channel,
    Delivered,
    Interface,
    LabView,
    LocalHost,
    MissingCapability,
    NotReceived,
    NoVerdict,
    Receiver,
    Sent,
    SubscriptionError,
    VirtualHost,
)
from pytest_mcast.core.groups import ChannelPicker
from pytest_mcast.lab import netlink

SEND_BY_PROGRAM = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((sys.argv[1], 0))
sock.sendto(b"by a program", (sys.argv[2], int(sys.argv[3])))
print("from", sock.getsockname()[1])
"""

FLOOD = """
import socket, sys, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.IPPROTO_UDP, 103, 10)  # UDP_SEGMENT: 60 datagrams with a call
sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(sys.argv[1]))
print("flooding", flush=True)
end = time.monotonic() + 60  # at the most: the test ends it
while time.monotonic() < end:
    sock.sendto(b"f" * 600, (sys.argv[2], int(sys.argv[3])))
"""

families = pytest.mark.parametrize("family", ["ipv4", "ipv6"])


def _payloads(receiver: Receiver) -> list[bytes]:
    """Return what the receiver has delivered and nobody has asked for."""
    payloads = []
    while True:
        try:
            payloads.append(receiver.recv(0).payload)
        except NotReceived:
            return payloads


def _ssm(lab: LabView, family: str = "ipv4") -> tuple[VirtualHost, VirtualHost, VirtualHost, Receiver]:
    """Return the host of a source-specific receiver, that of its source, and another one."""
    rx, good, bad = lab.hosts(3)
    return rx, good, bad, rx.receiver(lab.channel(family, source=good))


class TestNotDelivered:
    @families
    def test_from_a_source_that_was_not_asked_for(self, mcast_lab: LabView, family: str) -> None:
        rx, good, bad, receiver = _ssm(mcast_lab, family)
        sent = bad.sender(receiver.channel).send(b"spoof")
        verdict = receiver.expect_nothing(sent, fence=good)
        assert not verdict.delivered
        assert verdict.strong
        assert verdict.control == f"the tap of {rx} saw it come in on eth0"
        assert verdict.probe.startswith(f"5 bytes b'spoof' from {bad.source(family)} port {sent.source[1]} to ")
        assert f" from {good.source(family)} port " in verdict.fence
        assert _payloads(receiver) == []

    @families
    def test_from_a_blocked_source(self, mcast_lab: LabView, family: str) -> None:
        rx, good, bad = mcast_lab.hosts(3)
        receiver = rx.receiver(mcast_lab.channel(family))
        sender = bad.sender(receiver.channel)
        receiver.subscription.block(bad.source(family))
        receiver.expect_nothing(sender.send(b"blocked"), fence=good)
        receiver.subscription.unblock(bad.source(family))
        with pytest.raises(Delivered):
            receiver.expect_nothing(sender.send(b"let in again"), fence=good)

    @pytest.mark.parametrize("mode", ["asm", "ssm"])
    @families
    def test_to_a_receiver_that_has_left(self, mcast_lab: LabView, family: str, mode: str) -> None:
        rx, good, bad, _ = _ssm(mcast_lab, family)
        receiver = rx.receiver(mcast_lab.channel(family, source=good if mode == "ssm" else None))
        member = rx.receiver(receiver.channel)  # because of which the host still gets it
        sender = good.sender(receiver.channel)
        receiver.subscription.leave()
        verdict = receiver.expect_nothing(sender.send(b"after it left"), fence=bad)
        assert str(receiver.channel) not in verdict.fence  # somebody else's
        assert member.recv().payload == b"after it left"
        receiver.subscription.join()
        with pytest.raises(Delivered, match="after it joined"):
            receiver.expect_nothing(sender.send(b"after it joined"), fence=good)

    def test_whose_group_comes_up_when_a_group_is_picked(
        self, mcast_lab: LabView, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rx, good, bad = mcast_lab.hosts(3)
        receiver = rx.receiver(ChannelPicker(b"the same").pick("ipv4"))
        receiver.subscription.leave()
        monkeypatch.setattr("secrets.token_bytes", lambda _: b"the same")
        verdict = receiver.expect_nothing(good.sender(receiver.channel).send(b"after it left"), fence=bad)
        assert receiver.channel.group not in verdict.fence

    def test_none_of_several(self, mcast_lab: LabView) -> None:
        _, good, bad, receiver = _ssm(mcast_lab)
        sender = bad.sender(receiver.channel)
        sents = [sender.send(b"%d" % number) for number in range(100)]
        verdict = receiver.expect_nothing(sents, fence=good)
        assert ", and 99 more" in verdict.probe

    @families
    def test_in_fragments(self, mcast_lab: LabView, family: str) -> None:
        rx, good, bad, receiver = _ssm(mcast_lab, family)
        for size in (1500, 4000, 40000):
            sent = bad.sender(receiver.channel).send(bytes(size))
            assert f"{size} bytes" in receiver.expect_nothing(sent, fence=good).probe
        member = rx.receiver(Channel.unchecked(receiver.channel.group, receiver.channel.port))
        with pytest.raises(Delivered, match="4000 bytes"):
            member.expect_nothing(bad.sender(receiver.channel).send(bytes(4000)), fence=good)

    @families
    def test_by_the_interface_of_the_receiver(self, mcast_lab: LabView, family: str) -> None:
        links = {"nic0": "left", "nic1": "right"}
        rx, tx = mcast_lab.host(interfaces=links), mcast_lab.host(interfaces=links)
        receiver = rx.receiver(mcast_lab.channel(family), interface="nic1")
        wrong, right = (tx.sender(receiver.channel, interface=name) for name in links)
        verdict = receiver.expect_nothing(wrong.send(b"by the other"), fence=right)
        assert verdict.control.endswith(" saw it come in on nic0")
        with pytest.raises(Delivered):
            receiver.expect_nothing(right.send(b"by this one"), fence=right)

    def test_what_a_thread_or_a_program_has_sent(self, mcast_lab: LabView) -> None:
        rx, good, bad, receiver = _ssm(mcast_lab)
        channel = receiver.channel
        sent = bad.run(lambda: bad.sender(channel).send(b"by a thread"))
        receiver.expect_nothing(sent, fence=good)
        program = bad.popen(
            [
                sys.executable,
                "-c",
                SEND_BY_PROGRAM,
                *(bad.source("ipv4"), channel.group, str(channel.port)),
            ],
            ready=r"from \d+",
        )
        port = int(program.stdout[0].split()[1])
        by_program = Sent(b"by a program", (bad.source("ipv4"), port), channel, "eth0", 1)
        receiver.expect_nothing(by_program, fence=good)
        everybody = rx.receiver(Channel.unchecked(channel.group, channel.port))
        sent = bad.run(lambda: bad.sender(channel).send(b"for everybody"))
        with pytest.raises(Delivered, match="for everybody"):
            everybody.expect_nothing(sent, fence=good)

    def test_within_one_host_by_loopback(self, mcast_lab: LabView) -> None:
        host = mcast_lab.host()
        receiver = host.receiver(mcast_lab.channel(source="127.0.0.1"), interface="lo")
        sent = host.sender(receiver.channel, interface="lo", source="127.0.0.2").send(b"spoof")
        fence = host.sender(receiver.channel, interface="lo", source="127.0.0.1")
        assert receiver.expect_nothing(sent, fence=fence).control.endswith(" saw it come in on lo")


class TestDelivered:
    @families
    def test_the_evidence_is_told(self, mcast_lab: LabView, family: str) -> None:
        rx, tx = mcast_lab.hosts(2)
        receiver = rx.receiver(mcast_lab.channel(family))
        sent = tx.sender(receiver.channel).send(b"for everybody")
        with pytest.raises(Delivered) as info:
            receiver.expect_nothing(sent, fence=tx)
        first, control, fence, who, what = str(info.value).splitlines()
        assert first.startswith("delivered: 13 bytes b'for everybody' from ")
        assert control == f"control: the tap of {rx} saw it come in on eth0"
        assert fence.startswith("fence: 35 bytes b'pytest-mcast fence ")
        assert fence.endswith(", arrived after it")
        assert who == f"receiver: {receiver!r}"
        assert what.startswith("delivered as <Datagram of 13 bytes b'for everybody' from ")

    def test_one_of_several_is_enough(self, mcast_lab: LabView) -> None:
        rx, good, bad = mcast_lab.hosts(3)
        receiver = rx.receiver(mcast_lab.channel())
        receiver.subscription.block(bad.source("ipv4"))
        sents = [bad.sender(receiver.channel).send(b"no"), good.sender(receiver.channel).send(b"yes")]
        with pytest.raises(Delivered, match="delivered as <Datagram of 3 bytes b'yes'"):
            receiver.expect_nothing(sents, fence=good)

    def test_it_was_delivered_before_the_receiver_left(self, mcast_lab: LabView) -> None:
        _, good, bad, receiver = _ssm(mcast_lab)
        sent = good.sender(receiver.channel).send(b"wanted")
        good.sender(receiver.channel).send(b"mine")
        receiver.give_back(receiver.expect(2))
        receiver.subscription.leave()
        with pytest.raises(Delivered, match="wanted"):
            receiver.expect_nothing(sent, fence=bad)
        assert _payloads(receiver) == [b"mine"]

    def test_what_was_cut_off_was_delivered(self, mcast_lab: LabView) -> None:
        rx, tx = mcast_lab.hosts(2)
        receiver = rx.receiver(mcast_lab.channel(), max_size=50)
        sent = tx.sender(receiver.channel).send(bytes(100))
        with pytest.raises(Delivered, match="truncated"):
            receiver.expect_nothing(sent, fence=tx)


class TestOtherDatagrams:
    def test_they_stay_in_their_order(self, mcast_lab: LabView) -> None:
        _, good, bad, receiver = _ssm(mcast_lab)
        sender, spoof = good.sender(receiver.channel), bad.sender(receiver.channel)
        sender.send(b"1")
        first = spoof.send(b"spoof")
        sender.send(b"2")
        receiver.expect_nothing(first, fence=good)
        sender.send(b"3")
        receiver.expect_nothing(spoof.send(b"again"), fence=good)
        sender.send(b"4")
        assert _payloads(receiver) == [b"1", b"2", b"3", b"4"]

    def test_they_stay_when_there_is_no_verdict(self, mcast_lab: LabView) -> None:
        _, good, bad, receiver = _ssm(mcast_lab)
        good.sender(receiver.channel).send(b"mine")
        unsent = Sent(b"x", (bad.source("ipv4"), 9), receiver.channel, "eth0", 1)
        for fence in (good.sender(receiver.channel), good):
            with pytest.raises(NoVerdict):
                receiver.expect_nothing(unsent, fence=fence)
        assert _payloads(receiver) == [b"mine"]

    def test_they_are_given_back_as_often_as_they_came(self, mcast_lab: LabView) -> None:
        _, good, bad, receiver = _ssm(mcast_lab)
        sender = good.sender(receiver.channel)
        for _ in range(3):
            sender.send(b"same")
        receiver.expect_nothing(bad.sender(receiver.channel).send(b"same"), fence=good)
        assert _payloads(receiver) == [b"same"] * 3


class TestNoVerdict:
    @families
    def test_what_was_lost_on_the_way(self, mcast_lab: LabView, family: str) -> None:
        rx, good, bad, receiver = _ssm(mcast_lab, family)
        assert rx.popen(["ip", "link", "set", "eth0", "mtu", "1280"]).wait() == 0
        sent = bad.sender(receiver.channel).send(bytes(1400))
        with pytest.raises(NoVerdict) as info:
            receiver.expect_nothing(sent, fence=good)
        text = str(info.value)
        assert text.startswith("no verdict: the control has not seen it\nsent: 1400 bytes b'")
        for line in ("\nfence: 35 bytes ", f"\nreceiver: {receiver!r}\n", f"\nthe tap of {rx} saw ", "\ncounters of "):
            assert line in text
        assert "Ip" in text.splitlines()[-1]

    def test_one_of_several_that_was_lost(self, mcast_lab: LabView) -> None:
        _, good, bad, receiver = _ssm(mcast_lab)
        sender = bad.sender(receiver.channel)
        sents = [sender.send(b"1"), sender.send(b"2")]
        lost = Sent(b"lost", sender.source, receiver.channel, "eth0", 1)
        with pytest.raises(NoVerdict, match="sent: 4 bytes b'lost'"):
            receiver.expect_nothing([*sents, lost], fence=good)
        receiver.expect_nothing(sents, fence=good)

    @pytest.mark.parametrize("what", ["payload", "length", "port", "address", "group"])
    def test_something_else_that_was_seen(self, mcast_lab: LabView, what: str) -> None:
        _, good, bad, receiver = _ssm(mcast_lab)
        sent = bad.sender(receiver.channel).send(b"spoof")
        address, port = sent.source
        other: dict[str, dict[str, Any]] = {
            "payload": {"payload": b"s0oof"},
            "length": {"payload": b"spoof and more"},
            "port": {"source": (address, port ^ 1)},
            "address": {"source": (good.source("ipv4"), port)},
            "group": {"channel": mcast_lab.channel(source=good)},
        }
        with pytest.raises(NoVerdict, match="the control has not seen it"):
            receiver.expect_nothing(dataclasses.replace(sent, **other[what]), fence=good)
        receiver.expect_nothing(sent, fence=good)

    def test_what_was_received_meanwhile_does_not_fill_the_tap(self, mcast_lab: LabView) -> None:
        rx, good, bad, receiver = _ssm(mcast_lab)
        rx.control._tap._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        rx.touch()  # nobody else is to have this tap
        sender = good.sender(receiver.channel)
        for _ in range(500):
            sender.send(b"ordinary")
            receiver.recv()
        receiver.expect_nothing(bad.sender(receiver.channel).send(b"spoof"), fence=good)

    @families
    def test_the_same_payload_again_is_another_datagram(self, mcast_lab: LabView, family: str) -> None:
        """What the control saw of the first one says nothing of the second, which is lost."""
        rx, good, bad, receiver = _ssm(mcast_lab, family)
        sender = bad.sender(receiver.channel)
        receiver.expect_nothing(sender.send(bytes(1400)), fence=good)
        assert rx.popen(["ip", "link", "set", "eth0", "mtu", "1280"]).wait() == 0
        with pytest.raises(NoVerdict, match="the control has not seen it"):
            receiver.expect_nothing(sender.send(bytes(1400)), fence=good)

    def test_two_of_one_payload_must_be_seen_twice(self, mcast_lab: LabView) -> None:
        rx, good, bad, receiver = _ssm(mcast_lab)
        sender = bad.sender(receiver.channel)
        first = sender.send(bytes(1400))
        assert rx.popen(["ip", "link", "set", "eth0", "mtu", "1280"]).wait() == 0
        second = sender.send(bytes(1400))
        with pytest.raises(NoVerdict, match="the control has not seen it"):
            receiver.expect_nothing([first, second], fence=good)

    @families
    def test_a_fence_that_does_not_arrive(self, mcast_lab: LabView, family: str) -> None:
        rx, good, bad, receiver = _ssm(mcast_lab, family)
        sent = bad.sender(receiver.channel).send(b"spoof")
        rx.configure(netlink.link(rx.find("eth0").index, up=False))
        with pytest.raises(NoVerdict) as info:
            receiver.expect_nothing(sent, fence=good, timeout=0.05)
        assert str(info.value).startswith("no verdict: the fence did not arrive within 0.05 s\nsent: 5 bytes b'spoof'")
        assert f"\ncontrol: the tap of {rx} saw it come in on eth0\n" in str(info.value)

    def test_a_full_buffer(self, mcast_lab: LabView) -> None:
        rx, good, bad = mcast_lab.hosts(3)
        receiver = rx.receiver(mcast_lab.channel(source=good), receive_buffer=4096)
        sender = good.sender(receiver.channel)
        for _ in range(50):
            sender.send(b"fill")
        with pytest.raises(NoVerdict, match="the fence did not arrive"):
            receiver.expect_nothing(bad.sender(receiver.channel).send(b"spoof"), fence=good, timeout=0.05)
        filled = _payloads(receiver)
        assert set(filled) == {b"fill"}
        assert len(filled) < 50

    def test_a_buffer_that_was_full_when_it_came(self, mcast_lab: LabView) -> None:
        """The kernel has thrown it away for want of room, not because the receiver does not want it."""
        rx, tx = mcast_lab.hosts(2)
        receiver = rx.receiver(mcast_lab.channel(), receive_buffer=4096)
        sender = tx.sender(receiver.channel)
        for _ in range(50):
            sender.send(b"fill")
        sent = sender.send(b"for everybody")
        assert set(_payloads(receiver)) == {b"fill"}
        with pytest.raises(NoVerdict, match="dropped by the kernel"):
            receiver.expect_nothing(sent, fence=tx)

    def test_more_frames_than_the_tap_takes(self, mcast_lab: LabView) -> None:
        """Without root the kernel keeps about 500 frames for a tap; nobody fetches them while only sending goes on."""
        rx, good, bad, receiver = _ssm(mcast_lab)
        rx.control._tap._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        rx.touch()  # nobody else is to have this tap
        other = bad.sender(mcast_lab.channel())  # for nobody
        for _ in range(500):
            other.send(b"flood")
        sent = bad.sender(receiver.channel).send(b"spoof")
        with pytest.raises(NoVerdict, match=r"the control has not seen it(.|\n)* and lost [1-9]"):
            receiver.expect_nothing(sent, fence=good)
        receiver.expect_nothing(bad.sender(receiver.channel).send(b"spoof"), fence=good)

    def test_more_frames_than_are_kept(self, mcast_lab: LabView) -> None:
        rx, good, bad, receiver = _ssm(mcast_lab)
        sender = bad.sender(receiver.channel)
        first = sender.send(b"first")
        for _ in range(5000):
            sender.send(b"flood")
            rx.control.pull()
        with pytest.raises(NoVerdict, match="the control has not seen it"):
            receiver.expect_nothing(first, fence=good)

    @families
    def test_a_host_that_sends_to_itself_by_a_link(self, mcast_lab: LabView, family: str) -> None:
        rx, good = mcast_lab.hosts(2)
        receiver = rx.receiver(mcast_lab.channel(family, source=good))
        sent = rx.sender(receiver.channel).send(b"my own")  # which no tap sees come in
        with pytest.raises(NoVerdict, match="the control has not seen it"):
            receiver.expect_nothing(sent, fence=good)

    def test_a_flood_does_not_prolong_the_time_out(self, mcast_lab: LabView) -> None:
        """While somebody fills the buffer faster than it is read, there is always something to read but the fence."""
        rx, good, bad, flood = mcast_lab.hosts(4)
        most = int(Path("/proc/sys/net/core/rmem_max").read_text())
        receiver = rx.receiver(mcast_lab.channel(), receive_buffer=min(most, 4_000_000))
        receiver.subscription.block(bad.source("ipv4"))
        channel = receiver.channel
        program = flood.popen(
            [sys.executable, "-c", FLOOD, flood.source("ipv4"), channel.group, str(channel.port)], ready="flooding"
        )
        receiver.expect(20_000)
        sent = bad.sender(channel).send(b"blocked")
        with contextlib.suppress(NoVerdict):  # or there is a verdict: what matters is that it ends
            receiver.expect_nothing(sent, fence=good, timeout=0.1)
        assert program.returncode is None


class TestRefusals:
    def test_a_fence_of_a_source_that_was_not_asked_for(self, mcast_lab: LabView) -> None:
        _, good, bad, receiver = _ssm(mcast_lab)
        sent = bad.sender(receiver.channel).send(b"spoof")
        with pytest.raises(ValueError, match="must deliver nothing; name a host that has") as info:
            receiver.expect_nothing(sent, fence=bad)
        assert bad.source("ipv4") in str(info.value)
        assert str(info.value).endswith(f"name a host that has {good.source('ipv4')}")

    def test_a_fence_of_a_blocked_source(self, mcast_lab: LabView) -> None:
        rx, bad = mcast_lab.hosts(2)
        receiver = rx.receiver(mcast_lab.channel())
        receiver.subscription.block(bad.source("ipv4"))
        sent = bad.sender(receiver.channel).send(b"blocked")
        with pytest.raises(ValueError, match="must deliver nothing; name another host"):
            receiver.expect_nothing(sent, fence=bad)

    def test_a_fence_to_another_channel(self, mcast_lab: LabView) -> None:
        _, good, bad, receiver = _ssm(mcast_lab)
        sent = bad.sender(receiver.channel).send(b"spoof")
        fence = good.sender(mcast_lab.channel(source=good))
        with pytest.raises(ValueError, match="does not send to " + receiver.channel.source):  # type: ignore[operator]
            receiver.expect_nothing(sent, fence=fence)

    def test_nothing_that_was_sent(self, mcast_lab: LabView) -> None:
        _, good, _, receiver = _ssm(mcast_lab)
        with pytest.raises(ValueError, match="needs what was sent: a Sent"):
            receiver.expect_nothing([], fence=good)

    def test_a_receiver_that_is_closed(self, mcast_lab: LabView) -> None:
        _, good, bad, receiver = _ssm(mcast_lab)
        sent = bad.sender(receiver.channel).send(b"spoof")
        receiver.close()
        with pytest.raises(SubscriptionError, match="is closed"):
            receiver.expect_nothing(sent, fence=good)

    def test_a_sender_as_the_fence_of_a_receiver_that_has_left(self, mcast_lab: LabView) -> None:
        _, good, bad, receiver = _ssm(mcast_lab)
        sent = bad.sender(receiver.channel).send(b"spoof")
        receiver.subscription.leave()
        with pytest.raises(SubscriptionError, match="pass fence= a host"):
            receiver.expect_nothing(sent, fence=good.sender(receiver.channel))

    def test_no_control(self, mcast_lab: LabView) -> None:
        host = LocalHost(_loopback())
        with host.receiver(mcast_lab.channel(source="127.0.0.1")) as receiver:
            sent = host.sender(receiver.channel, source="127.0.0.2").send(b"spoof")
            with pytest.raises(MissingCapability) as info:
                receiver.expect_nothing(sent, fence=host)
        host.close_endpoints()
        assert str(info.value).startswith(f"packets: there is no tap on lo to see what {receiver.channel!s:.0}")
        assert "pass control=, a receiver that gets it" in str(info.value)


def _loopback() -> Interface:
    return next(interface for interface in Interface.all() if interface.loopback)


class TestLocalHosts:
    """No tap: the control is a receiver beside, which gets what the other one must not."""

    def test_on_loopback_the_evidence_is_strong(self, mcast_lab: LabView) -> None:
        host = LocalHost(_loopback())
        channel = mcast_lab.channel(source="127.0.0.1")
        with (
            host.receiver(channel) as receiver,
            host.receiver(Channel.unchecked(channel.group, channel.port)) as control,
            host.sender(channel, source="127.0.0.2") as spoofer,
            host.sender(channel) as sender,
        ):
            sender.send(b"mine")
            verdict = receiver.expect_nothing(spoofer.send(b"spoof"), fence=host, control=control)
            assert verdict.strong
            assert verdict.control == f"{control!r} got it"
            assert _payloads(receiver) == [b"mine"]
            assert _payloads(control) == [b"mine"]  # no fence among them
            with pytest.raises(NoVerdict, match="has not seen it"):
                receiver.expect_nothing(
                    Sent(b"never sent", spoofer.source, channel, "lo", 1), fence=host, control=control
                )

    @families
    def test_on_a_link_it_is_weak(self, mcast_lab: LabView, family: str) -> None:
        rx, good, bad = mcast_lab.hosts(3)
        channel = mcast_lab.channel(family, source=good)
        near, far = _Machine(rx), _Machine(good)
        with (
            near.receiver(channel) as receiver,
            near.receiver(Channel.unchecked(channel.group, channel.port)) as control,
        ):
            assert receiver.control is None
            good.sender(channel).send(b"mine")
            verdict = receiver.expect_nothing(bad.sender(channel).send(b"spoof"), fence=far, control=control)
            assert not verdict.strong
            assert verdict.fence.endswith(", 3 times, arrived after it")
            assert "the evidence is weak: on this network" in str(verdict)
            assert _payloads(receiver) == [b"mine"]
            with pytest.raises(Delivered) as info:
                receiver.expect_nothing(good.sender(channel).send(b"wanted"), fence=far, control=control)
            assert "the evidence is weak" in str(info.value)
            lost = Sent(b"lost", (bad.source(family), 9), channel, "eth0", 1)
            with pytest.raises(NoVerdict, match="the control has not seen it"):
                receiver.expect_nothing(lost, fence=far, control=control, timeout=0.3)
            receiver.subscription.leave()
            verdict = receiver.expect_nothing(bad.sender(channel).send(b"left"), fence=far, control=control)
            assert not verdict.strong
        near.close_endpoints()
        far.close_endpoints()


class _Machine(LocalHost):
    """A machine with a real-like interface: a virtual host that does without its tap."""

    def __init__(self, host: VirtualHost) -> None:
        self._namespace = host.namespace
        with host.inside():
            super().__init__("eth0", name=f"machine {host}")

    def inside(self) -> object:  # type: ignore[override]
        return self._namespace
