"""What every host can do."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pytest_mcast.core.attempts import Attempt
from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.echo import EchoResponder
from pytest_mcast.core.errors import InterfaceError
from pytest_mcast.core.interfaces import Interface
from pytest_mcast.core.receiver import Receiver
from pytest_mcast.core.sender import Sender

if TYPE_CHECKING:
    import asyncio
    from types import TracebackType

    from pytest_mcast.core.channels import Channel
    from pytest_mcast.wire import Membership

__all__ = ["Host", "Task"]


class _Closable(Protocol):
    @property
    def closed(self) -> bool: ...

    def close(self) -> None: ...


_Endpoint = TypeVar("_Endpoint", bound=_Closable)


class Host:
    """A place where endpoints live. ``with host:`` the calling thread is there: sockets made inside stay there.

    What is opened through the host is closed by ``close_endpoints()``, unless it was closed before.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._endpoints: list[_Closable] = []
        self._enough = 64  # then those that were closed are forgotten
        self._tasks: list[Task] = []
        #: Is told of what is refused here, and what endpoints and listeners that are opened from now on tell of a loss or
        #: a refusal, while everything is as it was; see ``Receiver.lost``.
        self.lost: Callable[[Exception], object] | None = None
        #: What is called when the host comes to its end, if it does.
        self.ends: list[Callable[[], object]] = []

    @property
    def endpoints(self) -> list[Any]:
        """What was opened through the host and is not closed yet, the oldest first."""
        return [endpoint for endpoint in self._endpoints if not endpoint.closed]

    @property
    def gone(self) -> bool:
        """Whether it has come to its end, so that nobody can enter it or ask it anything."""
        return False

    @property
    def interfaces(self) -> list[Interface]:
        """The interfaces of the host as they are now, loopback included."""
        with self.inside():
            return Interface.all()

    @property
    def interface(self) -> Interface:
        """The interface that endpoints use when none is named."""
        raise NotImplementedError

    def source(self, family: str, scope: str = "link-local") -> str:
        """Return the address that datagrams to groups of this family and scope come from."""
        return self.interface.address(family, scope)

    @property
    def identities(self) -> frozenset[str]:
        """What messages of the host are known by: its addresses."""
        return frozenset(address for interface in self.interfaces for address in interface.addresses)

    def memberships(self, group: str | None = None, interface: str | None = None) -> frozenset[Membership]:
        """Return what the kernel has joined here, of one group or interface if it is named (about 0.6 ms).

        Without a group there are also the kernel's own. Raises ``MissingCapability`` where it does not tell.
        """
        from pytest_mcast.wire import memberships

        with self.inside():
            return memberships(group, interface)

    def receiver(self, channel: Channel, **options: Any) -> Receiver:
        """Open a ready receiver here; see ``Receiver`` for options and errors."""
        options.setdefault("interface", self.interface)
        with self.inside(), self._attempt():
            receiver = self.keep(Receiver(channel, **options))
        receiver.inside = self.inside
        receiver.host, receiver.lost = self, self.lost
        return receiver

    def sender(self, channel: Channel, **options: Any) -> Sender:
        """Open a sender here; see ``Sender`` for options and errors."""
        options.setdefault("interface", self.interface)
        with self.inside(), self._attempt():
            sender = self.keep(Sender(channel, **options))
        sender.host, sender.lost = self, self.lost
        return sender

    def echo(self, channel: Channel, **options: Any) -> EchoResponder:
        """Start an echo responder here; see ``EchoResponder`` for options and errors."""
        options.setdefault("interface", self.interface)
        with self.inside(), self._attempt():
            return self.keep(EchoResponder(channel, **options))

    def run(self, function: Callable[..., Any], *arguments: Any, timeout: float = 30.0) -> Any:
        """Call the function in a thread of its own in this host and return its result.

        A coroutine function gets an event loop of its own. Raises what the function raises, and ``TimeoutError``
        when it goes on for ``timeout`` seconds (a coroutine is then cancelled, a plain function cannot be).
        """
        return self.start(function, *arguments).result(timeout)

    def start(self, function: Callable[..., Any], *arguments: Any) -> Task:
        """Do the same in the background: the result is a ``Task``."""
        task = Task(self, function, arguments)
        self._tasks.append(task)
        return task

    def inside(self) -> AbstractContextManager[object]:
        """Return what our own code enters the host with; ``with host:`` is for the user's."""
        return nullcontext()

    @contextmanager
    def _attempt(self) -> Iterator[None]:
        """Have an error of a call that the kernel refuses tell that it was here."""
        try:
            yield
        except (OSError, InterfaceError) as error:
            attempt = Attempt.of(error)
            if attempt is not None:
                attempt.host = self
                if self.lost is not None:
                    self.lost(error)
            raise

    def close_endpoints(self) -> None:
        """Close what was opened through the host, and cancel what was started."""
        with ExitStack() as stack:
            for endpoint in self._endpoints:
                stack.callback(endpoint.close)
            for task in self._tasks:
                stack.callback(task.cancel)
            self._endpoints.clear()
            self._tasks.clear()

    def keep(self, endpoint: _Endpoint) -> _Endpoint:
        """Have something closed with what else is open here, and return it."""
        if len(self._endpoints) >= self._enough:
            self._endpoints = [kept for kept in self._endpoints if not kept.closed]
            self._enough = max(64, 2 * len(self._endpoints))
        self._endpoints.append(endpoint)
        return endpoint

    def __enter__(self) -> Host:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class Task:
    """A function that runs in a host, in a daemon thread of its own."""

    def __init__(self, host: Host, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self._host = host
        self._function = function
        self._arguments = arguments
        self._result: Any = None
        self._error: BaseException | None = None
        self._coroutine: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None
        self._lock = threading.Lock()
        self._cancelled = False
        self._fetched = False
        name = getattr(function, "__name__", "function")
        self._thread = threading.Thread(target=self._run, name=f"{name} in {host.name}", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        return self._thread.is_alive()

    def result(self, timeout: float | None = 30.0) -> Any:
        """Wait for the end and return the result, or raise what was raised.

        Raises ``TimeoutError`` after ``timeout`` seconds, having cancelled a coroutine.
        """
        deadline = Deadline(timeout)
        self._fetched = True
        self._thread.join(deadline.remaining())
        if self._thread.is_alive():
            self._cancel_coroutine()
            raise TimeoutError(f"{self._thread.name!r} goes on after {timeout:g} s")
        if self._error is not None:
            raise self._error
        return self._result

    def cancel(self, timeout: float = 5.0) -> None:
        """Cancel a coroutine and wait for its end.

        Raises ``TimeoutError`` when it, or a plain function, goes on for ``timeout`` seconds, and the error with which it
        had ended, unless ``result()`` was asked for.
        """
        self._cancel_coroutine()
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise TimeoutError(f"{self._thread.name!r} does not end: a function that waits needs a time-out of its own")
        if self._error is not None and not self._fetched and type(self._error).__name__ != "CancelledError":
            raise self._error

    def _cancel_coroutine(self) -> None:
        with self._lock:
            self._cancelled = True
            if self._coroutine is not None:
                loop, task = self._coroutine
                loop.call_soon_threadsafe(task.cancel)

    def _run(self) -> None:
        try:
            with self._host:
                if inspect.iscoroutinefunction(self._function):
                    import asyncio

                    self._result = asyncio.run(self._await())
                else:
                    self._result = self._function(*self._arguments)
        except BaseException as error:  # noqa: BLE001 - kept, and raised by result() in the caller's thread
            self._error = error

    async def _await(self) -> Any:
        import asyncio

        task = asyncio.ensure_future(self._function(*self._arguments))
        with self._lock:
            self._coroutine = (asyncio.get_running_loop(), task)
            if self._cancelled:
                task.cancel()
        try:
            return await task
        finally:
            with self._lock:
                self._coroutine = None
