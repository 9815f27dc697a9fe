"""What is broken at the receiver's host: its interface, addresses and routes."""

from __future__ import annotations

from collections.abc import Callable

from pytest_mcast import LabView
from tests.doctor.scene import Break, Scene

from .crafted import crafted, plain_sender

FOREIGN = "192.0.2.1"  # RFC 5737: an address that nobody has


def ipv6(lab: LabView) -> Scene:
    """Return the usual scene, with IPv6."""
    return Scene(lab, "ipv6")


def after_join(command: str) -> Callable[[Scene], None]:
    """Return what runs a command on the receiver's host right after it has joined."""

    def breaks(scene: Scene) -> None:
        open_receiver = scene.open_receiver

        def open_and_break() -> object:
            receiver = open_receiver()
            scene.sh(scene.rx, command)
            scene.open_receiver = open_receiver  # the next one is opened after the cure
            return receiver

        scene.open_receiver = open_and_break  # type: ignore[assignment]

    return breaks


def _mtu(scene: Scene) -> None:
    scene.payload_size = 1400
    scene.sh(scene.rx, "ip link set eth0 mtu 1300")


def _own_address(scene: Scene) -> None:
    scene.sh(scene.rx, f"ip address add {scene.tx.source('ipv4')}/16 dev eth0")


def _own_address_elsewhere(scene: Scene) -> None:
    scene.sh(scene.rx, f"ip address add {scene.tx.source('ipv4')}/32 dev lo")


def _from(address: str, device: str = "eth0") -> Callable[[Scene], None]:
    def breaks(scene: Scene) -> None:
        scene.sh(scene.tx, f"ip address add {address} dev {device}")
        scene.sender_options["source"] = address.partition("/")[0]

    return breaks


def _from_localhost(scene: Scene) -> None:
    scene.open_sender = lambda: plain_sender(scene, "::1")


def _from_localhost_elsewhere(scene: Scene) -> None:
    """Send what a host of another system may send for a socket that is bound to localhost; Linux refuses (EINVAL)."""
    crafted(scene, "127.0.0.1")


def _bound_right(scene: Scene) -> None:
    scene.open_sender = lambda: plain_sender(scene)


def _from_nowhere(scene: Scene) -> None:
    scene.sh(scene.tx, "ip -4 address flush dev eth0")
    _bound_right(scene)


def _an_address(scene: Scene) -> None:
    scene.sh(scene.tx, "ip address add 10.65.99.99/16 dev eth0")


def _other_way(scene: Scene) -> None:
    scene.sh(scene.rx, "ip link add eth1 type veth peer name eth2; ip link set eth1 up; ip link set eth2 up")
    scene.sh(scene.rx, f"ip route add {scene.tx.source('ipv4')}/32 dev eth1; sysctl -qw net.ipv4.conf.all.rp_filter=1")


def _no_way(mode: int) -> Callable[[Scene], None]:
    def breaks(scene: Scene) -> None:
        _from(f"{FOREIGN}/32")(scene)
        scene.sh(scene.rx, f"ip route del default; sysctl -qw net.ipv4.conf.eth0.rp_filter={mode}")

    return breaks


_BRIDGE = "ip link add br0 type bridge; ip link set br0 up; ip link set eth0 master br0"
_NO_IPV6 = "sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1"

BREAKS = (
    Break("interface down", "receiver-interface.down", after_join("ip link set eth0 down")),
    Break("interface down, ipv6", "receiver-interface.down", after_join("ip link set eth0 down"), scene=ipv6),
    Break("interface in a bridge", "receiver-interface.enslaved", lambda scene: scene.sh(scene.rx, _BRIDGE)),
    Break("interface in a bridge, ipv6", "receiver-interface.enslaved", after_join(_BRIDGE), scene=ipv6),
    Break("ipv6 off after the join", "receiver-interface.no-ipv6", after_join(_NO_IPV6), scene=ipv6),
    Break("mtu of the receiver", "receiver-interface.mtu", _mtu),
    Break("mtu of the receiver, ipv6", "receiver-interface.mtu", _mtu, scene=ipv6),
    Break("the same address twice", "source.own-address", _own_address),
    Break("the same address on loopback", "source.own-address", _own_address_elsewhere),
    Break("bound to localhost", "source.impossible", _from_localhost_elsewhere, _bound_right),
    Break("bound to localhost, ipv6", "source.impossible", _from_localhost, _bound_right, scene=ipv6),
    Break("no address at the sender", "source.none", _from_nowhere, _an_address),
    Break("strict rp_filter", "rp-filter.strict", _other_way),
    Break("strict rp_filter, no route", "rp-filter.no-route", _no_way(1)),
    Break("loose rp_filter, no route", "rp-filter.no-route", _no_way(2)),
)
