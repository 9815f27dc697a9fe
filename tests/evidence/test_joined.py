"""What a socket tells about itself: what it has joined, and what else decides what it gets."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import closing

import pytest

from pytest_mcast import LabView, VirtualHost
from pytest_mcast.core import system
from pytest_mcast.evidence import joined_by, socket_state
from pytest_mcast.evidence.joined import namespace

from .support import say

FAMILIES = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
SOURCE = {"ipv4": "192.0.2.{}", "ipv6": "2001:db8::{}"}


@pytest.fixture
def host(mcast_lab: LabView) -> VirtualHost:
    return mcast_lab.host()


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def sock(host: VirtualHost, family: str) -> Iterator[socket.socket]:
    with host.inside():
        opened = socket.socket(FAMILIES[family], socket.SOCK_DGRAM)
    with closing(opened):
        yield opened


def _set(sock: socket.socket, action: str, index: int, group: str, source: str | None = None) -> None:
    family = "ipv6" if ":" in group else "ipv4"
    system.set_option(sock, system.membership_option(action, family, index, group, source))


def test_memberships_of_a_socket(mcast_lab: LabView, host: VirtualHost, family: str, sock: socket.socket) -> None:
    index = host.find("eth0").index
    any_source, blocking, specific, other = (mcast_lab.channel(family).group for _ in range(4))
    first, second = (SOURCE[family].format(number) for number in (1, 2))
    _set(sock, "join", index, any_source)
    _set(sock, "join", index, blocking)
    _set(sock, "block", index, blocking, first)
    _set(sock, "join-source", index, specific, second)
    _set(sock, "join-source", index, specific, first)
    asked = [(1, any_source), *((index, group) for group in (any_source, blocking, specific, other))]
    assert joined_by(sock, asked) == [
        {"index": index, "group": any_source, "mode": "exclude", "sources": []},
        {"index": index, "group": blocking, "mode": "exclude", "sources": [first]},
        {"index": index, "group": specific, "mode": "include", "sources": [first, second]},
    ]
    _set(sock, "leave", index, any_source)
    assert joined_by(sock, [(index, any_source)]) == []


def test_all_sources_are_told(mcast_lab: LabView, host: VirtualHost) -> None:
    """See that there may be more than are asked for at first (for IPv6 the machine's limit is that number)."""
    index, group, number = host.find("eth0").index, mcast_lab.channel().group, 71
    say(host, f"sysctl -qw net.ipv4.igmp_max_msf={number}")
    sources = [f"192.0.2.{each}" for each in range(1, number + 1)]
    with host.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for source in sources:
            _set(sock, "join-source", index, group, source)
        (found,) = joined_by(sock, [(index, group)])
    assert found["sources"] == sorted(sources)


def test_an_ipv4_group_of_an_ipv6_socket(mcast_lab: LabView, host: VirtualHost) -> None:
    index, group = host.find("eth0").index, mcast_lab.channel().group
    with host.inside(), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        _set(sock, "join", index, group)
        assert [each["group"] for each in joined_by(sock, [(index, group)])] == [group]


def test_an_ipv6_group_is_not_asked_of_an_ipv4_socket(host: VirtualHost) -> None:
    with host.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        assert joined_by(sock, [(1, "ff02::1")]) == []


def test_state_of_a_socket(host: VirtualHost, sock: socket.socket) -> None:
    with host.inside():
        here = namespace()
    found = socket_state(sock)
    assert found["inode"] == os.fstat(sock.fileno()).st_ino
    assert found["namespace"] == here != namespace()
    assert (found["device"], found["queued"], found["drops"], found["filter"]) == ("", 0, 0, 0)
    assert found["limit"] == sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    program = ctypes.create_string_buffer(struct.pack("=HBBI", 0x06, 0, 0, 0))  # BPF_RET: take 0 bytes
    sock.setsockopt(socket.SOL_SOCKET, 26, struct.pack("@HP", 1, ctypes.addressof(program)))  # SO_ATTACH_FILTER
    found = socket_state(sock)
    assert (found["device"], found["filter"]) == ("eth0", 1)


def test_nothing_is_told_of_a_closed_socket(sock: socket.socket) -> None:
    sock.close()
    assert socket_state(sock) == {}
    assert joined_by(sock, [(1, "239.1.1.1"), (1, "ff02::1")]) == []
