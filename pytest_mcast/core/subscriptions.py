"""One membership and the socket that serves it: bind, join, leave, block, receive.

The socket is a strict one (see ``sockets``), and every datagram's packet information is checked again, which is all
that protects a socket the caller has brought.
"""

from __future__ import annotations

import socket
from collections import Counter
from typing import TYPE_CHECKING, Callable, Dict, FrozenSet, Optional, Set, Tuple, Union

from . import system
from .attempts import Attempt
from .channels import Channel
from .datagrams import Datagram
from .errors import MembershipError, ReceiveError, SubscriptionError
from .interfaces import Interface
from .metrics import Statistics
from .sockets import fit_socket, strict_socket

if TYPE_CHECKING:
    from types import TracebackType

    from .context import Context
    from .deadline import Deadline

__all__ = ["Subscription", "Watcher"]

_FLOOD = 65536  # datagrams

#: Is told of a subscription, or of a context, and of its new state.
Watcher = Callable[[object, str], object]


class Subscription:
    """A socket for one channel on one interface, and its membership.

    Open and bound once constructed, member only after ``join()``. ``interface`` is anything that ``Interface.find``
    takes (default: the best one for the family). ``receive_buffer`` is in bytes; ``max_size`` is the largest payload in
    bytes that is taken whole. ``sock`` is a bound UDP socket of the caller's: it is made non-blocking, told to deliver
    packet information, and closed together with the subscription.

    Raises ``InterfaceError``, ``SubscriptionError`` for an unfit socket, ``OSError`` when the port is taken by
    somebody who does not share it, and ``MissingCapability`` when the system allows no more open files.
    """

    def __init__(
        self,
        channel: Channel,
        interface: Union[str, int, Interface, None] = None,
        *,
        receive_buffer: Optional[int] = None,
        max_size: int = 65535,
        sock: Optional[socket.socket] = None,
        id: int = 0,  # noqa: A002 - the field's word
    ) -> None:
        self.interface = Interface.best(channel.family) if interface is None else Interface.find(interface)
        self.id = id
        #: The context that it belongs to.
        self.context: Optional[Context] = None
        self.max_size = max_size
        try:
            self.socket = strict_socket(channel, self.interface) if sock is None else fit_socket(channel, sock)
        except OSError as error:
            Attempt("join", channel, self.interface).failed(error)
            raise
        try:
            for option in system.metadata_options(channel.family):
                system.set_option(self.socket, option)
            self.receive_buffer = system.set_buffer(self.socket, socket.SO_RCVBUF, receive_buffer)
        except BaseException:  # whatever it is: let go, and pass it on
            if sock is None:
                self.socket.close()
            raise
        port = self.socket.getsockname()[1]
        self.channel = channel if channel.port == port else Channel.unchecked(channel.group, port, channel.source)
        self._sources: Set[str] = set()
        self._blocked: Set[str] = set()
        self._joined = False
        self._watchers: Tuple[Watcher, ...] = ()
        self._received = self._bytes = self._empty = self._errors = self._joins = self._leaves = 0
        self._rejected: Dict[str, int] = Counter()
        self._last: Optional[Datagram] = None

    @property
    def state(self) -> str:
        """``bound``, ``joined`` or ``closed``."""
        if self.socket.fileno() < 0:
            return "closed"
        return "joined" if self._joined else "bound"

    @property
    def sources(self) -> FrozenSet[str]:
        """The sources that are let in; empty for any source."""
        return frozenset(self._sources)

    @property
    def blocked(self) -> FrozenSet[str]:
        """The sources that are kept out of an any-source membership."""
        return frozenset(self._blocked)

    @property
    def closed(self) -> bool:
        """Whether ``close()`` was called."""
        return self.state == "closed"

    def join(self, *, keep_queued: bool = False) -> None:
        """Become a member: of the group, or of the group from the channel's source (RFC 3376, RFC 3810).

        What is queued from before is discarded, and counted as rejected (``membership``); with ``keep_queued`` it is
        delivered, as far as it belongs to the channel. Raises ``MembershipError`` and ``SubscriptionError``.
        """
        self._need("bound", "join")
        if not keep_queued:
            self._discard_queued()
        source = self.channel.source
        self._membership("join" if source is None else "join-source", source)
        if source is not None:
            self._sources.add(source)
        self._become("joined")

    def leave(self) -> None:
        """Give up the membership with all its sources and blocks; the socket stays open for a later ``join()``."""
        self._need("joined", "leave")
        self._membership("leave", None)
        self._sources.clear()
        self._blocked.clear()
        self._become("bound")

    def join_source(self, source: str) -> None:
        """Let in one more source of a source-specific membership."""
        self._need("joined", "join a source")
        if self.channel.mode != "ssm":  # Linux would silently narrow the membership to that source
            raise SubscriptionError(f"{self.channel} accepts any source already; use block() to keep one out")
        source = self._checked(source)
        self._membership("join-source", source)
        self._sources.add(source)

    def leave_source(self, source: str) -> None:
        """Give up one source of several; raises ``SubscriptionError`` when it was not joined."""
        self._need("joined", "leave a source")
        source = self._checked(source)
        if source not in self._sources:
            raise SubscriptionError(f"{source} is not a source of {self.channel}; {sorted(self._sources)} are")
        self._membership("leave-source", source)
        self._sources.discard(source)
        if not self._sources:
            self._become("bound")

    def block(self, source: str) -> None:
        """Keep one source out of an any-source membership (RFC 3376: EXCLUDE mode)."""
        self._need("joined", "block a source")
        if self.channel.mode != "asm":
            raise SubscriptionError(f"{self.channel} names its sources; use leave_source() to give one up")
        source = self._checked(source)
        self._membership("block", source)
        self._blocked.add(source)

    def unblock(self, source: str) -> None:
        """Let a blocked source in again; raises ``SubscriptionError`` when it was not blocked."""
        self._need("joined", "unblock a source")
        source = self._checked(source)
        if source not in self._blocked:
            raise SubscriptionError(f"{source} is not blocked on {self.channel}; {sorted(self._blocked)} are")
        self._membership("unblock", source)
        self._blocked.discard(source)

    def receive(self, deadline: Optional[Deadline] = None) -> Optional[Datagram]:
        """Return the next queued datagram of the channel without waiting, or None.

        Foreign datagrams are counted and passed over, so that none hides one of ours; but a flood of them, more than
        any buffer holds, is given up when ``deadline`` has passed (None: it has). Without a membership everything is
        foreign. Raises ``ReceiveError``.
        """
        return self.receive_batch(deadline, self.max_size)[0]

    def receive_batch(
        self, deadline: Optional[Deadline] = None, size: int = 65535
    ) -> Tuple[Optional[Datagram], Optional[int]]:
        """Do the same, and say how many bytes each datagram has of several that came as one (udp(7), UDP_GRO); None: it is one.

        ``size`` is the room for them, in bytes.
        """
        passed_over = 0
        while True:
            try:
                payload, arrival, truncated, source = system.receive(self.socket, size)
            except (BlockingIOError, InterruptedError):  # also after select said readable: a bad checksum found late
                self._empty += 1
                return None, None
            except OSError as error:
                self._errors += 1
                raise ReceiveError.of(self, error) from error
            together = 1 if arrival.segment is None else -(-len(payload) // arrival.segment)
            reason = self._foreign(arrival, source[0])
            if reason is None:
                self._received += together
                self._bytes += len(payload)
                self._last = datagram = Datagram(
                    payload,
                    source,
                    arrival.group,
                    self.channel.port,
                    arrival.interface_index,
                    arrival.ttl,
                    arrival.traffic_class,
                    arrival.timestamp_ns,
                    truncated,
                )
                return datagram, arrival.segment
            self._rejected[reason] += together
            passed_over += 1
            if passed_over % _FLOOD == 0 and (deadline is None or deadline.passed()):
                return None, None

    def statistics(self) -> Statistics:
        """Return the counts up to now; raises ``SubscriptionError`` after ``close()``."""
        if self.closed:
            raise SubscriptionError(f"{self.channel} is closed; take its statistics before")
        return self.last_statistics()

    def last_statistics(self) -> Statistics:
        """Return the counts up to now, also after ``close()``, when the kernel's drops are unknown."""
        return Statistics(
            received=self._received,
            rejected=dict(self._rejected),
            kernel_drops=system.kernel_drops(self.socket),
            bytes_received=self._bytes,
            empty=self._empty,
            errors=self._errors,
            joins=self._joins,
            leaves=self._leaves,
            last=self._last,
        )

    def watch(self, call: Watcher) -> None:
        """Have this called with the subscription and its new state: after each change, and just before it is closed."""
        self._watchers += (call,)

    def unwatch(self, call: Watcher) -> None:
        """Have this called no more."""
        self._watchers = tuple(watcher for watcher in self._watchers if watcher != call)

    def fileno(self) -> int:
        """The socket's descriptor, for selectors and event loops; -1 when closed."""
        return self.socket.fileno()

    def close(self) -> None:
        """Leave and close the socket; again is no error."""
        watchers, self._watchers = self._watchers, ()
        self._joined = False
        for call in watchers:
            call(self, "closed")
        self.socket.close()  # the kernel leaves with it, and sends the report

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self,
        exception_type: Optional[type[BaseException]],
        exception: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Subscription {self.id} {self.channel} on {self.interface.name}: {self.state}>"

    def _foreign(self, arrival: system.Arrival, source: str) -> Optional[str]:
        """Say what of a datagram does not belong to the channel; None when all does."""
        if not self._joined:  # queued before, or let in by somebody else's membership
            return "membership"
        if arrival.group is not None and arrival.group != self.channel.group:
            return "group"
        if arrival.interface_index is not None and arrival.interface_index != self.interface.index:
            return "interface"
        if self._sources and source not in self._sources:
            return "source"
        if source in self._blocked:
            return "source"
        return None

    def _become(self, state: str) -> None:
        self._joined = state == "joined"
        if self._joined:
            self._joins += 1
        else:
            self._leaves += 1
        for call in self._watchers:
            call(self, state)

    def _discard_queued(self) -> None:
        for _ in range(_FLOOD):
            try:
                self.socket.recv(1)
            except (BlockingIOError, InterruptedError):
                return
            self._rejected["membership"] += 1

    def _checked(self, source: str) -> str:
        return str(Channel(self.channel.group, self.channel.port, source).source)

    def _need(self, state: str, action: str) -> None:
        if self.state != state:
            raise SubscriptionError(f"cannot {action}: {self.channel} on {self.interface.name} is {self.state}")

    def _membership(self, action: str, source: Optional[str]) -> None:
        option = system.membership_option(action, self.channel.family, self.interface.index, self.channel.group, source)
        try:
            system.set_option(self.socket, option)
        except OSError as error:
            whom = self.channel.group if source is None else f"{source}@{self.channel.group}"
            verb = action.replace("-source", "")
            refused = MembershipError.of(verb, f"{whom} on {self.interface.name}", error)
            Attempt(verb, self.channel, self.interface).failed(refused)
            raise refused from error
