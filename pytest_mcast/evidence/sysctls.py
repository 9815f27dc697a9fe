"""The sysctls of a network namespace: from /proc/sys/net, and those of each interface by rtnetlink(7).

A file for each setting of each interface would take a second where there are 500 interfaces, such as those of containers.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import closing
from typing import Dict, Iterator, Tuple

from pytest_mcast.wire.attributes import attributes, number
from pytest_mcast.wire.rtnetlink import Netlink, Request

__all__ = ["sysctls"]

_DIRECTORY = "/proc/sys/net"
_LONGEST = 4096  # bytes of a sysctl, read at once
_FILES = (
    "core/netdev_max_backlog",
    "core/optmem_max",
    "core/rmem_default",
    "core/rmem_max",
    "core/wmem_default",
    "core/wmem_max",
    "ipv4/icmp_echo_ignore_broadcasts",
    "ipv4/igmp_link_local_mcast_reports",
    "ipv4/igmp_max_memberships",
    "ipv4/igmp_max_msf",
    "ipv4/igmp_qrv",
    "ipv4/ip_default_ttl",
    "ipv4/ip_forward",
    "ipv4/ip_local_port_range",
    "ipv4/ip_nonlocal_bind",
    "ipv4/ip_unprivileged_port_start",
    "ipv4/ipfrag_high_thresh",
    "ipv4/ipfrag_time",
    "ipv4/udp_mem",
    "ipv4/udp_rmem_min",
    "ipv6/bindv6only",
    "ipv6/ip6frag_high_thresh",
    "ipv6/ip6frag_time",
    "ipv6/mld_max_msf",
    "ipv6/mld_qrv",
    "bridge/bridge-nf-call-arptables",
    "bridge/bridge-nf-call-ip6tables",
    "bridge/bridge-nf-call-iptables",
)
# Of each interface, with its place in the array that the kernel sends: IPV4_DEVCONF_* less one (linux/ip.h), DEVCONF_*
# (linux/ipv6.h).
_CONF = {
    "ipv4": {
        "accept_local": 22,
        "force_igmp_version": 16,
        "forwarding": 0,
        "mc_forwarding": 1,
        "route_localnet": 25,
        "rp_filter": 7,
        "src_valid_mark": 23,
    },
    "ipv6": {
        "accept_dad": 27,
        "addr_gen_mode": 47,
        "disable_ipv6": 26,
        "force_mld_version": 16,
        "forwarding": 0,
        "mc_forwarding": 25,
    },
}
# linux/if_link.h, linux/rtnetlink.h
_GETLINK, _NAME, _AF_SPEC, _EXT_MASK, _SKIP_STATISTICS = 18, 3, 26, 29, 8
_ARRAYS = {"ipv4": (socket.AF_INET, 1), "ipv6": (socket.AF_INET6, 2)}  # IFLA_INET_CONF, IFLA_INET6_CONF


def sysctls() -> Dict[str, str]:
    """Return them as sysctl(8) writes them: ``net.ipv4.conf.eth0.rp_filter``; the dot of an interface's name is a slash.

    What this kernel does not have, and what is not for us to read, is not there. Raises ``OSError``.
    """
    return {**dict(_of_files()), **dict(_of_interfaces())}


def _of_files() -> Iterator[Tuple[str, str]]:
    both = [
        f"{family}/conf/{each}/{name}"
        for family, names in _CONF.items()
        for each in ("all", "default")
        for name in names
    ]
    for path in (*_FILES, *both):
        try:
            file = os.open(f"{_DIRECTORY}/{path}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            yield f"net.{path.replace('/', '.')}", os.read(file, _LONGEST).decode("ascii", "replace").strip()
        except OSError:  # some may be opened by anybody, and read by root only
            continue
        finally:
            os.close(file)


def _of_interfaces() -> Iterator[Tuple[str, str]]:
    body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0) + number(_EXT_MASK, _SKIP_STATISTICS)
    with closing(Netlink()) as netlink:
        links = netlink.ask(Request(_GETLINK, 0, body, "list the settings of the interfaces"), dump=True)
    for link in links:
        found = dict(attributes(link, 16))
        interface = found[_NAME].rstrip(b"\0").decode("utf-8", "surrogateescape").replace(".", "/")
        by_family = dict(attributes(found.get(_AF_SPEC, b"")))
        for family, (kind, array) in _ARRAYS.items():
            packed = dict(attributes(by_family.get(kind, b""))).get(array, b"")
            values = struct.unpack(f"={len(packed) // 4}i", packed)
            for name, place in _CONF[family].items():
                if place < len(values):  # an older kernel has fewer
                    yield f"net.{family}.conf.{interface}.{name}", str(values[place])
