"""Proofs on loopback: the control is a receiver beside the one that is judged."""

from __future__ import annotations

import dataclasses
import pickle

from pytest_mcast.core import (
    Channel,
    Deadline,
    Delivered,
    MissingCapability,
    NotReceived,
    NoVerdict,
    Receiver,
    Sender,
    Sent,
    SubscriptionError,
    Verdict,
)
from pytest_mcast.core.verdicts import describe_sent, read_until

from . import support


class Local:
    """The host of these tests, as far as a fence needs one."""

    def __init__(self, test: support.LoopbackTestCase) -> None:
        self._test = test

    def sender(self, channel: Channel, **options: object) -> Sender:
        return self._test.sender(channel, **options)


def remaining(receiver: Receiver) -> list[bytes]:
    """What the receiver has delivered and nobody has asked for."""
    payloads: list[bytes] = []
    while True:
        try:
            payloads.append(receiver.recv(timeout=0).payload)
        except NotReceived:
            return payloads


class ProofTestCase(support.LoopbackTestCase):
    """A source-specific receiver, a control, and a spoofer with another address (IPv4: loopback has one of IPv6 only)."""

    def setUp(self) -> None:
        self.host = Local(self)
        self.receiver_ = self.receiver(self.channel("ipv4", "ssm"))
        self.beside = self.control(self.receiver_.channel)
        self.good = self.sender(self.receiver_.channel)
        self.bad = self.sender(self.receiver_.channel, source=support.OTHER_SOURCES["ipv4"])

    def prove(self, *sent: Sent, timeout: float | None = None) -> Verdict:
        return self.receiver_.expect_nothing(list(sent), fence=self.host, control=self.beside, timeout=timeout)


class NotDelivered(ProofTestCase):
    def test_the_verdict_tells_the_evidence(self) -> None:
        sent = self.bad.send(b"spoof")
        verdict = self.prove(sent)
        self.assertFalse(verdict.delivered)
        self.assertTrue(verdict.strong)
        self.assertEqual(verdict.datagrams, ())
        self.assertEqual(verdict.probe, describe_sent(sent))
        self.assertEqual(verdict.control, f"{self.beside!r} got it")
        self.assertEqual(verdict.receiver, repr(self.receiver_))
        self.assertEqual(verdict.waited_for, ("fence",))
        self.assertIsNone(verdict.expected)
        self.assertRegex(verdict.fence, r"^35 bytes b'pytest-mcast fence \w+' from 127\.0\.0\.1 .*, arrived after it$")

    def test_a_sender_will_do_for_a_fence(self) -> None:
        verdict = self.receiver_.expect_nothing(self.bad.send(b"spoof"), fence=self.good, control=self.beside)
        self.assertIn(f"port {self.good.source[1]} to", verdict.fence)

    def test_what_else_has_arrived_stays_in_its_order(self) -> None:
        self.good.send(b"1")
        first = self.bad.send(b"spoof")
        self.good.send(b"2")
        self.prove(first)
        self.good.send(b"3")
        self.prove(self.bad.send(b"again"))
        self.assertEqual(remaining(self.receiver_), [b"1", b"2", b"3"])

    def test_what_the_control_got_besides_stays_there(self) -> None:
        self.good.send(b"before")
        sent = self.bad.send(b"spoof")
        self.good.send(b"after")
        self.prove(sent)
        self.assertEqual(remaining(self.beside)[:2], [b"before", b"after"])

    def test_a_receiver_that_has_left_is_judged_by_a_witness(self) -> None:
        self.receiver_.subscription.leave()
        with self.leaving_nothing_open():
            verdict = self.prove(self.good.send(b"left"))
        self.assertNotIn(str(self.receiver_.channel), verdict.fence)
        self.assertEqual(verdict.receiver, repr(self.receiver_))

    @support.each_family
    def test_of_a_group_that_was_not_joined(self, family: str) -> None:
        receiver = self.receiver(self.channel(family))
        beside = self.receiver(self.channel(family))
        sent = self.sender(beside.channel).send(b"for the other")
        self.assertTrue(receiver.expect_nothing(sent, fence=self.host, control=beside).strong)


class WasDelivered(ProofTestCase):
    def test_the_error_tells_the_evidence(self) -> None:
        sent = self.good.send(b"wanted")
        with self.assertRaises(Delivered) as caught:
            self.prove(sent)
        lines = str(caught.exception).splitlines()
        self.assertEqual(lines[0], f"delivered: {describe_sent(sent)}")
        self.assertEqual(lines[1], f"control: {self.beside!r} got it")
        self.assertTrue(lines[2].startswith("fence: 35 bytes"))
        self.assertEqual(lines[3], f"receiver: {self.receiver_!r}")
        self.assertTrue(lines[4].startswith("delivered as <Datagram of 6 bytes b'wanted' from 127.0.0.1 port "))

    def test_one_of_several_is_enough(self) -> None:
        with self.refused(Delivered, "b'wanted'", ", and 1 more"):
            self.prove(self.bad.send(b"spoof"), self.good.send(b"wanted"))

    def test_it_needs_no_control(self) -> None:
        sent = self.good.send(b"wanted")
        self.beside.recv()
        with self.refused(Delivered, "control: did not see it"):
            self.prove(sent)

    def test_what_was_cut_off_was_delivered_too(self) -> None:
        receiver = self.receiver(self.channel(), max_size=50)
        beside = self.control(receiver.channel)
        sent = self.sender(receiver.channel).send(bytes(100))
        with self.refused(Delivered, "truncated"):
            receiver.expect_nothing(sent, fence=self.host, control=beside)


class NothingProved(ProofTestCase):
    def test_when_the_control_has_not_seen_it(self) -> None:
        unsent = Sent(b"unsent", self.bad.source, self.receiver_.channel, "lo", 1)
        with self.refused(
            NoVerdict,
            "no verdict: the control has not seen it\nsent: 6 bytes b'unsent' from 127.0.0.2 port ",
            "\ncontrol: did not see it\nfence: 35 bytes b'pytest-mcast fence ",
            f"\nreceiver: {self.receiver_!r}\n",
            f"\ncontrol: {self.beside!r} received 1, rejected none, dropped by the kernel ",
        ):
            self.prove(unsent)

    def test_when_the_control_has_seen_only_one_of_two(self) -> None:
        sent = self.bad.send(b"spoof")
        with self.refused(NoVerdict, "no verdict: the control has not seen it"):
            self.prove(sent, sent)

    def test_when_the_fence_does_not_arrive(self) -> None:
        sent = self.bad.send(b"spoof")
        receiver = self.receiver(self.receiver_.channel, receive_buffer=4096)
        for _ in range(200):
            self.good.send(b"fill")
        with self.refused(NoVerdict, "no verdict: the fence did not arrive within 0.01 s\nsent: 5 bytes b'spoof'"):
            receiver.expect_nothing(sent, fence=self.good, control=self.beside, timeout=0.01)
        self.assertEqual(set(remaining(receiver)), {b"fill"})


class Refusals(ProofTestCase):
    def test_a_fence_that_must_not_arrive(self) -> None:
        with self.refused(ValueError, "sends from 127.0.0.2, from which", "name a host that has 127.0.0.1"):
            self.receiver_.expect_nothing(self.bad.send(b"spoof"), fence=self.bad, control=self.beside)

    def test_a_fence_to_another_channel(self) -> None:
        fence = self.sender(self.channel("ipv4", "ssm"))
        with self.refused(ValueError, f"does not send to {self.receiver_.channel}"):
            self.receiver_.expect_nothing(self.bad.send(b"spoof"), fence=fence, control=self.beside)

    def test_nothing_sent(self) -> None:
        with self.refused(ValueError, "expect_nothing(sent) needs what was sent: a Sent"):
            self.prove()

    def test_no_control(self) -> None:
        with self.refused(MissingCapability, "packets: there is no tap on lo" if support.LINUX else "packets: "):
            self.receiver_.expect_nothing(self.bad.send(b"spoof"), fence=self.host)

    def test_a_closed_receiver(self) -> None:
        sent = self.bad.send(b"spoof")
        self.receiver_.close()
        with self.refused(SubscriptionError, "is closed"):
            self.prove(sent)

    def test_a_time_out_that_is_none(self) -> None:
        with self.refused(ValueError, "a time-out is a number of seconds, 0 or more, or None, not -1"):
            self.prove(self.bad.send(b"spoof"), timeout=-1)


class Verdicts(support.CoreTestCase):
    no = Verdict(False, "a probe", (), "the control saw it", "a fence", "<Receiver>", ("fence",))
    yes = dataclasses.replace(no, delivered=True)

    def test_the_expected_one_is_returned(self) -> None:
        self.assertIs(self.no.expect_not_delivered(), self.no)
        self.assertIs(self.yes.expect_delivered(), self.yes)
        for verdict in (self.no, self.yes):
            expected = dataclasses.replace(verdict, expected=verdict.delivered)
            self.assertIs(expected.check(), expected)

    def test_the_other_one_is_a_failed_assertion(self) -> None:
        with self.refused(Delivered, "delivered: a probe\ncontrol: the control saw it\nfence: a fence\n"):
            self.yes.expect_not_delivered()
        with self.refused(NotReceived, "not delivered: a probe\ncontrol: the control saw it\nfence: a fence\n"):
            self.no.expect_delivered()
        with self.assertRaises(AssertionError):
            dataclasses.replace(self.no, expected=True).check()
        with self.assertRaises(AssertionError):
            dataclasses.replace(self.yes, expected=False).check()

    def test_without_an_expectation_there_is_nothing_to_check(self) -> None:
        with self.refused(ValueError, "nothing says whether it should be delivered"):
            self.no.check()

    def test_it_prints_its_evidence(self) -> None:
        text = "not delivered: a probe\ncontrol: the control saw it\nfence: a fence\nreceiver: <Receiver>"
        self.assertEqual(str(self.no), text)
        self.assertTrue(str(self.yes).startswith("delivered: a probe\n"))

    def test_weak_evidence_says_so(self) -> None:
        self.assertNotIn("weak", str(self.no))
        weak = dataclasses.replace(self.no, strong=False)
        self.assertTrue(
            str(weak).endswith("the evidence is weak: on this network a datagram may be late, or be overtaken")
        )

    def test_verdicts_and_errors_cross_the_border_of_a_process(self) -> None:
        for original in (self.no, Delivered("a\nb"), NoVerdict("c\nd"), MissingCapability("packets", "why", "cure")):
            copy = pickle.loads(pickle.dumps(original))  # noqa: S301 - our own
            self.assertEqual((type(copy), str(copy)), (type(original), str(original)))
        self.assertEqual(pickle.loads(pickle.dumps(self.no)), self.no)  # noqa: S301 - our own

    def test_no_verdict_is_no_failed_assertion(self) -> None:
        self.assertFalse(issubclass(NoVerdict, AssertionError))
        self.assertTrue(issubclass(Delivered, AssertionError))


class Reading(support.LoopbackTestCase):
    def test_until_the_last_one(self) -> None:
        receiver = self.receiver(self.channel())
        sender = self.sender(receiver.channel)
        for payload in (b"1", b"2", b"last", b"3"):
            sender.send(payload)
        before, last = read_until(receiver, lambda datagram: datagram.payload == b"last", Deadline(5))
        self.assertEqual([datagram.payload for datagram in before], [b"1", b"2"])
        assert last is not None
        self.assertEqual(last.payload, b"last")
        self.assertEqual(remaining(receiver), [b"3"])

    def test_until_nothing_comes(self) -> None:
        receiver = self.receiver(self.channel())
        self.sender(receiver.channel).send(b"1")
        receiver_of_none = self.receiver(self.channel())
        self.assertEqual(read_until(receiver_of_none, lambda _: True, Deadline(0)), ([], None))
        before, last = read_until(receiver, lambda _: False, Deadline(0.01))
        self.assertEqual(([datagram.payload for datagram in before], last), ([b"1"], None))

    def test_what_is_given_back_comes_next(self) -> None:
        receiver = self.receiver(self.channel())
        sender = self.sender(receiver.channel)
        for payload in (b"1", b"2", b"3"):
            sender.send(payload)
        first, second = receiver.expect(2)
        receiver.give_back([second])
        receiver.give_back([first])
        self.assertEqual(remaining(receiver), [b"1", b"2", b"3"])
        receiver.give_back([first, second])
        self.assertEqual(remaining(receiver), [b"1", b"2"])
