"""What cases do to hosts and look at besides a receiver: routes, channels of their own, ICMP."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_mcast import Channel, Datagram, Delivered, LabView, VirtualHost
from pytest_mcast.catalogue import find_case
from pytest_mcast.catalogue.setup import another_default_route, default_route
from pytest_mcast.cores.behaviours import Bench
from pytest_mcast.cores.builtin import BuiltInCore, BuiltInReceiver


@pytest.fixture(params=["ipv4", "ipv6"])
def bench(mcast_lab: LabView, request: pytest.FixtureRequest) -> Iterator[Bench]:
    with Bench(BuiltInCore(), mcast_lab, request.param, "asm", timeout=2) as bench:
        yield bench


class Complains(BuiltInCore):
    """A core on a host that sends an ICMP error for whatever comes to a group."""

    def open(self, channel: Channel, host: Any, **options: Any) -> BuiltInReceiver:
        receiver = super().open(channel, host, **options)
        ipv4 = channel.family == "ipv4"
        with host.inside():
            sock = socket.socket(
                socket.AF_INET if ipv4 else socket.AF_INET6,
                socket.SOCK_RAW,
                socket.IPPROTO_ICMP if ipv4 else socket.IPPROTO_ICMPV6,
            )
            sock.bind(
                (
                    receiver.interface.address(channel.family, channel.scope),
                    0,
                    *((0, receiver.interface.index) * (not ipv4)),
                )
            )
        host.keep(_Socket(sock))
        hear = receiver.recv

        def recv(timeout: float | None = None) -> Datagram:
            datagram = hear(timeout)
            group = socket.inet_pton(sock.family, channel.group)
            header = bytes([0x45]) + bytes(15) + group if ipv4 else bytes([0x60]) + bytes(23) + group
            kind = (3, 3) if ipv4 else (1, 4)
            message = struct.pack(">BBHI", *kind, 0, 0) + header + bytes(8)
            scope = () if ipv4 else (0, receiver.interface.index)
            sock.sendto(_with_checksum(message) if ipv4 else message, (datagram.source[0], 0, *scope))
            return datagram

        receiver.recv = recv  # type: ignore[method-assign]
        return receiver


class _Socket:
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.close = sock.close

    @property
    def closed(self) -> bool:
        return self._sock.fileno() < 0


def _with_checksum(message: bytes) -> bytes:
    from pytest_mcast.wire.packets import internet_checksum

    return message[:2] + struct.pack(">H", internet_checksum(message)) + message[4:]


def _default_interfaces(host: VirtualHost) -> set[str]:
    with host.inside(), open("/proc/thread-self/net/route") as table:
        rows = [line.split() for line in table.read().splitlines()[1:]]
    return {row[0] for row in rows if row[1] == "00000000"}


class TestRoutes:
    def test_by_the_interface_of_the_host(self, mcast_lab: LabView) -> None:
        rx, tx = mcast_lab.direct()
        with Bench(BuiltInCore(), mcast_lab, "ipv4", "asm") as bench:
            default_route()(bench, rx, tx)
        assert _default_interfaces(rx) == {"eth0"}

    def test_by_another_interface(self, mcast_lab: LabView) -> None:
        rx, tx = mcast_lab.direct()
        with Bench(BuiltInCore(), mcast_lab, "ipv4", "asm") as bench:
            another_default_route()(bench, rx, tx)
        assert _default_interfaces(rx) == {"away"}
        assert rx.touched


class TestIcmpErrors:
    def test_none_comes_for_a_group(self, bench: Bench) -> None:
        find_case("destination.no-icmp-error").look(bench)
        assert "none for the group" in bench.evidence[-1]

    def test_one_that_comes_is_found(self, bench: Bench) -> None:
        bench.core = Complains()
        with pytest.raises(Delivered, match=r"an ICMP error came for what was sent to (239|ff12)"):
            find_case("destination.no-icmp-error").look(bench)
