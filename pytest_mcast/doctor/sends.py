"""Where the sockets of this process send to, and what they are bound to: no socket tells the one, but Python does when it happens."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_mcast.core.system import LINUX
from pytest_mcast.evidence import socket_options, socket_state
from pytest_mcast.evidence.descriptors import duplicate, namespace_of

from .describing import MOST

__all__ = ["Call", "Sends", "Sent"]

# The audit events of Python (Library Reference, "Audit events table") whose arguments are a socket and an address.
_SENDING = ("socket.sendto", "socket.sendmsg")
_HEARD = frozenset((*_SENDING, "socket.bind"))
_FIRST_OCTETS = frozenset(map(str, range(224, 240)))
# The method as it is, whatever a class of the user's has in its place.
_descriptor_of = socket.socket.fileno


@dataclass(frozen=True)
class Call:
    """A call of a socket, by its audit event: with an address and port, the socket's inode, family, and namespace (cookie)."""

    event: str
    address: tuple[str, int]
    inode: int
    family: str
    namespace: int | None


@dataclass
class Sent:
    """What one socket has sent to: groups and ports, each with the scope id, 0 if none was given.

    ``options`` are those of ``socket_options`` and ``socket_state`` before it sent for the first time.
    """

    options: Mapping[str, Any]
    to: dict[tuple[str, int, int], None] = field(default_factory=dict)


class Sends:
    """What has been sent to groups since the last ``clear()``, by the inodes of sockets; of no more than ``MOST`` of them.

    It is told by a hook that stays in the process (``sys.addaudithook``) and costs 0.1 us for each event of Python's, and
    2 us for a datagram to a group, while it is ``on``.
    """

    def __init__(self) -> None:
        self.on = False
        self._found: dict[int, Sent] = {}
        self._hooked = False
        self._thread = 0
        #: The last call in the thread that has started this.
        self.last: Call | None = None

    def start(self) -> None:
        """Note what is sent from now on; again is no error."""
        if not self._hooked and LINUX:
            sys.addaudithook(self._hear)
            self._hooked = True
        self.on = True
        self._thread = threading.get_ident()

    def clear(self) -> None:
        """Forget what was sent."""
        self._found = {}
        self.last = None

    def found(self) -> dict[int, Sent]:
        """Return what was sent, the oldest socket first."""
        return dict(self._found)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _HEARD and self.on:
            # A hook that raises makes the call fail.
            try:
                self._note(event, *arguments[:2])
            except (OSError, TypeError, ValueError):  # closed, or no address: the call says so itself
                return

    def _note(self, event: str, sock: socket.socket, address: object) -> None:
        if not isinstance(address, tuple) or not isinstance(address[0], str):
            return
        group = address[0].partition("%")[0]  # Python passes over a zone here, and takes the scope id behind
        sending = event in _SENDING
        if sending and not _is_group(group):
            return
        descriptor, port = _descriptor_of(sock), int(address[1])
        inode = os.fstat(descriptor).st_ino
        if threading.get_ident() == self._thread:
            namespace = None if sending else namespace_of(descriptor)
            self.last = Call(event, (group, port), inode, "ipv4" if len(address) == 2 else "ipv6", namespace)
        if not sending:
            return
        sent = self._found.get(inode)
        if sent is None:
            if len(self._found) >= MOST:
                return
            sent = self._found[inode] = Sent(_described(descriptor, inode))
        to = group, port, address[3] if len(address) > 3 else 0
        if len(sent.to) < MOST:
            sent.to[to] = None


def _is_group(host: str) -> bool:
    first, dot, _ = host.partition(".")
    return first in _FIRST_OCTETS if dot else host[:2].lower() == "ff" and ":" in host


def _described(descriptor: int, inode: int) -> dict[str, Any]:
    mine = duplicate(descriptor, inode)  # a class of the user's may have other methods
    if mine is None:
        return {}
    with mine:
        found = {**socket_options(mine), **socket_state(mine)}
    if found.get("local", ["", 0])[1] == 0:
        del found["local"]  # its first datagram gives it a port
    return found
