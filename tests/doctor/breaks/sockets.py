"""What is broken in where the receiver's socket was opened, and what it is bound and connected to."""

from __future__ import annotations

import socket
from collections.abc import Callable

from pytest_mcast import Channel, LabView, VirtualHost
from tests.doctor.scene import Break, PlainReceiver, Receives, Scene

from .plain import (
    ipv6,
    join,
    opens,
    plain,
    right,
    two_interfaces,
    two_interfaces_ipv6,
    unknown_socket,
    unknown_socket_ipv6,
)

_IPV6_V6ONLY = 26


def _bound_to_unicast(scene: Scene) -> PlainReceiver:
    return plain(scene, address=scene.rx.source(scene.family), scope="eth0")


def _bound_to_another_group(scene: Scene) -> PlainReceiver:
    return plain(scene, address=scene.lab.channel(scene.family).group, scope="eth0")


def _another_port(scene: Scene) -> PlainReceiver:
    return plain(scene, port=0)


def _no_port(scene: Scene) -> PlainReceiver:
    with scene.rx.inside():
        sock = socket.socket(socket.AF_INET6 if scene.family == "ipv6" else socket.AF_INET, socket.SOCK_DGRAM)
        join(sock, scene.channel.group)
    return PlainReceiver(sock)


def _connected(scene: Scene) -> PlainReceiver:
    """Connected to the sender's address, but not to its port."""
    receiver = plain(scene)
    with scene.rx.inside():
        receiver.socket.connect(_destination(scene, scene.tx))
    return receiver


def _destination(scene: Scene, host: VirtualHost) -> tuple[object, ...]:
    zone = (0, socket.if_nametoindex("eth0")) if scene.family == "ipv6" else ()
    return (host.source(scene.family), scene.channel.port, *zone)


def _connected_to_another(scene: Scene) -> PlainReceiver:
    """Bound to the group, so that it stays bound to it."""
    receiver = plain(scene, address=scene.channel.group, scope="eth0")
    with scene.rx.inside():
        receiver.socket.connect(_destination(scene, scene.rx))
    return receiver


def _link_local(lab: LabView) -> Scene:
    scene = two_interfaces_ipv6(lab)
    scene.channel = lab.channel("ipv6", scope="link-local")
    return scene


def _other_scope(scene: Scene) -> PlainReceiver:
    receiver = plain(scene, address=scene.channel.group, scope="eth9", joins=False)
    with scene.rx.inside():
        join(receiver.socket, scene.channel.group)
    return receiver


def _v6only(scene: Scene) -> PlainReceiver:
    return plain(scene, family="ipv6", options=((socket.IPPROTO_IPV6, _IPV6_V6ONLY, 1),))


def _both_families(scene: Scene) -> PlainReceiver:
    return plain(scene, family="ipv6", options=((socket.IPPROTO_IPV6, _IPV6_V6ONLY, 0),))


def _ipv4_socket(scene: Scene) -> PlainReceiver:
    return plain(scene, family="ipv4", joins=False)


_ON_ETH9 = opens(lambda scene: plain(scene, device="eth9"))
_ELSEWHERE = opens(lambda scene: plain(scene, host=scene.lab.host("elsewhere")))


def _ours(scene: Scene) -> None:
    scene.open_receiver = lambda: scene.rx.receiver(scene.channel)


def _ours_on_eth9(scene: Scene) -> Receives:
    return scene.rx.receiver(scene.channel, interface="eth9")


def _ours_of_another_group(scene: Scene) -> Receives:
    return scene.rx.receiver(Channel(scene.lab.channel(scene.family).group, scene.channel.port))


def _hidden(make: Callable[[LabView], Scene]) -> Callable[[LabView], Scene]:
    """The doctor is not told which socket receives."""

    def scene(lab: LabView) -> Scene:
        made = make(lab)
        made.shows_socket = False
        return made

    return scene


BREAKS = (
    Break("bound to a unicast address", "bind.unicast", opens(_bound_to_unicast), right),
    Break("bound to a unicast address, IPv6", "bind.unicast", opens(_bound_to_unicast), right, ipv6),
    Break("bound to a unicast address, not known", "bind.unicast", opens(_bound_to_unicast), right, unknown_socket),
    Break("bound to another group", "bind.other-group", opens(_bound_to_another_group), right),
    Break("bound to another group, IPv6", "bind.other-group", opens(_bound_to_another_group), right, ipv6),
    Break(
        "bound to another group, not known, IPv6",
        "bind.other-group",
        opens(_bound_to_another_group),
        right,
        unknown_socket_ipv6,
    ),
    Break("bound to another port", "port.other", opens(_another_port), right),
    Break("bound to another port, IPv6", "port.other", opens(_another_port), right, ipv6),
    Break("not bound", "port.unbound", opens(_no_port), right),
    Break("not bound, IPv6", "port.unbound", opens(_no_port), right, ipv6),
    Break("nobody on the port", "port.none", opens(_another_port), right, unknown_socket, certain=False),
    Break("bound to another interface", "device.other", _ON_ETH9, right, two_interfaces),
    Break("bound to another interface, IPv6", "device.other", _ON_ETH9, right, two_interfaces_ipv6),
    Break("bound to another scope id", "scope.other", opens(_other_scope), right, _link_local),
    Break("connected to another port", "peer.connected", opens(_connected), right),
    Break("connected to another host", "peer.connected", opens(_connected_to_another), right),
    Break("connected to another host, IPv6", "peer.connected", opens(_connected_to_another), right, ipv6),
    Break("connected to another port, IPv6", "peer.connected", opens(_connected), right, ipv6),
    Break("opened in another namespace", "namespace.other", _ELSEWHERE, right),
    Break("opened in another namespace, IPv6", "namespace.other", _ELSEWHERE, right, ipv6),
    Break("an IPv6 socket that takes IPv6 only", "family.v6only", opens(_v6only), opens(_both_families)),
    Break("an IPv4 socket for an IPv6 group", "family.other", opens(_ipv4_socket), right, ipv6),
    # A mistake that shows twice, in the bind and in the join, is one cause.
    Break("our own on another interface", "device.other", opens(_ours_on_eth9), _ours, two_interfaces),
    Break("our own on another interface, IPv6", "scope.other", opens(_ours_on_eth9), _ours, _link_local),
    Break("our own of another group", "bind.other-group", opens(_ours_of_another_group), _ours),
    Break("our own of another group, IPv6", "bind.other-group", opens(_ours_of_another_group), _ours, ipv6),
    # What is known of a socket that the doctor is not told of.
    Break("bound to another interface, not known", "device.other", _ON_ETH9, right, _hidden(two_interfaces)),
    Break(
        "connected to another host, not known", "peer.connected", opens(_connected_to_another), right, unknown_socket
    ),
    Break(
        "an IPv6 socket that takes IPv6 only, not known",
        "family.v6only",
        opens(_v6only),
        opens(_both_families),
        unknown_socket,
    ),
)
