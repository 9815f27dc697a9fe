"""Bursts over loopback: every datagram is accounted for."""

from __future__ import annotations

import dataclasses
import errno
import socket
import struct
import threading
import time
import unittest
from typing import Any
from unittest import mock

from pytest_mcast.core import LEAST_SIZE, Account, NoVerdict, SubscriptionError

from . import support


def _numbered(nonce: bytes, number: int, size: int) -> bytes:
    return struct.pack("!8s8sQ", b"mcburst\0", nonce, number).ljust(size, b"\0")


class Bursts(support.LoopbackTestCase):
    @support.each_kind
    def test_every_datagram_is_received_or_lost_by_a_cause(self, family: str, mode: str) -> None:
        receiver = self.receiver(self.channel(family, mode))
        sender = self.sender(receiver.channel)
        for size in (LEAST_SIZE, 1000, 3000):
            with receiver.drain() as drain:
                burst = sender.burst(500, size)
                account = drain.account(burst)
            self.assertEqual((burst.count, account.sent), (500, 500))
            self.assertEqual(account.sent, account.received + sum(account.lost.values()))
            self.assertEqual(sum(last - first + 1 for first, last in account.missing), 500 - account.received)
            self.assertEqual((account.duplicates, account.reordered), (0, 0))
            self.assertLessEqual(set(account.lost), {"socket", "socket or network"})

    def test_a_full_buffer_is_the_cause(self) -> None:
        receiver = self.receiver(self.channel())
        sender = self.sender(receiver.channel)
        gate, take = threading.Event(), receiver.subscription.receive_batch
        gated = mock.patch.object(receiver.subscription, "receive_batch", lambda *args: gate.wait(10) and take(*args))
        with gated, receiver.drain() as drain:
            burst = sender.burst(3000, 1000)
            gate.set()  # nobody has taken anything up to now
            account = drain.account(burst)
            self.assertIs(drain.account(burst), account)  # the kernel's count was looked at before
        self.assertGreater(receiver.statistics().kernel_drops or 0, 0)
        self.assertEqual(account.lost, {"socket": 3000 - account.received})
        self.assertLess(account.received, 3000)

    @unittest.skipUnless(support.LINUX, "what the kernel has dropped is known on Linux only")
    def test_ends_that_were_dropped_are_not_of_the_burst(self) -> None:
        receiver = self.receiver(self.channel())
        sender = self.sender(receiver.channel)
        gate, emptied, take = threading.Event(), threading.Event(), receiver.subscription.receive_batch

        def gated(*args: Any) -> Any:
            gate.wait(10)
            found = take(*args)
            if found[0] is None:
                emptied.set()
            return found

        with mock.patch.object(receiver.subscription, "receive_batch", gated), receiver.drain() as drain:
            burst = sender.burst(20, 40_000)  # each in a call of its own
            before = receiver.statistics().kernel_drops or 0
            while not (ends := (receiver.statistics().kernel_drops or 0) - before):  # there is room for small ones
                burst.send_end()
            gate.set()
            self.assertTrue(emptied.wait(10))
            # As many of it as ends were dropped are lost on the way.
            account = drain.account(dataclasses.replace(burst, count=20 + ends, batches=tuple(range(20 + ends))))
            gate.clear()
            burst = sender.burst(20, 40_000)
            gate.set()
            later = drain.account(burst)
        self.assertEqual(account.lost, {"socket or network": 20 + ends - account.received})
        self.assertEqual(later.lost, {"socket": 20 - later.received})
        self.assertLess(later.received, 20)

    def test_nobody_takes_anything_from_a_drain(self) -> None:
        receiver = self.receiver(self.channel())
        with receiver.drain():
            for take in (receiver.drain, receiver.recv, receiver.receive):
                with self.refused(SubscriptionError, "is being drained; close its drain first"):
                    take()
        self.assertIsNone(receiver.receive())

    def test_a_receiver_that_is_closed_has_no_account(self) -> None:
        receiver = self.receiver(self.channel())
        with receiver.drain() as drain:
            burst = self.sender(receiver.channel).burst(1, 100)
            receiver.close()
            with self.refused(SubscriptionError, "is closed, and was being drained"):
                drain.account(burst)

    def test_an_interface_without_checksums_takes_one_at_a_time(self) -> None:
        receiver = self.receiver(self.channel())
        sender = self.sender(receiver.channel)
        send = sender.send_raw

        def single(payload: memoryview, number: int = 1) -> None:  # as kernels before 6.11 do (udp_send_skb)
            if number > 1:
                raise OSError(errno.EIO, "not together")
            send(payload, number)

        with mock.patch.object(sender, "send_raw", single), receiver.drain() as drain:
            burst = sender.burst(20, 100)
            self.assertEqual((burst.batches, drain.account(burst).received), (tuple(range(20)), 20))

    def test_duplicates_and_datagrams_out_of_order(self) -> None:
        receiver = self.receiver(self.channel())
        sender = self.sender(receiver.channel)
        with receiver.drain() as drain:
            burst = sender.burst(1, 100)
            for number in (3, 2, 2, 5, 4):
                sender.send(struct.pack("!8s8sQ", b"mcburst\0", burst.nonce, number))
            account = drain.account(dataclasses.replace(burst, count=8, batches=tuple(range(8))))
        expected = Account(8, 5, 1, 2, {"network": 3}, ((1, 1), (6, 7)))
        self.assertEqual(account, expected)
        text = "sent 8, received 5 (1 duplicates, 2 reordered), lost 3 by network"
        self.assertEqual(str(account), text)

    @unittest.skipUnless(support.LINUX, "several come as one on Linux only")
    def test_what_comes_as_one_is_told_apart(self) -> None:
        receiver = self.receiver(self.channel())
        sender = self.sender(receiver.channel)
        with receiver.drain() as drain:
            bursts = [sender.burst(1, 100), sender.burst(1, 100)]
            mine, theirs = ([_numbered(burst.nonce, number, 100) for number in range(10)] for burst in bursts)
            batches = (
                [mine[1], mine[1], mine[3]],  # as many as from the first to the last, and not these
                [mine[5], mine[4], mine[5]],
                [mine[6], theirs[6], b"x" * 100, theirs[5], b"y" * 50],
            )
            for batch in batches:
                sender.socket.setsockopt(socket.IPPROTO_UDP, 103, 100)  # UDP_SEGMENT
                sender.send_raw(b"".join(batch), len(batch))
                sender.socket.setsockopt(socket.IPPROTO_UDP, 103, 0)
            accounts = [
                drain.account(dataclasses.replace(burst, count=10, batches=tuple(range(10)))) for burst in bursts
            ]
        self.assertEqual(accounts[0], Account(10, 6, 2, 1, {"network": 4}, ((2, 2), (7, 9))))
        self.assertEqual(accounts[1], Account(10, 3, 0, 1, {"network": 7}, ((1, 4), (7, 9))))
        self.assertEqual([datagram.payload for datagram in receiver.expect(2)], [b"x" * 100, b"y" * 50])

    def test_other_datagrams_are_there_afterwards(self) -> None:
        receiver = self.receiver(self.channel())
        sender = self.sender(receiver.channel)
        with receiver.drain() as drain:
            sender.send(b"before")
            burst = sender.burst(100, 100)
            sender.send(b"after")
            self.assertEqual(drain.account(burst).received, 100)
        self.assertEqual([datagram.payload for datagram in receiver.expect(2)], [b"before", b"after"])
        sender.send(b"alone")
        self.assertEqual(receiver.recv().payload, b"alone")

    def test_they_keep_their_order(self) -> None:
        receiver = self.receiver(self.channel())
        sender = self.sender(receiver.channel)
        with receiver.drain() as drain:
            for number in range(20):
                sender.send(b"%d" % number)
                drain.account(sender.burst(1, 100))  # so that each is taken in a turn of its own
        self.assertEqual([datagram.payload for datagram in receiver.expect(20)], [b"%d" % n for n in range(20)])

    def test_whose_drops_cannot_be_told(self) -> None:
        receiver = self.receiver(self.channel())
        sender = self.sender(receiver.channel)
        gate, take = threading.Event(), receiver.subscription.receive_batch
        gated = mock.patch.object(receiver.subscription, "receive_batch", lambda *args: gate.wait(10) and take(*args))
        with gated, receiver.drain() as drain:
            bursts = [sender.burst(1500, 1000), sender.burst(1500, 1000)]
            gate.set()
            for burst in bursts:
                account = drain.account(burst)
                self.assertEqual(sum(account.lost.values()), 1500 - account.received)
                self.assertLessEqual(set(account.lost), {"socket or network", "network"})

    def test_a_number_that_no_burst_has(self) -> None:
        receiver = self.receiver(self.channel())
        sender = self.sender(receiver.channel)
        hostile = struct.pack("!8s8sQ", b"mcburst\0", bytes(8), 2**64 - 1)
        with receiver.drain() as drain:
            sender.send(hostile)
            self.assertEqual(drain.account(sender.burst(10, 100)).received, 10)
        self.assertEqual(receiver.recv().payload, hostile)

    def test_nothing_is_told_after_the_end(self) -> None:
        receiver = self.receiver(self.channel())
        with receiver.drain() as drain:
            burst = self.sender(receiver.channel).burst(10, 100)
        with self.refused(SubscriptionError, "the drain of", "is closed"):
            drain.account(burst)
        drain.close()

    def test_what_ended_the_thread_is_raised(self) -> None:
        receiver = self.receiver(self.channel())
        broken = mock.patch.object(receiver.subscription, "receive_batch", side_effect=ZeroDivisionError)
        with broken, self.assertRaises(ZeroDivisionError), receiver.drain():
            self.sender(receiver.channel).send(b"x")

    def test_a_rate_is_kept(self) -> None:
        receiver = self.receiver(self.channel())
        sender = self.sender(receiver.channel)
        with receiver.drain() as drain:
            started = time.monotonic()
            burst = sender.burst(51, 100, rate=1000)
            self.assertGreaterEqual(time.monotonic() - started, 0.05)  # never faster
            self.assertEqual(drain.account(burst).received, 51)
        self.assertLessEqual(burst.per_second, 51 / 0.05)

    def test_datagrams_after_a_burst_are_single_again(self) -> None:
        receiver = self.receiver(self.channel())
        sender = self.sender(receiver.channel)
        with receiver.drain() as drain:
            drain.account(sender.burst(100, 100))
        sender.send(b"x" * 250)
        self.assertEqual(receiver.recv().payload, b"x" * 250)
        if support.LINUX:
            self.assertEqual(receiver.subscription.socket.getsockopt(socket.IPPROTO_UDP, 104), 0)

    def test_without_an_end_there_is_no_verdict(self) -> None:
        receiver = self.receiver(self.channel())
        other = self.sender(self.channel())
        with receiver.drain() as drain:
            burst = other.burst(10, 100)
            with self.refused(NoVerdict, "the end of", "did not arrive", "0 datagrams did"):
                drain.account(burst, timeout=0.05)

    def test_what_cannot_be_a_burst(self) -> None:
        receiver = self.receiver(self.channel())
        sender = self.sender(receiver.channel)
        for arguments, text in (
            ((0, 100), "count 0 is not from 1 to"),
            ((1, 23), "size 23 is not from 24"),
            ((1, 65508), "size 65508 is not from 24"),
            (("1", 100), "count '1' is not from 1 to"),
            ((1.5, 100), "count 1.5 is not from 1 to"),
            ((1, 100.0), "size 100.0 is not from 24"),
            ((1, 100, "1000"), "rate '1000' is not a positive number"),
            ((1, 100, True), "rate True is not a positive number"),
            ((1, 100, 0), "rate 0 is not a positive number"),
            ((1, 100, float("inf")), "rate inf is not a positive number"),
        ):
            with self.refused(ValueError, text):
                sender.burst(*arguments)
        receiver.close()
        with self.refused(SubscriptionError, "is closed"):
            receiver.drain()


if __name__ == "__main__":
    unittest.main()
