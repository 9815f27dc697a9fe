"""A receiver whose IPv6 has no route for groups. The network between two hosts is broken in test_pair.py."""

from __future__ import annotations

from pytest_mcast.lab import Exactly
from tests.doctor.scene import Break, Scene

from .receiving import ipv6

_ROUTE = "ff00::/8 dev eth0 table local"


def _no_route_in(scene: Scene) -> None:
    _only_default(scene)
    scene.sh(scene.rx, "ip -6 route del default")


def _only_default(scene: Scene) -> None:
    scene.sh(scene.rx, f"while ip -6 route del {_ROUTE} 2>/dev/null; do :; done")


def _impair(scene: Scene) -> None:
    scene.at_end.callback(scene.switch.impair(scene.rx, loss=Exactly(1)).close)


def _unimpaired(scene: Scene) -> None:
    scene.at_end.close()


BREAKS = (
    Break("an impaired cable", "cable.impaired", _impair, _unimpaired),
    Break("an impaired cable, ipv6", "cable.impaired", _impair, _unimpaired, scene=ipv6, certain=None),
    Break("no route in", "route.in", _no_route_in, scene=ipv6),
    Break("only a default route in", "route.in", _only_default, scene=ipv6),
)
