"""Being told of a failure when it happens, before sockets are closed on the way out: pytest reports it too late."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

__all__ = ["listen_to_sockets", "listen_to_unittest"]

_Told = Callable[[BaseException], object]
# The class as it is, whatever a test puts in its place.
_Socket = socket.socket
_leave = _Socket.__exit__
_listeners: list[_Told] = []


def listen_to_unittest(item: pytest.Item, call: _Told) -> None:
    """Be told of a failure before ``tearDown()``, which pytest takes for a part of the test.

    ``addError`` and ``addFailure`` are unittest's protocol of results, which the items of pytest are.
    """
    for name in ("addError", "addFailure"):
        add = getattr(type(item), name, None)
        if add is None:
            continue

        def told(test: object, error: Any, _add: Any = add) -> Any:
            with suppress(Exception):  # the failure itself is what must get through
                call(error[1])
            return _add(item, test, error)

        setattr(item, name, told)


@contextmanager
def listen_to_sockets(call: _Told) -> Iterator[None]:
    """Be told of the exceptions that leave a ``with`` of a datagram socket, which closes it."""
    # Nothing else knows at that time: there is no event for it, neither of sys.addaudithook nor of the kernel.
    global _leave  # noqa: PLW0603 - there is one class, too
    if _Socket.__exit__ is not _tell_and_leave:  # else a test has put it back which had replaced it itself
        _leave = _Socket.__exit__
        _Socket.__exit__ = _tell_and_leave  # type: ignore[method-assign] # for as long as a test function runs
    _listeners.append(call)
    try:
        yield
    finally:
        _listeners.remove(call)
        if not _listeners and _Socket.__exit__ is _tell_and_leave:
            _Socket.__exit__ = _leave  # type: ignore[method-assign] # as it was


def _tell_and_leave(sock: socket.socket, *arguments: Any) -> None:
    error = arguments[1] if len(arguments) > 1 else None
    if isinstance(error, Exception):
        with suppress(Exception):  # as above
            if sock.fileno() >= 0 and sock.type == socket.SOCK_DGRAM:
                for call in tuple(_listeners):
                    call(error)
    _leave(sock, *arguments)
