"""What ends a program early: signals, its deadline, an interface that goes, and output that nobody reads any more."""

from __future__ import annotations

import errno
import selectors
import signal
import socket
import sys
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Optional

from .deadline import Deadline
from .interfaces import Interface
from .lines import OutputLost

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Ending"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Ending:
    """Waits that any of it ends; a signal is never lost between a look at ``over`` and the wait after it.

    The kernel's side of a signal makes a descriptor readable (``signal.set_wakeup_fd``), which every wait includes. A
    signal that came while it was blocked, by whoever started the program, counts as well. The handlers stay for the
    rest of the process, because timeout(1) for one sends a second signal after the first. For the main thread only.
    """

    def __init__(self) -> None:
        #: ``SIGINT``, ``SIGTERM``, ``timeout`` or ``error``; None while there is no end.
        self.reason: Optional[str] = None
        #: The error, if it is one.
        self.error: Optional[OSError] = None
        #: When it is over without a signal.
        self.deadline = Deadline(None)
        self._stack = ExitStack()

    def __enter__(self) -> Ending:
        with ExitStack() as stack:
            self._selector = stack.enter_context(selectors.DefaultSelector())
            woken, wake = (stack.enter_context(end) for end in socket.socketpair())
            for end in (woken, wake):
                end.setblocking(False)
            self._selector.register(woken, selectors.EVENT_READ)
            stack.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False))
            for number in _SIGNALS:
                signal.signal(number, self._note)
            if sys.platform != "win32":
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            self._watch_output(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        exception_type: Optional[type[BaseException]],
        exception: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self._stack.close()

    @property
    def over(self) -> bool:
        """Whether there was a signal, the deadline has passed, or the interface is gone."""
        if self.reason is None and self.deadline.passed():
            self.reason = "timeout"
        return self.reason is not None

    def watch(self, descriptor: int) -> None:
        """Have waits end when this is readable, too."""
        self._selector.register(descriptor, selectors.EVENT_READ)

    def watch_interface(self, interface: Interface) -> None:
        """Have it end when the interface is gone, of which the sockets on it tell nothing (Linux, rtnetlink(7))."""
        self._interface = interface
        if sys.platform == "linux":
            with suppress(OSError):  # a sandbox without rtnetlink: as on other systems
                links = self._stack.enter_context(
                    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
                )
                links.setblocking(False)
                links.bind((0, 1))  # RTMGRP_LINK
                self._selector.register(links, selectors.EVENT_READ, "links")
            self._look_at_interface()  # it may have gone before

    def wait(self, until: Optional[Deadline] = None) -> None:
        """Wait for the end, for what is watched, or until then; raises ``OutputLost`` when nobody reads the output."""
        limits = [each.remaining() for each in (self.deadline, until) if each is not None]
        ready = self._selector.select(min((limit for limit in limits if limit is not None), default=None))
        for key, _ in ready:
            if key.data == "output":
                raise OutputLost(BrokenPipeError())
            if key.data == "links":
                with suppress(OSError):  # that more has changed than it can tell
                    key.fileobj.recv(65536)  # type: ignore[union-attr]  # it is the socket
                self._look_at_interface()

    def _look_at_interface(self) -> None:
        name, index = self._interface.name, self._interface.index
        try:
            socket.if_indextoname(index)
        except OSError:
            self.error = OSError(errno.ENODEV, f"interface {name} (index {index}) is gone")
            self.reason = self.reason or "error"

    def _note(self, number: int, _: object) -> None:
        self.reason = self.reason or signal.Signals(number).name

    def _watch_output(self, stack: ExitStack) -> None:
        """Notice at once that the reader of the output goes, which other systems than Linux tell at the next line."""
        if sys.platform == "linux" and sys.stdout is not None:
            import select

            gone = stack.enter_context(select.epoll())
            with suppress(PermissionError):  # a file, which nobody has to read
                gone.register(sys.stdout.fileno(), 0)  # asks for nothing, so errors and hang-ups only
                self._selector.register(gone, selectors.EVENT_READ, "output")
