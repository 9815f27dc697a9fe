"""Network namespaces that are held by descriptors.

They have no names: the kernel removes a namespace, with all that is in it, when the last descriptor, socket and
process is gone, so that nothing is left whatever ends us (network_namespaces(7)).
"""

from __future__ import annotations

import ctypes
import os
import threading
from types import TracebackType

from .refusal import refusal

__all__ = ["CLONE_NEWNET", "CLONE_NEWNS", "CLONE_NEWPID", "CLONE_NEWUSER", "Namespace", "setns", "unshare"]

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000


def unshare(flags: int) -> None:
    """Give the calling thread new namespaces (Python itself does so from 3.12 only); raises ``OSError``."""
    _call("unshare", flags)


def setns(descriptor: int, kind: int) -> None:
    """Move the calling thread into a namespace (Python itself does so from 3.12 only); raises ``OSError``."""
    _call("setns", descriptor, kind)


def _call(name: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


class Namespace:
    """A network namespace. ``with namespace:`` the calling thread is in it; sockets made there stay there.

    It can be entered by several threads, and again by one that is in it. It must not be left to another coroutine:
    no ``await`` inside the ``with``.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._entered = threading.local()

    @classmethod
    def current(cls) -> Namespace:
        """Return the one that the calling thread is in."""
        return cls(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    @classmethod
    def create(cls) -> Namespace:
        """Make a new, empty one; raises ``MissingCapability`` where this process may not."""
        home = cls.current()
        try:
            setns(home.descriptor, CLONE_NEWNET)  # moves nothing, and is refused where there would be no way back
            unshare(CLONE_NEWNET)
        except OSError as error:
            raise refusal(error) from error
        else:
            try:
                return cls.current()
            finally:
                setns(home.descriptor, CLONE_NEWNET)
        finally:
            home.close()

    def __enter__(self) -> Namespace:
        stack = self._entered.__dict__.setdefault("stack", [])
        home = Namespace.current()
        try:
            setns(self.descriptor, CLONE_NEWNET)
        except BaseException:  # whatever it is: let go, and pass it on
            home.close()
            raise
        stack.append(home)
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        home = self._entered.stack.pop()
        try:
            setns(home.descriptor, CLONE_NEWNET)
        finally:
            home.close()

    @property
    def closed(self) -> bool:
        """Whether ``close()`` was called, so that it can be entered no more."""
        return self.descriptor < 0

    def close(self) -> None:
        """Let go of it; again is no error."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
