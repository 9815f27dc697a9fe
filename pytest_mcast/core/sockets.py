"""Sockets that receive one channel: our own, by the strict recipe, and those that callers bring.

The strict recipe. A socket that is bound to the wildcard address receives every group that any process of the host
has joined, IPv6 matches memberships by group and never by interface, and leaving does not help while somebody else
stays joined. So a socket of ours is bound to the group and to the interface, and takes no foreign memberships.
"""

from __future__ import annotations

import socket

from . import system
from .channels import Channel
from .errors import SubscriptionError
from .interfaces import Interface

__all__ = ["fit_socket", "strict_socket"]


def strict_socket(channel: Channel, interface: Interface) -> socket.socket:
    """Open a non-blocking socket that is bound to the channel's group and port and to the interface."""
    sock = system.open_socket(channel.family)
    try:
        sock.setblocking(False)
        options = system.reuse_options() if channel.port else []  # a port of the system's choice must be free
        for option in options + system.strict_options(channel.family, interface.name, interface.index):
            system.set_option(sock, option)
        sock.bind(system.bind_address(channel.family, channel.group, channel.port, interface.index))
    except BaseException:  # whatever it is: let go, and pass it on
        sock.close()
        raise
    return sock


def fit_socket(channel: Channel, sock: socket.socket) -> socket.socket:
    """Make a caller's socket non-blocking; raises ``SubscriptionError`` when it cannot receive the channel."""
    if sock.fileno() < 0:
        raise SubscriptionError(f"{sock!r} is closed")
    if sock.type != socket.SOCK_DGRAM or sock.family not in (socket.AF_INET, socket.AF_INET6):
        raise SubscriptionError(f"{sock!r} is not a UDP socket")
    if (sock.family == socket.AF_INET6) != (channel.family == "ipv6"):
        raise SubscriptionError(f"{sock!r} is not an {channel.family} socket, as {channel} needs")
    address, port = sock.getsockname()[:2]
    if port == 0:
        raise SubscriptionError(f"{sock!r} is not bound; bind it to the port of {channel} first")
    if channel.port not in (0, port):
        raise SubscriptionError(f"{sock!r} is bound to port {port}, not to the port of {channel}")
    if not system.hears(address, channel.group):
        raise SubscriptionError(f"{sock!r} is bound to {address}: bind it to the group of {channel}, or to no address")
    sock.setblocking(False)
    return sock
