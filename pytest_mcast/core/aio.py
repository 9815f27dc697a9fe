"""Receiving in an asyncio event loop. asyncio itself is imported when a loop runs already."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Callable, Deque, Generic, Optional, Protocol, Set, TypeVar

from .deadline import Deadline
from .errors import NotReceived, SubscriptionError

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future
    from types import TracebackType

    from .metrics import Snapshot
    from .subscriptions import Watcher

__all__ = ["AsyncReceiver", "Source"]

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)

_AT_ONCE = 64  # datagrams, before others in the event loop have their turn
_WATCHED: Set[int] = set()  # descriptors; a loop has room for one reader of each, and silently replaces it


class Source(Protocol[_T_co]):
    """What can be received from without waiting: a ``Subscription``, a ``Context``, a ``Receiver``."""

    @property
    def closed(self) -> bool:
        """Whether it is closed."""

    def receive(self) -> Optional[_T_co]:
        """Return the next datagram (of a context: with its subscription), or None."""

    def fileno(self) -> int:
        """Return the descriptor that is readable when there is one."""

    def statistics(self) -> Snapshot:
        """Return what it has counted."""

    def watch(self, call: Watcher) -> None:
        """Have this called just before it is closed."""

    def unwatch(self, call: Watcher) -> None:
        """Have this called no more."""


class AsyncReceiver(Generic[_T]):
    """Receives from a subscription, a context or a receiver in a running asyncio event loop, which is never blocked.

    Awaited by any number of tasks (``await receive()``), gone through (``async for``: until it is closed), or with a
    callback. Of one source there is one such object at a time. It gives what the ``receive()`` of its source gives: of a
    context, the subscription and the datagram. The source stays the caller's, and stays open.

    The loop must be one that watches sockets, such as ``asyncio.SelectorEventLoop``: the default one, except on Windows.
    """

    def __init__(self, source: Source[_T]) -> None:
        self.source = source
        self._closed = False
        self._loop: Optional[AbstractEventLoop] = None  # where the descriptor is watched
        self._descriptor = -1
        self._waiting: Deque[Future[None]] = deque()
        self._callback: Optional[Callable[[_T], object]] = None
        self._at_once = 0
        source.watch(self._changed)

    @property
    def closed(self) -> bool:
        """Whether it, or its source, is closed."""
        return self._closed or self.source.closed

    async def receive(self, timeout: Optional[float] = None) -> _T:
        """Return the next datagram; raises ``NotReceived`` after ``timeout`` seconds (None: no end).

        A task that is cancelled while it waits has taken nothing. Raises ``SubscriptionError`` when the source is
        closed or removed, before or meanwhile, and for a loop that watches no sockets; ``ReceiveError`` as the source.
        """
        deadline = Deadline(timeout)
        self._at_once += 1
        if self._at_once > _AT_ONCE:
            import asyncio

            self._at_once = 0
            await asyncio.sleep(0)  # the others' turn
        while True:
            self._need_open()
            if self._callback is not None:
                raise SubscriptionError(f"what {self.source!r} receives goes to {self._callback!r}")
            arrived = self.source.receive()
            if arrived is not None:
                return arrived
            if deadline.passed():
                raise NotReceived(f"nothing for {self.source!r} within {timeout:g} s; {self.source.statistics()}")
            await self._until_readable(deadline)

    def on_datagram(self, callback: Optional[Callable[[_T], object]]) -> None:
        """Have this called with each datagram, by the running event loop; None ends it.

        What it raises, and errors of the source, go to the exception handler of the loop, and it goes on. Raises
        ``SubscriptionError`` when there is one already or a task waits, and as ``receive()``.
        """
        if callback is None:
            self._callback = None
            self._rest()
            return
        self._need_open()
        if self._callback is not None or self._waiting:
            whose = "a task that waits" if self._callback is None else repr(self._callback)
            raise SubscriptionError(f"what {self.source!r} receives goes to {whose}")
        loop = _running_loop()
        self._watch(loop)
        self._callback = callback
        loop.call_soon(self._deliver)  # what the source has read already makes nothing readable

    def close(self) -> None:
        """End every wait, and the callback; again is no error."""
        self._closed = True
        self.source.unwatch(self._changed)
        self._end()

    async def _until_readable(self, deadline: Deadline) -> None:
        loop, remaining = _running_loop(), deadline.remaining()
        self._watch(loop)
        self._at_once = 0
        future: Future[None] = loop.create_future()
        self._waiting.append(future)
        timer = None if remaining is None else loop.call_later(remaining, _wake, future)
        try:
            await future
        finally:
            if timer is not None:
                timer.cancel()
            if future in self._waiting:  # not woken by the descriptor
                self._waiting.remove(future)
            self._rest()

    def _readable(self) -> None:
        """Wake one task: while there is more to read the loop calls again, and the next is woken."""
        if self._callback is not None:
            self._deliver()
        elif self._waiting:
            _wake(self._waiting.popleft())
            self._rest()

    def _deliver(self) -> None:
        for _ in range(_AT_ONCE):
            if self._callback is None:  # also: closed by the last call of it
                return
            arrived = self.source.receive()
            if arrived is None:
                return
            self._callback(arrived)

    def _watch(self, loop: AbstractEventLoop) -> None:
        if self._loop is loop:
            return
        if self._loop is not None:
            raise SubscriptionError(f"{self.source!r} is waited for in another event loop")
        descriptor = self.source.fileno()
        if descriptor in _WATCHED:
            raise SubscriptionError(f"{self.source!r} is received from by another AsyncReceiver; share that one")
        try:
            loop.add_reader(descriptor, self._readable)
        except NotImplementedError:
            raise SubscriptionError(
                f"{type(loop).__name__} cannot watch sockets: use asyncio.SelectorEventLoop, such as "
                "asyncio.set_event_loop_policy(asyncio.WindowsSelectorEventLoopPolicy()) before asyncio.run()"
            ) from None
        self._loop, self._descriptor = loop, descriptor
        _WATCHED.add(descriptor)

    def _rest(self) -> None:
        """Watch no longer when nobody waits."""
        if self._loop is None or self._waiting or self._callback is not None:
            return
        if not self._loop.is_closed():
            self._loop.remove_reader(self._descriptor)
        _WATCHED.discard(self._descriptor)
        self._loop = None

    def _changed(self, _: object, state: str) -> None:
        if state == "closed":
            self._end()

    def _end(self) -> None:
        self._callback = None
        while self._waiting:
            _wake(self._waiting.popleft())
        self._rest()

    def _need_open(self) -> None:
        if self.closed:
            raise SubscriptionError(f"cannot receive: {self if self._closed else self.source!r} is closed")

    async def __aenter__(self) -> AsyncReceiver[_T]:
        return self

    async def __aexit__(
        self,
        exception_type: Optional[type[BaseException]],
        exception: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __aiter__(self) -> AsyncReceiver[_T]:
        return self

    async def __anext__(self) -> _T:
        try:
            return await self.receive()
        except SubscriptionError:
            if self.closed:
                raise StopAsyncIteration from None
            raise

    def __repr__(self) -> str:
        return f"<AsyncReceiver of {self.source!r}>"


def _running_loop() -> AbstractEventLoop:
    import asyncio

    return asyncio.get_running_loop()


def _wake(future: Future[None]) -> None:
    if not future.done():
        future.set_result(None)
