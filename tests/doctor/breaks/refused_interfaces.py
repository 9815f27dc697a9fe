"""What is broken at an interface, or at its addresses, so that the kernel refuses a call."""

from __future__ import annotations

import socket
from collections.abc import Callable

from pytest_mcast import LabView
from tests.doctor.scene import Break, PlainReceiver, PlainSender, Scene, Sends

from .address_events import DADFAILED, AddressEvents
from .plain import ipv6, plain, right
from .plain_sender import plain_sender, plain_socket, run


def _sends_plainly(lab: LabView) -> Scene:
    scene = Scene(lab)
    scene.open_sender = lambda: plain_sender(scene)
    return scene


def _sends_plainly_ipv6(lab: LabView) -> Scene:
    scene = Scene(lab, "ipv6")
    scene.open_sender = lambda: plain_sender(scene)
    return scene


def _without_ipv6(command: str) -> Callable[[Scene], None]:
    """Return what takes IPv6 off, which makes its own link-local address when it is back, as on most machines."""

    def change(scene: Scene) -> None:
        scene.sh(scene.tx, f"ip link set eth0 addrgenmode eui64; {command}")
        events = AddressEvents(scene.tx)

        opened = scene.open_sender

        def back() -> Sends:
            events.wait()
            return opened()

        def off() -> Sends:
            scene.open_sender = back
            return opened()

        scene.open_sender = off

    return change


def _names_no_interface(lab: LabView) -> Scene:
    scene = Scene(lab)
    scene.open_receiver = lambda: plain(scene, interface=None)
    scene.open_sender = lambda: plain_sender(scene, interface=None)
    return scene


def _rename(scene: Scene) -> None:
    scene.sh(scene.rx, "ip link set eth0 down; ip link set eth0 name lan0; ip link set lan0 up")
    scene.open_receiver = lambda: plain(scene, device="eth0")


def _name_the_new_one(scene: Scene) -> None:
    scene.open_receiver = lambda: plain(scene, device="lan0", interface="lan0")


def _rename_sender(scene: Scene) -> None:
    scene.sh(scene.tx, "ip link set eth0 down; ip link set eth0 name lan0; ip link set lan0 up")
    device = (socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    scene.open_sender = lambda: plain_sender(scene, interface="lan0", options=(device,))


def _sender_names_the_new_one(scene: Scene) -> None:
    scene.open_sender = lambda: plain_sender(scene, interface="lan0")


# It goes on checking for longer than any test takes.
_CHECK_FOR_LONG = (
    "sysctl -qw net.ipv6.conf.eth0.accept_dad=1 net.ipv6.conf.eth0.dad_transmits=600;"
    "ip -6 addr del {0}/64 dev eth0; ip -6 addr add {0}/64 dev eth0"
)


def _check_address(scene: Scene) -> None:
    scene.sh(scene.tx, _CHECK_FOR_LONG.format(scene.tx.source("ipv6")))


_CHECK_AT_ONCE = (
    "sysctl -qw net.ipv6.conf.eth0.accept_dad=1 net.ipv6.conf.eth0.router_solicitation_delay=0;"
    "ip -6 addr del {}/64 dev eth0; ip -6 addr add {}/64 dev eth0"
)


def _same_address(scene: Scene) -> None:
    """Give the sender the receiver's address, and wait until it has noticed."""
    events = AddressEvents(scene.tx)
    scene.sh(scene.tx, _CHECK_AT_ONCE.format(scene.tx.source("ipv6"), scene.rx.source("ipv6")))
    events.wait(DADFAILED)


def _foreign_join(scene: Scene) -> None:
    """Join at the address of the other host, as code does with a configuration that was copied."""

    def receiver() -> PlainReceiver:
        sock = plain_socket(scene.rx, "ipv4")
        scene.receiver = PlainReceiver(sock)
        sock.bind(("", scene.channel.port))
        request = socket.inet_aton(scene.channel.group) + socket.inet_aton(scene.tx.source("ipv4"))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        return scene.receiver

    scene.open_receiver = receiver


def _foreign_bind(scene: Scene) -> None:
    scene.open_sender = lambda: plain_sender(scene, bind=(scene.rx.source(scene.family, "global"), 0))


def _foreign_interface(scene: Scene) -> None:
    address = socket.inet_aton(scene.rx.source("ipv4"))
    option = (socket.IPPROTO_IP, socket.IP_MULTICAST_IF, address)
    scene.open_sender = lambda: plain_sender(scene, interface=None, options=(option,))


def _sender_right(scene: Scene) -> None:
    def sender() -> PlainSender:
        return plain_sender(scene)

    scene.open_sender = sender


def _address_goes(scene: Scene) -> None:
    """Take the address away while the socket is open."""
    address = scene.tx.source("ipv4")

    def right_sender() -> PlainSender:
        return plain_sender(scene, bind=(address, 0))

    def sender() -> PlainSender:
        found = right_sender()
        scene.sh(scene.tx, f"ip addr add 10.250.0.1/24 dev eth0; ip addr del {address}/16 dev eth0")
        scene.open_sender = right_sender  # it goes once
        return found

    scene.open_sender = sender


def _conflict(scene: Scene) -> None:
    device = (socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    scene.open_sender = lambda: plain_sender(scene, options=(device,))


BREAKS = (
    Break("join on an interface that is gone", "interface.gone", _rename, _name_the_new_one),
    Break("send by an interface that is gone", "interface.gone", _rename_sender, _sender_names_the_new_one),
    Break("send by an interface that is down", "interface.down", run("tx", "ip link set eth0 down")),
    Break(
        "ipv6 off",
        "ipv6.disabled",
        _without_ipv6("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1"),
        scene=_sends_plainly_ipv6,
    ),
    Break("mtu below ipv6", "ipv6.mtu", _without_ipv6("ip link set eth0 mtu 1000"), scene=_sends_plainly_ipv6),
    Break(
        "ipv6 off, a Sender",
        "ipv6.disabled",
        _without_ipv6("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1"),
        scene=ipv6,
    ),
    Break("no address, a Sender", "address.missing", run("tx", "ip addr flush dev eth0")),
    Break("no address, a Sender, ipv6", "address.missing", run("tx", "ip -6 addr flush dev eth0"), scene=ipv6),
    Break("tentative address", "address.tentative", _check_address, scene=ipv6),
    Break("duplicate address", "address.duplicate", _same_address, scene=ipv6),
    Break("join without an address", "address.missing", run("rx", "ip addr flush dev eth0"), scene=_names_no_interface),
    Break("send without an address", "address.missing", run("tx", "ip addr flush dev eth0"), scene=_names_no_interface),
    Break("no address, ipv6", "address.missing", run("tx", "ip -6 addr flush dev eth0"), scene=_sends_plainly_ipv6),
    Break("join at a foreign address", "address.foreign", _foreign_join, right),
    Break("bind to a foreign address", "address.foreign", _foreign_bind, _sender_right),
    Break("bind to a foreign address, ipv6", "address.foreign", _foreign_bind, _sender_right, ipv6),
    Break("address gone", "address.gone", _address_goes),
    Break("bound to lo", "device.conflict", _conflict, _sender_right),
    Break("bound to lo, ipv6", "device.conflict", _conflict, _sender_right, ipv6),
    Break("send by a foreign address", "address.foreign", _foreign_interface, _sender_right, _sends_plainly),
)
