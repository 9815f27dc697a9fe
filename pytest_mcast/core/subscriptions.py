"""One membership and the socket that serves it: bind, join, leave, block, receive.

The strict recipe. A socket that is bound to the wildcard address receives every group that any process of the host
has joined, IPv6 matches memberships by group and never by interface, and leaving does not help while somebody else
stays joined. So a socket of ours is bound to the group and to the interface, takes no foreign memberships, and every
datagram's packet information is checked again, which is all that protects a socket the caller has brought.
"""

from __future__ import annotations

import socket
from collections import Counter
from typing import TYPE_CHECKING, Callable, Dict, FrozenSet, Optional, Set, Union

from . import system
from .channels import Channel
from .datagrams import Datagram, Statistics
from .errors import MembershipError, SubscriptionError
from .interfaces import Interface

if TYPE_CHECKING:
    from types import TracebackType

    from .deadline import Deadline

__all__ = ["Subscription"]

_FLOOD = 65536  # datagrams


class Subscription:
    """A socket for one channel on one interface, and its membership.

    Open and bound once constructed, member only after ``join()``. ``interface`` is anything that ``Interface.find``
    takes (default: the best one for the family). ``receive_buffer`` is in bytes; ``max_size`` is the largest payload in
    bytes that is taken whole. ``sock`` is a bound UDP socket of the caller's: it is made non-blocking, told to deliver
    packet information, and closed together with the subscription.

    Raises ``InterfaceError``, ``SubscriptionError`` for an unfit socket, and ``OSError`` when the port is taken by
    somebody who does not share it.
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
        self.max_size = max_size
        self.socket = self._open(channel) if sock is None else self._adopt(channel, sock)
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
        self._was_joined = False
        self._on_close: Optional[Callable[[Subscription], object]] = None
        self._received = 0
        self._rejected: Dict[str, int] = Counter()

    def _open(self, channel: Channel) -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if channel.family == "ipv6" else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            name, index = self.interface.name, self.interface.index
            options = system.reuse_options() if channel.port else []  # a port of the system's choice must be free
            for option in options + system.strict_options(channel.family, name, index):
                system.set_option(sock, option)
            sock.bind(system.bind_address(channel.family, channel.group, channel.port, index))
        except BaseException:  # whatever it is: let go, and pass it on
            sock.close()
            raise
        return sock

    def _adopt(self, channel: Channel, sock: socket.socket) -> socket.socket:
        if sock.type != socket.SOCK_DGRAM or sock.family not in (socket.AF_INET, socket.AF_INET6):
            raise SubscriptionError(f"{sock!r} is not a UDP socket")
        if (sock.family == socket.AF_INET6) != (channel.family == "ipv6"):
            raise SubscriptionError(f"{sock!r} is not an {channel.family} socket, as {channel} needs")
        port = sock.getsockname()[1]
        if port == 0:
            raise SubscriptionError(f"{sock!r} is not bound; bind it to the port of {channel} first")
        if channel.port not in (0, port):
            raise SubscriptionError(f"{sock!r} is bound to port {port}, not to the port of {channel}")
        sock.setblocking(False)
        return sock

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

    def join(self) -> None:
        """Become a member: of the group, or of the group from the channel's source (RFC 3376, RFC 3810).

        What was queued before an earlier leave is discarded. Raises ``MembershipError`` and ``SubscriptionError``.
        """
        self._need("bound", "join")
        if self._was_joined:
            self._discard_queued()
        source = self.channel.source
        self._membership("join" if source is None else "join-source", source)
        self._joined = self._was_joined = True
        if source is not None:
            self._sources.add(source)

    def leave(self) -> None:
        """Give up the membership with all its sources and blocks; the socket stays open for a later ``join()``."""
        self._need("joined", "leave")
        self._membership("leave", None)
        self._joined = False
        self._sources.clear()
        self._blocked.clear()

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
        self._joined = bool(self._sources)

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
        any buffer holds, is given up when ``deadline`` has passed.
        """
        passed_over = 0
        while True:
            try:
                payload, arrival, truncated, source = system.receive(self.socket, self.max_size)
            except (BlockingIOError, InterruptedError):  # also after select said readable: a bad checksum found late
                return None
            reason = self._foreign(arrival, source[0])
            if reason is None:
                self._received += 1
                return Datagram(
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
            self._rejected[reason] += 1
            passed_over += 1
            if passed_over % _FLOOD == 0 and deadline is not None and deadline.passed():
                return None

    def statistics(self) -> Statistics:
        """Return the counts up to now; raises ``SubscriptionError`` after ``close()``."""
        if self.state == "closed":
            raise SubscriptionError(f"{self.channel} is closed; take its statistics before")
        return Statistics(self._received, dict(self._rejected), system.kernel_drops(self.socket))

    def on_close(self, call: Optional[Callable[[Subscription], object]]) -> None:
        """Have this called when the subscription is about to be closed (None: nothing)."""
        self._on_close = call

    def fileno(self) -> int:
        """The socket's descriptor, for selectors and event loops; -1 when closed."""
        return self.socket.fileno()

    def close(self) -> None:
        """Leave and close the socket; again is no error."""
        self._joined = False
        if self._on_close is not None:
            self._on_close(self)
            self._on_close = None
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

    def _discard_queued(self) -> None:
        while True:
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
            raise MembershipError.of(verb, f"{whom} on {self.interface.name}", error) from error
