"""A ready receiver of one channel, with deadlines."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, List, Optional, Union

from .context import Context
from .deadline import Deadline
from .errors import NotReceived, SubscriptionError

if TYPE_CHECKING:
    from types import TracebackType

    from .channels import Channel
    from .datagrams import Datagram, Statistics
    from .interfaces import Interface

__all__ = ["Receiver"]


class Receiver:
    """One joined subscription: it delivers exactly its channel, from its interface.

    ``timeout`` (seconds) applies to each call that is given none. The other arguments, and the errors, are those of
    ``Subscription``. With port 0 the system picks one: see ``channel``.
    """

    #: What shows that the receiver is ready: setsockopt(2) returned, so the kernel has the membership.
    evidence = "kernel membership"

    def __init__(
        self,
        channel: Channel,
        interface: Union[str, int, Interface, None] = None,
        *,
        timeout: float = 5.0,
        receive_buffer: Optional[int] = None,
        max_size: int = 65535,
        sock: Optional[socket.socket] = None,
    ) -> None:
        self.timeout = Deadline(timeout).seconds
        self._context = Context()
        try:
            self.subscription = self._context.add(
                channel, interface, receive_buffer=receive_buffer, max_size=max_size, sock=sock
            )
            self.subscription.join()
        except BaseException:  # whatever it is: let go, and pass it on
            self._context.close()
            raise

    @property
    def channel(self) -> Channel:
        """The channel, with the port that is really bound."""
        return self.subscription.channel

    @property
    def interface(self) -> Interface:
        """The interface that is listened on."""
        return self.subscription.interface

    @property
    def receive_buffer(self) -> int:
        """The receive buffer that the system granted, in bytes."""
        return self.subscription.receive_buffer

    def recv(self, timeout: Optional[float] = None) -> Datagram:
        """Return the next datagram; raises ``NotReceived`` after ``timeout`` seconds (default: the receiver's)."""
        return self.expect(1, timeout)[0]

    def expect(self, count: int, timeout: Optional[float] = None) -> List[Datagram]:
        """Return the next ``count`` datagrams; raises ``NotReceived`` when they are not all there in time.

        ``timeout`` is in seconds and for all of them together (default: the receiver's).
        """
        if self.closed:
            raise SubscriptionError(f"the receiver of {self.channel} is closed")
        deadline = Deadline(self.timeout if timeout is None else timeout)
        datagrams: List[Datagram] = []
        while len(datagrams) < count:
            datagram = self.subscription.receive(deadline)  # what is queued costs no system call more
            if datagram is None:
                arrived = self._context.receive(deadline.remaining())
                if arrived is None:
                    raise NotReceived(self._lost(count, datagrams, deadline))
                datagram = arrived[1]
            datagrams.append(datagram)
        return datagrams

    def statistics(self) -> Statistics:
        """Return what was received, rejected and dropped up to now."""
        return self.subscription.statistics()

    def fileno(self) -> int:
        """The socket's descriptor, for selectors and event loops; -1 when closed."""
        return self.subscription.fileno()

    @property
    def closed(self) -> bool:
        """Whether ``close()`` was called."""
        return self.subscription.state == "closed"

    def close(self) -> None:
        """Leave and close; again is no error."""
        self._context.close()

    def __enter__(self) -> Receiver:
        return self

    def __exit__(
        self,
        exception_type: Optional[type[BaseException]],
        exception: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Receiver {self.channel} on {self.interface.name}: {self.subscription.state}>"

    def _lost(self, count: int, datagrams: List[Datagram], deadline: Deadline) -> str:
        wanted = "no datagram" if count == 1 else f"only {len(datagrams)} of {count} datagrams"
        lines = [f"{wanted} for {self.channel} on {self.interface.name} within {deadline.seconds:g} s"]
        lines.append(f"joined on {self.interface.name} (index {self.interface.index}); {self.statistics()}")
        lines.extend(f"got {datagram!r}" for datagram in datagrams[:8])
        return "\n".join(lines)
