"""What the tests break on a machine: for each check that can be proved at least one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_mcast import LabView, VirtualHost
from pytest_mcast.core import Deadline
from pytest_mcast.wire.rtnetlink import Netlink

from .shell import sh

_IPV6_ADDRESSES = 9  # RTNLGRP_IPV6_IFADDR
Command = str | Callable[[LabView, VirtualHost], object]


@dataclass(frozen=True)
class MachineBreak:
    """What breaks a virtual host, and the check that names it.

    ``breaks`` and ``cure`` are shell commands on the host, or functions; without ``cure`` the finding's is followed.
    ``sure`` is how sure the check must be, ``interfaces`` which ones the host has; eth0 is the one that is tried.
    ``alone``: nothing else is found either. ``healthy`` is False where it is broken from the start; ``blinds``: it keeps
    other checks from being asked.
    """

    id: str
    check: str
    breaks: Command
    sure: str = "certain"
    cure: Command | None = None
    interfaces: Sequence[str] = ("eth0",)
    alone: bool = True
    healthy: bool = True
    blinds: bool = False
    needs: str = ""  # a file that must be there, and that we may write to


def _unplug(lab: LabView, host: VirtualHost) -> None:
    next(iter(host.plugged.values())).down()
    with host:
        netlink = Netlink()
    netlink.wait_until_down(next(iter(host.plugged)))
    netlink.close()


def _plug(lab: LabView, host: VirtualHost) -> None:
    next(iter(host.plugged.values())).up()


def _two_have_one_address(lab: LabView, host: VirtualHost) -> None:
    link = next(iter(host.plugged.values())).link
    address = "fd00:dad::1/64"
    other = lab.host("other", interfaces={"eth0": link})
    sh(other, f"ip address add {address} dev eth0 nodad")
    other.settle()  # it answers for it when the kernel has joined the group of the address, a moment later
    with host:
        netlink = Netlink()
    try:
        netlink.subscribe(_IPV6_ADDRESSES)
        sh(
            host,
            "sysctl -qw net.ipv6.conf.eth0.accept_dad=1 net.ipv6.conf.eth0.router_solicitation_delay=0; "
            f"ip address add {address} dev eth0",
        )
        deadline = Deadline(10)
        while "dadfailed" not in sh(host, "ip -6 address show dev eth0"):
            assert netlink.wait(deadline), "duplicate address detection has not failed"
    finally:
        netlink.close()


def _old_query(version: int, family: str) -> Callable[[LabView, VirtualHost], None]:
    def ask(lab: LabView, host: VirtualHost) -> None:
        link = next(iter(host.plugged.values())).link
        other = lab.host("querier", interfaces={"eth0": link})
        with host.listen() as wire:
            other.querier(family, version=version).query()
            wire.expect_query(sender=other)

    return ask


def _is_new_again(lab: LabView, host: VirtualHost) -> None:
    # As when the older querier present time-out is over (RFC 3376 section 8.12), which is minutes later.
    sh(host, "sysctl -qw net.ipv4.conf.eth0.force_igmp_version=3")


_NO_IPV6_ROUTE = "ip -6 route flush ff00::/8 table local; ip -6 route del default"
_TWO = ("eth0", "eth1")
_BRIDGE = (
    "ip link add br7 type bridge mcast_snooping 1 mcast_querier {querier}; ip link add v7 type veth peer name v8; "
    "ip link set v7 master br7; ip link set br7 up; ip link set v7 up"
)
_TABLE = "nft add table inet t; nft add chain inet t c '{{ type filter hook {hook} priority 0; policy {policy}; }}'"


def _filter(rule: str = "", hook: str = "input", policy: str = "accept") -> str:
    return _TABLE.format(hook=hook, policy=policy) + (f"; nft add rule inet t c {rule}" if rule else "")


BREAKS = (
    MachineBreak("down", "machine.interface-down", "ip link set eth0 down", alone=False),
    MachineBreak("cable", "machine.interface-no-carrier", _unplug, cure=_plug, alone=False),
    MachineBreak("flag", "machine.interface-no-multicast", "ip link set eth0 multicast off"),
    MachineBreak("no IPv4", "machine.interface-no-address", "ip -4 address flush dev eth0", "likely", alone=False),
    MachineBreak(
        "no IPv6 address", "machine.interface-no-address", "ip -6 address flush dev eth0", "likely", alone=False
    ),
    MachineBreak("no IPv6", "machine.interface-ipv6-off", "sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1"),
    MachineBreak("mtu", "machine.interface-small-mtu", "ip link set eth0 mtu 1000"),
    MachineBreak("duplicate", "machine.address-duplicate", _two_have_one_address, "likely"),
    MachineBreak(
        "same network",
        "machine.interface-same-network",
        "ip address add 10.7.0.1/24 dev eth0; ip address add 10.7.0.2/24 dev eth1",
        "possible",
        cure="ip link set eth1 down",
        interfaces=_TWO,
    ),
    MachineBreak(
        "tunnel",
        "machine.interface-tunnel",
        "ip link del eth0; ip tuntap add dev eth0 mode tun; ip link set eth0 multicast off; ip link set eth0 up",
        "likely",
        cure="ip link del eth0",
        alone=False,
        needs="/dev/net/tun",
    ),
    MachineBreak("no route", "machine.no-route", "ip route del default", "likely"),
    MachineBreak("no route, IPv6", "machine.no-route", _NO_IPV6_ROUTE, "likely"),
    MachineBreak(
        "only lo", "machine.no-route", "ip -6 route flush ff00::/8 table local", "likely", interfaces=(), healthy=False
    ),
    *(
        MachineBreak(f"{kind}{family}", "machine.route-refuses", f"ip {family} route add {kind} {group} {table}")
        for kind in ("blackhole", "prohibit", "unreachable")
        for family, group, table in (("", "239.0.0.0/8", ""), ("-6", "ff15::/16", "table local"))
    ),
    MachineBreak(
        "other interface",
        "machine.other-interface",
        "ip route add 239.0.0.0/8 dev eth1",
        "possible",
        cure="ip route del 239.0.0.0/8; ip route add 224.0.0.0/4 dev eth0",
        interfaces=_TWO,
    ),
    MachineBreak(
        "rp_filter",
        "machine.rp-filter",
        "sysctl -qw net.ipv4.conf.eth0.rp_filter=1",
        "possible",
        interfaces=_TWO,
    ),
    MachineBreak("rule", "machine.firewall", _filter("meta l4proto udp drop")),
    MachineBreak("policy", "machine.firewall", _filter("ip protocol igmp accept", policy="drop")),
    MachineBreak("igmp", "machine.firewall", _filter("ip protocol igmp drop", "output")),
    MachineBreak("part", "machine.firewall", _filter("meta l4proto udp limit rate over 5/second drop"), "possible"),
    MachineBreak(
        "IGMPv2", "machine.old-version-forced", "sysctl -qw net.ipv4.conf.eth0.force_igmp_version=2", "likely"
    ),
    MachineBreak("IGMPv1", "machine.old-version-forced", "sysctl -qw net.ipv4.conf.all.force_igmp_version=1", "likely"),
    MachineBreak("MLDv1", "machine.old-version-forced", "sysctl -qw net.ipv6.conf.eth0.force_mld_version=1", "likely"),
    MachineBreak("v2 querier", "machine.older-querier", _old_query(2, "ipv4"), "likely", cure=_is_new_again),
    MachineBreak(
        "bridge",
        "machine.bridge-no-querier",
        f"{_BRIDGE.format(querier=0)}; bridge link set dev v7 mcast_flood off",
        "likely",
    ),
    MachineBreak(
        "bridge querier",
        "machine.bridge-old-querier",
        f"{_BRIDGE.format(querier=1)}; ip link set br7 type bridge mcast_mld_version 2",
        "likely",
    ),
    MachineBreak("no groups", "machine.limit-groups", "sysctl -qw net.ipv4.igmp_max_memberships=0", blinds=True),
    MachineBreak("few groups", "machine.limit-groups", "sysctl -qw net.ipv4.igmp_max_memberships=5", "possible"),
    MachineBreak("few sources", "machine.limit-sources", "sysctl -qw net.ipv4.igmp_max_msf=3", "possible"),
)


def can_be_broken(broken: MachineBreak) -> bool:
    """Whether what it needs is there."""
    return not broken.needs or os.access(broken.needs, os.W_OK)
