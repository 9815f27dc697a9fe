"""Where the sockets of this process send to, and what they are bound to: no socket tells the one, but Python does when it happens."""

from __future__ import annotations

import functools
import ipaddress
import os
import socket
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_mcast.core.system import LINUX
from pytest_mcast.evidence import socket_options, socket_state
from pytest_mcast.evidence.descriptors import duplicate

from .describing import MOST

__all__ = ["Call", "Sends", "Sent"]

# The audit events of Python (Library Reference, "Audit events table") whose arguments are a socket and an address.
_SENDING = ("socket.sendto", "socket.sendmsg")
_OPENING = "socket.__new__"
_HEARD = frozenset((*_SENDING, _OPENING, "socket.bind"))
_UDP = socket.SOCK_DGRAM, socket.IPPROTO_UDP
_FIRST_OCTETS = frozenset(map(str, range(224, 240)))
# The methods as they are, whatever a class of the user's has in their place.
_descriptor_of = socket.socket.fileno
_getsockopt = socket.socket.getsockopt
_SO_TYPE, _SO_PROTOCOL, _SO_DOMAIN, _SO_NETNS_COOKIE = 3, 38, 39, 71  # asm-generic/socket.h


_MOST_DESCRIBED = 1000  # sockets between two clear(), each of which takes some 0.05 ms
_listening: set[Sends] = set()


@dataclass(frozen=True)
class Call:
    """A call of a UDP socket, by its audit event: with an address and port, the socket's inode, family, and namespace (cookie).

    The namespace is that of a socket that was to be bound; None of one that sends, and where it is not told.
    """

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
    """What has been sent to groups since the last ``clear()``, by the inodes of sockets; of the newest ``MOST`` of them.

    It is told by a hook that stays in the process (``sys.addaudithook``) and costs 0.1 us for each event of Python's; from
    ``start()`` to ``stop()`` it is 1 to 2 us more for a datagram to a group, and some 8 us for the first one to each address
    after any socket was opened in the process, as by ``accept()``: its descriptor may have been another one's.
    """

    def __init__(self) -> None:
        self._found: dict[int, Sent] = {}
        #: What is known already of calls, by event, descriptor and address, as long as no socket is opened.
        self._again: dict[tuple[str, int, tuple[Any, ...]], Call] = {}
        self._count = 0
        self._thread = 0
        #: The last call in the thread that has started this; None when that was none that is noted.
        self.last: Call | None = None

    def start(self) -> None:
        """Note what is sent from now on; again is no error. Nothing is noted on other systems than Linux."""
        if LINUX:
            _hook()
            _listening.add(self)
        self._thread = threading.get_ident()

    def stop(self) -> None:
        """Note nothing more; again is no error."""
        _listening.discard(self)

    def clear(self) -> None:
        """Forget what was sent."""
        self._found = {}
        self._again = {}
        self._count = 0
        self.last = None

    def found(self) -> dict[int, Sent]:
        """Return what was sent, the oldest socket first."""
        return dict(self._found)

    def note(self, event: str, sock: socket.socket, address: object) -> None:
        """Note a call that is about to be made; raises whatever it may if that will fail anyway."""
        if event == _OPENING:
            self._again.clear()
            return
        # netlink(7): our own, whoever looks at something
        if isinstance(address, tuple) and isinstance(address[0], int):
            return
        watched = threading.get_ident() == self._thread
        if watched:
            self.last = None  # what is not noted, or raises here, is not to be taken for the call before
        if not isinstance(address, tuple) or not isinstance(address[0], str):
            return
        descriptor = _descriptor_of(sock)
        again = self._again.get((event, descriptor, address))
        if again is not None:
            if watched:
                self.last = again
            return
        group = address[0].partition("%")[0]  # Python passes over a zone here, and takes the scope id behind
        sending = event in _SENDING
        if sending and not _is_group(group):
            return
        if (_getsockopt(sock, socket.SOL_SOCKET, _SO_TYPE), _getsockopt(sock, socket.SOL_SOCKET, _SO_PROTOCOL)) != _UDP:
            return
        group, port = _canonical(group), int(address[1])
        inode = os.fstat(descriptor).st_ino
        family = "ipv6" if _getsockopt(sock, socket.SOL_SOCKET, _SO_DOMAIN) == socket.AF_INET6 else "ipv4"
        call = Call(event, (group, port), inode, family, None if sending else _namespace_of(sock))
        if watched:
            self.last = call
        if not sending:
            return
        if len(self._again) < MOST:
            self._again[event, descriptor, address] = call
        sent = self._found.get(inode)
        if sent is None:
            self._count += 1
            if self._count > _MOST_DESCRIBED:
                return
            if len(self._found) >= MOST:
                self._found.pop(next(iter(self._found)), None)
            sent = self._found[inode] = Sent(_described(descriptor, inode))
        to = group, port, address[3] if len(address) > 3 else 0
        if len(sent.to) < MOST:
            sent.to[to] = None


@functools.cache
def _hook() -> None:
    """Have Python tell of each call. There is one hook, whoever wants to know: it cannot be taken away again."""
    sys.addaudithook(_hear)


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _HEARD and _listening:
        for sends in tuple(_listening):
            # A hook that raises makes the call fail.
            try:
                sends.note(event, arguments[0], arguments[1])
            except Exception:  # noqa: BLE001, S112 - closed, or no address: the call says so itself; and whatever else it is
                continue


def _is_group(host: str) -> bool:
    first, dot, _ = host.partition(".")
    return first in _FIRST_OCTETS if dot else host[:2].lower() == "ff" and ":" in host


def _canonical(host: str) -> str:
    """Return an address as the kernel writes it, and names as they are; raises ``ValueError`` for what only looks like a group."""
    return host if not host or (host[0].isalpha() and ":" not in host) else str(ipaddress.ip_address(host))


def _namespace_of(sock: socket.socket) -> int | None:
    """Return the namespace (cookie) of a socket; None where it is not told."""
    try:
        return int.from_bytes(_getsockopt(sock, socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8), sys.byteorder)
    except OSError:  # before Linux 5.14
        return None


def _described(descriptor: int, inode: int) -> dict[str, Any]:
    mine = duplicate(descriptor, inode)  # a class of the user's may have other methods
    if mine is None:
        return {}
    with mine:
        found = {**socket_options(mine), **socket_state(mine)}
    if found.get("local", ["", 0])[1] == 0:
        found.pop("local", None)  # its first datagram gives it a port
    return found
