"""Verdicts: they count, compare and explain, for any receiver and for several."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest

from pytest_mcast import (
    Channel,
    Datagram,
    Delivered,
    Host,
    LabView,
    LocalHost,
    MissingCapability,
    NotReceived,
    NoVerdict,
    Receiver,
    VirtualHost,
)
from pytest_mcast.cores.records import ReportedDatagram
from pytest_mcast.lab.programs import ProgramError
from pytest_mcast.packets import Prober, cases, deliver, drop, either, raw, udp

families = pytest.mark.parametrize("family", ["ipv4", "ipv6"])


class Changes:
    """A receiver that says something else than it has received."""

    def __init__(self, receiver: Receiver, change: Callable[[Datagram], Datagram], **says: Any) -> None:
        self._receiver = receiver
        self._change = change
        self.channel: Channel = receiver.channel
        self.__dict__.update(says)

    def recv(self, timeout: float | None = None) -> Datagram:
        return self._change(self._receiver.recv(timeout))


class Repeats:
    """A receiver that delivers all that it gets so many times, at once or with what comes next."""

    def __init__(self, receiver: Receiver, times: int, *, late: bool = False) -> None:
        self._receiver = receiver
        self._times = times
        self._late = late
        self._more: list[Datagram] = []
        self.channel: Channel = receiver.channel

    def recv(self, timeout: float | None = None) -> Datagram:
        if self._more and not self._late:
            return self._more.pop()
        datagram = self._receiver.recv(timeout)
        if self._late:
            self._more.append(datagram)
            if len(self._more) == 3:  # the fence of the probe after the first one: the first one again
                self._receiver.give_back([self._more[2]])
                return self._more[0]
        else:
            self._more = [datagram] * (self._times - 1)
        return datagram


def _hosts(lab: LabView, family: str = "ipv4", **options: Any) -> tuple[VirtualHost, VirtualHost, Receiver]:
    tx, rx = lab.direct("tx", "rx")
    return tx, rx, rx.receiver(lab.channel(family, source=tx), **options)


class TestCopies:
    @families
    def test_a_copy_too_many_is_a_violation(self, mcast_lab: LabView, family: str) -> None:
        tx, rx, receiver = _hosts(mcast_lab, family)
        with Prober(Repeats(receiver, 3), tx, rx) as probe:
            verdict = probe(ttl=3)
            assert len(verdict.datagrams) == 3
            with pytest.raises(Delivered, match=r"^delivered 3 times instead of once: 64 bytes from"):
                verdict.expect_delivered()
            with pytest.raises(Delivered, match=r"^delivered: 64 bytes"):
                verdict.expect_not_delivered()
            with pytest.raises(NotReceived, match=r"^delivered 3 times instead of 4 times: 64 bytes"):
                verdict.expect(deliver(4))
            assert verdict.expect(deliver(3)) is verdict
            with pytest.raises(Delivered, match=r"^delivered 3 times instead of once: legitimate"):
                probe("legitimate").check()
            with pytest.raises(Delivered, match=r"^delivered 3 times instead of once: 1 bytes"):
                probe(size=1).expect_delivered()

    @families
    def test_what_is_sent_twice_is_delivered_twice(self, mcast_lab: LabView, family: str) -> None:
        tx, rx, receiver = _hosts(mcast_lab, family)
        with Prober(receiver, tx, rx) as probe:
            for packet in (udp(), udp(size=0), udp(size=3000)):
                probe(packet.repeated(2)).expect_delivered()
                with pytest.raises(Delivered, match=r"^delivered 2 times instead of once"):
                    probe(packet.repeated(2)).expect_delivered(1)

    def test_a_copy_after_the_verdict_is_found_by_the_next_probe(self, mcast_lab: LabView) -> None:
        tx, rx, receiver = _hosts(mcast_lab)
        with Prober(Repeats(receiver, 2, late=True), tx, rx) as probe:
            probe().expect_delivered()
            with pytest.raises(Delivered, match=r"^delivered again, after the verdict: 64 bytes"):
                probe("checksum.bad")

    def test_either_is_both(self, mcast_lab: LabView) -> None:
        tx, rx, receiver = _hosts(mcast_lab)
        with Prober(receiver, tx, rx) as probe:
            assert probe(expect=either()).check().delivered
            assert not probe(checksum="bad", expect=either()).check().delivered
            with pytest.raises(Delivered):
                probe(udp().repeated(2), expect=either()).check()
            with pytest.raises(NotReceived, match=r"^not delivered: 64 bytes"):
                probe(checksum="bad", expect=deliver()).check()
            with pytest.raises(Delivered, match=r"^delivered: 64 bytes"):
                probe(expect=drop()).check()


class TestWhatIsSaid:
    CHANGES: tuple[tuple[str, Callable[[Datagram], Datagram], str], ...] = (
        ("source", lambda one: replace(one, source=("192.0.2.1", one.source[1])), "source 192.0.2.1 instead of "),
        ("source_port", lambda one: replace(one, source=(one.source[0], 5)), "source port 5 instead of "),
        ("group", lambda one: replace(one, destination="239.0.0.9"), "group 239.0.0.9 instead of "),
        ("port", lambda one: replace(one, port=6), "port 6 instead of "),
        ("interface", lambda one: replace(one, interface_index=7), "interface 7 instead of "),
        ("ttl", lambda one: replace(one, ttl=8), "TTL 8 instead of 1"),
        ("length", lambda one: replace(one, payload=one.payload[:50]), "50 bytes instead of 64"),
        (
            "payload",
            lambda one: replace(one, payload=one.payload[:60] + b"!!!!"),
            "payload b'!!!!' instead of ",
        ),
        ("length", lambda one: replace(one, payload=one.payload[:50], truncated=True), "50 bytes instead of 64"),
        ("length", lambda one: replace(one, truncated=True), "said to be truncated, which it is not"),
    )

    @families
    @pytest.mark.parametrize(("name", "change", "text"), CHANGES, ids=[text for *_, text in CHANGES])
    def test_a_wrong_label_is_a_violation_where_it_can_be_seen(
        self, mcast_lab: LabView, family: str, name: str, change: Callable[[Datagram], Datagram], text: str
    ) -> None:
        tx, rx, receiver = _hosts(mcast_lab, family)
        with Prober(Changes(receiver, change), tx, rx) as probe:
            verdict = probe()
            with pytest.raises(Delivered, match=rf"^delivered otherwise than it was sent: {text}"):
                verdict.expect_delivered()
            assert f"\nwrong: {text}" in str(verdict)
            others = {"source", "source_port", "group", "port", "interface", "ttl", "payload", "length"} - {
                name,
                "payload",
            }
            if "truncated" not in text:
                verdict.expect(deliver(fields=others))
        fields = frozenset(others | {"payload"} if name not in ("payload", "length") else others)
        if name != "length":
            with Prober(Changes(receiver, change, fields=fields), tx, rx) as probe:
                probe().expect_delivered()

    @families
    def test_what_a_receiver_does_not_say_is_not_compared(self, mcast_lab: LabView, family: str) -> None:
        tx, rx, receiver = _hosts(mcast_lab, family)
        silent = Changes(receiver, lambda one: replace(one, ttl=None, destination=None, interface_index=None))
        with Prober(silent, tx, rx) as probe:
            probe().expect_delivered()

    def test_another_payload_may_be_expected(self, mcast_lab: LabView) -> None:
        tx, rx, receiver = _hosts(mcast_lab)
        with Prober(receiver, tx, rx) as probe:
            verdict = probe(payload=b"hello")
            verdict.expect(deliver(payload=b"hello"))
            with pytest.raises(Delivered, match="5 bytes instead of 3"):
                verdict.expect(deliver(size=3))
            with pytest.raises(Delivered, match="payload b'ello' instead of b'allo' from byte 1 on"):
                verdict.expect(deliver(payload=b"hallo"))

    def test_an_unknown_field(self, mcast_lab: LabView) -> None:
        tx, rx, receiver = _hosts(mcast_lab)
        with pytest.raises(ValueError, match=r"has the field 'hops'; there are group, interface"):
            Prober(Changes(receiver, lambda one: one, fields={"hops"}), tx, rx)
        with pytest.raises(ValueError, match=r"'hops' is no field of a datagram; there are group, interface"):
            deliver(fields=["hops"])
        with pytest.raises(ValueError, match="1 to 0 copies cannot be expected"):
            type(drop())(1, 0)


class TestLittleIsSeen:
    @families
    @pytest.mark.parametrize("max_size", [1, 10, 27, 28, 43, 44, 63, 64, 100])
    def test_a_receiver_that_takes_little_is_judged(self, mcast_lab: LabView, family: str, max_size: int) -> None:
        tx, rx, receiver = _hosts(mcast_lab, family, max_size=max_size)
        with Prober(receiver, tx, rx) as probe:
            for case in cases(family, "ssm"):
                (*datagrams,) = probe(case).check().datagrams
                assert all(one.truncated for one in datagrams if max_size < 64)
            probe(size=0).expect_delivered()
            probe(payload=b"mine").expect_delivered()
            probe(payload=b"mine").expect_delivered()

    @families
    def test_one_that_says_nothing_of_ports_is_known_by_the_payload(self, mcast_lab: LabView, family: str) -> None:
        tx, rx, receiver = _hosts(mcast_lab, family)
        fields = {"payload", "source"}
        with Prober(
            Changes(receiver, lambda one: replace(one, source=(one.source[0], 0)), fields=fields), tx, rx
        ) as probe:
            probe().expect_delivered()
            for size in (0, 1, 27, 28):
                probe(size=size).expect_delivered()
                probe(size=size, checksum="bad").expect_not_delivered()

    @pytest.mark.parametrize("says", [{"fields": {"source", "ttl"}}, {"max_size": 27, "fields": {"payload"}}])
    def test_too_little_is_an_error(self, mcast_lab: LabView, says: Any) -> None:
        tx, rx, receiver = _hosts(mcast_lab)
        with pytest.raises(ValueError, match="it takes 28 bytes of the payload, or the source port"):
            Prober(Changes(receiver, lambda one: one, **says), tx, rx)

    def test_a_probe_without_a_mark_that_turns_up_late_is_found(self, mcast_lab: LabView) -> None:
        tx, rx, receiver = _hosts(mcast_lab)
        with Prober(receiver, tx, rx) as probe:
            verdict = probe(size=0)
            number = verdict.shot.number
            probe._subjects[0].judged[number] = "the empty one", False
            receiver.give_back(verdict.datagrams)
            with pytest.raises(
                Delivered, match=r"^delivered late, after the verdict was that it was not: the empty one"
            ):
                probe(size=0)

    @families
    def test_what_else_has_arrived_is_still_there(self, mcast_lab: LabView, family: str) -> None:
        tx, rx, receiver = _hosts(mcast_lab, family)
        with Prober(receiver, tx, rx) as probe:
            for what in (udp(size=0), udp(payload=b"x"), udp(size=40)):
                tx.sender(receiver.channel).send(b"")
                tx.sender(receiver.channel).send(b"x")
                probe(what).expect_delivered()
                assert [receiver.recv(0).payload for _ in range(2)] == [b"", b"x"]


PROGRAM = """
import ipaddress, socket, struct, sys
family, group, port, index = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
sock = socket.socket(socket.AF_INET6 if family == "ipv6" else socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.bind(("", port))
packed = ipaddress.ip_address(group).packed
if family == "ipv6":
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, packed + struct.pack("=I", index))
else:
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, packed + struct.pack("=4xi", index))
print("ready", flush=True)
while True:
    payload, source = sock.recvfrom(65535)
    print("got", source[0].partition("%")[0], source[1], len(payload), payload[:64].decode(), ".", flush=True)
"""


class Elsewhere:
    """A receiver in another process, which prints what it gets as text, 64 characters of it."""

    fields = frozenset({"source", "source_port", "payload"})
    max_size = 64

    def __init__(self, channel: Channel, host: VirtualHost) -> None:
        self.channel = channel
        index = str(host.interface.index)
        command = [sys.executable, "-c", PROGRAM, channel.family, channel.group, str(channel.port), index]
        self._program = host.popen(command, ready="^ready$")

    def recv(self, timeout: float | None = None) -> Datagram:
        try:
            found = self._program.expect(r"^got (\S+) (\d+) (\d+) (.*) \.$", 10.0 if timeout is None else timeout)
        except ProgramError as error:
            raise NotReceived(str(error)) from error
        source, port, length, text = found.groups()
        payload = text.encode()
        return Datagram(
            payload, (source, int(port)), None, self.channel.port, None, None, None, None, len(payload) < int(length)
        )


class TestOtherReceivers:
    @families
    def test_a_program_that_prints_text_is_judged(self, mcast_lab: LabView, family: str) -> None:
        tx, rx = mcast_lab.direct()
        with Prober(Elsewhere(mcast_lab.channel(family), rx), tx, rx) as probe:
            for case in cases(family, "asm"):
                if case.id == "group.other":  # bound to the wildcard address it gets what its neighbours have joined
                    with pytest.raises(Delivered):
                        probe(case).check()
                else:
                    probe(case).check()
            for size in (0, 1, 43, 65, 1000):
                probe(udp(size=size).repeated(2)).expect_delivered()

    def test_a_program_that_tells_a_beginning_is_judged_by_that(self, mcast_lab: LabView) -> None:
        """It tells the length, 64 bytes of a text, and less of what is none."""

        def told(datagram: Datagram, wrong: bytes = b"") -> Datagram:
            shown = 64 if datagram.payload.isascii() else 16
            payload = wrong + datagram.payload[len(wrong) : shown]
            cut = len(datagram.payload) > len(payload)
            values = {one.name: getattr(datagram, one.name) for one in fields(Datagram)}
            length = len(datagram.payload)
            return ReportedDatagram(**{**values, "payload": payload, "truncated": cut}, length=length)

        tx, rx, receiver = _hosts(mcast_lab, "ipv4")
        with Prober(Changes(receiver, told, max_size=64), tx, rx) as probe:
            for packet in (udp(size=1000), udp(size=0), udp(payload=bytes(range(256))), udp(payload=b"\xff" * 64)):
                probe(packet).expect_delivered()
        changed = Changes(receiver, lambda one: told(one, b"m" if one.payload[:1] == b"m" else b"?"), max_size=64)
        with Prober(changed, tx, rx) as probe:
            assert re.match(r"payload b'\?", probe(udp(payload=bytes(range(256)))).faults()[0])

    @families
    def test_several_receivers_are_judged_by_one_probe(self, mcast_lab: LabView, family: str) -> None:
        tx, rx = mcast_lab.direct()
        mine, same, another = mcast_lab.channel(family), None, mcast_lab.channel(family)
        same = Channel.unchecked(mine.group, mine.port, "10.200.0.1" if family == "ipv4" else "fe80::ffff")
        receivers = [rx.receiver(channel) for channel in (mine, same, another)]
        with Prober(receivers[0], tx, rx, beside=receivers[1:]) as probe:
            verdict = probe().expect_delivered()
            assert [one.expect_not_delivered().delivered for one in verdict.beside] == [False, False]
            verdict = probe(source=same.source)
            verdict.expect_delivered()
            verdict.beside[0].expect_delivered()
            verdict.beside[1].expect_not_delivered()
            verdict = probe(group=another.group, port=another.port).expect_not_delivered()
            assert [one.delivered for one in verdict.beside] == [False, True]
            assert repr(receivers[2]) == verdict.beside[1].receiver
            receivers[2].subscription.leave()
            probe.timeout = 0.05
            with pytest.raises(NoVerdict, match=r"^no verdict: the fence did not arrive at <Receiver .* within 0.05 s"):
                probe()


class TestItExplains:
    @families
    def test_a_failure_shows_the_frame_and_what_the_kernel_has_counted(self, mcast_lab: LabView, family: str) -> None:
        tx, rx, receiver = _hosts(mcast_lab, family)
        with Prober(receiver, tx, rx) as probe:
            with pytest.raises(NotReceived) as info:
                probe(payload=b"look at me", checksum="bad").expect_delivered()
            lines = str(info.value).splitlines()
            assert lines[0].startswith("not delivered: 10 bytes from ")
            counted = next(line for line in lines if line.startswith("counters of rx since the prober was opened: "))
            assert ("Udp.InCsumErrors +1" if family == "ipv4" else "Udp6InCsumErrors +1") in counted
            network = "IP" if family == "ipv4" else "IPv6"
            assert any(line.startswith("frame, ") and f"Ether / {network} / UDP" in line for line in lines)
            assert any(line.startswith("  0000  ") for line in lines)
            assert "look at me" in "".join(line[-16:].strip() for line in lines if line.startswith("  00"))

    def test_it_is_short_whatever_was_sent(self, mcast_lab: LabView) -> None:
        tx, rx, receiver = _hosts(mcast_lab)
        with Prober(receiver, tx, rx) as probe:
            for packet in (udp(size=65507), udp(size=3000).fragmented(8), udp(size=65507).repeated(2)):
                text = str(probe(packet))
                assert "\nframe 3 of " in text
                assert "\nframe 4 of " not in text
                assert len(text.splitlines()) < 50
                assert len(text) < 8000

    def test_what_scapy_cannot_read_is_shown_as_well(self, mcast_lab: LabView) -> None:
        tx, rx, receiver = _hosts(mcast_lab)
        with Prober(receiver, tx, rx) as probe:
            for packet in (udp().with_ip(ihl=15), udp().as_frame(cut=20), raw(b"\xff" * 14 + b"\0" * 3)):
                assert "  0000  " in str(probe(packet).expect_not_delivered())

    def test_the_text_of_a_verdict_stays_when_the_prober_is_closed(self, mcast_lab: LabView) -> None:
        tx, rx, receiver = _hosts(mcast_lab)
        with Prober(receiver, tx, rx) as probe:
            verdict = probe()
            before = str(probe())
            unread = probe()
        assert "counters of rx" in before
        for one in (verdict, unread):
            assert str(one).startswith("delivered: 64 bytes")

    def test_reasons_are_shown_where_somebody_knows_them(self, mcast_lab: LabView) -> None:
        class Knows:
            marks = 0

            def mark(self) -> object:
                self.marks += 1
                return self.marks

            def reasons_since(self, mark: object, last_hop: str | None) -> list[str]:
                return [f"UDP_CSUM at mark {mark}"]

        tx, rx, receiver = _hosts(mcast_lab)
        with Prober(receiver, tx, rx, drops=Knows()) as probe:
            assert probe().expect_delivered().reasons == ()
            verdict = probe(checksum="bad").expect_not_delivered()
            assert verdict.reasons == ("UDP_CSUM at mark 2",)
            assert "\nthe kernel dropped: UDP_CSUM at mark 2\n" in str(verdict)

    def test_what_the_kernel_does_not_send_is_no_verdict(self, mcast_lab: LabView) -> None:
        tx, rx, receiver = _hosts(mcast_lab)
        assert rx.popen(["ip", "link", "set", "eth0", "mtu", "1280"]).wait() == 0
        with Prober(receiver, tx, rx) as probe:
            with pytest.raises(NoVerdict, match=r"^no verdict: it could not be sent: .*\nsent: 1400 bytes") as info:
                probe(size=1400)
            assert "  0000  " in str(info.value)
            with pytest.raises(NoVerdict, match=r"it could not be sent: .*Message too long"):
                probe(raw(b"\xff" * 2000))
            probe().expect_delivered()


class TestOnThisMachine:
    """Two interfaces of one machine, with a wire between them: as with a real network, the evidence is weak."""

    @families
    def test_from_one_interface_to_another(self, mcast_lab: LabView, family: str) -> None:
        machine = mcast_lab.host(interfaces={"out": "wire", "in": "wire"})
        with machine:
            out, into = LocalHost("out"), LocalHost("in")
            receiver = into.receiver(mcast_lab.channel(family))
            try:
                with Prober(receiver, out, into) as probe:
                    for case in cases(family, "asm"):
                        verdict = probe(case).check()
                        assert not verdict.strong
                        assert verdict.control.startswith("the tap of in saw it come in on in")
                    assert "the evidence is weak" in str(verdict)
                    assert probe(udp(source="receiver")).delivered == (family == "ipv6")  # IPv4: a martian
            finally:
                into.close_endpoints()

    def test_where_nothing_can_come_back(self, mcast_lab: LabView) -> None:
        machine = mcast_lab.host()
        with machine:
            eth0: Host = LocalHost("eth0")
            receiver = eth0.receiver(mcast_lab.channel())
            try:
                for hosts in ((eth0, eth0), (eth0, LocalHost("eth0"))):
                    with pytest.raises(MissingCapability, match="eth0 of this machine cannot carry a packet that only"):
                        Prober(receiver, *hosts)
            finally:
                eth0.close_endpoints()

    def test_a_wire_that_is_cut_is_no_verdict(self, mcast_lab: LabView) -> None:
        machine = mcast_lab.host(interfaces={"out": "wire", "in": "elsewhere"})
        with machine:
            out, into = LocalHost("out"), LocalHost("in")
            receiver = into.receiver(mcast_lab.channel())
            try:
                with (
                    Prober(receiver, out, into, timeout=0.05) as probe,
                    pytest.raises(NoVerdict, match="the tap of in did"),
                ):
                    probe("checksum.bad")
            finally:
                into.close_endpoints()
