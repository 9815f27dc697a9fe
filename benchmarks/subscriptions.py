"""A thousand subscriptions in one context, beside a thousand sockets and epoll by hand."""

from __future__ import annotations

import gc
import resource
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from pytest_mcast import Channel, Context, Interface, ProcessStatistics

from .endpoints import FAMILIES, PAYLOAD, receiver_by_hand, sender_by_hand
from .harness import PAIRS, Times, benchmark, interleave
from .places import loopback

COUNT = 1000
GROUPS = {"ipv4": "239.255.{}.{}", "ipv6": "ff12::8000:{:02x}{:02x}"}


@benchmark(
    "One subscription of 1,000: add, join, close, {}", beside="socket, bind, join, epoll, close by hand", each=FAMILIES
)
def thousand(family: str) -> Times:
    with _place(family) as (channels, interface):
        return _each(
            interleave(lambda: _joined(channels, interface).close(), lambda: ByHand(channels, interface).close())
        )


@benchmark(
    "`receive` of one datagram, 1,000 subscriptions with one each, {}", beside="`epoll` and `recv`", each=FAMILIES
)
def thousand_delivery(family: str) -> Times:
    times = Times()
    with (
        _place(family) as (channels, interface),
        _joined(channels, interface) as context,
        ByHand(channels, interface) as by_hand,
        sender_by_hand(channels[0].group, interface) as sender,
    ):
        sides: list[tuple[Callable[[], object], list[float]]] = [
            (context.receive, times.ours),
            (by_hand.receive, times.beside),
        ]
        for _ in range(4 * PAIRS):
            for channel in channels:  # both get it, so only the receiving is timed
                sender.sendto(PAYLOAD, (channel.group, channel.port))
            for receive, samples in sides:
                start = perf_counter()
                for _ in range(COUNT):
                    assert receive() is not None
                samples.append(perf_counter() - start)
                assert receive() is None
            sides.reverse()
    return _each(times)


@benchmark("Memory of one subscription of 1,000, {}", beside="socket, and `epoll`, by hand", each=FAMILIES, unit="B")
def thousand_memory(family: str) -> Times:
    """Take what the process grows by: what the kernel needs is the same for both."""
    times = Times()
    with _place(family):
        for _ in range(PAIRS):
            for kind, samples in (("ours", times.ours), ("beside", times.beside)):
                code = f"from benchmarks.subscriptions import growth; print(growth({kind!r}, {family!r}))"
                command = [sys.executable, "-c", code]
                root = Path(__file__).parents[1]
                samples.append(float(subprocess.run(command, cwd=root, capture_output=True, check=True).stdout))
    return _each(times)


class ByHand:
    """Members of the groups, and an epoll for them."""

    def __init__(self, channels: list[Channel], interface: Interface) -> None:
        self._epoll = select.epoll()
        self._ready: list[socket.socket] = []
        self._sockets = {}
        for channel in channels:
            sock = receiver_by_hand(channel.group, channel.port, interface)
            sock.setblocking(False)
            self._sockets[sock.fileno()] = sock
            self._epoll.register(sock, select.EPOLLIN)

    def receive(self) -> bytes | None:
        """Return the next datagram, in turn, or None."""
        if not self._ready:
            self._ready = [self._sockets[descriptor] for descriptor, _ in self._epoll.poll(0, COUNT)]
        return self._ready.pop().recv(65535) if self._ready else None

    def close(self) -> None:
        """Close everything."""
        for sock in self._sockets.values():
            sock.close()
        self._epoll.close()

    def __enter__(self) -> ByHand:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def growth(kind: str, family: str) -> int:
    """Return by how many bytes this process grows by a thousand of them, on loopback."""
    interface = next(interface for interface in Interface.all() if interface.loopback)
    channels = _channels(family)
    _allow_files()
    make = _joined if kind == "ours" else ByHand
    make(channels[:1], interface).close()  # what is needed once
    gc.collect()
    before = ProcessStatistics.now().memory
    with make(channels, interface):
        after = ProcessStatistics.now().memory
    assert before is not None
    assert after is not None
    return after - before


@contextmanager
def _place(family: str) -> Iterator[tuple[list[Channel], Interface]]:
    _allow_files()
    with loopback(family) as (_, interface):
        yield _channels(family), interface


def _channels(family: str) -> list[Channel]:
    return [Channel(GROUPS[family].format(number // 250, number % 250 + 1), 5000) for number in range(COUNT)]


def _joined(channels: list[Channel], interface: Interface) -> Context:
    context = Context()
    for channel in channels:
        context.join(context.add(channel, interface))
    return context


def _each(times: Times) -> Times:
    return Times([one / COUNT for one in times.ours], [one / COUNT for one in times.beside])


def _allow_files() -> None:
    """Raise the soft limit: what is written by hand does not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4 * COUNT)), hard))
