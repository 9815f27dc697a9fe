"""What is done to hosts before a case: sysctls, routes, what else is joined there. Such hosts are not used again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mcast.core.channels import Channel
from pytest_mcast.lab import netlink
from pytest_mcast.lab.sysctls import write_sysctl

if TYPE_CHECKING:
    from pytest_mcast.cores.behaviours import Bench
    from pytest_mcast.lab import VirtualHost

    from .case import Setup

__all__ = ["another_default_route", "default_route", "joined", "sysctl"]

_AWAY, _AWAY_PEER = 9001, 9002  # numbers of interfaces, far from those of a lab


def sysctl(path: str, value: int, *, which: str = "receiver") -> Setup:
    """Set a sysctl below /proc/sys/net of one of the hosts; ``{}`` in the path is the interface, and ``all`` as well."""

    def prepare(_: Bench, rx: VirtualHost, tx: VirtualHost) -> None:
        host = rx if which == "receiver" else tx
        host.touch()
        with host.inside():
            for name in ("all", host.interface.name) if "{}" in path else ("",):
                write_sysctl(path.format(name), str(value), required=True)

    return prepare


def default_route(family: str = "ipv4") -> Setup:
    """Give the receiver's host a default route by its interface."""

    def prepare(_: Bench, rx: VirtualHost, __: VirtualHost) -> None:
        net = "0.0.0.0/0" if family == "ipv4" else "::/0"
        rx.configure(netlink.route(net, index=rx.interface.index))

    return prepare


def another_default_route(family: str = "ipv4") -> Setup:
    """Give the receiver's host a default route by another interface, which is made for that and leads nowhere."""

    def prepare(_: Bench, rx: VirtualHost, __: VirtualHost) -> None:
        net = "0.0.0.0/0" if family == "ipv4" else "::/0"
        peer = ("away-peer", _AWAY_PEER, "02:6d:63:ff:fe:02")
        rx.configure(
            netlink.veth(
                "away",
                _AWAY,
                "02:6d:63:ff:fe:01",
                master=None,
                peer=peer,
                peer_namespace=rx.namespace.descriptor,
                mtu=1500,
            ),
            netlink.link(_AWAY_PEER, up=True),
            netlink.route(net, index=_AWAY),
        )

    return prepare


def joined(group: str, port: int = 0) -> Setup:
    """Have another socket of the receiver's host join a group, on a port of its own."""

    def prepare(_: Bench, rx: VirtualHost, __: VirtualHost) -> None:
        rx.receiver(Channel.unchecked(group, port))

    return prepare
