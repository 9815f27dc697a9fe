"""Echo responders: what they answer, and that they stop."""

from __future__ import annotations

import dataclasses
import errno
import threading
import unittest
from typing import Any
from unittest import mock

from pytest_mcast.core import CappedBufferWarning, Datagram, EchoError, EchoResponder, NotReceived, Subscription

from . import support

STOP_WITHIN_S = 5


class EchoTestCase(support.LoopbackTestCase):
    def closed_in_time(self, responder: EchoResponder) -> bool:
        """Whether it closes; a thread of the test's own does it, so that it cannot hang here."""
        closer = threading.Thread(target=responder.close, daemon=True)
        closer.start()
        closer.join(STOP_WITHIN_S)
        return not closer.is_alive()


class Answering(EchoTestCase):
    @support.each_kind
    def test_it_answers_with_what_came_in(self, family: str, mode: str) -> None:
        responder = self.opened(EchoResponder(self.channel(family, mode), self.lo))
        sender = self.sender(responder.channel)
        for payload in (b"one", b"two"):
            sender.send(payload)
            self.assertEqual(sender.recv().payload, payload)

    @support.each_kind
    def test_it_answers_with_a_payload_of_its_own(self, family: str, mode: str) -> None:
        responder = self.opened(EchoResponder(self.channel(family, mode), self.lo, payload=b"fixed"))
        sender = self.sender(responder.channel)
        sender.send(b"question")
        self.assertEqual(sender.recv().payload, b"fixed")

    @support.each_family
    def test_it_answers_with_an_empty_payload_of_its_own(self, family: str) -> None:
        responder = self.opened(EchoResponder(self.channel(family), self.lo, payload=b""))
        sender = self.sender(responder.channel)
        sender.send(b"question")
        self.assertEqual(sender.recv().payload, b"")

    @support.each_family
    def test_it_answers_an_empty_datagram(self, family: str) -> None:
        responder = self.opened(EchoResponder(self.channel(family), self.lo))
        sender = self.sender(responder.channel)
        sender.send(b"")
        self.assertEqual(sender.recv().payload, b"")

    @support.each_kind
    def test_it_answers_from_the_port_of_its_channel(self, family: str, mode: str) -> None:
        responder = self.opened(EchoResponder(self.channel(family, mode), self.lo))
        sender = self.sender(responder.channel)
        sender.send(b"question")
        self.assertEqual(sender.recv().source[1], responder.channel.port)

    @support.each_family
    def test_it_answers_each_to_its_sender(self, family: str) -> None:
        responder = self.opened(EchoResponder(self.channel(family), self.lo))
        senders = [self.sender(responder.channel) for _ in range(3)]
        for number, sender in enumerate(senders):
            sender.send(b"%d" % number)
        self.assertEqual([sender.recv().payload for sender in senders], [b"0", b"1", b"2"])

    @support.each_family
    def test_it_does_not_answer_another_source(self, family: str) -> None:
        wanted = support.OTHER_SOURCES[family]
        responder = self.opened(EchoResponder(self.channel(family, "ssm", source=wanted), self.lo))
        control = self.control(responder.channel)
        self.sender(responder.channel, source=support.SOURCES[family]).send(b"question")
        control.recv()
        responder.close()
        self.assertEqual(responder.replies, 0)

    def test_it_counts_its_replies(self) -> None:
        responder = EchoResponder(self.channel(), self.lo)
        sender = self.sender(responder.channel)
        for _ in range(3):
            sender.send(b"question")
            sender.recv()
        responder.close()
        self.assertEqual(responder.replies, 3)

    @support.each_kind
    def test_with_port_0_the_system_picks_one(self, family: str, mode: str) -> None:
        channel = dataclasses.replace(self.channel(family, mode), port=0)
        responder = self.opened(EchoResponder(channel, self.lo))
        self.assertGreater(responder.channel.port, 0)
        sender = self.sender(responder.channel)
        sender.send(b"question")
        self.assertEqual(sender.recv().payload, b"question")

    @unittest.skipUnless(support.LINUX, "the limit of Linux")
    def test_its_receive_buffer_is_set(self) -> None:
        with self.assertWarns(CappedBufferWarning):
            self.opened(EchoResponder(self.channel(), self.lo, receive_buffer=2**31 - 1))

    def test_it_prints_its_channel_interface_and_replies(self) -> None:
        channel = self.channel()
        responder = self.opened(EchoResponder(channel, self.lo))
        self.assertEqual(repr(responder), f"<EchoResponder {channel} on {self.lo}: 0 replies>")


class Stopping(EchoTestCase):
    @support.each_family
    def test_closing_wakes_and_stops_it(self, family: str) -> None:
        responder = EchoResponder(self.channel(family), self.lo)
        running = [responder.running]
        self.assertTrue(self.closed_in_time(responder))
        self.assertEqual((running, responder.running), ([True], False))

    def test_closing_stops_it_while_it_is_flooded(self) -> None:
        responder = EchoResponder(self.channel(), self.lo)
        sender = self.sender(responder.channel)
        datagram = Datagram(b"again", sender.source, None, responder.channel.port, None, None, None, None)
        with mock.patch.object(Subscription, "receive", return_value=datagram):
            sender.send(b"first")
            sender.recv()
            self.assertTrue(self.closed_in_time(responder))

    def test_closing_leaves_no_thread_and_no_descriptor(self) -> None:
        channel = self.channel()
        before = set(threading.enumerate())
        with self.leaving_nothing_open():
            EchoResponder(channel, self.lo).close()
        self.assertEqual(set(threading.enumerate()), before)

    def test_a_refused_one_leaves_no_thread_and_no_descriptor(self) -> None:
        channel = self.channel()
        self.opened(support.udp_socket("ipv4")).bind(("", channel.port))
        before = set(threading.enumerate())
        with self.leaving_nothing_open(), self.assertRaises(OSError):
            EchoResponder(channel, self.lo)
        self.assertEqual(set(threading.enumerate()), before)

    def test_its_thread_does_not_keep_the_process(self) -> None:
        responder = self.opened(EchoResponder(self.channel(), self.lo))
        names = {thread.name: thread.daemon for thread in threading.enumerate()}
        self.assertTrue(names[f"echo {responder.channel}"])

    def test_closing_again_is_no_error(self) -> None:
        responder = EchoResponder(self.channel(), self.lo)
        responder.close()
        responder.close()

    def test_it_says_that_it_is_closed(self) -> None:
        responder = EchoResponder(self.channel(), self.lo)
        closed = [responder.closed]
        responder.close()
        self.assertEqual((closed, responder.closed), ([False], True))

    def test_it_is_closed_at_the_end_of_a_with_block(self) -> None:
        with EchoResponder(self.channel(), self.lo) as responder:
            pass
        self.assertTrue(responder.closed)

    @support.each_family
    def test_an_empty_datagram_stops_it_when_told_so(self, family: str) -> None:
        responder = self.opened(EchoResponder(self.channel(family), self.lo, stop_on_empty=True))
        self.sender(responder.channel).send(b"")
        responder.wait()
        self.assertFalse(responder.running)

    def test_the_empty_datagram_that_stops_it_is_not_answered(self) -> None:
        responder = self.opened(EchoResponder(self.channel(), self.lo, stop_on_empty=True))
        self.sender(responder.channel).send(b"")
        responder.wait()
        self.assertEqual(responder.replies, 0)

    def test_other_datagrams_do_not_stop_it(self) -> None:
        responder = self.opened(EchoResponder(self.channel(), self.lo, stop_on_empty=True))
        sender = self.sender(responder.channel)
        for _ in range(2):
            sender.send(b"x")
            self.assertEqual(sender.recv().payload, b"x")

    def test_one_that_stopped_by_itself_closes(self) -> None:
        responder = EchoResponder(self.channel(), self.lo, stop_on_empty=True)
        self.sender(responder.channel).send(b"")
        responder.wait()
        self.assertTrue(self.closed_in_time(responder))

    def test_waiting_for_one_that_goes_on_is_told(self) -> None:
        responder = self.opened(EchoResponder(self.channel(), self.lo))
        text = f"the responder for {responder.channel} was not stopped within 0 s"
        with self.refused(NotReceived, text):
            responder.wait(timeout=0)

    def test_its_time_out_is_the_default_of_waiting(self) -> None:
        responder = self.opened(EchoResponder(self.channel(), self.lo, timeout=0.01))
        with self.refused(NotReceived, "within 0.01 s"):
            responder.wait()


class Errors(EchoTestCase):
    def broken(self) -> EchoResponder:
        """Return one that broke, because its answer is too large to send."""
        responder = EchoResponder(self.channel(), self.lo, payload=bytes(70_000))
        self.sender(responder.channel).send(b"question")
        responder.wait()
        return responder

    def test_an_error_in_its_thread_is_raised_on_close(self) -> None:
        responder = self.broken()
        with self.refused(EchoError, f"the responder for {responder.channel} stopped: OSError({errno.EMSGSIZE}"):
            responder.close()

    def test_a_sender_that_cannot_be_replied_to_does_not_stop_it(self) -> None:
        responder: Any = self.opened(EchoResponder(self.channel(), self.lo))
        subscription = responder._receiver.subscription
        subscription.socket = mock.Mock(wraps=subscription.socket)
        subscription.socket.sendto.side_effect = [OSError(errno.EINVAL, "port 0"), mock.DEFAULT]
        sender = self.sender(responder.channel)
        for payload in (b"unanswered", b"answered"):
            sender.send(payload)
        self.assertEqual((sender.recv().payload, responder.replies), (b"answered", 1))

    def test_the_error_is_kept_as_the_cause(self) -> None:
        with self.assertRaises(EchoError) as caught:
            self.broken().close()
        cause = caught.exception.__cause__
        self.assertEqual(isinstance(cause, OSError) and cause.errno, errno.EMSGSIZE)

    def test_the_error_is_raised_at_the_end_of_a_with_block(self) -> None:
        with self.assertRaises(EchoError), self.broken():
            pass

    def test_the_error_is_raised_once(self) -> None:
        responder = self.broken()
        with self.assertRaises(EchoError):
            responder.close()
        responder.close()

    def test_a_broken_one_leaves_no_descriptor(self) -> None:
        channel = self.channel()
        sender = self.sender(channel)
        with self.leaving_nothing_open():
            responder = EchoResponder(channel, self.lo, payload=bytes(70_000))
            sender.send(b"question")
            responder.wait()
            with self.assertRaises(EchoError):
                responder.close()
