"""What Linux says: rtnetlink, /proc/net, sysctls, nftables; of the calling thread's network namespace."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Sequence

from . import fdb, firewall, joined, links, mdb, offloads, queues, routes, udp

__all__ = ["READERS", "readers"]

_PROC = Path("/proc/thread-self/net")  # /proc/net is the main thread's
_SYSCTLS = "/proc/sys/net"
_LONGEST = 4096  # bytes of a sysctl, read at once
_SLASH_IS_DOT = {ord("/"): ".", ord("."): "/"}
# Of the network: settings, and for each interface those below conf.
_WANTED = (
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
_WANTED_CONF = {
    "ipv4": (
        "accept_local",
        "force_igmp_version",
        "forwarding",
        "mc_forwarding",
        "route_localnet",
        "rp_filter",
        "src_valid_mark",
    ),
    "ipv6": ("accept_dad", "addr_gen_mode", "disable_ipv6", "force_mld_version", "forwarding", "mc_forwarding"),
}


def _proc(name: str) -> Callable[[], str]:
    return lambda: (_PROC / name).read_text("ascii", "replace")


def _sysctls() -> Dict[str, str]:
    found = {}
    for path in _paths():
        try:
            file = os.open(
                f"{_SYSCTLS}/{path}", os.O_RDONLY | os.O_CLOEXEC
            )  # there are a hundred: open() takes twice as long
        except OSError:  # not in this kernel, or for root only; a check that needs it says so
            continue
        try:
            # As sysctl(8) writes them: net.ipv4.conf.eth0.rp_filter; the dot of an interface's name is a slash.
            found["net." + path.translate(_SLASH_IS_DOT)] = os.read(file, _LONGEST).decode("ascii", "replace").strip()
        except OSError:  # one of an interface that is gone
            continue
        finally:
            os.close(file)
    if not found:
        raise FileNotFoundError(errno.ENOENT, "there are no sysctls to read", _SYSCTLS)
    return found


def _paths() -> Iterator[str]:
    yield from _WANTED
    for family, names in _WANTED_CONF.items():
        try:
            interfaces = os.listdir(f"{_SYSCTLS}/{family}/conf")
        except OSError:  # no IPv6, or no /proc/sys
            continue
        for interface in interfaces:
            yield from (f"{family}/conf/{interface}/{name}" for name in names)


def _memberships() -> List[Dict[str, Any]]:
    from pytest_mcast.wire.memberships import memberships

    found = []
    for each in memberships():
        values = {name: getattr(each, name) for name in ("interface", "group", "mode", "users", "version", "pending_s")}
        found.append({**values, "sources": sorted(each.sources), "blocked": sorted(each.blocked)})
    return sorted(found, key=lambda one: (one["interface"], one["group"]))


_FILES = ("snmp", "netstat", "snmp6", "igmp", "mcfilter", "igmp6", "mcfilter6")
#: What is read, by the names that the readings have.
READERS: Dict[str, Callable[[], Any]] = {
    "links": links.links,
    "addresses": links.addresses,
    "routes": routes.routes,
    "rules": routes.rules,
    "memberships": _memberships,
    "namespace": joined.namespace,
    "sockets": udp.udp_sockets,
    "mdb": mdb.entries,
    "router_ports": mdb.router_ports,
    "fdb": fdb.learned,
    "offloads": offloads.offloads,
    "queues": queues.queues,
    "firewall": firewall.nftables,
    "firewall_legacy": firewall.legacy_tables,
    "sysctl": _sysctls,
    **{f"proc/{name}": _proc(name) for name in _FILES},
}


def readers(groups: Sequence[str]) -> Dict[str, Callable[[], Any]]:
    """Return ``READERS``, and what is asked for some groups: the route to each."""
    return {**READERS, "route_to": lambda: routes.route_to(groups)}
