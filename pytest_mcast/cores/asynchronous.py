"""The asyncio form of the receive core of this package: each receiver is read by an event loop in a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest_mcast
from pytest_mcast.core.aio import AsyncReceiver
from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.errors import NotReceived, SubscriptionError

from .protocol import FIELDS, Capabilities, ExpectedFailure

if TYPE_CHECKING:
    import asyncio
    from types import TracebackType

    from pytest_mcast.core.channels import Channel
    from pytest_mcast.core.datagrams import Datagram
    from pytest_mcast.core.receiver import Receiver
    from pytest_mcast.hosts import Host

__all__ = ["AsyncCore", "LoopReceiver"]


class AsyncCore:
    """The receive core of this package in an event loop: ``pytest_mcast.AsyncReceiver``."""

    name = "builtin-asyncio"
    version: str = pytest_mcast.__version__
    capabilities = Capabilities(rejoins=True, filters=True, max_size=True)
    expected_failures: tuple[ExpectedFailure, ...] = ()

    def open(
        self,
        channel: Channel,
        host: Host,
        *,
        interface: str | None = None,
        timeout: float = 5.0,
        max_size: int = 65535,
    ) -> LoopReceiver:
        """Open a receiver on the host, and a loop that reads it; see ``ReceiveCore.open``, and ``Capabilities``."""
        options: dict[str, Any] = {} if interface is None else {"interface": interface}
        return host.keep(LoopReceiver(host.receiver(channel, timeout=timeout, max_size=max_size, **options), timeout))


class LoopReceiver:
    """A ``Receiver`` whose datagrams an event loop takes as they come."""

    fields = frozenset(FIELDS)

    def __init__(self, receiver: Receiver, timeout: float) -> None:
        self.channel = receiver.channel
        self.interface = receiver.interface
        self.max_size = receiver.subscription.max_size
        self.timeout = timeout
        self._receiver = receiver
        self._arrived: queue.SimpleQueue[Datagram | BaseException] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: asyncio.Event | None = None
        self._source: AsyncReceiver[Datagram] = AsyncReceiver(receiver.subscription)
        self._running = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"event loop of {self.channel}", daemon=True)
        self._thread.start()
        self._running.wait()

    @property
    def closed(self) -> bool:
        """Whether ``close()`` was called."""
        return self._receiver.closed

    def ready(self, timeout: float = 10.0) -> str:  # noqa: ARG002 - it is, once it is open
        """Return the evidence that it is ready."""
        return self._receiver.evidence

    def recv(self, timeout: float | None = None) -> Datagram:
        """Return the next datagram; raises ``NotReceived`` after ``timeout`` seconds, and the errors of the source."""
        deadline = Deadline(self.timeout if timeout is None else timeout)
        try:
            arrived = self._arrived.get(timeout=deadline.remaining())
        except queue.Empty:
            text = f"no datagram for {self.channel} on {self.interface.name} within {deadline.seconds:g} s"
            raise NotReceived(text) from None
        if isinstance(arrived, BaseException):
            raise arrived
        return arrived

    def leave(self) -> None:
        """Give up the membership; what the loop has not taken is lost with it."""
        self._in_loop(self._receiver.subscription.leave)
        while not self._arrived.empty():
            self._arrived.get()

    def join(self) -> None:
        """Become a member again."""
        self._in_loop(self._receiver.subscription.join)

    def block(self, source: str) -> None:
        """Keep a source out."""
        self._in_loop(lambda: self._receiver.subscription.block(source))

    def unblock(self, source: str) -> None:
        """Let a blocked source in again."""
        self._in_loop(lambda: self._receiver.subscription.unblock(source))

    def join_source(self, source: str) -> None:
        """Let in one more source."""
        self._in_loop(lambda: self._receiver.subscription.join_source(source))

    def leave_source(self, source: str) -> None:
        """Give up one source of several."""
        self._in_loop(lambda: self._receiver.subscription.leave_source(source))

    def close(self) -> None:
        """Leave, and end the loop; again is no error."""
        if self._thread.is_alive():
            self._in_loop(self._end)
            self._thread.join()
        self._receiver.close()

    def __enter__(self) -> LoopReceiver:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<builtin-asyncio {self.channel} on {self.interface.name}>"

    def _run(self) -> None:
        import asyncio

        try:
            asyncio.run(self._take())
        except BaseException as error:  # noqa: BLE001 - kept, and raised by recv() in the caller's thread
            self._arrived.put(error)
        finally:
            self._running.set()

    async def _take(self) -> None:
        import asyncio

        self._closing = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.call_soon(self._running.set)
        try:
            async for datagram in self._source:
                self._arrived.put(datagram)
        except OSError as error:
            self._arrived.put(error)
        await self._closing.wait()  # until then others may have something to do in the loop, and wait for it

    def _end(self) -> None:
        assert self._closing is not None  # there is a loop
        self._source.close()
        self._closing.set()

    def _in_loop(self, call: Callable[[], object]) -> None:
        """Call something where the loop runs, which alone may touch the socket, and wait for that."""
        if self._loop is None or not self._thread.is_alive():
            raise SubscriptionError(f"the event loop of {self.channel} has ended")
        done: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

        def run() -> None:
            try:
                call()
            except BaseException as error:  # noqa: BLE001 - it is raised in the caller's thread
                done.put(error)
            else:
                done.put(None)

        self._loop.call_soon_threadsafe(run)
        error = done.get()
        if error is not None:
            raise error
