"""Contexts: many subscriptions, served in turn."""

from __future__ import annotations

import dataclasses
import os
import selectors
import socket
import unittest
from unittest import mock

from pytest_mcast.core import (
    Channel,
    Context,
    Subscription,
    SubscriptionError,
)

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

    @unittest.skipUnless(support.LINUX, "what a selector does with a closed descriptor differs")
    def test_the_descriptor_of_a_socket_that_somebody_has_closed_is_used_again(self) -> None:
        gone, another = self.joined(self.channel()), self.context.add(self.channel(), self.lo)
        descriptor = gone.fileno()
        gone.socket.close()
        os.dup2(another.fileno(), descriptor)
        another.socket.close()
        another.socket = socket.socket(fileno=descriptor)
        another.join()
        self.sender(another.channel).send(b"x")
        self.assertEqual((self.received(), list(self.context)), ((another, b"x"), [another]))

    def test_a_subscription_whose_socket_somebody_has_closed_is_in_nobodys_way(self) -> None:
        channel = self.channel()
        self.joined(channel).socket.close()
        again = self.joined(channel)  # the same channel, and most likely the same descriptor
        another = self.joined(self.channel())
        for subscription in (again, another):
            self.sender(subscription.channel).send(b"x")
        self.assertEqual({self.received()[0] for _ in range(2)}, {again, another})


class ById(ContextTestCase):
    def test_a_subscription_is_found_by_its_id(self) -> None:
        first, second = (self.context.add(self.channel(), self.lo) for _ in range(2))
        self.assertEqual([self.context.get(id) for id in (2, 1)], [second, first])  # noqa: A001 - the field's word

    def test_an_unknown_id_is_refused_with_those_there_are(self) -> None:
        for _ in range(3):
            self.context.add(self.channel(), self.lo)
        self.context.remove(2)
        for call in (self.context.get, self.context.join, self.context.leave, self.context.remove, self.context.take):
            with self.refused(SubscriptionError, "subscription 2 does not belong to this context, which has 1, 3"):
                call(2)

    def test_it_joins_leaves_and_is_removed_by_its_id(self) -> None:
        subscription = self.context.add(self.channel(), self.lo)
        states = []
        for call in (self.context.join, self.context.leave, self.context.join, self.context.remove):
            call(subscription.id)
            states.append(subscription.state)
        self.assertEqual(states, ["joined", "bound", "joined", "closed"])

    def test_it_joins_and_leaves_by_itself(self) -> None:
        subscription = self.context.add(self.channel(), self.lo)
        self.context.join(subscription)
        self.assertEqual(subscription.state, "joined")
        self.context.leave(subscription)
        self.assertEqual(subscription.state, "bound")

    def test_it_is_taken_by_its_id(self) -> None:
        subscription = self.opened(self.context.add(self.channel(), self.lo))
        self.assertIs(self.context.take(subscription.id), subscription)

    def test_it_is_contained_by_itself_and_by_its_id(self) -> None:
        subscription = self.context.add(self.channel(), self.lo)
        self.assertIn(subscription, self.context)
        self.assertIn(subscription.id, self.context)
        subscription.close()
        self.assertNotIn(subscription, self.context)
        self.assertNotIn(subscription.id, self.context)


class Adopting(ContextTestCase):
    def test_a_taken_subscription_is_adopted_joined_as_it_is(self) -> None:
        subscription = self.opened(self.context.take(self.joined(self.channel())))
        self.sender(subscription.channel).send(b"x")
        self.assertEqual((self.context.adopt(subscription), subscription.id), (subscription, 2))
        self.assertEqual(self.received(), (subscription, b"x"))

    def test_one_made_alone_is_adopted(self) -> None:
        subscription = self.context.adopt(self.subscription(self.channel()))
        subscription.join()
        self.sender(subscription.channel).send(b"x")
        self.assertEqual(self.received(), (subscription, b"x"))

    def test_one_of_another_context_is_refused(self) -> None:
        subscription = self.opened(Context()).add(self.channel(), self.lo)
        with self.refused(SubscriptionError, f"{subscription!r} belongs to a context already"):
            self.context.adopt(subscription)

    def test_a_duplicate_is_refused_and_stays_open(self) -> None:
        channel = self.channel()
        first, second = self.context.add(channel, self.lo), self.subscription(channel)
        with self.refused(SubscriptionError, f"is subscription {first.id} already"):
            self.context.adopt(second)
        self.assertEqual((second.state, second.context, list(self.context)), ("bound", None, [first]))

    def test_a_closed_one_is_refused(self) -> None:
        subscription = self.subscription(self.channel())
        subscription.close()
        with self.refused(SubscriptionError, "cannot adopt", "it is closed"):
            self.context.adopt(subscription)

    def test_a_closed_context_adopts_none(self) -> None:
        self.context.close()
        with self.refused(SubscriptionError, "cannot adopt", "the context is closed"):
            self.context.adopt(self.subscription(self.channel()))


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

    def test_who_watches_is_told_once_before_it_is_closed(self) -> None:
        seen: list[object] = []
        self.context.watch(lambda context, state: seen.append((context, state, self.context.closed)))
        self.context.close()
        self.context.close()
        self.assertEqual(seen, [(self.context, "closed", False)])

    def test_who_watches_no_more_is_told_nothing(self) -> None:
        seen: list[object] = []

        def watcher(_: object, state: str) -> None:
            seen.append(state)

        self.context.watch(watcher)
        self.context.unwatch(watcher)
        self.context.close()
        self.assertEqual(seen, [])

    def test_a_context_without_a_descriptor_receives(self) -> None:
        with mock.patch.object(selectors, "DefaultSelector", selectors.SelectSelector):
            self.context = self.opened(Context())
        subscription = self.joined(self.channel())
        self.sender(subscription.channel).send(b"x")
        self.assertEqual(self.received(), (subscription, b"x"))
