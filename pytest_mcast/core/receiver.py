"""A ready receiver of one channel, with deadlines."""

from __future__ import annotations

import secrets
import socket
from collections import deque
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import TYPE_CHECKING, Callable, Deque, List, Optional, Protocol, Sequence, Union

from .channels import Channel
from .context import Context
from .datagrams import Sent
from .deadline import Deadline
from .drain import Drain
from .errors import Delivered, MissingCapability, NotReceived, NoVerdict, SubscriptionError
from .groups import ChannelPicker
from .sender import Sender
from .verdicts import Control, Verdict, is_fence, prove
from .views import Beside, WithFences

if TYPE_CHECKING:
    from types import TracebackType

    from .datagrams import Datagram
    from .interfaces import Interface
    from .metrics import Statistics
    from .subscriptions import Watcher

__all__ = ["FenceHost", "Receiver"]


class FenceHost(Protocol):
    """A host that can send a fence."""

    def sender(self, channel: Channel, **options: object) -> Sender:
        """Open a sender there."""


class Receiver:
    """One joined subscription: it delivers exactly its channel, from its interface.

    ``timeout`` (seconds) applies to each call that is given none. The other arguments, and the errors, are those of
    ``Subscription``. With port 0 the system picks one: see ``channel``.
    """

    #: What shows that the receiver is ready: setsockopt(2) returned, so the kernel has the membership.
    evidence = "kernel membership"
    #: The host that it was opened by, when it was one of ours.
    host: object = None
    _drain: Optional[Drain] = None  # the last one; remote hosts have none

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
        self.timeout: float = Deadline(timeout).seconds or 0.0
        #: What sees all that comes to the host, for ``expect_nothing``; set by the host, if it has such a thing.
        self.control: Optional[Control] = None
        #: Why there is none; set by a host that should have one.
        self.no_control: Optional[MissingCapability] = None
        #: Returns what the host is entered with; set by the host, if it is another than that of the caller.
        self.inside: Callable[[], AbstractContextManager[object]] = nullcontext
        #: Is told of each ``NotReceived`` before it is raised, while everything is as it was; set by who wants to explain it,
        #: and must raise nothing.
        self.lost: Optional[Callable[[NotReceived], object]] = None
        self._kept: Deque[Datagram] = deque()  # delivered, but not yet asked for
        self._drops = 0  # up to the last proof
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

        ``timeout`` is in seconds and for all of them together (default: the receiver's). Raises ``SubscriptionError`` when
        closed, and while it is drained.
        """
        self._check_free()
        if self.control is not None:
            self.control.pull()
        deadline = Deadline(self.timeout if timeout is None else timeout)
        datagrams: List[Datagram] = []
        while len(datagrams) < count:
            datagram = self._next(deadline)
            if datagram is None:
                raise self._not_received(count, datagrams, deadline)
            if not is_fence(datagram.payload):
                datagrams.append(datagram)
        return datagrams

    def drain(self) -> Drain:
        """Take all that comes from now on, in a thread, and count bursts: ``with receiver.drain() as drain``.

        What is of no burst is there for ``recv()`` when it is over. Raises ``SubscriptionError`` when closed, and when
        there is a drain already.
        """
        self._check_free()
        self._drain = Drain(self)
        return self._drain

    def _check_free(self) -> None:
        """Raise ``SubscriptionError`` when closed, and when a drain takes all that comes: its account would be wrong."""
        if self.closed:
            raise SubscriptionError(f"the receiver of {self.channel} is closed")
        self._check_undrained()

    def _check_undrained(self) -> None:
        if self._drain is not None and not self._drain.closed:
            raise SubscriptionError(f"the receiver of {self.channel} is being drained; close its drain first")

    def receive(self) -> Optional[Datagram]:
        """Return the next datagram without waiting, or None; raises ``ReceiveError``, and ``SubscriptionError`` while it is drained."""
        self._check_undrained()
        if self.control is not None:
            self.control.pull()
        while True:
            datagram = self._kept.popleft() if self._kept else self.subscription.receive()
            if datagram is None or not is_fence(datagram.payload):
                return datagram

    def _next(self, deadline: Deadline) -> Optional[Datagram]:
        if self._kept:
            return self._kept.popleft()
        datagram = self.subscription.receive(deadline)  # what is queued costs no system call more
        if datagram is None:
            arrived = self._context.receive(deadline.remaining())
            return None if arrived is None else arrived[1]
        return datagram

    def expect_nothing(
        self,
        sent: Union[Sent, Sequence[Sent]],
        *,
        fence: Union[FenceHost, Sender],
        control: Optional[Receiver] = None,
        timeout: Optional[float] = None,
    ) -> Verdict:
        """Prove that what was sent (and has been on the wire) was not delivered; other datagrams stay for ``recv()``.

        ``fence`` is a host with the right to send to this receiver, or a sender of it: it sends a datagram that must
        arrive. The control is the tap of a virtual host; on others, ``control`` is a receiver beside this one that must
        get what was sent. ``timeout`` is in seconds (default: the receiver's), and is spent only in vain.

        Raises ``Delivered`` when it was delivered, ``NoVerdict`` when nothing is proved, ``ValueError`` for a fence
        that this receiver is not to deliver, and ``MissingCapability`` where there is no control.
        """
        sents = [sent] if isinstance(sent, Sent) else list(sent)
        if not sents:
            raise ValueError("expect_nothing(sent) needs what was sent: a Sent, as send() returns it, or several")
        if control is self:
            raise ValueError(f"control={self!r} is the receiver that is judged: it takes another one")
        sees = self.control if control is None else Beside(control)
        if sees is None:
            raise self.no_control or MissingCapability(
                "packets",
                f"there is no tap on {self.interface.name} to see what {self} must not deliver",
                "run pytest with --mcast-lab, use virtual hosts (mcast_lab), or pass control=, a receiver that gets it",
            )
        self._check_free()
        seconds = self.timeout if timeout is None else timeout
        with ExitStack() as stack:
            witness = None if self.subscription.state == "joined" else stack.enter_context(self._witness(fence))
            origin = fence if isinstance(fence, Sender) else stack.enter_context(self._origin(fence, witness))
            self._check_fence(origin, witness)
            verdict = prove(
                WithFences(self),
                sents,
                origin.send,
                sees,
                timeout=seconds,
                keep=self.give_back,
                witness=None if witness is None else WithFences(witness),
            )
        try:
            verdict.expect_not_delivered()
        except Delivered as error:
            error.receiver, error.datagram = self, next(iter(verdict.datagrams), None)
            raise
        before, self._drops = self._drops, self.statistics().kernel_drops or 0
        if self._drops > before:
            lost = f"{self._drops - before} datagrams were dropped by the kernel for want of room in {self!r}"
            raise NoVerdict(f"no verdict: {lost}\nsent: {verdict.probe}\n{verdict.evidence}")
        return verdict

    def _origin(self, fence: FenceHost, witness: Optional[Receiver]) -> Sender:
        return fence.sender(self.channel if witness is None else witness.channel)

    def _witness(self, fence: Union[FenceHost, Sender]) -> Receiver:
        """Open a receiver beside this one, which gets nothing since it has left."""
        if isinstance(fence, Sender):
            raise SubscriptionError(f"{self!r} is no member, so its fence goes to another channel: pass fence= a host")
        with self.inside():
            picker = ChannelPicker(secrets.token_bytes(8), taken=[self.channel.group])
            channel = picker.pick(self.channel.family, interface=self.interface)
            return Receiver(channel, self.interface)

    def _check_fence(self, origin: Sender, witness: Optional[Receiver]) -> None:
        source, wanted = origin.source[0], self.subscription.sources
        if witness is not None:
            return
        if (wanted and source not in wanted) or source in self.subscription.blocked:
            raise ValueError(
                f"fence={origin!r} sends from {source}, from which {self!r} must deliver nothing; "
                f"name {'a host that has ' + ' or '.join(sorted(wanted)) if wanted else 'another host'}"
            )
        if (origin.channel.group, origin.channel.port) != (self.channel.group, self.channel.port):
            raise ValueError(f"fence={origin!r} does not send to {self.channel}")

    def give_back(self, datagrams: Sequence[Datagram]) -> None:
        """Take datagrams back that ``recv()`` has returned: they are the next ones again, in that order."""
        self._kept.extendleft(reversed(datagrams))

    def statistics(self) -> Statistics:
        """Return what was received, rejected and dropped up to now."""
        return self.subscription.statistics()

    def fileno(self) -> int:
        """The socket's descriptor, for selectors and event loops; -1 when closed."""
        return self.subscription.fileno()

    def watch(self, call: Watcher) -> None:
        """Have this called when the subscription changes, as ``Subscription.watch`` says."""
        self.subscription.watch(call)

    def unwatch(self, call: Watcher) -> None:
        """Have this called no more."""
        self.subscription.unwatch(call)

    @property
    def closed(self) -> bool:
        """Whether ``close()`` was called."""
        return self.subscription.closed

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

    def _not_received(self, count: int, datagrams: List[Datagram], deadline: Deadline) -> NotReceived:
        error = NotReceived(self._account(count, datagrams, deadline))
        error.receiver = self
        if self.lost is not None and deadline.seconds:  # who does not wait has lost nothing
            self.lost(error)
        return error

    def _account(self, count: int, datagrams: List[Datagram], deadline: Deadline) -> str:
        wanted = "no datagram" if count == 1 else f"only {len(datagrams)} of {count} datagrams"
        lines = [f"{wanted} for {self.channel} on {self.interface.name} within {deadline.seconds:g} s"]
        lines.append(f"joined on {self.interface.name} (index {self.interface.index}); {self.statistics()}")
        lines.extend(f"got {datagram!r}" for datagram in datagrams[:8])
        return "\n".join(lines)
