"""A service announcer and listener for Linux, with plain sockets and asyncio datagram endpoints.

An announcement is one datagram of JSON to a multicast group. Whoever asks ``QUESTION`` there is answered directly.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
import struct
import time
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Self

__all__ = ["QUESTION", "Announcer", "AsyncListener", "Listener", "Service", "group_socket"]

QUESTION = b"who is there?"

# linux/in.h: the options of RFC 3678 section 5, which serve both families.
_MCAST_JOIN_GROUP, _MCAST_JOIN_SOURCE_GROUP = 42, 46


@dataclass(frozen=True)
class Service:
    """A service and the TCP port where it is offered."""

    name: str
    port: int

    def encode(self) -> bytes:
        """Return the payload that announces it."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, payload: bytes) -> Service:
        """Read a payload; raises ``ValueError`` for one that announces nothing."""
        try:
            fields = json.loads(payload)
            return cls(str(fields["name"]), int(fields["port"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{payload!r} announces no service") from error


def group_socket(group: str, port: int, interface: int, source: str | None = None) -> socket.socket:
    """Return a socket that has joined the group, from that source or from any, on the interface with that index."""
    sock, level = _udp_socket(group)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(_name(group, port, interface))
        request = struct.pack("@I0L", interface) + _sockaddr(group)  # struct group_req, group_source_req
        if source is None:
            sock.setsockopt(level, _MCAST_JOIN_GROUP, request)
        else:
            sock.setsockopt(level, _MCAST_JOIN_SOURCE_GROUP, request + _sockaddr(source))
    except BaseException:
        sock.close()
        raise
    return sock


class _Endpoint:
    """Has a socket, and is closed at the end of a ``with``."""

    _socket: socket.socket

    def close(self) -> None:
        """Close the socket, which also leaves the group."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Announcer(_Endpoint):
    """Announces services to a group, out of the interface with that index, from ``source`` if one is given."""

    def __init__(self, group: str, port: int, interface: int, source: str | None = None) -> None:
        self._destination = _name(group, port, interface)
        self._socket, level = _udp_socket(group)
        try:
            if level == socket.IPPROTO_IPV6:
                self._socket.setsockopt(level, socket.IPV6_MULTICAST_IF, interface)
            else:
                self._socket.setsockopt(level, socket.IP_MULTICAST_IF, struct.pack("@8xi", interface))  # ip_mreqn
            if source is not None:
                self._socket.bind(_name(source, 0, interface))
        except BaseException:
            self._socket.close()
            raise

    def announce(self, service: Service) -> None:
        """Send one announcement."""
        self._socket.sendto(service.encode(), self._destination)

    def ask(self, timeout: float) -> Service:
        """Ask the group and return the first answer; raises ``TimeoutError`` after ``timeout`` seconds."""
        self._socket.sendto(QUESTION, self._destination)
        return _receive(self._socket, timeout)[0]


class Listener(_Endpoint):
    """Hears announcements; the arguments are those of ``group_socket``."""

    def __init__(self, group: str, port: int, interface: int, source: str | None = None) -> None:
        self._socket = group_socket(group, port, interface, source)

    def hear(self, timeout: float) -> tuple[Service, str]:
        """Return the next service and the address it came from; raises ``TimeoutError`` after ``timeout`` seconds."""
        return _receive(self._socket, timeout)


class AsyncListener(asyncio.DatagramProtocol):
    """Hears announcements and answers questions with its own service, in the running event loop."""

    def __init__(self, own: Service | None) -> None:
        self._own = own
        self._heard: asyncio.Queue[tuple[Service, str]] = asyncio.Queue()
        self._closed = asyncio.Event()
        self._transport: asyncio.DatagramTransport | None = None

    @classmethod
    async def open(cls, sock: socket.socket, own: Service | None = None) -> AsyncListener:
        """Listen on a socket from ``group_socket``, which is closed together with the listener."""
        loop = asyncio.get_running_loop()
        _, listener = await loop.create_datagram_endpoint(lambda: cls(own), sock=sock)
        return listener

    async def hear(self) -> tuple[Service, str]:
        """Return the next service and the address it came from."""
        return await self._heard.get()

    async def close(self) -> None:
        """Leave and close."""
        if self._transport is not None:
            self._transport.close()
            await self._closed.wait()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        """Remember the transport."""
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """Answer a question, take an announcement, pass over anything else."""
        if data == QUESTION:
            if self._own is not None and self._transport is not None:
                self._transport.sendto(self._own.encode(), addr)
            return
        try:
            self._heard.put_nowait((Service.decode(data), addr[0]))
        except ValueError:
            return

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell ``close`` that the socket is closed."""
        del exc
        self._closed.set()


def _udp_socket(group: str) -> tuple[socket.socket, int]:
    """Return a UDP socket of the group's family, and the level of its options."""
    if ":" in group:
        return socket.socket(socket.AF_INET6, socket.SOCK_DGRAM), socket.IPPROTO_IPV6
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.IPPROTO_IP


def _receive(sock: socket.socket, timeout: float) -> tuple[Service, str]:
    """Return the next announcement, passing over what is none."""
    end = time.monotonic() + timeout
    while (remaining := end - time.monotonic()) > 0:
        sock.settimeout(remaining)
        payload, address = sock.recvfrom(65535)
        try:
            return Service.decode(payload), address[0]
        except ValueError:
            continue
    raise TimeoutError(f"no service was heard of within {timeout:g} s")


def _name(address: str, port: int, interface: int) -> tuple[Any, ...]:
    """Return what sendto and bind take."""
    return (address, port, 0, interface) if ":" in address else (address, port)


def _sockaddr(address: str) -> bytes:
    """Return a struct sockaddr_storage."""
    ip = ipaddress.ip_address(address)
    head = struct.pack("@H6x", socket.AF_INET6) if ip.version == 6 else struct.pack("@H2x", socket.AF_INET)
    return (head + ip.packed).ljust(128, b"\0")
