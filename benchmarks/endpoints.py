"""Our receivers and senders beside sockets written by hand."""

from __future__ import annotations

import socket
import struct

from pytest_mcast import Interface, Receiver, Sender

from .harness import Times, benchmark, interleave
from .places import loopback

FAMILIES = ("ipv4", "ipv6")
PAYLOAD = bytes(64)


@benchmark("`Receiver(channel, interface)` and close, {}", beside="socket, bind, join, close by hand", each=FAMILIES)
def receiver(family: str) -> Times:
    with loopback(family) as (channel, interface):
        return interleave(
            lambda: Receiver(channel, interface.name).close(),
            lambda: receiver_by_hand(channel.group, channel.port, interface).close(),
            calls=20,
        )


@benchmark("`send` and `recv` of one datagram, {}", beside="`sendto` and `recv` of blocking sockets", each=FAMILIES)
def delivery(family: str) -> Times:
    with (
        loopback(family) as (channel, interface),
        Receiver(channel, interface.name) as our_receiver,
        Sender(channel, interface.name) as our_sender,
        receiver_by_hand(channel.group, 0, interface) as receiver,
        sender_by_hand(channel.group, interface) as sender,
    ):
        destination = (channel.group, *receiver.getsockname()[1:])

        def ours() -> None:
            our_sender.send(PAYLOAD)
            our_receiver.recv()

        def by_hand() -> None:
            sender.sendto(PAYLOAD, destination)
            receiver.recv(65535)

        return interleave(ours, by_hand, calls=100)


def receiver_by_hand(group: str, port: int, interface: Interface) -> socket.socket:
    """Return a member of the group, as the documentation of sockets has it."""
    ipv6 = ":" in group
    sock = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if ipv6:
        sock.bind((group, port, 0, interface.index))
        request = socket.inet_pton(socket.AF_INET6, group) + struct.pack("=I", interface.index)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
    else:
        sock.bind((group, port))
        request = socket.inet_aton(group) + socket.inet_aton(interface.ipv4[0])
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    return sock


def sender_by_hand(group: str, interface: Interface) -> socket.socket:
    """Return a sender to the group."""
    if ":" in group:
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, interface.index)
    else:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface.ipv4[0]))
    return sock
