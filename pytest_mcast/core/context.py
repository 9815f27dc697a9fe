"""A receive core: many subscriptions, served fairly."""

from __future__ import annotations

import selectors
import socket
from collections import deque
from typing import TYPE_CHECKING, Any, Deque, Dict, Iterator, List, Optional, Tuple, Union

from . import system
from .deadline import Deadline
from .errors import SubscriptionError
from .metrics import ContextStatistics
from .subscriptions import Subscription

if TYPE_CHECKING:
    from types import TracebackType

    from .channels import Channel
    from .datagrams import Datagram
    from .interfaces import Interface
    from .metrics import Statistics
    from .subscriptions import Watcher

__all__ = ["Context"]


class Context:
    """Subscriptions that are received from together, in turn.

    Every subscription that has something is served once before any is served again, so that no flow starves another;
    one that fails has had its turn as well. Who is joined is served. A subscription is named by itself or by its id,
    which is never used again.
    """

    def __init__(self) -> None:
        self._selector = system.opened(selectors.DefaultSelector)
        self._subscriptions: Dict[int, Subscription] = {}
        self._places: Dict[Tuple[Channel, int], Subscription] = {}  # by channel and interface
        self._keys: Dict[int, Tuple[Channel, int]] = {}  # the same, by id
        self._descriptors: Dict[int, int] = {}  # of the joined ones, by id
        self._round: Deque[Subscription] = deque()
        self._errors: Deque[OSError] = deque()
        self._watchers: Tuple[Watcher, ...] = ()
        # Of subscriptions when they left, less what they had counted when they came.
        self._totals: Dict[str, int] = {}
        self._rejected: Dict[str, int] = {}
        self._added = self._removed = self._batches = self._batched = 0
        self.closed = False

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
        if self.closed:
            raise SubscriptionError(f"cannot add {channel}: the context is closed")
        subscription = Subscription(channel, interface, receive_buffer=receive_buffer, max_size=max_size, sock=sock)
        try:
            self._enter(subscription)
        except SubscriptionError:
            if sock is None:
                subscription.close()
            raise
        return subscription

    def adopt(self, subscription: Subscription) -> Subscription:
        """Take in a subscription that has no context, such as one that was taken; it gets a new id.

        It is received from at once if it is joined. Raises ``SubscriptionError`` as ``add()``.
        """
        if subscription.context is not None:
            raise SubscriptionError(f"{subscription!r} belongs to a context already; take() it from there first")
        if self.closed or subscription.closed:
            raise SubscriptionError(
                f"cannot adopt {subscription!r}: {'the context' if self.closed else 'it'} is closed"
            )
        self._count(subscription, -1)  # what it has counted elsewhere
        try:
            self._enter(subscription)
        except SubscriptionError:
            self._count(subscription, 1)
            raise
        return subscription

    def get(self, which: Union[Subscription, int]) -> Subscription:
        """Return a subscription of this context; raises ``SubscriptionError``, which lists the ids, for any other."""
        found = self._subscriptions.get(which if isinstance(which, int) else which.id)
        if found is None or which not in (found, found.id):
            ids = ", ".join(map(str, self._subscriptions)) or "none"
            what = f"subscription {which}" if isinstance(which, int) else repr(which)
            raise SubscriptionError(f"{what} does not belong to this context, which has {ids}")
        return found

    def join(self, which: Union[Subscription, int], *, keep_queued: bool = False) -> None:
        """Have a subscription join, as ``Subscription.join``."""
        self.get(which).join(keep_queued=keep_queued)

    def leave(self, which: Union[Subscription, int]) -> None:
        """Have a subscription leave, as ``Subscription.leave``."""
        self.get(which).leave()

    def remove(self, which: Union[Subscription, int]) -> None:
        """Leave and close a subscription; one that is closed is removed already."""
        if isinstance(which, int) or not which.closed:
            self.get(which).close()

    def take(self, which: Union[Subscription, int]) -> Subscription:
        """Hand a subscription over to the caller, open and joined as it is."""
        subscription = self.get(which)
        self._forget(subscription)
        return subscription

    def receive(self, timeout: Optional[float] = 0) -> Optional[Tuple[Subscription, Datagram]]:
        """Return the next datagram and its subscription, or None after ``timeout`` seconds (None: no end).

        The error of a subscription (``ReceiveError``, which names it) is raised once, when all others have had their
        turn.
        """
        if self.closed:
            raise SubscriptionError("cannot receive: the context is closed")
        deadline = Deadline(timeout)
        last_round = False
        while True:
            while self._round:
                subscription = self._round.popleft()
                try:
                    datagram = subscription.receive()
                except OSError as error:
                    self._errors.append(error)
                    continue
                if datagram is not None:
                    return subscription, datagram
            if self._errors:
                raise self._errors.popleft()
            if last_round:
                return None
            remaining = deadline.remaining()
            last_round = remaining == 0
            self._round.extend(key.data for key, _ in self._selector.select(remaining))

    def receive_batch(self, maximum: int, timeout: Optional[float] = 0) -> List[Tuple[Subscription, Datagram]]:
        """Return what there is, up to ``maximum`` datagrams in turn; for the first it waits, ``timeout`` seconds.

        Raises as ``receive()``; what was received before an error is returned, and the next call raises it.
        """
        if maximum < 1:
            raise ValueError(f"maximum={maximum!r} is not a number of datagrams, 1 or more")
        self._batches += 1
        batch: List[Tuple[Subscription, Datagram]] = []
        arrived = self.receive(timeout)
        while arrived is not None:
            batch.append(arrived)
            try:
                arrived = self.receive() if len(batch) < maximum else None
            except OSError as error:
                self._errors.appendleft(error)
                break
        self._batched += len(batch)
        return batch

    def drain(self, maximum: int = 4096) -> List[Tuple[Subscription, Datagram]]:
        """Return all that is queued, without waiting; a stream without end is cut at ``maximum`` datagrams."""
        return self.receive_batch(maximum)

    def statistics(self) -> ContextStatistics:
        """Return the counts of all subscriptions together, also of those that were removed."""
        totals: Dict[str, Any] = dict(self._totals)
        rejected, known = dict(self._rejected), True
        for subscription in self:
            counts = subscription.last_statistics()
            known = known and counts.kernel_drops is not None
            _sum(totals, rejected, counts)
        drops = totals.pop("kernel_drops", 0)
        return ContextStatistics(
            **totals,
            rejected={reason: count for reason, count in rejected.items() if count},
            kernel_drops=drops if known else None,
            added=self._added,
            removed=self._removed,
            active=len(self),
            joined=len(self._descriptors),
            batches=self._batches,
            batched=self._batched,
        )

    def fileno(self) -> int:
        """A descriptor that is readable when a subscription is (epoll(7), kqueue(2)); ``OSError`` on Windows."""
        fileno = getattr(self._selector, "fileno", None)
        if fileno is None:
            raise OSError("this system has no descriptor for several sockets; use those of the subscriptions")
        return int(fileno())

    def watch(self, call: Watcher) -> None:
        """Have this called with the context and ``closed``, just before it is closed."""
        self._watchers += (call,)

    def unwatch(self, call: Watcher) -> None:
        """Have this called no more."""
        self._watchers = tuple(watcher for watcher in self._watchers if watcher != call)

    def close(self) -> None:
        """Leave and close everything; again is no error."""
        watchers, self._watchers = self._watchers, ()
        for call in watchers:
            call(self, "closed")
        for subscription in self:
            subscription.close()
        self._selector.close()
        self.closed = True

    def _enter(self, subscription: Subscription) -> None:
        key = (subscription.channel, subscription.interface.index)
        other = self._places.get(key)
        if other is not None and not other.closed:
            raise SubscriptionError(
                f"{subscription.channel} on {other.interface.name} is subscription {other.id} already"
            )
        if other is not None:  # somebody has closed its socket
            self._forget(other)
        self._added += 1
        subscription.id, subscription.context = self._added, self
        self._places[key] = self._subscriptions[subscription.id] = subscription
        self._keys[subscription.id] = key
        subscription.watch(self._changed)
        self._changed(subscription, subscription.state)

    def _changed(self, subscription: object, state: str) -> None:
        assert isinstance(subscription, Subscription)
        if state == "joined":
            self._serve(subscription)
        elif state == "bound":
            self._pass_over(subscription)
        else:
            self._forget(subscription)

    def _serve(self, subscription: Subscription) -> None:
        descriptor = subscription.fileno()
        stale = self._selector.get_map().get(descriptor)
        if stale is not None:  # somebody has closed its socket
            self._forget(stale.data)
        # By its number, which is known when the socket has been closed.
        self._descriptors[subscription.id] = descriptor
        self._selector.register(descriptor, selectors.EVENT_READ, subscription)

    def _pass_over(self, subscription: Subscription) -> None:
        descriptor = self._descriptors.pop(subscription.id, None)
        if descriptor is not None:
            self._selector.unregister(descriptor)
        if subscription in self._round:
            self._round.remove(subscription)

    def _forget(self, subscription: Subscription) -> None:
        subscription.unwatch(self._changed)
        subscription.context = None
        self._pass_over(subscription)
        del self._subscriptions[subscription.id]
        del self._places[self._keys.pop(subscription.id)]
        self._count(subscription, 1)
        self._removed += 1

    def _count(self, subscription: Subscription, sign: int) -> None:
        _sum(self._totals, self._rejected, subscription.last_statistics(), sign)

    def __contains__(self, which: object) -> bool:
        return any(which in (one, one.id) for one in self)

    def __iter__(self) -> Iterator[Subscription]:
        return iter(list(self._subscriptions.values()))

    def __len__(self) -> int:
        return len(self._subscriptions)

    def __repr__(self) -> str:
        return f"<Context with {len(self)} subscriptions: {'closed' if self.closed else 'open'}>"

    def __enter__(self) -> Context:
        return self

    def __exit__(
        self,
        exception_type: Optional[type[BaseException]],
        exception: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()


def _sum(totals: Dict[str, int], rejected: Dict[str, int], counts: Statistics, sign: int = 1) -> None:
    """Add the counts of a subscription to the totals, or take them away again."""
    for name, count in counts.counts().items():
        if name == "rejected":
            for reason, of_it in count.items():
                rejected[reason] = rejected.get(reason, 0) + sign * of_it
        else:
            totals[name] = totals.get(name, 0) + sign * (count or 0)
