"""What comes damaged to the receiver's host, or not as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.doctor.scene import Break, Scene

from .crafted import crafted
from .receiving import ipv6


def _wrong(**changes: Any) -> Callable[[Scene], None]:
    return lambda scene: crafted(scene, **changes)


def _right(scene: Scene) -> None:
    crafted(scene)


def _no_fragments(scene: Scene) -> None:
    scene.payload_size = 4000
    rule = "ip frag-off & 0x1fff != 0" if scene.family == "ipv4" else "meta length 200-1400"
    chain = "{ type filter hook ingress device eth0 priority 0; }"
    scene.sh(scene.rx, f"nft 'add table netdev t; add chain netdev t c {chain}; add rule netdev t c {rule} drop'")


def _small(scene: Scene) -> None:
    scene.payload_size = 1400


def _memory(scene: Scene) -> None:
    scene.payload_size = 9000
    name = "net.ipv4.ipfrag" if scene.family == "ipv4" else "net.ipv6.ip6frag"
    scene.sh(scene.rx, f"sysctl -qw {name}_low_thresh=1000 {name}_high_thresh=2000")


BREAKS = (
    Break("udp checksum", "checksum.udp", _wrong(checksum="bad"), _right),
    Break("udp checksum, ipv6", "checksum.udp", _wrong(checksum="bad"), _right, scene=ipv6),
    Break("ip checksum", "checksum.ip-header", _wrong(ip_checksum="bad"), _right),
    Break("cut short", "packet.truncated", _wrong(ip_length="+40"), _right),
    Break("cut short, ipv6", "packet.truncated", _wrong(ip_length="+40"), _right, scene=ipv6),
    Break("ip version 5", "packet.malformed", _wrong(ip_fields={"version": 5}), _right),
    Break("ip version 5, ipv6", "packet.malformed", _wrong(ip_fields={"version": 5}), _right, scene=ipv6),
    Break("fragments lost", "fragments.lost", _no_fragments, _small, needs=("nft",)),
    Break("fragments lost, ipv6", "fragments.lost", _no_fragments, _small, scene=ipv6, needs=("nft",)),
    Break("memory for fragments", "fragments.no-memory", _memory),
    Break("memory for fragments, ipv6", "fragments.no-memory", _memory, scene=ipv6),
)
