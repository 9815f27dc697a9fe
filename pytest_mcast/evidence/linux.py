"""What Linux says: rtnetlink, /proc/net, sysctls, nftables; of the calling thread's network namespace."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

from . import fdb, firewall, joined, links, mdb, offloads, routes, udp

__all__ = ["READERS", "readers"]

_PROC = Path("/proc/thread-self/net")  # /proc/net is the main thread's
_SYSCTLS = Path("/proc/sys/net")
# Of the network, as glob patterns below /proc/sys/net.
_WANTED = (
    "core/optmem_max",
    "core/rmem_default",
    "core/rmem_max",
    "core/wmem_max",
    "ipv4/conf/*/accept_local",
    "ipv4/conf/*/force_igmp_version",
    "ipv4/conf/*/mc_forwarding",
    "ipv4/conf/*/rp_filter",
    "ipv4/igmp_*",
    "ipv4/ip_forward",
    "ipv4/ip_local_port_range",
    "ipv6/conf/*/accept_dad",
    "ipv6/conf/*/disable_ipv6",
    "ipv6/conf/*/force_mld_version",
    "ipv6/conf/*/forwarding",
    "ipv6/conf/*/mc_forwarding",
    "ipv6/mld_*",
    "bridge/bridge-nf-call-*",
)


def _proc(name: str) -> Callable[[], str]:
    return lambda: (_PROC / name).read_text("ascii", "replace")


def _sysctls() -> Dict[str, str]:
    found = {}
    for pattern in _WANTED:
        for path in _SYSCTLS.glob(pattern):
            # As sysctl(8) writes them: net.ipv4.conf.eth0.rp_filter; the dot of an interface's name is a slash.
            parts = [part.replace(".", "/") for part in path.relative_to(_SYSCTLS).parts]
            try:
                found[".".join(["net", *parts])] = path.read_text("ascii").strip()
            except OSError:  # some are for root only; a check that needs it says so
                continue
    return found


def _memberships() -> List[Dict[str, Any]]:
    from pytest_mcast.wire.memberships import memberships

    found = []
    for each in memberships():
        values = {name: getattr(each, name) for name in ("interface", "group", "mode", "users", "version", "pending_s")}
        found.append({**values, "sources": sorted(each.sources), "blocked": sorted(each.blocked)})
    return sorted(found, key=lambda one: (one["interface"], one["group"]))


_FILES = ("snmp", "netstat", "snmp6", "igmp", "mcfilter", "igmp6", "mcfilter6", "udp", "udp6")
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
    "firewall": firewall.nftables,
    "firewall_legacy": firewall.legacy_tables,
    "sysctl": _sysctls,
    **{f"proc/{name}": _proc(name) for name in _FILES},
}


def readers(groups: Sequence[str]) -> Dict[str, Callable[[], Any]]:
    """Return ``READERS``, and what is asked for some groups: the route to each."""
    return {**READERS, "route_to": lambda: routes.route_to(groups)}
