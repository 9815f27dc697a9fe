"""Being told of a failure when it happens, before sockets are closed on the way out: pytest reports it too late."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

__all__ = ["listen_to_sockets", "listen_to_unittest"]

_Told = Callable[[BaseException], object]


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
    leave = socket.socket.__exit__

    def told(sock: socket.socket, *arguments: Any) -> None:
        error = arguments[1] if len(arguments) > 1 else None
        if isinstance(error, Exception) and sock.fileno() >= 0 and sock.type == socket.SOCK_DGRAM:
            with suppress(Exception):  # as above
                call(error)
        leave(sock, *arguments)

    socket.socket.__exit__ = told  # type: ignore[method-assign] # for as long as a test function runs
    try:
        yield
    finally:
        socket.socket.__exit__ = leave  # type: ignore[method-assign] # as it was
