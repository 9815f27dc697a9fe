"""A responder that answers the datagrams of a channel."""

from __future__ import annotations

import errno
import selectors
import socket
import threading
from typing import TYPE_CHECKING, Optional, Union

from . import system
from .deadline import Deadline
from .errors import EchoError, NotReceived
from .receiver import Receiver

if TYPE_CHECKING:
    from types import TracebackType

    from .channels import Channel
    from .interfaces import Interface

__all__ = ["EchoResponder"]

# What a sender brings about whose address or port (0, say) cannot be replied to: nobody's datagrams may stop us.
_UNANSWERABLE = (
    *(errno.EINVAL, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EADDRNOTAVAIL),
    *(errno.EPERM, errno.EAGAIN, errno.ENOBUFS),  # a firewall, and queues that are full
)


class EchoResponder:
    """Answers every datagram of a channel to its sender's address, from a daemon thread, until it is closed.

    The reply is ``payload``, or what came in when that is None. A datagram from an address that cannot be replied to is
    passed over. With ``stop_on_empty`` an empty datagram, which is not answered, ends it. The other arguments, and the
    errors, are those of ``Receiver``; with port 0 the system picks one: see ``channel``. An error in the thread is raised
    by ``close()`` as ``EchoError``.
    """

    def __init__(
        self,
        channel: Channel,
        interface: Union[str, int, Interface, None] = None,
        *,
        payload: Optional[bytes] = None,
        stop_on_empty: bool = False,
        timeout: float = 5.0,
        receive_buffer: Optional[int] = None,
    ) -> None:
        self._payload = payload
        self._stop_on_empty = stop_on_empty
        self._receiver = Receiver(channel, interface, timeout=timeout, receive_buffer=receive_buffer)
        self._wake, self._woken = socket.socketpair()
        self._error: Optional[BaseException] = None
        self._replies = 0
        self._thread = threading.Thread(target=self._serve, name=f"echo {self.channel}", daemon=True)
        self._thread.start()

    @property
    def channel(self) -> Channel:
        """The channel, with the port that is really bound."""
        return self._receiver.channel

    @property
    def interface(self) -> Interface:
        """The interface that is listened on."""
        return self._receiver.interface

    @property
    def socket(self) -> socket.socket:
        """The socket; for options that are not here."""
        return self._receiver.subscription.socket

    @property
    def replies(self) -> int:
        """How many replies were sent up to now."""
        return self._replies

    @property
    def running(self) -> bool:
        """Whether it still answers."""
        return self._thread.is_alive()

    def wait(self, timeout: Optional[float] = None) -> None:
        """Wait until it has stopped by itself; raises ``NotReceived`` when it goes on for ``timeout`` seconds."""
        deadline = Deadline(self._receiver.timeout if timeout is None else timeout)
        self._thread.join(deadline.remaining())
        if self._thread.is_alive():
            raise NotReceived(f"the responder for {self.channel} was not stopped within {deadline.seconds:g} s")

    @property
    def closed(self) -> bool:
        """Whether ``close()`` was called."""
        return self._wake.fileno() < 0

    def close(self) -> None:
        """Stop and leave; raises ``EchoError`` if the thread had ended with an error. Again is no error."""
        if self.closed:
            return
        self._wake.close()
        self._thread.join()  # it waits for nothing but its sockets, one of which has just ended
        self._woken.close()
        self._receiver.close()
        if self._error is not None:
            raise EchoError(f"the responder for {self.channel} stopped: {self._error!r}") from self._error

    def __enter__(self) -> EchoResponder:
        return self

    def __exit__(
        self,
        exception_type: Optional[type[BaseException]],
        exception: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<EchoResponder {self.channel} on {self.interface.name}: {self._replies} replies>"

    def _serve(self) -> None:
        try:
            with system.opened(selectors.DefaultSelector) as selector:
                selector.register(self._woken, selectors.EVENT_READ)
                selector.register(self._receiver, selectors.EVENT_READ)
                while not any(key.fileobj is self._woken for key, _ in selector.select()):
                    if not self._answer_queued():
                        return
        except BaseException as error:  # noqa: BLE001 - kept, and raised by close() in the caller's thread
            self._error = error

    def _answer_queued(self) -> bool:
        """Answer what is queued; False when an empty datagram asks to stop."""
        subscription = self._receiver.subscription
        for _ in range(64):  # then look at the wake-up again
            datagram = subscription.receive()
            if datagram is None:
                break
            if not datagram.payload and self._stop_on_empty:
                return False
            address, port = datagram.source
            to = (address, port, 0, self.interface.index) if self.channel.family == "ipv6" else (address, port)
            reply = datagram.payload if self._payload is None else self._payload
            self._replies += 1  # before, or whoever has got the reply could see the old number
            try:
                subscription.socket.sendto(reply, to)
            except OSError as error:
                if error.errno not in _UNANSWERABLE:
                    raise
                self._replies -= 1
        return True
