"""Senders as users write them: plain sockets, right unless told otherwise."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

from pytest_mcast import LabView, VirtualHost
from tests.doctor.scene import PlainSender, Scene

_FAMILIES = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}


def plain_socket(host: VirtualHost, family: str) -> socket.socket:
    """Open a UDP socket on a host."""
    with host.inside():
        return socket.socket(_FAMILIES[family], socket.SOCK_DGRAM)


def plain_sender(
    scene: Scene,
    *,
    interface: str | None = "eth0",
    bind: tuple[object, ...] | None = None,
    options: tuple[tuple[int, int, int | bytes], ...] = (),
    host: VirtualHost | None = None,
) -> PlainSender:
    """Open a socket that sends out of eth0 (None: where the kernel likes); bound only if it is told where.

    The scene has it even if a call is refused.
    """
    host = host or scene.tx
    sock = plain_socket(host, scene.family)
    sender = PlainSender(sock, (scene.channel.group, scene.channel.port))
    scene.sender = sender
    for level, option, value in options:
        sock.setsockopt(level, option, value)
    if interface is not None:
        with host.inside():
            index = socket.if_nametoindex(interface)
        if scene.family == "ipv6":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=8xi", index))
    if bind is not None:
        sock.bind(bind)
    return sender


def run(host: str, command: str) -> Callable[[Scene], None]:
    """Return what runs a command on a host of the scene, tx or rx."""
    return lambda scene: scene.sh(getattr(scene, host), command)


def over_loopback(lab: LabView) -> Scene:
    """One host sends to itself over lo, by IPv6."""
    scene = Scene(lab, "ipv6", interface="lo")
    scene.rx = scene.tx
    scene.receiver_options["interface"] = scene.sender_options["interface"] = "lo"
    return scene
