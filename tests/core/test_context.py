"""Contexts: many subscriptions, served in turn."""

from __future__ import annotations

import contextlib
import dataclasses
import selectors
from unittest import mock

from pytest_mcast.core import Channel, Context, Deadline, Subscription, SubscriptionError, system

from . import support


class ContextTestCase(support.LoopbackTestCase):
    def setUp(self) -> None:
        self.context = self.opened(Context())

    def joined(self, channel: Channel) -> Subscription:
        subscription = self.context.add(channel, self.lo)
        subscription.join()
        return subscription

    def received(self) -> tuple[Subscription, bytes]:
        arrived = self.context.receive(5)
        assert arrived is not None
        return arrived[0], arrived[1].payload

    def fence(self) -> None:
        """Return when everything that was sent before has been processed."""
        receiver = self.receiver(self.channel())
        self.sender(receiver.channel).send(b"fence")
        receiver.recv()


class Adding(ContextTestCase):
    def test_a_subscription_is_added_without_joining(self) -> None:
        self.assertEqual(self.context.add(self.channel(), self.lo).state, "bound")

    def test_ids_count_from_one(self) -> None:
        self.assertEqual([self.context.add(self.channel(), self.lo).id for _ in range(3)], [1, 2, 3])

    def test_ids_are_never_used_again(self) -> None:
        first = self.context.add(self.channel(), self.lo)
        self.context.remove(first)
        self.assertEqual(self.context.add(self.channel(), self.lo).id, 2)

    def test_a_refused_subscription_uses_up_no_id(self) -> None:
        channel = self.channel()
        self.context.add(channel, self.lo)
        with self.assertRaises(SubscriptionError):
            self.context.add(channel, self.lo)
        self.assertEqual(self.context.add(self.channel(), self.lo).id, 2)

    def test_the_options_are_those_of_a_subscription(self) -> None:
        subscription = self.context.add(self.channel(), self.lo, receive_buffer=65536, max_size=100)
        self.assertEqual((subscription.receive_buffer, subscription.max_size), (65536, 100))

    def test_a_socket_of_the_callers_is_taken(self) -> None:
        channel = self.channel()
        sock = self.wildcard_socket(channel)
        self.assertIs(self.context.add(channel, self.lo, sock=sock).socket, sock)

    @support.each_kind
    def test_a_channel_is_refused_the_second_time(self, family: str, mode: str) -> None:
        channel = self.channel(family, mode)
        first = self.context.add(channel, self.lo)
        with self.refused(SubscriptionError, f"{channel} on {self.lo} is subscription {first.id} already"):
            self.context.add(channel, self.lo)

    def test_a_refused_duplicate_leaves_no_socket(self) -> None:
        channel = self.channel()
        self.context.add(channel, self.lo)
        with self.leaving_nothing_open(), self.assertRaises(SubscriptionError):
            self.context.add(channel, self.lo)

    def test_a_socket_of_the_callers_that_is_refused_as_duplicate_stays_open(self) -> None:
        channel = self.channel()
        self.context.add(channel, self.lo)
        sock = self.wildcard_socket(channel)
        with self.assertRaises(SubscriptionError):
            self.context.add(channel, self.lo, sock=sock)
        self.assertGreaterEqual(sock.fileno(), 0)

    def test_another_source_is_another_channel(self) -> None:
        channel = self.channel(mode="ssm")
        self.context.add(channel, self.lo)
        self.context.add(dataclasses.replace(channel, source="127.0.0.2"), self.lo)
        self.assertEqual(len(self.context), 2)

    def test_channels_with_ports_of_the_systems_choice_are_no_duplicates(self) -> None:
        channel = dataclasses.replace(self.channel(), port=0)
        self.context.add(channel, self.lo)
        self.context.add(channel, self.lo)
        self.assertEqual(len(self.context), 2)

    def test_a_removed_channel_can_be_added_again(self) -> None:
        channel = self.channel()
        self.context.remove(self.context.add(channel, self.lo))
        self.assertEqual(self.context.add(channel, self.lo).channel, channel)


class Removing(ContextTestCase):
    def test_a_removed_subscription_is_closed(self) -> None:
        subscription = self.joined(self.channel())
        self.context.remove(subscription)
        self.assertEqual((subscription.state, list(self.context)), ("closed", []))

    def test_a_taken_subscription_stays_joined(self) -> None:
        subscription = self.opened(self.context.take(self.joined(self.channel())))
        self.assertEqual((subscription.state, list(self.context)), ("joined", []))

    def test_a_taken_subscription_is_not_received_from(self) -> None:
        taken, kept = self.joined(self.channel()), self.joined(self.channel())
        self.opened(self.context.take(taken))
        self.sender(taken.channel).send(b"taken")
        self.sender(kept.channel).send(b"kept")
        self.assertEqual([self.received(), self.context.receive()], [(kept, b"kept"), None])

    def test_a_subscription_that_is_taken_in_its_round_is_not_received_from(self) -> None:
        first, second = self.joined(self.channel()), self.joined(self.channel())
        for subscription in (first, second):
            self.sender(subscription.channel).send(b"x")
        self.fence()
        served, _ = self.received()
        self.opened(self.context.take(second if served is first else first))
        self.assertIsNone(self.context.receive())

    def test_closing_the_context_leaves_a_taken_subscription_alone(self) -> None:
        subscription = self.opened(self.context.take(self.joined(self.channel())))
        self.context.close()
        self.assertEqual(subscription.state, "joined")

    def test_a_subscription_of_another_context_is_refused(self) -> None:
        foreign = self.opened(Context()).add(self.channel(), self.lo)
        own = self.opened(self.context.add(self.channel(), self.lo))
        self.assertEqual(own.id, foreign.id)
        for call in (self.context.take, self.context.remove):
            with self.subTest(call.__name__), self.refused(SubscriptionError, "does not belong to this context"):
                call(foreign)

    def test_refusing_a_subscription_of_another_context_keeps_the_own(self) -> None:
        foreign = self.opened(Context()).add(self.channel(), self.lo)
        own = self.opened(self.joined(self.channel()))
        with self.assertRaises(SubscriptionError):
            self.context.take(foreign)
        self.assertEqual(list(self.context), [own])

    def test_removing_again_is_no_error(self) -> None:
        subscription = self.context.add(self.channel(), self.lo)
        self.context.remove(subscription)
        self.context.remove(subscription)

    def test_taking_twice_is_refused(self) -> None:
        subscription = self.opened(self.context.take(self.context.add(self.channel(), self.lo)))
        with self.refused(SubscriptionError, f"{subscription!r} does not belong to this context"):
            self.context.take(subscription)

    def test_a_subscription_that_is_closed_is_removed(self) -> None:
        subscription = self.context.add(self.channel(), self.lo)
        subscription.close()
        self.assertEqual(list(self.context), [])

    def test_a_subscription_that_is_closed_in_its_round_is_not_received_from(self) -> None:
        first, second = self.joined(self.channel()), self.joined(self.channel())
        for subscription in (first, second):
            self.sender(subscription.channel).send(b"x")
        self.fence()
        served, _ = self.received()
        (second if served is first else first).close()
        self.assertIsNone(self.context.receive())

    def test_another_is_added_after_a_subscription_was_closed(self) -> None:
        channel, another = self.channel(), self.channel()
        self.context.add(channel, self.lo).close()
        added = self.context.add(another, self.lo, sock=self.wildcard_socket(another))
        self.assertEqual(added.channel, another)


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

    def test_foreign_datagrams_without_end_do_not_outlast_the_deadline(self) -> None:
        channel = self.channel()
        self.context.add(channel, self.lo, sock=self.wildcard_socket(channel)).join()
        self.sender(channel).send(b"stays queued, so that the socket stays readable")
        self.fence()
        foreign = b"", system.Arrival(group="224.0.0.1"), False, ("127.0.0.1", 1)
        with mock.patch.object(system, "receive", return_value=foreign):
            self.assertIsNone(self.context.receive(0))

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
    def broken_and_healthy(self) -> Subscription:
        """Make one subscription fail whenever it is served; return another, and something is queued at both."""
        broken, healthy = self.joined(self.channel()), self.joined(self.channel())
        failure = mock.patch.object(broken, "receive", side_effect=OSError("broken"))
        failure.start()
        self.addCleanup(failure.stop)
        for subscription in (broken, healthy):
            self.sender(subscription.channel).send(b"x")
        self.fence()
        return healthy

    def test_a_failing_subscription_is_told(self) -> None:
        self.broken_and_healthy()
        with self.refused(OSError, "broken"):
            for _ in range(2):
                self.context.receive()

    def test_a_failing_subscription_does_not_hide_others(self) -> None:
        healthy = self.broken_and_healthy()
        arrived = []
        for _ in range(2):
            with contextlib.suppress(OSError):
                arrived.append(self.context.receive())
        self.assertEqual([each[0] for each in arrived if each], [healthy])

    def test_a_subscription_that_was_closed_does_not_hide_others(self) -> None:
        closed, healthy = self.joined(self.channel()), self.joined(self.channel())
        closed.close()
        self.sender(healthy.channel).send(b"x")
        self.assertEqual(self.received(), (healthy, b"x"))


class Closing(ContextTestCase):
    def test_closing_closes_every_subscription(self) -> None:
        subscriptions = [self.joined(self.channel()) for _ in range(3)]
        self.context.close()
        self.assertEqual([subscription.state for subscription in subscriptions], ["closed"] * 3)

    def test_closing_leaves_no_descriptor(self) -> None:
        channel = self.channel()
        with self.leaving_nothing_open():
            context = Context()
            context.add(channel, self.lo)
            context.close()

    def test_adding_after_close_is_refused(self) -> None:
        channel = self.channel()
        self.context.close()
        with (
            self.leaving_nothing_open(),
            self.refused(SubscriptionError, f"cannot add {channel}: the context is closed"),
        ):
            self.context.add(channel, self.lo)

    def test_closing_again_is_no_error(self) -> None:
        self.context.close()
        self.context.close()

    def test_it_is_closed_at_the_end_of_a_with_block(self) -> None:
        channel = self.channel()
        with Context() as context:
            subscription = context.add(channel, self.lo)
        self.assertEqual((subscription.state, len(context)), ("closed", 0))

    def test_a_subscription_is_removed_while_all_are_gone_through(self) -> None:
        for _ in range(3):
            self.joined(self.channel())
        for subscription in self.context:
            self.context.remove(subscription)
        self.assertEqual(len(self.context), 0)

    def test_where_a_selector_has_no_descriptor_the_context_has_none(self) -> None:
        with mock.patch.object(selectors, "DefaultSelector", selectors.SelectSelector):
            context = self.opened(Context())
        with self.refused(OSError, "no descriptor for several sockets; use those of the subscriptions"):
            context.fileno()

    def test_a_context_without_a_descriptor_receives(self) -> None:
        with mock.patch.object(selectors, "DefaultSelector", selectors.SelectSelector):
            self.context = self.opened(Context())
        subscription = self.joined(self.channel())
        self.sender(subscription.channel).send(b"x")
        self.assertEqual(self.received(), (subscription, b"x"))
