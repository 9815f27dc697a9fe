"""The list of UDP sockets, and how those of a program are set."""

from __future__ import annotations

import socket
import sys

import pytest

from pytest_mcast import LabView
from pytest_mcast.wire import socket_settings, udp_sockets

PROGRAM = """
import socket, sys
sock = socket.socket(socket.{family}, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
sock.setsockopt(socket.{level}, {option}, 0)
sock.bind(("{address}", 0))
print("port", sock.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_a_socket_is_listed_with_address_and_port(mcast_lab: LabView, family: str) -> None:
    host, sender = mcast_lab.hosts(2)
    channel = mcast_lab.channel(family)
    receiver = host.receiver(channel)
    with host.inside():
        (found,) = udp_sockets(channel.port)
        assert (found.address, found.port, found.queued, found.drops) == (channel.group, channel.port, 0, 0)
    sender.sender(channel).send(b"x")
    with host.inside():
        assert udp_sockets(channel.port)[0].queued > 0
    assert receiver.recv().payload == b"x"
    with sender.inside():
        assert udp_sockets(channel.port) == []  # another host's


def test_drops_are_counted(mcast_lab: LabView) -> None:
    host, sender = mcast_lab.hosts(2)
    channel = mcast_lab.channel()
    receiver = host.receiver(channel, receive_buffer=2048)
    origin = sender.sender(channel)
    for _ in range(50):
        origin.send(bytes(1000))
    with host.inside():
        (found,) = udp_sockets(channel.port)
    assert found.drops == receiver.statistics().kernel_drops
    assert found.drops > 0


@pytest.mark.parametrize(
    ("family", "level", "option", "address", "word"),
    [
        ("AF_INET", "IPPROTO_IP", 49, "0.0.0.0", "IP_MULTICAST_ALL 0"),
        ("AF_INET6", "IPPROTO_IPV6", 29, "::", "IPV6_MULTICAST_ALL 0"),
    ],
)
def test_the_settings_of_a_program_are_read(
    mcast_lab: LabView, family: str, level: str, option: int, address: str, word: str
) -> None:
    host = mcast_lab.host()
    source = PROGRAM.format(family=family, level=level, option=option, address=address)
    program = host.popen([sys.executable, "-c", source], stdin=True)
    port = int(program.expect(r"port (\d+)")[1])
    with host.inside():
        (text,) = socket_settings(program.pid, port)
    shown = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    assert text == f"{shown} (0 bytes queued, 0 dropped): SO_REUSEADDR 0, SO_REUSEPORT 1, {word}"


def test_a_process_that_has_ended_has_no_sockets(mcast_lab: LabView) -> None:
    host = mcast_lab.host()
    program = host.popen([sys.executable, "-c", "pass"])
    program.wait()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        assert list(socket_settings(program.pid, sock.getsockname()[1])) == []
