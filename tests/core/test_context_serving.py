"""Contexts: who is served, in which order, and what is told of those that fail."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
from typing import Any
from unittest import mock

from pytest_mcast.core import (
    Channel,
    Datagram,
    Deadline,
    ReceiveError,
    Receiver,
    Subscription,
    SubscriptionError,
    system,
)

from . import support
from .test_context import ContextTestCase


class Leaving(ContextTestCase):
    def control(self, channel: Channel) -> Receiver:
        return self.receiver(Channel.unchecked(channel.group, channel.port))

    def test_who_has_left_is_not_served(self) -> None:
        channel = self.channel()
        subscription = self.context.add(channel, self.lo, sock=self.wildcard_socket(channel))
        control = self.control(channel)
        self.sender(channel).send(b"let in by somebody else's membership")
        control.recv()
        self.assertIsNone(self.context.receive(0.01))
        self.assertEqual(subscription.statistics().rejected, {})  # nobody has looked

    def test_what_was_queued_before_it_left_is_stale(self) -> None:
        subscription = self.joined(self.channel())
        control, sender = self.control(subscription.channel), self.sender(subscription.channel)
        sender.send(b"stale")
        control.recv()
        self.context.leave(subscription)
        self.context.join(subscription)
        sender.send(b"fresh")
        self.assertEqual(self.received()[1], b"fresh")

    def test_what_was_queued_before_it_left_is_kept_when_asked_for(self) -> None:
        subscription = self.joined(self.channel())
        control, sender = self.control(subscription.channel), self.sender(subscription.channel)
        sender.send(b"queued")
        control.recv()
        self.context.leave(subscription)
        self.assertIsNone(self.context.receive())
        self.context.join(subscription, keep_queued=True)
        sender.send(b"fresh")
        self.assertEqual([self.received()[1] for _ in range(2)], [b"queued", b"fresh"])

    def test_one_that_leaves_in_its_round_is_not_received_from(self) -> None:
        first, second = self.joined(self.channel()), self.joined(self.channel())
        for subscription in (first, second):
            self.sender(subscription.channel).send(b"x")
        self.fence()
        served, _ = self.received()
        (second if served is first else first).leave()
        self.assertIsNone(self.context.receive())

    def test_one_that_has_given_up_its_only_source_is_not_served(self) -> None:
        subscription = self.joined(self.channel(mode="ssm"))
        self.sender(subscription.channel).send(b"x")
        self.fence()
        subscription.leave_source("127.0.0.1")
        self.assertIsNone(self.context.receive())


class Receiving(ContextTestCase):
    def test_each_datagram_comes_with_its_subscription(self) -> None:
        subscriptions = [self.joined(self.channel(family, mode)) for family, mode in support.KINDS]
        for subscription in subscriptions:
            self.sender(subscription.channel).send(str(subscription.channel).encode())
        arrived = dict(self.received() for _ in subscriptions)
        self.assertEqual(arrived, {each: str(each.channel).encode() for each in subscriptions})

    def test_nothing_is_none_at_the_deadline(self) -> None:
        self.joined(self.channel())
        self.assertIsNone(self.context.receive(0.01))

    def test_nothing_is_none_at_once_unless_said(self) -> None:
        self.joined(self.channel())
        with mock.patch("pytest_mcast.core.context.Deadline", wraps=Deadline) as deadline:
            self.assertIsNone(self.context.receive())
        deadline.assert_called_once_with(0)

    def test_without_subscriptions_nothing_is_received(self) -> None:
        self.assertIsNone(self.context.receive())

    def test_what_is_queued_is_received_at_once(self) -> None:
        subscription = self.joined(self.channel())
        self.sender(subscription.channel).send(b"x")
        self.fence()
        arrived = self.context.receive()
        self.assertEqual(arrived and arrived[1].payload, b"x")

    def test_a_datagram_behind_foreign_ones_is_received_without_a_time_out(self) -> None:
        channel = self.channel()
        self.context.add(channel, self.lo, sock=self.wildcard_socket(channel)).join()
        other = Channel(self.channel().group, channel.port)
        control, sender = self.receiver(other), self.sender(other)
        for _ in range(5):
            sender.send(b"foreign")
        self.sender(channel).send(b"own")
        control.expect(5)
        self.fence()
        arrived = self.context.receive(0)
        self.assertEqual(arrived and arrived[1].payload, b"own")

    @support.each_family
    def test_hundreds_of_foreign_datagrams_delay_none_of_ours(self, family: str) -> None:
        channel = self.channel(family)
        sock = self.wildcard_socket(channel)
        subscription = self.context.add(channel, self.lo, sock=sock, receive_buffer=200_000)
        subscription.join()
        other = Channel(self.channel(family).group, channel.port)
        control, foreign, own = self.receiver(other), self.sender(other), self.sender(channel)
        for _ in range(6):
            for _ in range(60):
                foreign.send(b"foreign")
            control.expect(60)
        own.send(b"own")
        self.fence()
        arrived = self.context.receive(0)
        self.assertEqual(arrived and arrived[1].payload, b"own")
        statistics = subscription.statistics()
        self.assertEqual((statistics.received, statistics.rejected), (1, {"group": 360}))
        self.assertEqual((statistics.empty, statistics.kernel_drops), (0, 0))
        subscription.close()

    def test_a_flood_of_foreign_datagrams_takes_no_turn_of_others(self) -> None:
        flooded, waiting = self.joined(self.channel()), self.joined(self.channel())
        for subscription in (flooded, waiting):
            self.sender(subscription.channel).send(b"x")
        self.fence()
        receive, foreign = system.receive, (b"", system.Arrival(group="224.0.0.1"), False, ("127.0.0.1", 1))

        def endless(sock: socket.socket, size: int) -> Any:
            return foreign if sock is flooded.socket else receive(sock, size)

        with mock.patch.object(system, "receive", endless):
            arrived = self.context.receive(None)
        self.assertIs(arrived and arrived[0], waiting)

    def test_foreign_datagrams_without_end_do_not_outlast_the_deadline(self) -> None:
        channel = self.channel()
        self.context.add(channel, self.lo, sock=self.wildcard_socket(channel)).join()
        self.sender(channel).send(b"stays queued, so that the socket stays readable")
        self.fence()
        foreign = b"", system.Arrival(group="224.0.0.1"), False, ("127.0.0.1", 1)
        with mock.patch.object(system, "receive", return_value=foreign):
            self.assertIsNone(self.context.receive(0))

    def test_a_closed_context_refuses_to_receive(self) -> None:
        self.context.close()
        with self.refused(SubscriptionError, "cannot receive: the context is closed"):
            self.context.receive()

    def test_a_taken_subscription_lives_in_a_selector_of_the_callers(self) -> None:
        taken = [self.opened(self.context.take(self.joined(self.channel()))) for _ in range(2)]
        got: dict[Any, bytes] = {}
        with selectors.DefaultSelector() as selector:
            for subscription in taken:
                selector.register(subscription, selectors.EVENT_READ)
                self.sender(subscription.channel).send(str(subscription.channel).encode())
            while len(got) < len(taken):
                ready = selector.select(5)
                self.assertTrue(ready)
                for key, _ in ready:
                    one: Any = key.fileobj
                    got[one] = one.receive().payload
                    self.assertIsNone(one.receive())
        self.assertEqual(got, {each: str(each.channel).encode() for each in taken})

    def test_its_descriptor_is_readable_when_a_subscription_is(self) -> None:
        subscription = self.joined(self.channel())
        self.joined(self.channel())
        with selectors.DefaultSelector() as selector:
            selector.register(self.context, selectors.EVENT_READ)
            before = selector.select(0)
            self.sender(subscription.channel).send(b"x")
            self.assertEqual((before, len(selector.select(5))), ([], 1))


class Fairness(ContextTestCase):
    def served(self, *loads: int) -> list[int]:
        """Queue so many datagrams at as many subscriptions, and return the ids in the order of their service."""
        senders = [self.sender(self.joined(self.channel()).channel) for _ in loads]
        for sender, load in zip(senders, loads):
            for _ in range(load):
                sender.send(b"x")
        self.fence()
        return [self.received()[0].id for _ in range(sum(loads))]

    def test_no_ready_subscription_waits_longer_than_one_round(self) -> None:
        loads = {1: 40, 2: 1, 3: 20, 4: 7, 5: 3}
        order = self.served(*loads.values())
        for id, load in loads.items():  # noqa: A001 - the field's word
            with self.subTest(id):
                places = [-1, *(place for place, served in enumerate(order) if served == id)]
                self.assertEqual(len(places) - 1, load)
                waits = [later - earlier for earlier, later in zip(places, places[1:])]
                self.assertLessEqual(max(waits), len(loads))

    def test_equal_loads_are_served_in_turn(self) -> None:
        order = self.served(3, 3, 3)
        self.assertEqual([sorted(order[start : start + 3]) for start in (0, 3, 6)], [[1, 2, 3]] * 3)

    def test_a_round_goes_on_after_a_new_flood(self) -> None:
        flooded, waiting = self.joined(self.channel()), self.joined(self.channel())
        flood, single = self.sender(flooded.channel), self.sender(waiting.channel)
        flood.send(b"flood")
        single.send(b"single")
        self.fence()
        order = []
        for _ in range(3):
            flood.send(b"flood")
            self.fence()
            order.append(self.received()[0])
        self.assertIn(waiting, order[:2])


class Failing(ContextTestCase):
    def broken(self) -> Subscription:
        """Return a subscription whose next receive fails: the peer of a connected socket refuses what was sent to it."""
        channel = self.channel()
        subscription = self.context.add(channel, self.lo, sock=self.wildcard_socket(channel))
        subscription.join()
        with support.udp_socket("ipv4") as nobody:
            nobody.bind(("127.0.0.1", 0))
            address = nobody.getsockname()
        subscription.socket.connect(address)
        subscription.socket.send(b"x")
        self.fence()
        return subscription

    def healthy(self) -> Subscription:
        subscription = self.joined(self.channel())
        self.sender(subscription.channel).send(b"x")
        self.fence()
        return subscription

    def test_its_error_is_raised_with_its_name(self) -> None:
        broken = self.broken()
        with self.assertRaises(ReceiveError) as caught:
            self.context.receive()
        self.assertEqual((caught.exception.errno, caught.exception.subscription), (errno.ECONNREFUSED, broken))
        self.assertEqual(
            str(caught.exception), f"cannot receive from {broken!r}: ECONNREFUSED ({os.strerror(errno.ECONNREFUSED)})"
        )

    def test_it_is_told_once_after_the_others_were_served(self) -> None:
        first, broken, last = self.healthy(), self.broken(), self.healthy()
        self.assertEqual({self.received()[0] for _ in range(2)}, {first, last})
        with self.refused(ReceiveError, repr(broken)):
            self.context.receive()
        self.assertIsNone(self.context.receive())

    def test_it_is_told_without_waiting(self) -> None:
        self.broken()
        with self.assertRaises(ReceiveError):
            self.context.receive(None)

    def test_two_that_fail_are_both_told(self) -> None:
        broken = {self.broken(), self.broken()}
        told = set()
        for _ in broken:
            with self.assertRaises(ReceiveError) as caught:
                self.context.receive()
            told.add(caught.exception.subscription)
        self.assertEqual(told, broken)

    def test_one_that_fails_in_every_round_hides_no_flow(self) -> None:
        broken, flow = self.broken(), self.joined(self.channel())
        sender = self.sender(flow.channel)
        served = []
        failure = OSError(errno.EIO, "always")
        with mock.patch.object(broken, "receive", side_effect=failure):
            for _ in range(3):
                sender.send(b"x")
                self.fence()
                for _ in range(2):  # one of the two raises the error of the last round
                    with contextlib.suppress(OSError):
                        served.append(self.context.receive())
        self.assertEqual([each[0] for each in served if each], [flow] * 3)

    def test_a_batch_is_returned_and_the_next_call_tells(self) -> None:
        healthy, broken = self.healthy(), self.broken()
        batch = self.context.receive_batch(10)
        self.assertEqual([each[0] for each in batch], [healthy])
        with self.refused(ReceiveError, repr(broken)):
            self.context.receive_batch(10)

    def test_a_subscription_that_was_closed_does_not_hide_others(self) -> None:
        closed, healthy = self.joined(self.channel()), self.joined(self.channel())
        closed.close()
        self.sender(healthy.channel).send(b"x")
        self.assertEqual(self.received(), (healthy, b"x"))


class Batches(ContextTestCase):
    def loaded(self, *loads: int) -> list[Subscription]:
        subscriptions = [self.joined(self.channel()) for _ in loads]
        for subscription, load in zip(subscriptions, loads):
            sender = self.sender(subscription.channel)
            for _ in range(load):
                sender.send(b"x")
        self.fence()
        return subscriptions

    def test_a_batch_is_no_larger_than_its_maximum(self) -> None:
        self.loaded(5)
        self.assertEqual([len(self.context.receive_batch(2)) for _ in range(4)], [2, 2, 1, 0])

    def test_a_batch_has_one_datagram_of_each_before_the_second_of_any(self) -> None:
        subscriptions = self.loaded(100, 1, 1, 1, 1, 1, 1, 1, 1, 1)
        batch = self.context.receive_batch(10)
        self.assertEqual({subscription for subscription, _ in batch}, set(subscriptions))

    def test_a_batch_goes_on_where_the_last_one_has_ended(self) -> None:
        subscriptions = self.loaded(2, 2, 2, 2)
        served = [subscription for _ in range(2) for subscription, _ in self.context.receive_batch(2)]
        self.assertEqual(set(served), set(subscriptions))

    def test_a_batch_waits_for_its_first_datagram_only(self) -> None:
        (subscription,) = self.loaded(1)
        self.assertEqual(len(self.context.receive_batch(10, timeout=None)), 1)
        self.assertEqual(self.context.receive_batch(10, timeout=0.01), [])
        self.assertEqual(subscription.statistics().received, 1)

    def test_a_batch_of_nothing_is_refused(self) -> None:
        with self.refused(ValueError, "maximum=0 is not a number of datagrams, 1 or more"):
            self.context.receive_batch(0)

    def test_all_that_is_queued_is_drained(self) -> None:
        self.loaded(30, 1, 7)
        self.assertEqual((len(self.context.drain()), self.context.receive()), (38, None))

    def test_a_stream_without_end_is_cut(self) -> None:
        subscription = self.joined(self.channel())
        sender = self.sender(subscription.channel)
        sender.send(b"x")
        receive = subscription.receive

        def endless() -> Datagram | None:
            sender.send(b"x")
            return receive()

        with mock.patch.object(subscription, "receive", endless):
            self.assertEqual((len(self.context.drain(maximum=100)), len(self.context.drain())), (100, 4096))
