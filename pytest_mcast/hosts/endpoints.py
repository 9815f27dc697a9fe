"""Receivers and senders on a remote host, which are used as those on this one."""

from __future__ import annotations

from collections import deque
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.errors import MissingCapability, SubscriptionError
from pytest_mcast.core.receiver import FenceHost, Receiver
from pytest_mcast.core.sender import Sender
from pytest_mcast.core.subscriptions import Subscription
from pytest_mcast.core.verdicts import is_fence

if TYPE_CHECKING:
    from pytest_mcast.core.bursts import Burst
    from pytest_mcast.core.channels import Channel
    from pytest_mcast.core.datagrams import Datagram, Sent
    from pytest_mcast.core.drain import Drain
    from pytest_mcast.core.metrics import Statistics
    from pytest_mcast.core.subscriptions import Watcher

    from .connection import Connection

__all__ = ["RemoteReceiver", "RemoteSender", "RemoteSubscription"]

_BATCH = 32  # datagrams in one answer


class RemoteSubscription(Subscription):
    """The subscription of a remote receiver."""

    def __init__(self, connection: Connection, opened: dict[str, Any]) -> None:
        self.id = self._number = opened["number"]
        self.channel = opened["channel"]
        self.interface = opened["interface"]
        self.receive_buffer = opened["receive_buffer"]
        self.context = None
        self._connection = connection
        self._state = ""
        #: How many datagrams have come over the connection up to now.
        self.taken = 0
        self._take_over(opened)

    @property
    def state(self) -> str:
        """``bound``, ``joined`` or ``closed``."""
        return self._state

    def join(self, *, keep_queued: bool = False) -> None:
        """Become a member; see ``Subscription.join``."""
        if keep_queued:
            raise ValueError("keep_queued is for receivers on this machine")
        self._change("join")

    def leave(self) -> None:
        """Give up the membership; see ``Subscription.leave``."""
        self._change("leave")

    def join_source(self, source: str) -> None:
        """Let in one more source; see ``Subscription.join_source``."""
        self._change("join_source", source)

    def leave_source(self, source: str) -> None:
        """Give up one source of several; see ``Subscription.leave_source``."""
        self._change("leave_source", source)

    def block(self, source: str) -> None:
        """Keep one source out; see ``Subscription.block``."""
        self._change("block", source)

    def unblock(self, source: str) -> None:
        """Let a blocked source in again; see ``Subscription.unblock``."""
        self._change("unblock", source)

    def receive(self, _: Deadline | None = None) -> Datagram | None:
        """Return the next queued datagram without waiting, or None."""
        return next(iter(self.take(1, 0.0)), None)

    def take(self, count: int, timeout: float | None) -> list[Datagram]:
        """Return the next ``count`` datagrams, or those that came in ``timeout`` seconds.

        Their time stamps are left out: the clocks of two machines differ.
        """
        taken = self._connection.call("take", self._number, count, timeout, waits=timeout != 0, timeout=timeout)
        self.taken += len(taken)
        return [replace(datagram, timestamp_ns=None) for datagram in taken]

    def last_statistics(self) -> Statistics:
        """Return the counts up to now."""
        statistics: Statistics = self._connection.call("ask", self._number, "statistics")
        return statistics

    def watch(self, call: Watcher) -> None:
        """Raise ``MissingCapability``: changes are seen where they happen."""
        raise _only_here(self, f"watched by {call!r}")

    def unwatch(self, call: Watcher) -> None:
        """Do nothing: nobody watches."""

    def fileno(self) -> int:
        """Raise ``MissingCapability``: there is no descriptor on this machine; -1 when closed."""
        if self.closed:
            return -1
        raise _only_here(self, "waited for by its descriptor")

    def close(self) -> None:
        """Leave and close the socket; again is no error, nor when the connection is lost, which has closed it."""
        if not self.closed:
            self._state = "closed"
            self._connection.drop(self._number)

    def _change(self, action: str, *arguments: str) -> None:
        if self.closed:
            raise SubscriptionError(f"cannot {action.replace('_', ' ')}: {self!r}")
        self._take_over(self._connection.call("change", self._number, action, *arguments))

    def _take_over(self, changed: dict[str, Any]) -> None:
        self._state = changed["state"]
        self._sources, self._blocked = set(changed["sources"]), set(changed["blocked"])


class RemoteReceiver(Receiver):
    """A receiver on a remote host. ``leave()``, ``join()``, ``block()`` are those of its ``subscription``."""

    subscription: RemoteSubscription

    def __init__(self, connection: Connection, opened: dict[str, Any], timeout: float) -> None:
        self.timeout = Deadline(timeout).seconds or 0.0
        self.evidence = opened["evidence"]
        self._connection = connection
        self.subscription = RemoteSubscription(connection, opened)
        self.control = self.no_control = self.lost = None
        self.inside = nullcontext
        self._kept: deque[Datagram] = deque()
        self._drops = 0

    def expect(self, count: int, timeout: float | None = None) -> list[Datagram]:
        """Return the next ``count`` datagrams; see ``Receiver.expect``."""
        if self.closed:
            raise SubscriptionError(f"the receiver of {self.channel} is closed")
        deadline = Deadline(self.timeout if timeout is None else timeout)
        datagrams: list[Datagram] = []
        while len(datagrams) < count:
            if self._kept:
                taken = [self._kept.popleft()]
            else:
                taken = self.subscription.take(min(_BATCH, count - len(datagrams)), deadline.remaining())
            datagrams += [datagram for datagram in taken if not is_fence(datagram.payload)]
            if not taken:
                raise self._not_received(count, datagrams, deadline)
        return datagrams

    def drain(self) -> Drain:
        """Raise ``MissingCapability``: each datagram comes over the connection."""
        raise _only_here(self, "drained of bursts")

    def _next(self, deadline: Deadline) -> Datagram | None:
        if self._kept:
            return self._kept.popleft()
        return next(iter(self.subscription.take(1, deadline.remaining())), None)

    def _witness(self, fence: FenceHost | Sender) -> Receiver:
        if isinstance(fence, Sender):
            return super()._witness(fence)  # which refuses it
        channel = self._connection.call("pick", self.channel.family, None, None, self.interface)
        opened = self._connection.call("receiver", channel, {"interface": self.interface})
        return RemoteReceiver(self._connection, opened, self.timeout)

    def close(self) -> None:
        """Leave and close; again is no error."""
        self.subscription.close()


class RemoteSender(Sender):
    """A sender on a remote host."""

    def __init__(self, connection: Connection, channel: Channel, opened: dict[str, Any], timeout: float) -> None:
        self.channel = channel
        self.interface = opened["interface"]
        self.timeout = timeout
        self.send_buffer = opened["send_buffer"]
        self.source = opened["source"]
        #: What its socket has said of itself when it was opened, of what ``evidence.socket_options`` tells.
        self.options: dict[str, Any] = {
            "family": channel.family,
            "local": list(self.source),
            "multicast_ttl": opened["ttl"],
            "multicast_loop": int(opened["loopback"]),
        }
        self._number = opened["number"]
        self.count = 0
        self._connection = connection
        self._closed = False

    @property
    def ttl(self) -> int:
        """The TTL or hop limit, read back from the socket."""
        return int(self._ask("ttl"))

    @property
    def loopback(self) -> bool:
        """Whether receivers on the same host get the datagrams too, read back from the socket."""
        return bool(self._ask("loopback"))

    @property
    def dscp(self) -> int:
        """The differentiated services code point, read back from the socket."""
        return int(self._ask("dscp"))

    def send(self, payload: bytes) -> Sent:
        """Send one datagram and return what was sent from where, without a time: the clocks of two machines differ."""
        sent: Sent = self._ask("send", bytes(payload), timeout=self.timeout)
        self.count += 1
        return replace(sent, timestamp_ns=None)

    def burst(self, count: int, size: int, rate: float | None = None) -> Burst:
        """Raise ``MissingCapability``: each datagram goes over the connection."""
        raise _only_here(self, f"the sender of a burst of {count} datagrams of {size} bytes, rate {rate}")

    def recv(self, timeout: float | None = None) -> Datagram:
        """Return the next reply; see ``Sender.recv``."""
        seconds = self.timeout if timeout is None else timeout
        datagram: Datagram = self._ask("recv", seconds, waits=True, timeout=seconds)
        return replace(datagram, timestamp_ns=None)

    def fileno(self) -> int:
        """Raise ``MissingCapability``: there is no descriptor on this machine; -1 when closed."""
        if self._closed:
            return -1
        raise _only_here(self, "waited for by its descriptor")

    @property
    def closed(self) -> bool:
        """Whether ``close()`` was called."""
        return self._closed

    def close(self) -> None:
        """Close the socket; again is no error, nor when the connection is lost, which has closed it."""
        if not self._closed:
            self._closed = True
            self._connection.drop(self._number)

    def _ask(self, what: str, *arguments: Any, waits: bool = False, timeout: float | None = 0.0) -> Any:
        if self._closed:
            raise OSError(f"{self!r} is closed")
        return self._connection.call("ask", self._number, what, *arguments, waits=waits, timeout=timeout)


def _only_here(what: object, how: str) -> MissingCapability:
    return MissingCapability(
        "local", f"{what!r} is on another machine, and cannot be {how}", "use a host on this machine"
    )
