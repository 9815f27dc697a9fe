"""What the tests of the core share: loopback and its kinds of channel, refusals, and what the kernel knows."""

from __future__ import annotations

import functools
import gc
import itertools
import os
import socket
import struct
import sys
import unittest
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Protocol, TypeVar

from pytest_mcast.core import FAMILIES, MODES, Channel, ChannelPicker, Interface, Receiver, Sender, Subscription

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = tuple(itertools.product(FAMILIES, MODES))
SOURCES = {"ipv4": "127.0.0.1", "ipv6": "::1"}
# Any of 127/8 can send; of IPv6 there is one address only, so a second source never does.
OTHER_SOURCES = {"ipv4": "127.0.0.2", "ipv6": "2001:db8::2"}
LINUX = sys.platform.startswith("linux")

_PICKER = ChannelPicker(os.urandom(16))


class Closable(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=Closable)
T = TypeVar("T", bound="LoopbackTestCase")


class CoreTestCase(unittest.TestCase):
    """Assertions on refusals and on what is left behind."""

    @contextmanager
    def refused(self, error: type[BaseException], *texts: str) -> Iterator[None]:
        """Expect the error, with all of the texts in its message."""
        with self.assertRaises(error) as caught:
            yield
        for text in texts:
            self.assertIn(text, str(caught.exception))

    @contextmanager
    def leaving_nothing_open(self) -> Iterator[None]:
        """Expect as many descriptors as before, and none that the garbage collector had to close."""
        before = _open_files()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ResourceWarning)
            yield
            gc.collect()
        self.assertEqual([str(warning.message) for warning in caught], [])
        self.assertEqual(_open_files(), before)


class LoopbackTestCase(CoreTestCase):
    """Endpoints on loopback, closed at the end; skipped, with the cure, where it takes no multicast."""

    lo: Interface

    @classmethod
    def setUpClass(cls) -> None:
        cls.lo = loopback()

    def opened(self, resource: C) -> C:
        self.addCleanup(resource.close)
        return resource

    def channel(self, family: str = "ipv4", mode: str = "asm", *, source: str | None = None) -> Channel:
        """Return a channel whose group no other test has; the default source of an SSM channel is loopback."""
        reason = _why_not(family)
        if reason is not None:
            self.skipTest(reason)
        if mode == "ssm":
            source = source or SOURCES[family]
        return _PICKER.pick(family, source=source, interface=self.lo)

    def subscription(self, channel: Channel, **options: Any) -> Subscription:
        return self.opened(Subscription(channel, self.lo, **options))

    def receiver(self, channel: Channel, **options: Any) -> Receiver:
        return self.opened(Receiver(channel, self.lo, **options))

    def sender(self, channel: Channel, **options: Any) -> Sender:
        return self.opened(Sender(channel, self.lo, **options))

    def control(self, channel: Channel) -> Receiver:
        """Return a receiver of the same group and port from any source: what it sees was on the wire."""
        return self.receiver(Channel.unchecked(channel.group, channel.port))

    def wildcard_socket(self, channel: Channel) -> socket.socket:
        """Return a socket as a careless caller binds it: it receives what others on this machine have joined."""
        sock = self.opened(udp_socket(channel.family))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("", channel.port))
        return sock


def each_kind(test: Callable[[T, str, str], None]) -> Callable[[T], None]:
    """Run a test for IPv4 and IPv6, ASM and SSM."""

    def run(self: T) -> None:
        for family, mode in KINDS:
            with self.subTest(family=family, mode=mode):
                test(self, family, mode)

    run.__name__, run.__qualname__ = test.__name__, test.__qualname__
    return run


def each_family(test: Callable[[T, str], None]) -> Callable[[T], None]:
    """Run a test for IPv4 and IPv6."""

    def run(self: T) -> None:
        for family in FAMILIES:
            with self.subTest(family=family):
                test(self, family)

    run.__name__, run.__qualname__ = test.__name__, test.__qualname__
    return run


def loopback() -> Interface:
    return next(interface for interface in Interface.all() if interface.loopback)


def udp_socket(family: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if family == "ipv6" else socket.AF_INET, socket.SOCK_DGRAM)


def payloads(receiver: Receiver, count: int) -> list[bytes]:
    return [datagram.payload for datagram in receiver.expect(count)]


def kernel_groups() -> set[str]:
    """The groups that this network namespace is a member of on any interface (Linux)."""
    net = Path("/proc/thread-self/net")
    groups = set()
    for line in net.joinpath("igmp").read_text().splitlines():
        if line.startswith("\t\t\t\t"):  # the group, as a number in the machine's byte order
            groups.add(socket.inet_ntoa(struct.pack("=I", int(line.split()[0], 16))))
    if net.joinpath("igmp6").exists():
        for line in net.joinpath("igmp6").read_text().splitlines():
            groups.add(socket.inet_ntop(socket.AF_INET6, bytes.fromhex(line.split()[2])))
    return groups


def _open_files() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


@functools.cache
def _why_not(family: str) -> str | None:
    """Say why loopback takes no multicast of this family, having tried with plain sockets; None when it does."""
    cure = "ip link set lo up"
    try:
        if family == "ipv6":
            cure += "; ip -6 route add local ff00::/8 dev lo table local"
            _try_ipv6()
        else:
            _try_ipv4()
    except OSError as error:
        return f"no {family} multicast over loopback ({error}): {cure}"
    return None


def _try_ipv4() -> None:
    group = _PICKER.pick("ipv4").group
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(1)
        sock.bind(("", 0))
        home = socket.inet_aton("127.0.0.1")
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + home)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, home)
        sock.sendto(b"", (group, sock.getsockname()[1]))
        sock.recv(1)


def _try_ipv6() -> None:
    group, index = _PICKER.pick("ipv6").group, loopback().index
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.settimeout(1)
        sock.bind(("::", 0))
        membership = socket.inet_pton(socket.AF_INET6, group) + struct.pack("=I", index)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, membership)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        sock.sendto(b"", (group, sock.getsockname()[1], 0, index))
        sock.recv(1)
