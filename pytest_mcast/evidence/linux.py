"""What Linux says: rtnetlink, /proc/net, sysctls, nftables; of the calling thread's network namespace."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

from . import fdb, firewall, joined, links, mdb, offloads, place, queues, routes, sysctls, udp

__all__ = ["READERS", "readers"]

_PROC = Path("/proc/thread-self/net")  # /proc/net is the main thread's


def _proc(name: str) -> Callable[[], str]:
    return lambda: (_PROC / name).read_text("utf-8", "surrogateescape")


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
    "place": place.place,
    "sockets": udp.udp_sockets,
    "mdb": mdb.entries,
    "router_ports": mdb.router_ports,
    "fdb": fdb.learned,
    "offloads": offloads.offloads,
    "queues": queues.queues,
    "firewall": firewall.nftables,
    "firewall_legacy": firewall.legacy_tables,
    "sysctl": sysctls.sysctls,
    **{f"proc/{name}": _proc(name) for name in _FILES},
}


def readers(groups: Sequence[str]) -> Dict[str, Callable[[], Any]]:
    """Return ``READERS``, and what is asked for some groups: the route to each."""
    return {**READERS, "route_to": lambda: routes.route_to(groups)}
