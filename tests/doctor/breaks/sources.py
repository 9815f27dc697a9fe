"""Sources that the receiver's host does not take datagrams from."""

from __future__ import annotations

from collections.abc import Callable

from tests.doctor.scene import Break, Scene

from .crafted import plain_sender
from .receiving import ipv6

_FOREIGN = "192.0.2.1"  # RFC 5737: an address that nobody has


def _own_address(scene: Scene) -> None:
    scene.sh(scene.rx, f"ip address add {scene.tx.source('ipv4')}/16 dev eth0")


def _own_address_elsewhere(scene: Scene) -> None:
    scene.sh(scene.rx, f"ip address add {scene.tx.source('ipv4')}/32 dev lo")


def _from_localhost(scene: Scene) -> None:
    scene.open_sender = lambda: plain_sender(scene, "::1")


def _bound_right(scene: Scene) -> None:
    scene.open_sender = lambda: plain_sender(scene)


def _from(address: str) -> Callable[[Scene], None]:
    def breaks(scene: Scene) -> None:
        scene.sh(scene.tx, f"ip address add {address} dev eth0")
        scene.sender_options["source"] = address.partition("/")[0]

    return breaks


def _other_way(scene: Scene) -> None:
    scene.sh(scene.rx, "ip link add eth1 type veth peer name eth2; ip link set eth1 up; ip link set eth2 up")
    scene.sh(scene.rx, f"ip route add {scene.tx.source('ipv4')}/32 dev eth1; sysctl -qw net.ipv4.conf.all.rp_filter=1")


def _no_way(mode: int) -> Callable[[Scene], None]:
    def breaks(scene: Scene) -> None:
        _from(f"{_FOREIGN}/32")(scene)
        scene.sh(scene.rx, f"ip route del default; sysctl -qw net.ipv4.conf.eth0.rp_filter={mode}")

    return breaks


def _route_to_sender(kind: str, mode: int) -> Callable[[Scene], None]:
    def breaks(scene: Scene) -> None:
        route = f"ip route add {kind} {scene.tx.source('ipv4')}/32 {'dev lo' if kind == 'local' else ''}"
        scene.sh(scene.rx, f"{route}; sysctl -qw net.ipv4.conf.eth0.rp_filter={mode}")

    return breaks


BREAKS = (
    Break("the same address twice", "source.own-address", _own_address),
    Break("the same address on loopback", "source.own-address", _own_address_elsewhere),
    Break("bound to localhost, ipv6", "source.impossible", _from_localhost, _bound_right, scene=ipv6),
    Break("strict rp_filter", "rp-filter.strict", _other_way),
    Break("strict rp_filter, no route", "rp-filter.no-route", _no_way(1)),
    Break("loose rp_filter, no route", "rp-filter.no-route", _no_way(2)),
    Break("blackhole to the sender", "rp-filter.refusing-route", _route_to_sender("blackhole", 1)),
    Break("prohibited way to the sender", "rp-filter.refusing-route", _route_to_sender("prohibit", 2)),
    Break("the sender's address is routed here", "source.local-route", _route_to_sender("local", 0)),
)
