"""A receive core: many subscriptions, served fairly."""

from __future__ import annotations

import selectors
import socket
from collections import deque
from typing import TYPE_CHECKING, Deque, Dict, Iterator, Optional, Tuple, Union

from .deadline import Deadline
from .errors import SubscriptionError
from .subscriptions import Subscription

if TYPE_CHECKING:
    from types import TracebackType

    from .channels import Channel
    from .datagrams import Datagram
    from .interfaces import Interface

__all__ = ["Context"]


class Context:
    """Subscriptions that are received from together, in turn.

    Every subscription that has something is served once before any is served again, so that no flow starves another.
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._subscriptions: Dict[int, Subscription] = {}
        self._descriptors: Dict[int, int] = {}
        self._round: Deque[Subscription] = deque()
        self._next_id = 1
        self._closed = False

    def add(
        self,
        channel: Channel,
        interface: Union[str, int, Interface, None] = None,
        *,
        receive_buffer: Optional[int] = None,
        max_size: int = 65535,
        sock: Optional[socket.socket] = None,
    ) -> Subscription:
        """Open and bind a subscription, without joining; see ``Subscription`` for the arguments and errors.

        Raises ``SubscriptionError`` when this context has the channel on that interface already, or is closed.
        """
        if self._closed:
            raise SubscriptionError(f"cannot add {channel}: the context is closed")
        subscription = Subscription(
            channel, interface, receive_buffer=receive_buffer, max_size=max_size, sock=sock, id=self._next_id
        )
        for other in self:
            if (other.channel, other.interface.index) == (subscription.channel, subscription.interface.index):
                if sock is None:
                    subscription.close()
                raise SubscriptionError(f"{channel} on {other.interface.name} is subscription {other.id} already")
        # By its number, which is known when the socket has been closed.
        self._descriptors[subscription.id] = subscription.fileno()
        self._selector.register(subscription.fileno(), selectors.EVENT_READ, subscription)
        self._subscriptions[subscription.id] = subscription
        subscription.on_close(self._forget)
        self._next_id += 1
        return subscription

    def remove(self, subscription: Subscription) -> None:
        """Leave and close a subscription; one that is closed is removed already."""
        if subscription.state != "closed":
            self.take(subscription).close()

    def take(self, subscription: Subscription) -> Subscription:
        """Hand a subscription over to the caller, open and joined as it is."""
        if self._subscriptions.get(subscription.id) is not subscription:
            raise SubscriptionError(f"{subscription!r} does not belong to this context")
        self._forget(subscription)
        return subscription

    def receive(self, timeout: Optional[float] = 0) -> Optional[Tuple[Subscription, Datagram]]:
        """Return the next datagram and its subscription, or None after ``timeout`` seconds (None: no end)."""
        deadline = Deadline(timeout)
        last_round = False
        while True:
            while self._round:
                subscription = self._round.popleft()
                datagram = subscription.receive(deadline)
                if datagram is not None:
                    return subscription, datagram
            if last_round:
                return None
            remaining = deadline.remaining()
            last_round = remaining == 0
            self._round.extend(key.data for key, _ in self._selector.select(remaining))

    def fileno(self) -> int:
        """A descriptor that is readable when a subscription is (epoll(7), kqueue(2)); ``OSError`` on Windows."""
        fileno = getattr(self._selector, "fileno", None)
        if fileno is None:
            raise OSError("this system has no descriptor for several sockets; use those of the subscriptions")
        return int(fileno())

    def close(self) -> None:
        """Leave and close everything; again is no error."""
        for subscription in self:
            subscription.close()
        self._selector.close()
        self._closed = True

    def _forget(self, subscription: Subscription) -> None:
        subscription.on_close(None)
        del self._subscriptions[subscription.id]
        self._selector.unregister(self._descriptors.pop(subscription.id))
        if subscription in self._round:
            self._round.remove(subscription)

    def __iter__(self) -> Iterator[Subscription]:
        return iter(list(self._subscriptions.values()))

    def __len__(self) -> int:
        return len(self._subscriptions)

    def __enter__(self) -> Context:
        return self

    def __exit__(
        self,
        exception_type: Optional[type[BaseException]],
        exception: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()
