"""Receivers: one subscription with deadlines."""

from __future__ import annotations

import dataclasses
import selectors
import threading
import unittest
from unittest import mock

from pytest_mcast.core import (
    CappedBufferWarning,
    Channel,
    Context,
    Datagram,
    MembershipError,
    NotReceived,
    Receiver,
    Subscription,
    SubscriptionError,
)

from . import support


class Receiving(support.LoopbackTestCase):
    @support.each_kind
    def test_what_was_sent_is_received(self, family: str, mode: str) -> None:
        receiver = self.receiver(self.channel(family, mode))
        self.sender(receiver.channel).send(b"hello")
        self.assertEqual(receiver.recv().payload, b"hello")

    @support.each_kind
    def test_what_is_sent_while_it_waits_is_received(self, family: str, mode: str) -> None:
        receiver = self.receiver(self.channel(family, mode))
        sender = self.sender(receiver.channel)
        thread = threading.Thread(target=sender.send, args=(b"later",))
        thread.start()
        self.addCleanup(thread.join)
        self.assertEqual(receiver.recv().payload, b"later")

    def test_datagrams_come_in_the_order_in_which_they_were_sent(self) -> None:
        receiver = self.receiver(self.channel())
        sender = self.sender(receiver.channel)
        sent = [b"%d" % number for number in range(20)]
        for payload in sent:
            sender.send(payload)
        self.assertEqual(support.payloads(receiver, 20), sent)

    def test_none_of_none_are_there_at_once(self) -> None:
        self.assertEqual(self.receiver(self.channel()).expect(0), [])

    def test_what_is_queued_is_received_after_the_deadline(self) -> None:
        receiver = self.receiver(self.channel())
        control, sender = self.control(receiver.channel), self.sender(receiver.channel)
        sender.send(b"x")
        control.recv()
        self.assertEqual(receiver.recv(timeout=0).payload, b"x")

    def test_its_descriptor_is_readable_when_a_datagram_is_there(self) -> None:
        receiver = self.receiver(self.channel())
        self.sender(receiver.channel).send(b"x")
        with selectors.DefaultSelector() as selector:
            selector.register(receiver, selectors.EVENT_READ)
            self.assertTrue(selector.select(5))

    def test_what_was_received_is_counted(self) -> None:
        receiver = self.receiver(self.channel())
        sender = self.sender(receiver.channel)
        sender.send(b"one")
        sender.send(b"two")
        receiver.expect(2)
        self.assertEqual(receiver.statistics().received, 2)

    def test_its_receive_buffer_is_that_of_its_subscription(self) -> None:
        self.assertEqual(self.receiver(self.channel(), receive_buffer=65536).receive_buffer, 65536)

    def test_it_says_what_its_readiness_rests_on(self) -> None:
        self.assertEqual(self.receiver(self.channel()).evidence, "kernel membership")

    def test_it_prints_its_channel_interface_and_state(self) -> None:
        channel = self.channel()
        self.assertEqual(repr(self.receiver(channel)), f"<Receiver {channel} on {self.lo}: joined>")


class Deadlines(support.LoopbackTestCase):
    @support.each_kind
    def test_no_datagram_in_time_says_where_it_waited(self, family: str, mode: str) -> None:
        receiver = self.receiver(self.channel(family, mode))
        drops = 0 if support.LINUX else "unknown"
        text = (
            f"no datagram for {receiver.channel} on {self.lo} within 0 s\n"
            f"joined on {self.lo} (index {self.lo.index}); received 0, rejected none, dropped by the kernel {drops}"
        )
        with self.refused(NotReceived, text):
            receiver.recv(timeout=0)

    def test_the_receivers_time_out_is_the_default(self) -> None:
        receiver = self.receiver(self.channel(), timeout=0.01)
        with self.refused(NotReceived, "within 0.01 s"):
            receiver.recv()

    def test_the_time_out_of_a_call_wins(self) -> None:
        receiver = self.receiver(self.channel(), timeout=600)
        with self.refused(NotReceived, "within 0.02 s"):
            receiver.recv(timeout=0.02)

    def test_some_of_the_datagrams_are_not_enough(self) -> None:
        receiver = self.receiver(self.channel())
        control, sender = self.control(receiver.channel), self.sender(receiver.channel)
        sender.send(b"one")
        sender.send(b"two")
        control.expect(2)
        text = f"only 2 of 3 datagrams for {receiver.channel} on {self.lo} within 0 s"
        with self.refused(NotReceived, text, "got <Datagram of 3 bytes b'one'", "got <Datagram of 3 bytes b'two'"):
            receiver.expect(3, timeout=0)

    def test_a_long_list_of_datagrams_is_cut(self) -> None:
        receiver = self.receiver(self.channel())
        control, sender = self.control(receiver.channel), self.sender(receiver.channel)
        for _ in range(10):
            sender.send(b"x")
        control.expect(10)
        with self.assertRaises(NotReceived) as caught:
            receiver.expect(11, timeout=0)
        self.assertEqual(str(caught.exception).count("got <Datagram of"), 8)

    def test_what_was_rejected_instead_is_told(self) -> None:
        channel = self.channel()
        receiver = self.receiver(channel, sock=self.wildcard_socket(channel))
        other = Channel(self.channel().group, channel.port)
        control = self.receiver(other)
        self.sender(other).send(b"probe")
        control.recv()
        with self.refused(NotReceived, "received 0, rejected 1 of another group"):
            receiver.recv(timeout=0)

    def test_one_deadline_is_for_all_datagrams_together(self) -> None:
        receiver = self.receiver(self.channel())
        now, waits = 0.0, []

        def arrive(_: Context, timeout: float) -> tuple[Subscription, Datagram] | None:
            nonlocal now
            waits.append(timeout)
            now += 1
            datagram = Datagram(b"x", ("127.0.0.1", 1), None, receiver.channel.port, None, None, None, None)
            return (receiver.subscription, datagram) if timeout else None

        clock = mock.patch("pytest_mcast.core.deadline.time", monotonic=lambda: now)
        with clock, mock.patch.object(Context, "receive", arrive), self.assertRaises(NotReceived):
            receiver.expect(10, timeout=3)
        self.assertEqual(waits, [3, 2, 1, 0])

    def test_what_is_no_duration_is_refused(self) -> None:
        channel = self.channel()
        with self.refused(ValueError, "a time-out is a number of seconds, 0 or more, or None, not -1"):
            self.receiver(channel, timeout=-1)
        with self.refused(ValueError, "a time-out is a number of seconds, 0 or more, or None, not -1"):
            self.receiver(channel).recv(timeout=-1)


class Closing(support.LoopbackTestCase):
    @support.each_kind
    def test_closing_leaves(self, family: str, mode: str) -> None:
        if not support.LINUX:
            self.skipTest("Linux lists its memberships")
        receiver = self.receiver(self.channel(family, mode))
        member = [receiver.channel.group in support.kernel_groups()]
        receiver.close()
        member.append(receiver.channel.group in support.kernel_groups())
        self.assertEqual(member, [True, False])

    def test_closing_leaves_no_descriptor(self) -> None:
        channel = self.channel()
        with self.leaving_nothing_open():
            self.receiver(channel).close()

    def test_closing_again_is_no_error(self) -> None:
        receiver = self.receiver(self.channel())
        receiver.close()
        receiver.close()

    def test_it_says_that_it_is_closed(self) -> None:
        receiver = self.receiver(self.channel())
        closed = [receiver.closed]
        receiver.close()
        self.assertEqual((closed, receiver.closed, receiver.fileno()), ([False], True, -1))

    def test_it_is_closed_at_the_end_of_a_with_block(self) -> None:
        with Receiver(self.channel(), self.lo) as receiver:
            pass
        self.assertTrue(receiver.closed)

    def test_receiving_after_close_is_an_error_at_once(self) -> None:
        receiver = self.receiver(self.channel())
        receiver.close()
        with self.refused(SubscriptionError, f"the receiver of {receiver.channel} is closed"):
            receiver.recv()

    def test_a_receiver_that_cannot_join_leaves_no_descriptor(self) -> None:
        channel = self.channel()
        gone = dataclasses.replace(self.lo, name="gone", index=self.lo.index + 100_000)
        with self.leaving_nothing_open(), self.assertRaises(MembershipError):
            Receiver(channel, gone)

    @unittest.skipUnless(support.LINUX, "the limit of Linux")
    def test_the_warning_of_a_capped_buffer_points_at_the_callers_line(self) -> None:
        with self.assertWarns(CappedBufferWarning) as caught:
            self.opened(Receiver(self.channel(), self.lo, receive_buffer=2**31 - 1))
        self.assertEqual(caught.filename, __file__)
