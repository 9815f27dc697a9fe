"""The UDP sockets of a host, as the kernel lists them, and how those of our programs are set."""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import os
import re
import socket
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["UdpSocket", "read_sockets", "socket_settings", "udp_sockets"]

_DIRECTORY = Path("/proc/thread-self/net")  # /proc/net is the main thread's
_PIDFD_GETFD = 438  # the same on every architecture
_IP_MULTICAST_ALL, _IPV6_MULTICAST_ALL = 49, 29  # linux/in.h, linux/in6.h


@dataclass(frozen=True)
class UdpSocket:
    """A UDP socket: the address it is bound to, its port, bytes in its receive queue, datagrams it has dropped.

    ``inode`` is what descriptors of it are known by (proc_pid_fd(5)); ``peer`` is the address and port it is connected to (0
    if it is not), ``uid`` whose it is.
    """

    address: str
    port: int
    queued: int
    drops: int
    inode: int
    peer: tuple[str, int]
    uid: int

    def __str__(self) -> str:
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{address}:{self.port} ({self.queued} bytes queued, {self.drops} dropped)"


def udp_sockets(port: int | None = None) -> list[UdpSocket]:
    """Return the UDP sockets of the calling thread's network namespace, of one port if it is named (proc_net(5))."""
    found = []
    for name in ("udp", "udp6"):
        try:
            found += read_sockets((_DIRECTORY / name).read_text())
        except FileNotFoundError:  # no IPv6
            continue
    return [one for one in found if port in (None, one.port)]


def read_sockets(text: str) -> list[UdpSocket]:
    """Read the text of /proc/net/udp or udp6."""
    return [_parse(line.split()) for line in text.splitlines()[1:]]


def socket_settings(pid: int, port: int) -> Iterator[str]:
    """Say of each UDP socket on a port that a process of ours has how it is bound and set, as far as we may look.

    The calling thread is in the network of the process. Its descriptors are copied for that (pidfd_getfd(2)).
    """
    sockets = {one.inode: one for one in udp_sockets(port)}
    with contextlib.suppress(OSError), contextlib.closing(_Process(pid)) as process:
        for descriptor, inode in process.sockets():
            if inode in sockets:
                with contextlib.suppress(OSError), process.copy(descriptor) as sock:
                    yield f"{sockets[inode]}: {', '.join(_settings(sock))}"


class _Process:
    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._pidfd = os.pidfd_open(pid)

    def sockets(self) -> Iterable[tuple[int, int]]:
        """Yield descriptor and inode."""
        for name in os.listdir(f"/proc/{self._pid}/fd"):
            with contextlib.suppress(OSError):  # it may be closed by now
                match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/{self._pid}/fd/{name}"))
                if match:
                    yield int(name), int(match[1])

    def copy(self, descriptor: int) -> socket.socket:
        """Return a socket of our own that is the same."""
        libc = ctypes.CDLL(None, use_errno=True)
        copied = libc.syscall(_PIDFD_GETFD, self._pidfd, descriptor, 0)
        if copied < 0:
            raise OSError(ctypes.get_errno(), "pidfd_getfd failed")
        return socket.socket(fileno=copied)

    def close(self) -> None:
        os.close(self._pidfd)


def _settings(sock: socket.socket) -> Iterator[str]:
    for name, option in (("SO_REUSEADDR", socket.SO_REUSEADDR), ("SO_REUSEPORT", socket.SO_REUSEPORT)):
        yield f"{name} {sock.getsockopt(socket.SOL_SOCKET, option)}"
    if sock.family == socket.AF_INET6:
        yield f"IPV6_MULTICAST_ALL {sock.getsockopt(socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL)}"
    else:
        yield f"IP_MULTICAST_ALL {sock.getsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL)}"


def _parse(columns: list[str]) -> UdpSocket:
    (address, port), (peer, peer_port), (_, queued) = (columns[number].split(":") for number in (1, 2, 4))
    return UdpSocket(
        _address(address),
        int(port, 16),
        int(queued, 16),
        int(columns[12]),
        int(columns[9]),
        (_address(peer), int(peer_port, 16)),
        int(columns[7]),
    )


def _address(text: str) -> str:
    """Read an address of /proc: words of 32 bits, each a number of this machine's byte order."""
    words = [int(text[start : start + 8], 16).to_bytes(4, sys.byteorder) for start in range(0, len(text), 8)]
    return str(ipaddress.ip_address(b"".join(words)))
