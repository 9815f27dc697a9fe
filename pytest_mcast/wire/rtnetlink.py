"""A netlink socket, of rtnetlink if not told: requests, answers and announcements. rtnetlink(7), netlink(7).

Remote hosts get it sent over: standard library, Python 3.9 or later.
"""

from __future__ import annotations

import errno
import math
import os
import select
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_mcast.core.deadline import Deadline

from .attributes import attributes

__all__ = ["Netlink", "NetlinkError", "Request"]

_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_DUMP_INTERRUPTED = 0x10
_SOL_NETLINK, _ADD_MEMBERSHIP, _DROP_MEMBERSHIP, _CAP_ACK, _EXT_ACK = 270, 1, 2, 10, 11
_GROUP_LINK = 1  # RTNLGRP_LINK
_ERROR, _DONE = 2, 3


class NetlinkError(OSError):
    """The kernel refused a request; the text says which one, and why."""


@dataclass(frozen=True)
class Request:
    """One message: its type, flags and body, and what it does in words."""

    kind: int
    flags: int
    body: bytes
    what: str


class Netlink:
    """A netlink socket (``protocol``: NETLINK_*); it stays in the network namespace in which it was made."""

    def __init__(self, protocol: int = socket.NETLINK_ROUTE) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.setsockopt(_SOL_NETLINK, _EXT_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
        self._socket.bind((0, 0))  # the kernel announces nothing to a socket without an address
        self._sequence = 0

    def run(self, *requests: Request) -> None:
        """Carry the requests out in order, as one batch; raises ``NetlinkError`` for the first that was refused."""
        batch, waiting = bytearray(), {}
        for request in requests:
            self._sequence += 1
            waiting[self._sequence] = request
            flags = _REQUEST | _ACK | request.flags
            batch += struct.pack("=IHHII", 16 + len(request.body), request.kind, flags, self._sequence, 0)
            batch += request.body
        self._socket.send(batch)
        refused = None
        while waiting:
            for kind, _, sequence, body in self._messages():
                if kind == _ERROR and (request_done := waiting.pop(sequence, None)):
                    code = -struct.unpack_from("=i", body)[0]
                    if code and refused is None:
                        reason = _extended(body) or os.strerror(code)
                        refused = NetlinkError(code, f"cannot {request_done.what}: {reason}")
        if refused is not None:
            raise refused

    def ask(self, request: Request, *, dump: bool = False, most: float = math.inf) -> list[bytes]:
        """Return the bodies of the answers to a request: to one for a ``dump`` all there are, else one.

        Raises ``NetlinkError``; with EOVERFLOW when there are more than ``most``, and the socket is of no use after that.
        """
        while True:
            self._sequence += 1
            flags = _REQUEST | (_DUMP if dump else _ACK) | request.flags
            header = struct.pack("=IHHII", 16 + len(request.body), request.kind, flags, self._sequence, 0)
            self._socket.send(header + request.body)
            bodies, interrupted, done = [], False, False
            while not done:
                for kind, found, sequence, body in self._messages():
                    if sequence != self._sequence:
                        continue
                    interrupted |= bool(found & _DUMP_INTERRUPTED)  # something changed meanwhile: ask again
                    done = kind in (_ERROR, _DONE)
                    if kind == _ERROR and (code := -struct.unpack_from("=i", body)[0]):
                        raise NetlinkError(code, f"cannot {request.what}: {_extended(body) or os.strerror(code)}")
                    if not done:
                        bodies.append(body)
                if len(bodies) > most:
                    raise NetlinkError(errno.EOVERFLOW, f"cannot {request.what}: there are more than {most:,}")
            if not interrupted:
                return bodies

    def subscribe(self, group: int) -> None:
        """Have the messages of a multicast group of rtnetlink (RTNLGRP_*) sent to this socket."""
        self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)

    def wait(self, deadline: Deadline) -> bool:
        """Wait until a message is there, and throw away all that are; False when the deadline has passed.

        For those who look at the state itself then: so it does not matter that messages are lost when there are many.
        """
        remaining = deadline.remaining()
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        if not poll.poll(None if remaining is None else math.ceil(remaining * 1000)):
            return False
        while True:
            try:
                self._socket.recv(1, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return True
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise

    def wait_until_up(self, index: int, timeout: float = 10.0) -> None:
        """Wait until a link is operational (RFC 2863), ``timeout`` seconds at the most.

        Of two ends of a veth pair the one that was set up first carries nothing until the kernel's link watch, which
        has work to do elsewhere on a busy machine, has noticed the other; the same goes for IPv6 on the link.
        Raises ``NetlinkError`` (ETIMEDOUT, or ENODEV when there is no such link).
        """
        for kind, body in self._watch(index, Deadline(timeout)):
            if kind == _NEWLINK and _is_up(body):
                return
            if kind in (_DELLINK, _ERROR):
                raise NetlinkError(errno.ENODEV, f"there is no link {index}")

    def wait_until_down(self, index: int, timeout: float = 10.0) -> None:
        """Wait until a link is not operational any more; raises ``NetlinkError`` like ``wait_until_up``."""
        for kind, body in self._watch(index, Deadline(timeout)):
            if kind == _NEWLINK and not _is_up(body):
                return
            if kind in (_DELLINK, _ERROR):
                raise NetlinkError(errno.ENODEV, f"there is no link {index}")

    def wait_until_gone(self, index: int, timeout: float = 10.0) -> None:
        """Wait until there is no such link, ``timeout`` seconds at the most; raises ``NetlinkError`` (ETIMEDOUT)."""
        for kind, _ in self._watch(index, Deadline(timeout)):
            if kind in (_DELLINK, _ERROR):
                return

    def _watch(self, index: int, deadline: Deadline) -> Iterator[tuple[int, bytes]]:
        """Yield kind and body of the message that says how a link is, and of those that say how it changes."""
        self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP_LINK)  # first, so that no change is missed
        try:
            self._sequence += 1
            asked = self._sequence
            body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, 0, 0)
            self._socket.send(struct.pack("=IHHII", 16 + len(body), _GETLINK, _REQUEST, asked, 0) + body)
            while True:
                self._socket.settimeout(deadline.remaining())
                for kind, _, sequence, content in self._messages():
                    if sequence == asked or struct.unpack_from("=i", content, 4)[0] == index:
                        yield kind, content
        except (TimeoutError, BlockingIOError):
            what = f"link {index} is not as it should be after {deadline.seconds:g} s"
            raise NetlinkError(errno.ETIMEDOUT, what) from None
        finally:
            self._socket.setsockopt(_SOL_NETLINK, _DROP_MEMBERSHIP, _GROUP_LINK)
            self._socket.settimeout(None)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _messages(self) -> Iterator[tuple[int, int, int, bytes]]:
        data, position = self._socket.recv(1 << 17), 0
        while position < len(data):
            length, kind, flags, sequence, _ = struct.unpack_from("=IHHII", data, position)
            yield kind, flags, sequence, data[position + 16 : position + length]
            position += (length + 3) & ~3


def _is_up(body: bytes) -> bool:
    """Read the operational state (IFLA_OPERSTATE: IF_OPER_UP) from the body of a RTM_NEWLINK."""
    return any(kind == 16 and value[0] == 6 for kind, value in attributes(body, 16))


def _extended(body: bytes) -> str | None:
    """Read the kernel's own words from an error message (NLMSGERR_ATTR_MSG)."""
    # After the code, and the header of the request, of which NETLINK_CAP_ACK leaves nothing else.
    words = [value for kind, value in attributes(body, 4 + 16) if kind == 1]
    return words[0].rstrip(b"\0").decode(errors="replace") if words else None
