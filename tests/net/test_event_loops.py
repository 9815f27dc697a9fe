"""Nothing of ours blocks an event loop; subscriptions in anyio and trio, by the recipe of docs/core.md."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
import trio
import trio.testing
from blockbuster import BlockBuster, BlockingError, blockbuster_ctx

from pytest_mcast import AsyncReceiver, Channel, Context, Datagram, LabView, NotReceived, Receiver, Sender, Subscription

BACKENDS = ["asyncio", "trio"]


@pytest.fixture(autouse=True)
def blockbuster() -> Iterator[BlockBuster]:
    """Fail whoever blocks the event loop."""
    with blockbuster_ctx() as found:
        yield found


class Network:
    """A context in one host, and senders in another."""

    def __init__(self, lab: LabView) -> None:
        self.lab = lab
        self.rx, self.tx = lab.hosts(2)
        with self.rx:
            self.context = Context()

    def joined(self, family: str = "ipv4") -> tuple[Subscription, Sender]:
        channel = self.lab.channel(family)
        with self.rx:
            subscription = self.context.add(channel, self.rx.interface)
            subscription.join()
        return subscription, self.tx.sender(channel)


@pytest.fixture
def network(mcast_lab: LabView) -> Iterator[Network]:
    network = Network(mcast_lab)
    with network.context:
        yield network


def test_the_guard_notices_what_blocks(network: Network) -> None:
    subscription, _ = network.joined()
    subscription.socket.settimeout(0.01)

    async def block() -> None:
        subscription.receive()

    with pytest.raises(BlockingError):
        asyncio.run(block())


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_nothing_blocks_the_loop(network: Network, family: str) -> None:
    """Subscription, context and receiver; waiting, iterating, called back, at the deadline, and closed."""
    subscription, sender = network.joined(family)
    channel = network.lab.channel(family)
    receiver = network.rx.receiver(channel)
    sources: list[tuple[Any, Sender]] = [
        (network.context, sender),
        (subscription, sender),
        (receiver, network.tx.sender(channel)),
    ]

    async def main() -> None:
        for source, to_it in sources:
            async with AsyncReceiver[Any](source) as ours:
                with pytest.raises(NotReceived):
                    await ours.receive(0.001)
                waiting = [asyncio.ensure_future(ours.receive(10)) for _ in range(3)]
                for _ in waiting:
                    to_it.send(b"x")
                await asyncio.gather(*waiting)
                done = asyncio.get_running_loop().create_future()
                ours.on_datagram(done.set_result)
                to_it.send(b"x")
                await asyncio.wait_for(done, 10)
        async with AsyncReceiver(network.context) as ours:
            network.context.leave(subscription)
            network.context.join(subscription)
            sender.send(b"x")
            async for _, datagram in ours:
                assert datagram.payload == b"x"
                network.context.statistics()
                network.context.remove(subscription)
                network.context.close()

    asyncio.run(main())


async def receive(subscription: Subscription | Receiver) -> Datagram:
    """Wait for the next datagram: the recipe for anyio."""
    while True:
        datagram = subscription.receive()
        if datagram is not None:
            return datagram
        await anyio.wait_readable(subscription)


async def receive_with_trio(subscription: Subscription) -> Datagram:
    """Wait for the next datagram: the recipe for trio."""
    while True:
        datagram = subscription.receive()
        if datagram is not None:
            return datagram
        await trio.lowlevel.wait_readable(subscription.fileno())


def notify(subscription: object, state: str) -> None:
    """Wake who waits for a subscription that is about to be closed."""
    if state == "closed":
        anyio.notify_closing(subscription)  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_anyio(network: Network, backend: str, family: str) -> None:
    pairs = [network.joined(family) for _ in range(3)]
    got: dict[Channel, list[bytes]] = {}

    async def consume(subscription: Subscription) -> None:
        got[subscription.channel] = [(await receive(subscription)).payload for _ in range(10)]

    async def main() -> None:
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                for subscription, _ in pairs:
                    group.start_soon(consume, subscription)
                await anyio.wait_all_tasks_blocked()
                for number in range(10):
                    for _, sender in pairs:
                        sender.send(b"%d" % number)

    anyio.run(main, backend=backend)
    assert got == {subscription.channel: [b"%d" % number for number in range(10)] for subscription, _ in pairs}


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_anyio_deadline_loses_no_datagram(network: Network, backend: str) -> None:
    subscription, sender = network.joined()

    async def main() -> bytes:
        with anyio.move_on_after(0.01) as scope:
            await receive(subscription)
        assert scope.cancelled_caught
        sender.send(b"after the deadline")
        with anyio.fail_after(10):
            return (await receive(subscription)).payload

    assert anyio.run(main, backend=backend) == b"after the deadline"


@pytest.mark.parametrize("backend", BACKENDS)
def test_removal_ends_the_wait_of_an_anyio_task(network: Network, backend: str) -> None:
    subscription, _ = network.joined()
    subscription.watch(notify)
    ended = []

    async def wait() -> None:
        with pytest.raises(anyio.ClosedResourceError):
            await receive(subscription)
        ended.append(subscription.state)

    async def main() -> None:
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(wait)
                await anyio.wait_all_tasks_blocked()
                network.context.remove(subscription)

    anyio.run(main, backend=backend)
    assert ended == ["closed"]


def test_trio(network: Network) -> None:
    subscription, sender = network.joined()
    got = []

    async def consume() -> None:
        got.extend([(await receive_with_trio(subscription)).payload for _ in range(3)])

    async def main() -> None:
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(consume)
                await trio.testing.wait_all_tasks_blocked()
                for number in range(3):
                    sender.send(b"%d" % number)

    trio.run(main)
    assert got == [b"0", b"1", b"2"]
