"""pytest-asyncio in strict mode: the fixtures are plain, their descriptors are for the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from pytest_mcast import Channel, Datagram, EchoResponder, Host, Receiver, Sender

from downstream.announcer import QUESTION, AsyncListener, Service, group_socket

SERVICE = Service("camera", 554)


async def receive(endpoint: Receiver | Sender, timeout: float = 5.0) -> Datagram:  # noqa: ASYNC109 - the test's deadline
    """Wait in the event loop until there is something, and take it."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(endpoint.fileno(), readable.set)
    try:
        async with asyncio.timeout(timeout):
            await readable.wait()
    finally:
        loop.remove_reader(endpoint.fileno())
    return endpoint.recv(timeout=0)


@pytest_asyncio.fixture
async def listener(mcast_channel: Channel, mcast_receiver_host: Host) -> AsyncIterator[AsyncListener]:
    with mcast_receiver_host:  # no await in here: the thread is elsewhere
        index = mcast_receiver_host.interface.index
        sock = group_socket(mcast_channel.group, mcast_channel.port, index, mcast_channel.source)
    listener = await AsyncListener.open(sock, own=SERVICE)
    yield listener
    await listener.close()


@pytest.mark.asyncio
async def test_loop_reads_the_receiver(mcast_receiver: Receiver, mcast_sender: Sender) -> None:
    waiting = asyncio.create_task(receive(mcast_receiver))
    mcast_sender.send(b"hello")
    assert (await waiting).payload == b"hello"


@pytest.mark.asyncio
async def test_loop_reads_the_echo(mcast_sender: Sender, mcast_echo: EchoResponder) -> None:
    mcast_sender.send(b"hello")
    assert (await receive(mcast_sender)).payload == b"hello"
    assert mcast_echo.running


@pytest.mark.asyncio
async def test_datagram_endpoint_hears_the_sender(listener: AsyncListener, mcast_sender: Sender) -> None:
    mcast_sender.send(b"not an announcement")
    sent = mcast_sender.send(SERVICE.encode())
    async with asyncio.timeout(5):
        assert await listener.hear() == (SERVICE, sent.source[0])


@pytest.mark.asyncio
@pytest.mark.usefixtures("listener")
async def test_datagram_endpoint_answers_the_sender(mcast_sender: Sender) -> None:
    mcast_sender.send(QUESTION)
    assert Service.decode((await receive(mcast_sender)).payload) == SERVICE
