"""The receive core of this package, as any other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest_mcast
from pytest_mcast.core.errors import MissingCapability

from .protocol import FIELDS, Capabilities, ExpectedFailure

if TYPE_CHECKING:
    from types import TracebackType

    from pytest_mcast.core.channels import Channel
    from pytest_mcast.core.datagrams import Datagram
    from pytest_mcast.core.receiver import Receiver
    from pytest_mcast.hosts import Host

__all__ = ["BuiltInCore", "BuiltInReceiver"]


class BuiltInCore:
    """The receive core of this package: ``pytest_mcast.Receiver``."""

    name = "builtin"
    version: str = pytest_mcast.__version__
    capabilities = Capabilities(
        rejoins=True, filters=True, idle=True, counts_drops=True, receive_buffer=True, max_size=True
    )
    expected_failures: tuple[ExpectedFailure, ...] = ()

    def open(
        self,
        channel: Channel,
        host: Host,
        *,
        interface: str | None = None,
        timeout: float = 5.0,
        receive_buffer: int | None = None,
        max_size: int = 65535,
    ) -> BuiltInReceiver:
        """Open a receiver on the host; see ``ReceiveCore.open``, and ``Capabilities`` for the sizes in bytes."""
        options: dict[str, Any] = {} if interface is None else {"interface": interface}
        options |= {"receive_buffer": receive_buffer, "max_size": max_size}
        return BuiltInReceiver(host.receiver(channel, timeout=timeout, **options))


class BuiltInReceiver:
    """A ``Receiver`` as that of a core."""

    fields = frozenset(FIELDS)

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self.channel = receiver.channel
        self.interface = receiver.interface
        self.max_size = receiver.subscription.max_size

    def ready(self, timeout: float = 10.0) -> str:  # noqa: ARG002 - it is, once it is open
        """Return the evidence that it is ready."""
        return self._receiver.evidence

    def recv(self, timeout: float | None = None) -> Datagram:
        """Return the next datagram; raises ``NotReceived`` after ``timeout`` seconds."""
        return self._receiver.recv(timeout)

    def leave(self) -> None:
        """Give up the membership."""
        self._receiver.subscription.leave()

    def join(self) -> None:
        """Become a member again."""
        self._receiver.subscription.join()

    def block(self, source: str) -> None:
        """Keep a source out."""
        self._receiver.subscription.block(source)

    def unblock(self, source: str) -> None:
        """Let a blocked source in again."""
        self._receiver.subscription.unblock(source)

    def join_source(self, source: str) -> None:
        """Let in one more source."""
        self._receiver.subscription.join_source(source)

    def leave_source(self, source: str) -> None:
        """Give up one source of several."""
        self._receiver.subscription.leave_source(source)

    def drops(self) -> int:
        """Return how many datagrams the kernel has dropped here; raises ``MissingCapability`` where it does not tell."""
        drops = self._receiver.statistics().kernel_drops
        if drops is None:
            raise MissingCapability("drops", "the kernel does not tell what it dropped (SO_MEMINFO)", "use Linux 4.12")
        return drops

    def close(self) -> None:
        """Leave and close; again is no error."""
        self._receiver.close()

    def __enter__(self) -> BuiltInReceiver:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<builtin {self.channel} on {self.interface.name}>"
