"""What is broken so that the kernel refuses a call: routes, limits, ports; interfaces and sends have modules of their own."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pytest_mcast import Channel, LabView
from tests.doctor.scene import Break, PlainReceiver, Scene

from . import refused_interfaces, refused_sends
from .plain import act, ipv4_ssm, ipv6, ipv6_ssm, join, plain
from .plain_sender import over_loopback, plain_sender, plain_socket, run


def _plain(lab: LabView) -> Scene:
    """Both use plain sockets, which name no interface."""
    return _plainly(Scene(lab))


def _plain_ipv6(lab: LabView) -> Scene:
    return _plainly(Scene(lab, "ipv6"))


def _plainly(scene: Scene) -> Scene:
    scene.open_receiver = lambda: plain(scene, interface=None)
    scene.open_sender = lambda: plain_sender(scene, interface=None)
    return scene


# Routes

_NO_IPV6_ROUTES = (
    "while ip -6 route del multicast ff00::/8 dev eth0 table local 2>/dev/null; do :; done; ip -6 route del default;"
    "ip -6 route del local ff00::/8 dev lo table local"
)
_NO_LOOPBACK_ROUTE = "ip -6 route del local ff00::/8 dev lo table local"
_REFUSED = (("join", "rx", "prohibit"), *(("send", "tx", kind) for kind in ("prohibit", "blackhole", "unreachable")))
_ROUTES = (
    Break("join without a route", "route.missing", run("rx", "ip route del default"), scene=_plain),
    Break("join without a route, ipv6", "route.missing", run("rx", _NO_IPV6_ROUTES), scene=_plain_ipv6),
    Break("send without a route", "route.missing", run("tx", "ip route del default"), scene=_plain),
    Break(
        "send without a route over loopback, ipv6", "route.missing", run("tx", _NO_LOOPBACK_ROUTE), scene=over_loopback
    ),
    Break("send without a route, ipv6", "route.missing", run("tx", _NO_IPV6_ROUTES), scene=_plain_ipv6),
    Break("send without a route by the interface, ipv6", "route.missing", run("tx", _NO_IPV6_ROUTES), scene=ipv6),
    *(
        Break(f"{call}: {kind} route", "route.refuses", run(host, f"ip route add {kind} 224.0.0.0/4"), scene=_plain)
        for call, host, kind in _REFUSED
    ),
    *(
        Break(
            f"{call}: {kind} route, ipv6",
            "route.refuses",
            run(host, f"ip -6 route add {kind} ff12::/16 table local"),
            scene=_plain_ipv6,
        )
        for call, host, kind in _REFUSED
    ),
    *(
        Break(
            f"{call}: {kind} rule",
            "rule.refuses",
            run(host, f"ip rule add priority 10 to 224.0.0.0/4 {kind}"),
            scene=_plain,
        )
        for call, host, kind in _REFUSED
    ),
)


# Limits


def _joins(scene: Scene, channels: list[Channel]) -> None:
    """Have the receiver join these before its own channel, with one socket."""

    def receiver() -> PlainReceiver:
        sock = plain_socket(scene.rx, scene.family)
        scene.receiver = PlainReceiver(sock)
        sock.bind(("", scene.channel.port))
        with scene.rx.inside():
            for channel in (*channels, scene.channel):
                join(sock, channel.group, source=channel.source)
        return scene.receiver

    scene.open_receiver = receiver


def _twenty_more(scene: Scene) -> None:
    _joins(scene, [scene.lab.channel() for _ in range(20)])


def _sources(scene: Scene, count: int) -> list[Channel]:
    prefix = "fd00::" if scene.family == "ipv6" else "10.99.0."
    return [Channel(scene.channel.group, scene.channel.port, f"{prefix}{number}") for number in range(1, count + 1)]


def _ten_more_sources(scene: Scene) -> None:
    _joins(scene, _sources(scene, 10))


def _sixty_four_more_sources(scene: Scene) -> None:
    _joins(scene, _sources(scene, 64))


def _no_more_sources(scene: Scene) -> None:
    _joins(scene, [])


def _no_memory(scene: Scene) -> None:
    scene.sh(scene.rx, "sysctl -qw net.core.optmem_max=2000 net.ipv4.igmp_max_memberships=100")
    _joins(scene, [scene.lab.channel(scene.family) for _ in range(45)])


def _blocks(scene: Scene, count: int) -> None:
    """Have the receiver block sources of the group that it has joined, with one socket."""

    def receiver() -> PlainReceiver:
        found = plain(scene)
        with scene.rx.inside():
            for channel in _sources(scene, count):
                act(found.socket, "block", channel.group, "eth0", channel.source)
        return found

    scene.open_receiver = receiver


def _eleven_blocked(scene: Scene) -> None:
    _blocks(scene, 11)


_LIMITS = (
    Break("21st group", "limit.groups", _twenty_more),
    Break("11th source", "limit.sources", _ten_more_sources, scene=ipv4_ssm),
    Break("11th blocked source", "limit.sources", _eleven_blocked),
    Break("65th source, ipv6", "limit.sources-ipv6", _sixty_four_more_sources, _no_more_sources, ipv6_ssm),
    Break("no memory for options", "limit.memory", _no_memory),
    Break("no memory for options, ipv6", "limit.memory", _no_memory, scene=ipv6),
)


# Ports and memberships


def _take_port(scene: Scene) -> None:
    sock = plain_socket(scene.rx, scene.family)
    sock.bind(("", scene.channel.port))
    scene.held.append(sock)


def _give_port(scene: Scene) -> None:
    scene.held.pop().close()


def _join_twice(scene: Scene) -> None:
    _joins(scene, [scene.channel])


def _unicast(scene: Scene) -> None:
    address = scene.tx.source(scene.family, "global")
    scene.open_receiver = lambda: plain(scene, group=address)
    scene.channel = Channel.unchecked(address, scene.channel.port)


def _group(scene: Scene) -> None:
    scene.channel = scene.lab.channel(scene.family)
    scene.open_receiver = lambda: plain(scene)


def _join_once(scene: Scene) -> None:
    _joins(scene, [])


_CAP_NET_BIND_SERVICE = 10  # linux/capability.h
_VERSION_3 = 0x20080522


@contextmanager
def _without_privileged_ports() -> Iterator[None]:
    """Give up the capability of this thread, and take it back: capset(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = ctypes.create_string_buffer(struct.pack("=Ii", _VERSION_3, 0))
    data = ctypes.create_string_buffer(24)

    def call(function: Callable[..., int]) -> None:
        if function(header, data) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    call(libc.capget)
    before = data.raw[:24]
    effective, *rest = struct.unpack("=6I", before)
    data.raw = struct.pack("=6I", effective & ~(1 << _CAP_NET_BIND_SERVICE), *rest)
    call(libc.capset)
    try:
        yield
    finally:
        data.raw = before
        call(libc.capset)


def _low_port(scene: Scene) -> None:
    scene.channel = Channel(scene.channel.group, 700)
    opened = scene.open_receiver

    def receiver() -> object:
        with _without_privileged_ports():
            return opened()

    scene.open_receiver = receiver  # type: ignore[assignment]


_SHARING = (
    Break("port taken", "port.taken", _take_port, _give_port),
    Break("port taken, ipv6", "port.taken", _take_port, _give_port, ipv6),
    Break("port of the privileged", "port.privileged", _low_port),
    Break("a unicast address", "group.unicast", _unicast, _group),
    Break("a unicast address, ipv6", "group.unicast", _unicast, _group, ipv6),
    Break("joined already", "group.joined-already", _join_twice, _join_once),
    Break("joined already, ipv6", "group.joined-already", _join_twice, _join_once, ipv6),
    Break("source joined already", "source.joined-already", _join_twice, _join_once, ipv4_ssm),
    Break("source joined already, ipv6", "source.joined-already", _join_twice, _join_once, ipv6_ssm),
)

BREAKS = (*_ROUTES, *_LIMITS, *_SHARING, *refused_interfaces.BREAKS, *refused_sends.BREAKS)
