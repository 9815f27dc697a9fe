"""anyio: the same on asyncio and on trio."""

from __future__ import annotations

import anyio
import pytest
from pytest_mcast import Datagram, EchoResponder, Receiver, Sender

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def receive(endpoint: Receiver | Sender) -> Datagram:
    """Wait in the event loop until there is something, and take it."""
    with anyio.fail_after(5):
        await anyio.wait_readable(endpoint.fileno())
    return endpoint.recv(timeout=0)


async def test_loop_reads_the_receiver(mcast_receiver: Receiver, mcast_sender: Sender) -> None:
    async def expect() -> None:
        assert (await receive(mcast_receiver)).payload == b"hello"

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(expect)
        mcast_sender.send(b"hello")


async def test_loop_reads_the_echo(mcast_sender: Sender, mcast_echo: EchoResponder) -> None:
    mcast_sender.send(b"hello")
    assert (await receive(mcast_sender)).payload == b"hello"
    assert mcast_echo.running


async def test_blocking_calls_go_to_a_thread(mcast_receiver: Receiver, mcast_sender: Sender) -> None:
    mcast_sender.send(b"hello")
    datagram = await anyio.to_thread.run_sync(mcast_receiver.recv)
    assert datagram.payload == b"hello"
