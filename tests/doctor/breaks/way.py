"""A receiver whose IPv6 has no route for groups. The network between two hosts is broken in test_pair.py."""

from __future__ import annotations

from tests.doctor.scene import Break, Scene

from .receiving import ipv6

_ROUTE = "ff00::/8 dev eth0 table local"


def _no_route_in(scene: Scene) -> None:
    _only_default(scene)
    scene.sh(scene.rx, "ip -6 route del default")


def _only_default(scene: Scene) -> None:
    scene.sh(scene.rx, f"while ip -6 route del {_ROUTE} 2>/dev/null; do :; done")


BREAKS = (
    Break("no route in", "route.in", _no_route_in, scene=ipv6),
    Break("only a default route in", "route.in", _only_default, scene=ipv6),
)
