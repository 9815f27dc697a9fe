"""Datagrams that are delivered and should not be."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing
from functools import partial

from pytest_mcast import Channel, Sender, VirtualHost
from tests.doctor.scene import PlainReceiver, Receives, Scene, Stray

from .plain import (
    MULTICAST_ALL,
    act,
    beside,
    ipv4_ssm,
    ipv6,
    ipv6_ssm,
    opens,
    plain,
    two_interfaces,
    two_interfaces_ipv6,
)

_SO_REUSEPORT = 15  # asm-generic/socket.h


def _strict(scene: Scene) -> PlainReceiver:
    level, option = MULTICAST_ALL[scene.family]
    source = scene.channel.source
    address, options = scene.channel.group, ((level, option, 0),)
    return plain(scene, address=address, scope="eth0", options=options, device="eth0", source=source)


def _another(scene: Scene) -> VirtualHost:
    return scene.lab.host("another", interfaces={"eth0": scene.lab.link("scene")})


def _on_the_other_link(scene: Scene) -> VirtualHost:
    return scene.lab.host("other", interfaces={"eth0": "beside"})


def _to_another_group(scene: Scene, host: VirtualHost) -> Sender:
    return host.sender(_second(scene))


def _second(scene: Scene) -> Channel:
    """Return the channel of another group on the same port, the same at each call."""
    group = scene.channel.group
    last = f"{int(group[-1], 16) ^ 1:x}" if scene.family == "ipv6" else f"{int(group.rpartition('.')[2]) ^ 1}"
    other = group[:-1] + last if scene.family == "ipv6" else f"{group.rpartition('.')[0]}.{last}"
    return Channel(other, scene.channel.port)


def _to_the_host(scene: Scene, host: VirtualHost) -> Sender:
    # The neighbour is looked up by a datagram to another port; the next ones are there when send() returns.
    address = scene.rx.source(scene.family)
    with closing(plain(scene, port=0, joins=False)) as other:
        with host.sender(Channel.unchecked(address, other.socket.getsockname()[1])) as sender:
            sender.send(b"who has it")
        other.recv(5.0)
    return host.sender(Channel.unchecked(address, scene.channel.port))


def _of_somebody(scene: Scene) -> Receives:
    """Somebody else on the host has joined another group."""
    return beside(scene, plain(scene), plain(scene, port=0, group=_second(scene).group))


def _strict_beside_somebody(scene: Scene) -> Receives:
    return beside(scene, _strict(scene), plain(scene, port=0, group=_second(scene).group))


def _of_somebody_on_eth9(scene: Scene, *, strict: bool = False) -> Receives:
    own = _strict(scene) if strict else plain(scene, address=scene.channel.group)
    return beside(scene, own, plain(scene, port=0, interface="eth9"))


def _of_nobody_but_eth9(scene: Scene, *, strict: bool = False) -> Receives:
    """Takes nothing that others have joined; somebody else has joined on eth9, so that it comes in there."""
    level, option = MULTICAST_ALL[scene.family]
    own = _strict(scene) if strict else plain(scene, options=((level, option, 0),))
    return beside(scene, own, plain(scene, port=0, interface="eth9"))


def _both_groups(scene: Scene) -> PlainReceiver:
    receiver = plain(scene)
    with scene.rx.inside():
        act(receiver.socket, "join", _second(scene).group, "eth0")
    return receiver


def _both_interfaces(scene: Scene) -> PlainReceiver:
    receiver = plain(scene)
    with scene.rx.inside():
        act(receiver.socket, "join", scene.channel.group, "eth9")
    return receiver


def _two_sources(scene: Scene) -> PlainReceiver:
    receiver = plain(scene, source=scene.channel.source)
    with scene.rx.inside():
        act(receiver.socket, "join-source", scene.channel.group, "eth0", _another(scene).source(scene.family))
    return receiver


def _shares_its_port(scene: Scene, option: int = _SO_REUSEPORT) -> Receives:
    options = (MULTICAST_ALL["ipv4"] + (0,), (socket.SOL_SOCKET, option, 1))
    other = plain(scene, group=_second(scene).group, options=options)
    scene.open_sender = lambda: _arriving(scene, lambda: scene.tx.sender(scene.channel))
    return beside(scene, plain(scene, options=options), other)


def _misrouted(scene: Scene, host: VirtualHost) -> Sender:
    return _arriving(scene, lambda: _to_another_group(scene, host))


def _arriving(scene: Scene, opened: Callable[[], Sender]) -> Sender:
    """Return a sender whose flow gets to the receiver; which do is up to the kernel, about half. The 64th, if none does."""
    assert isinstance(scene.receiver, PlainReceiver)
    for last in range(64, 0, -1):
        sender = opened()
        sender.send(b"which way")
        try:
            scene.receiver.recv(0)  # in a lab it is there when send() returns
        except BlockingIOError:
            if last == 1:
                break
            sender.close()
        else:
            break
    return sender


def _no_copy(scene: Scene) -> None:
    scene.sender_options["loopback"] = False


_STRICT = opens(_strict)
_STRICT_BESIDE = opens(_strict_beside_somebody)

STRAYS = (
    Stray("unicast", "bind.wildcard", plain, _STRICT, sends=_to_the_host),
    Stray("unicast, IPv6", "bind.wildcard", plain, _STRICT, sends=_to_the_host, scene=ipv6),
    Stray("another's group", "multicast-all.on", _of_somebody, _STRICT_BESIDE, sends=_to_another_group),
    Stray(
        "another's group, IPv6", "multicast-all.on", _of_somebody, _STRICT_BESIDE, sends=_to_another_group, scene=ipv6
    ),
    Stray(
        "another's interface",
        "multicast-all.on",
        _of_somebody_on_eth9,
        opens(partial(_of_somebody_on_eth9, strict=True)),
        _on_the_other_link,
        interface="eth9",
        scene=two_interfaces,
    ),
    Stray("a second group", "membership.more", _both_groups, _STRICT, sends=_to_another_group),
    Stray("a second group, IPv6", "membership.more", _both_groups, _STRICT, sends=_to_another_group, scene=ipv6),
    Stray(
        "a second interface",
        "membership.more",
        _both_interfaces,
        _STRICT,
        _on_the_other_link,
        interface="eth9",
        scene=two_interfaces,
    ),
    Stray(
        "a second interface, IPv6",
        "membership.more",
        _both_interfaces,
        _STRICT,
        _on_the_other_link,
        interface="eth9",
        scene=two_interfaces_ipv6,
    ),
    Stray(
        "any interface, IPv6",
        "device.none",
        _of_nobody_but_eth9,
        opens(partial(_of_nobody_but_eth9, strict=True)),
        _on_the_other_link,
        interface="eth9",
        scene=two_interfaces_ipv6,
    ),
    Stray("any source", "membership.any-source", plain, _STRICT, _another, scene=ipv4_ssm),
    Stray("any source, IPv6", "membership.any-source", plain, _STRICT, _another, scene=ipv6_ssm),
    Stray("a second source", "membership.more-sources", _two_sources, _STRICT, _another, scene=ipv4_ssm),
    Stray("a second source, IPv6", "membership.more-sources", _two_sources, _STRICT, _another, scene=ipv6_ssm),
    Stray(
        "another's flow",
        "reuse-port.stray",
        _shares_its_port,
        opens(partial(_shares_its_port, option=socket.SO_REUSEADDR)),
        sends=_misrouted,
    ),
    Stray("its own", "loopback.on", plain, _no_copy, lambda scene: scene.rx),
    Stray("its own, IPv6", "loopback.on", plain, _no_copy, lambda scene: scene.rx, scene=ipv6),
)
