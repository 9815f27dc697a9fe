"""What is broken in what the receiver has joined."""

from __future__ import annotations

from contextlib import closing

from pytest_mcast import LabView
from pytest_mcast.lab import netlink
from pytest_mcast.lab.namespace import Namespace
from pytest_mcast.wire.attributes import number
from tests.doctor.scene import Break, PlainReceiver, Receives, Scene

from .plain import (
    MULTICAST_ALL,
    act,
    beside,
    ipv4_ssm,
    ipv6,
    ipv6_ssm,
    opens,
    plain,
    right,
    two_interfaces,
    two_interfaces_ipv6,
    unknown_socket,
    unknown_socket_ipv6,
)

_IFLA_NET_NS_FD = 28  # linux/if_link.h


def _other_group(scene: Scene) -> str:
    return scene.lab.channel(scene.family).group


def _left(scene: Scene) -> PlainReceiver:
    receiver = plain(scene)
    with scene.rx.inside():
        act(receiver.socket, "leave", scene.channel.group, "eth0")
    return receiver


def _ours_left(scene: Scene) -> Receives:
    receiver = scene.rx.receiver(scene.channel)
    receiver.subscription.leave()
    return receiver


def _ours(scene: Scene) -> None:
    scene.open_receiver = lambda: scene.rx.receiver(scene.channel)


def _where_the_route_is(scene: Scene) -> None:
    """Join without an interface; the route to the group is by the other one."""
    if scene.family == "ipv6":
        scene.sh(scene.rx, "ip -6 route add multicast ff00::/8 dev eth9 table local metric 1")
    else:
        scene.sh(scene.rx, "ip route add 224.0.0.0/4 dev eth9")
    scene.open_receiver = lambda: plain(scene, interface=None)


def _of_another(scene: Scene) -> Receives:
    """One socket joins, another one receives."""
    level, option = MULTICAST_ALL[scene.family]
    own = plain(scene, joins=False, options=((level, option, 0),))
    return beside(scene, own, plain(scene, port=0))


def _blocks(scene: Scene) -> PlainReceiver:
    receiver = plain(scene)
    with scene.rx.inside():
        act(receiver.socket, "block", scene.channel.group, "eth0", scene.tx.source(scene.family))
    return receiver


def _another_source(scene: Scene) -> PlainReceiver:
    return plain(scene, source=scene.rx.source(scene.family))


def _only_another_source_of_any(scene: Scene) -> PlainReceiver:
    """The channel is any-source, and the socket takes one source only."""
    group = scene.channel.group
    receiver = plain(scene, joins=False)
    with scene.rx.inside():
        act(receiver.socket, "join-source", group, "eth0", scene.rx.source(scene.family))
    return receiver


def _for_its_source(scene: Scene) -> PlainReceiver:
    return plain(scene, source=scene.channel.source)


def _loses(scene: Scene) -> PlainReceiver:
    """The interface is reconfigured after the join: with an MTU below the least of IPv6 there is no IPv6 on it."""
    receiver = plain(scene)
    address = scene.rx.source("ipv6")
    again = f"ip link set eth0 mtu 1500; ip addr add {address}/64 dev eth0 nodad"
    scene.sh(scene.rx, f"ip link set eth0 mtu 1200; {again}")
    return receiver


def _goes(scene: Scene) -> PlainReceiver:
    """The interface is in another namespace for a while after the join."""
    receiver = plain(scene)
    index, address = scene.rx.find("eth0").index, scene.rx.source("ipv4")
    home, away = scene.rx.namespace, Namespace.create()
    try:
        for start, end in ((home, away), (away, home)):
            with start, closing(netlink.Netlink()) as connection:
                moved = number(_IFLA_NET_NS_FD, end.descriptor)
                connection.run(netlink.change_link(index, "move eth0", moved))
    finally:
        away.close()
    scene.sh(scene.rx, f"ip link set eth0 up; ip addr add {address}/16 dev eth0")
    return receiver


def _unknown_two_interfaces(lab: LabView) -> Scene:
    scene = two_interfaces(lab)
    scene.shows_socket = False
    return scene


_JOINED_ALONE = opens(lambda scene: plain(scene, joins=False))
_ELSEWHERE = opens(lambda scene: plain(scene, interface="eth9"))
_ANOTHER_GROUP = opens(lambda scene: plain(scene, group=_other_group(scene)))
_ITS_SOURCE = opens(_for_its_source)

BREAKS = (
    Break("bound and not joined", "membership.none", _JOINED_ALONE, right),
    Break("bound and not joined, IPv6", "membership.none", _JOINED_ALONE, right, ipv6),
    Break(
        "bound to the group and not joined",
        "membership.none",
        opens(lambda s: plain(s, address=s.channel.group, joins=False)),
        right,
    ),
    Break("not joined, by a socket that is not known", "membership.none", _JOINED_ALONE, right, unknown_socket),
    Break(
        "not joined, by a socket that is not known, IPv6", "membership.none", _JOINED_ALONE, right, unknown_socket_ipv6
    ),
    Break("left again", "membership.none", opens(_left), right),
    Break("left again, IPv6", "membership.none", opens(_left), right, ipv6),
    Break("left again by our own", "membership.none", opens(_ours_left), _ours),
    Break("joined on the other interface", "membership.other-interface", _ELSEWHERE, right, two_interfaces),
    Break("joined on the other interface, IPv6", "membership.other-interface", _ELSEWHERE, right, two_interfaces_ipv6),
    Break("joined on lo", "membership.other-interface", opens(lambda scene: plain(scene, interface="lo")), right),
    Break("joined where the route is", "membership.other-interface", _where_the_route_is, right, two_interfaces),
    Break(
        "joined where the route is, IPv6",
        "membership.other-interface",
        _where_the_route_is,
        right,
        two_interfaces_ipv6,
    ),
    Break(
        "joined on the other interface, by a socket that is not known",
        "membership.other-interface",
        _ELSEWHERE,
        right,
        _unknown_two_interfaces,
    ),
    Break("joined another group", "membership.other-group", _ANOTHER_GROUP, right),
    Break("joined another group, IPv6", "membership.other-group", _ANOTHER_GROUP, right, ipv6),
    Break("joined for another source", "membership.other-source", opens(_another_source), _ITS_SOURCE, ipv4_ssm),
    Break("joined for another source, IPv6", "membership.other-source", opens(_another_source), _ITS_SOURCE, ipv6_ssm),
    Break(
        "joined an any-source group for one source",
        "membership.other-source",
        opens(_only_another_source_of_any),
        right,
    ),
    Break("blocked the source", "membership.source-blocked", opens(_blocks), right),
    Break("blocked the source, IPv6", "membership.source-blocked", opens(_blocks), right, ipv6),
    Break("joined by another socket only", "multicast-all.off", opens(_of_another), right),
    Break("joined by another socket only, IPv6", "multicast-all.off", opens(_of_another), right, ipv6),
    Break("the interface lost its memberships", "membership.lost", opens(_goes), right),
    Break("the interface lost its memberships, IPv6", "membership.lost", opens(_loses), right, ipv6),
)
