"""What is broken at the receiver's host: its interface and IPsec."""

from __future__ import annotations

from collections.abc import Callable

from pytest_mcast import LabView
from tests.doctor.scene import Break, Scene


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


def _bridged(scene: Scene) -> str:
    """Return the commands that make eth0 a bridge over the cable, with the addresses that it has."""
    with scene.rx.inside():
        addresses = scene.rx.interface.addresses
    commands = [
        "ip link add eth0 type bridge mcast_snooping 0",
        "ip link set cable0 up master eth0",
        "ip link set eth0 up",
        *(f"ip address replace {each}/{64 if ':' in each else 16} dev eth0" for each in addresses),
    ]
    return "; ".join(commands)


def _without_our_cable(family: str) -> Callable[[LabView], Scene]:
    """Return a scene in which we see nothing of what is at the other end of the receiver's cable: a bridge is between."""

    def make(lab: LabView) -> Scene:
        scene = Scene(lab, family)
        scene.sh(scene.rx, f"ip link set eth0 down; ip link set eth0 name cable0; {_bridged(scene)}")
        return scene

    return make


def _made_again(scene: Scene) -> None:
    after_join(f"ip link del eth0; {_bridged(scene)}")(scene)


def _opened_again(scene: Scene) -> None:
    """Do no more: each exchange opens the sockets anew."""


_BRIDGE = "ip link add br0 type bridge; ip link set br0 up; ip link set eth0 master br0"
_NO_IPV6 = "sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1"

_XFRM = "/proc/net/xfrm_stat"


def _unplug(scene: Scene) -> None:
    scene.sh(scene.rx, "ip link set cable0 down")


def _plug_in(scene: Scene) -> None:
    scene.sh(scene.rx, "ip link set cable0 up")


def _ipsec(everything: str, action: str) -> Callable[[Scene], None]:
    command = f"ip xfrm policy add src {everything} dst {everything} dir in priority 100 action {action}"
    return lambda scene: scene.sh(scene.rx, command)


BREAKS = (
    Break("interface down", "receiver-interface.down", after_join("ip link set eth0 down")),
    Break("interface down, ipv6", "receiver-interface.down", after_join("ip link set eth0 down"), scene=ipv6),
    Break("interface in a bridge", "receiver-interface.enslaved", lambda scene: scene.sh(scene.rx, _BRIDGE)),
    Break("interface in a bridge, ipv6", "receiver-interface.enslaved", after_join(_BRIDGE), scene=ipv6),
    Break("ipv6 off after the join", "receiver-interface.no-ipv6", after_join(_NO_IPV6), scene=ipv6),
    Break("mtu of the receiver", "receiver-interface.mtu", _mtu),
    Break("mtu of the receiver, ipv6", "receiver-interface.mtu", _mtu, scene=ipv6),
    Break("no carrier", "receiver-interface.no-carrier", _unplug, _plug_in, scene=_without_our_cable("ipv4")),
    Break("no carrier, ipv6", "receiver-interface.no-carrier", _unplug, _plug_in, scene=_without_our_cable("ipv6")),
    Break("ipsec", "ipsec.policy", _ipsec("0.0.0.0/0", "block"), needs=(_XFRM,)),
    Break("ipsec, ipv6", "ipsec.policy", _ipsec("::/0", "block"), scene=ipv6, needs=(_XFRM,)),
    Break("ipsec by esp", "ipsec.policy", _ipsec("0.0.0.0/0", "allow tmpl proto esp"), needs=(_XFRM,)),
    Break("interface made again", "device.gone", _made_again, _opened_again, scene=_without_our_cable("ipv4")),
    Break("interface made again, ipv6", "device.gone", _made_again, _opened_again, scene=_without_our_cable("ipv6")),
)
