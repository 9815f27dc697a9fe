"""Receivers as users write them: plain sockets, right unless told otherwise."""

from __future__ import annotations

import socket
from collections.abc import Callable

from pytest_mcast import LabView, VirtualHost
from pytest_mcast.core import system
from tests.doctor.scene import PlainReceiver, Receives, Scene

MULTICAST_ALL = {"ipv4": (socket.IPPROTO_IP, 49), "ipv6": (socket.IPPROTO_IPV6, 29)}


def plain(
    scene: Scene,
    *,
    family: str | None = None,
    address: str = "",
    scope: str = "",
    port: int | None = None,
    joins: bool = True,
    group: str | None = None,
    interface: str | None = "eth0",
    source: str | None = None,
    options: tuple[tuple[int, int, int], ...] = (),
    device: str = "",
    host: VirtualHost | None = None,
) -> PlainReceiver:
    """Open a socket that is bound to the channel's port and has joined its group on eth0; None: where the kernel likes.

    The scene has it even if a call is refused.
    """
    channel, host = scene.channel, host or scene.rx
    family = family or channel.family
    group = group or channel.group
    port = channel.port if port is None else port
    with host.inside():
        sock = socket.socket(socket.AF_INET6 if family == "ipv6" else socket.AF_INET, socket.SOCK_DGRAM)
        if scene.receiver is None:
            scene.receiver = PlainReceiver(sock)
        for level, option, value in options:
            sock.setsockopt(level, option, value)
        if device:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        scope_id = socket.if_nametoindex(scope) if scope else 0
        sock.bind((address, port, 0, scope_id) if family == "ipv6" else (address, port))
        if joins:
            join(sock, group, interface, source)
    return PlainReceiver(sock)


def join(sock: socket.socket, group: str, interface: str | None = "eth0", source: str | None = None) -> None:
    """Join; with a source, for that one only. Call it inside the host."""
    act(sock, "join" if source is None else "join-source", group, interface, source)


def act(sock: socket.socket, action: str, group: str, interface: str | None, source: str | None = None) -> None:
    """Do as ``system.membership_option`` has it."""
    index = socket.if_nametoindex(interface) if interface else 0
    family = "ipv6" if ":" in group else "ipv4"
    system.set_option(sock, system.membership_option(action, family, index, group, source))


def opens(make: Callable[[Scene], Receives]) -> Callable[[Scene], None]:
    """Return what makes a scene's receiver another one."""

    def change(scene: Scene) -> None:
        scene.open_receiver = lambda: make(scene)

    return change


def beside(scene: Scene, receiver: Receives, *others: Receives) -> Receives:
    """Return a receiver that closes others with it."""
    return _Beside(scene, receiver, others)


class _Beside(PlainReceiver):
    def __init__(self, scene: Scene, receiver: Receives, others: tuple[Receives, ...]) -> None:
        assert isinstance(receiver, PlainReceiver)
        super().__init__(receiver.socket)
        self._others = others

    def close(self) -> None:
        """Close them all."""
        super().close()
        for other in self._others:
            other.close()


#: The cure of most: a plain socket that is right.
right = opens(plain)


def ipv4_ssm(lab: LabView) -> Scene:
    return Scene(lab, "ipv4", "ssm")


def ipv6(lab: LabView) -> Scene:
    return Scene(lab, "ipv6")


def ipv6_ssm(lab: LabView) -> Scene:
    return Scene(lab, "ipv6", "ssm")


def two_interfaces(lab: LabView) -> Scene:
    """The receiver has eth0, and eth9, which is on another link."""
    return Scene(lab, more_interfaces={"eth9": "beside"})


def two_interfaces_ipv6(lab: LabView) -> Scene:
    return Scene(lab, "ipv6", more_interfaces={"eth9": "beside"})


def unknown_socket(lab: LabView) -> Scene:
    """The doctor is not told which socket receives."""
    return Scene(lab, shows_socket=False)


def unknown_socket_ipv6(lab: LabView) -> Scene:
    return Scene(lab, "ipv6", shows_socket=False)
