"""Receiving in an asyncio event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import unittest
from typing import TYPE_CHECKING, Any
from unittest import mock

from pytest_mcast.core import (
    AsyncReceiver,
    Context,
    Datagram,
    NotReceived,
    ReceiveError,
    Receiver,
    Sender,
    Subscription,
    SubscriptionError,
)

from . import support

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TIMEOUT = 10.0


class AioTestCase(support.LoopbackTestCase, unittest.IsolatedAsyncioTestCase):
    def one(self, family: str = "ipv4", mode: str = "asm") -> tuple[Subscription, Sender]:
        subscription = self.subscription(self.channel(family, mode))
        subscription.join()
        return subscription, self.sender(subscription.channel)

    def fence(self) -> None:
        """Return when everything that was sent before has been processed."""
        receiver = self.receiver(self.channel())
        self.sender(receiver.channel).send(b"fence")
        receiver.recv()

    def watched(self, what: Subscription | Context | Receiver) -> bool:
        """Say whether the loop has a reader for it, and take it away."""
        return bool(asyncio.get_running_loop().remove_reader(what.fileno()))

    async def waiting(self, *awaitables: Awaitable[Any]) -> list[asyncio.Future[Any]]:
        """Start tasks and return when all of them wait."""
        tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
        for _ in range(3):
            await asyncio.sleep(0)
        assert not any(task.done() for task in tasks)
        return tasks


class Receiving(AioTestCase):
    async def test_each_kind_of_channel(self) -> None:
        for family, mode in support.KINDS:
            with self.subTest(family=family, mode=mode):
                subscription, sender = self.one(family, mode)
                receiver = AsyncReceiver(subscription)
                (task,) = await self.waiting(receiver.receive(TIMEOUT))
                sender.send(b"waited for")
                self.assertEqual((await task).payload, b"waited for")
                sender.send(b"queued")
                self.assertEqual((await receiver.receive(TIMEOUT)).payload, b"queued")

    async def test_a_context_gives_the_subscription_as_well(self) -> None:
        context = self.opened(Context())
        first, second = (context.add(self.channel(), self.lo) for _ in range(2))
        receiver = AsyncReceiver(context)
        for subscription in (first, second):
            subscription.join()
            (task,) = await self.waiting(receiver.receive(TIMEOUT))
            self.sender(subscription.channel).send(b"x")
            got, datagram = await task
            self.assertEqual((got, datagram.payload), (subscription, b"x"))

    async def test_a_receiver_gives_what_it_has_taken_back_first(self) -> None:
        source = self.receiver(self.channel())
        sender = self.sender(source.channel)
        sender.send(b"one")
        source.give_back([source.recv()])
        sender.send(b"two")
        receiver = AsyncReceiver(source)
        self.assertEqual([(await receiver.receive(TIMEOUT)).payload for _ in range(2)], [b"one", b"two"])

    async def test_nothing_is_told_at_the_deadline(self) -> None:
        subscription, _ = self.one()
        receiver = AsyncReceiver(subscription)
        for seconds in (0, 0.01):
            text = f"nothing for {subscription!r} within {seconds:g} s; received 0, rejected none"
            with self.refused(NotReceived, text):
                await receiver.receive(seconds)
            self.assertFalse(self.watched(subscription))

    async def test_what_is_queued_is_received_without_a_time_out(self) -> None:
        subscription, sender = self.one()
        sender.send(b"x")
        self.fence()
        self.assertEqual((await AsyncReceiver(subscription).receive(0)).payload, b"x")

    async def test_its_error_is_raised(self) -> None:
        channel = self.channel()
        subscription = self.subscription(channel, sock=self.wildcard_socket(channel))
        subscription.join()
        with support.udp_socket("ipv4") as nobody:
            nobody.bind(("127.0.0.1", 0))
            address = nobody.getsockname()
        (task,) = await self.waiting(AsyncReceiver(subscription).receive(TIMEOUT))
        subscription.socket.connect(address)
        subscription.socket.send(b"x")
        with self.refused(ReceiveError, "ECONNREFUSED"):
            await task

    async def test_a_flow_leaves_others_their_turn(self) -> None:
        subscription, sender = self.one()
        for _ in range(200):
            sender.send(b"x")
        self.fence()
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        (task,) = await self.waiting(other())
        turns = 0
        receiver = AsyncReceiver(subscription)
        for _ in range(200):
            await receiver.receive(TIMEOUT)
        task.cancel()
        self.assertGreaterEqual(turns, 3)


class Tasks(AioTestCase):
    async def test_each_of_several_tasks_gets_another_datagram(self) -> None:
        subscription, sender = self.one()
        receiver = AsyncReceiver(subscription)
        tasks = await self.waiting(*(receiver.receive(TIMEOUT) for _ in range(5)))
        for number in range(5):
            sender.send(b"%d" % number)
        got = [datagram.payload for datagram in await asyncio.gather(*tasks)]
        self.assertEqual(sorted(got), [b"0", b"1", b"2", b"3", b"4"])
        self.assertFalse(self.watched(subscription))

    async def test_one_datagram_wakes_the_task_that_has_waited_longest(self) -> None:
        subscription, sender = self.one()
        receiver = AsyncReceiver(subscription)
        first, second = await self.waiting(*(receiver.receive(TIMEOUT) for _ in range(2)))
        sender.send(b"one")
        self.assertEqual((await first).payload, b"one")
        self.assertFalse(second.done())
        sender.send(b"two")
        self.assertEqual((await second).payload, b"two")

    async def test_a_deadline_ends_one_wait_only(self) -> None:
        subscription, sender = self.one()
        receiver = AsyncReceiver(subscription)
        short, long = await self.waiting(receiver.receive(0.01), receiver.receive(TIMEOUT))
        with self.assertRaises(NotReceived):
            await short
        sender.send(b"x")
        self.assertEqual((await long).payload, b"x")

    async def test_cancellation_loses_no_datagram_whenever_it_comes(self) -> None:
        subscription, sender = self.one()
        receiver = AsyncReceiver(subscription)
        cancelled = 0
        for steps in range(6):
            with self.subTest(steps):
                (task,) = await self.waiting(receiver.receive(TIMEOUT))
                sender.send(b"%d" % steps)
                self.fence()
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                try:
                    datagram: Datagram = await task
                except asyncio.CancelledError:
                    cancelled += 1
                    datagram = await receiver.receive(0)
                self.assertEqual(datagram.payload, b"%d" % steps)
                self.assertFalse(self.watched(subscription))
        self.assertIn(cancelled, range(2, 6))  # before and after it was woken

    async def test_a_cancelled_task_leaves_no_reader(self) -> None:
        subscription, _ = self.one()
        (task,) = await self.waiting(AsyncReceiver(subscription).receive())
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task
        self.assertFalse(self.watched(subscription))

    async def test_a_task_that_is_cancelled_when_it_was_woken_hides_nothing_from_the_next(self) -> None:
        subscription, sender = self.one()
        receiver = AsyncReceiver(subscription)
        first, second = await self.waiting(*(receiver.receive(TIMEOUT) for _ in range(2)))
        sender.send(b"x")
        self.fence()
        asyncio.get_running_loop().call_soon(first.cancel)
        self.assertEqual((await second).payload, b"x")
        with contextlib.suppress(asyncio.CancelledError):
            await first

    async def test_a_second_async_receiver_of_a_source_is_refused_while_the_first_waits(self) -> None:
        subscription, sender = self.one()
        first, second = AsyncReceiver(subscription), AsyncReceiver(subscription)
        (task,) = await self.waiting(first.receive(TIMEOUT))
        with self.refused(SubscriptionError, f"{subscription!r} is received from by another AsyncReceiver"):
            await second.receive(TIMEOUT)
        sender.send(b"one")
        self.assertEqual((await task).payload, b"one")
        sender.send(b"two")
        self.assertEqual((await second.receive(TIMEOUT)).payload, b"two")

    async def test_a_second_event_loop_is_refused_while_one_waits(self) -> None:
        subscription, sender = self.one()
        receiver = AsyncReceiver(subscription)
        (task,) = await self.waiting(receiver.receive(TIMEOUT))
        caught: list[BaseException] = []

        def elsewhere() -> None:
            try:
                asyncio.run(receiver.receive(TIMEOUT))
            except SubscriptionError as error:
                caught.append(error)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        self.assertEqual([str(error) for error in caught], [f"{subscription!r} is waited for in another event loop"])
        sender.send(b"x")
        self.assertEqual((await task).payload, b"x")

    async def test_a_loop_that_watches_no_sockets_is_refused_with_one_that_does(self) -> None:
        subscription, _ = self.one()
        receiver = AsyncReceiver(subscription)
        with mock.patch.object(asyncio.get_running_loop(), "add_reader", side_effect=NotImplementedError):
            with self.refused(SubscriptionError, "cannot watch sockets: use asyncio.SelectorEventLoop"):
                await receiver.receive(TIMEOUT)
            with self.refused(SubscriptionError, "cannot watch sockets: use asyncio.SelectorEventLoop"):
                receiver.on_datagram(print)


class Closing(AioTestCase):
    async def test_a_wait_ends_with_its_source(self) -> None:
        context = self.opened(Context())
        removed = context.add(self.channel(), self.lo)
        alone, _ = self.one()
        ready = self.receiver(self.channel())
        sources: list[tuple[Any, Callable[[], None]]] = [
            (removed, lambda: context.remove(removed)),
            (context, context.close),
            (ready, ready.close),
            (alone, alone.close),
        ]
        for source, close in sources:
            with self.subTest(repr(source)):
                receiver: AsyncReceiver[Any] = AsyncReceiver(source)
                (task,) = await self.waiting(receiver.receive())
                descriptor = source.fileno()
                close()
                self.assertFalse(asyncio.get_running_loop().remove_reader(descriptor))
                with self.refused(SubscriptionError, f"cannot receive: {source!r} is closed"):
                    await task

    async def test_every_wait_ends_when_it_is_closed_and_the_source_stays_open(self) -> None:
        subscription, sender = self.one()
        async with AsyncReceiver(subscription) as receiver:
            tasks = await self.waiting(*(receiver.receive() for _ in range(3)))
        for task in tasks:
            with self.refused(SubscriptionError, f"cannot receive: <AsyncReceiver of {subscription!r}> is closed"):
                await task
        with self.refused(SubscriptionError, "is closed"):
            await receiver.receive(0)
        self.assertFalse(self.watched(subscription))
        sender.send(b"x")
        self.fence()
        datagram = subscription.receive()
        self.assertEqual(datagram and datagram.payload, b"x")

    async def test_taking_a_subscription_from_its_context_goes_on_with_its_wait(self) -> None:
        context = self.opened(Context())
        subscription = context.add(self.channel(), self.lo)
        subscription.join()
        (task,) = await self.waiting(AsyncReceiver(subscription).receive(TIMEOUT))
        self.opened(context.take(subscription))
        self.sender(subscription.channel).send(b"x")
        self.assertEqual((await task).payload, b"x")

    async def test_closing_again_is_no_error(self) -> None:
        receiver = AsyncReceiver(self.one()[0])
        receiver.close()
        receiver.close()

    async def test_nothing_is_left_behind(self) -> None:
        channel = self.channel()
        with self.leaving_nothing_open():
            for _ in range(3):
                subscription = Subscription(channel, self.lo)
                subscription.join()
                async with AsyncReceiver(subscription) as receiver:
                    with self.assertRaises(NotReceived):
                        await receiver.receive(0.001)
                subscription.close()


class Iterating(AioTestCase):
    async def test_it_gives_every_datagram_until_it_is_closed(self) -> None:
        subscription, sender = self.one()
        for number in range(3):
            sender.send(b"%d" % number)
        got = []
        async with AsyncReceiver(subscription) as receiver:
            async for datagram in receiver:
                got.append(datagram.payload)
                if len(got) == 3:
                    receiver.close()
        self.assertEqual(got, [b"0", b"1", b"2"])

    async def test_it_ends_when_the_source_is_closed_while_it_waits(self) -> None:
        context = self.opened(Context())

        async def all_of_it() -> int:
            return len([arrived async for arrived in AsyncReceiver(context)])

        (task,) = await self.waiting(all_of_it())
        context.close()
        self.assertEqual(await task, 0)

    async def test_what_forbids_it_otherwise_is_raised(self) -> None:
        receiver = AsyncReceiver(self.one()[0])
        receiver.on_datagram(print)
        with self.refused(SubscriptionError, "goes to"):
            async for _ in receiver:
                pass
        receiver.close()


class Callbacks(AioTestCase):
    def called(self, count: int) -> tuple[list[Datagram], asyncio.Future[None], Any]:
        """Return a list, a future that is done when so many datagrams are in it, and the callback for that."""
        got: list[Datagram] = []
        done = asyncio.get_running_loop().create_future()

        def callback(datagram: Datagram) -> None:
            got.append(datagram)
            if len(got) == count:
                done.set_result(None)

        return got, done, callback

    async def test_it_is_called_with_each_datagram(self) -> None:
        subscription, sender = self.one()
        got, done, callback = self.called(200)
        async with AsyncReceiver(subscription) as receiver:
            receiver.on_datagram(callback)
            for number in range(200):
                sender.send(b"%d" % number)
            await asyncio.wait_for(done, TIMEOUT)
        self.assertEqual([datagram.payload for datagram in got], [b"%d" % number for number in range(200)])
        self.assertFalse(self.watched(subscription))

    async def test_it_is_called_with_what_a_receiver_has_taken_back(self) -> None:
        source = self.receiver(self.channel())
        self.sender(source.channel).send(b"x")
        source.give_back([source.recv()])
        got, done, callback = self.called(1)
        async with AsyncReceiver(source) as receiver:
            receiver.on_datagram(callback)
            await asyncio.wait_for(done, TIMEOUT)
        self.assertEqual(got[0].payload, b"x")

    async def test_what_it_raises_goes_to_the_loops_handler_and_it_goes_on(self) -> None:
        subscription, sender = self.one()
        told: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
        got, done, callback = self.called(2)

        def broken(datagram: Datagram) -> None:
            callback(datagram)
            raise ZeroDivisionError

        async with AsyncReceiver(subscription) as receiver:
            receiver.on_datagram(broken)
            for _ in range(2):
                sender.send(b"x")
            await asyncio.wait_for(done, TIMEOUT)
        self.assertEqual(([type(error) for error in told], len(got)), ([ZeroDivisionError] * 2, 2))

    async def test_none_ends_it(self) -> None:
        subscription, sender = self.one()
        receiver = AsyncReceiver(subscription)
        got, _, callback = self.called(1)
        receiver.on_datagram(callback)
        receiver.on_datagram(None)
        sender.send(b"x")
        self.assertEqual((await receiver.receive(TIMEOUT)).payload, b"x")
        self.assertEqual(got, [])

    async def test_it_may_close_the_source(self) -> None:
        subscription, sender = self.one()
        got, done, callback = self.called(1)

        def once(datagram: Datagram) -> None:
            callback(datagram)
            subscription.close()

        AsyncReceiver(subscription).on_datagram(once)
        for _ in range(2):
            sender.send(b"x")
        await asyncio.wait_for(done, TIMEOUT)
        self.assertEqual((len(got), subscription.state), (1, "closed"))

    async def test_it_is_refused_while_a_task_waits(self) -> None:
        subscription, _ = self.one()
        receiver = AsyncReceiver(subscription)
        (task,) = await self.waiting(receiver.receive())
        with self.refused(SubscriptionError, f"what {subscription!r} receives goes to a task that waits"):
            receiver.on_datagram(print)
        task.cancel()

    async def test_a_second_is_refused_and_so_is_a_task(self) -> None:
        subscription, _ = self.one()
        async with AsyncReceiver(subscription) as receiver:
            receiver.on_datagram(print)
            with self.refused(SubscriptionError, f"what {subscription!r} receives goes to {print!r}"):
                receiver.on_datagram(print)
            with self.refused(SubscriptionError, f"what {subscription!r} receives goes to {print!r}"):
                await receiver.receive(0)
