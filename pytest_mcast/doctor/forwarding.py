"""Which hosts of a lab route multicast, and what they forward: now, and as it was at a moment."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_mcast.core.system import LINUX
from pytest_mcast.hosts import Host

if TYPE_CHECKING:
    from pytest_mcast.lab.mfc import MfcEntry

__all__ = ["forwarding_between", "forwards"]

_INTERFACES = {"ipv4": "ip_mr_vif", "ipv6": "ip6_mr_vif"}


def forwarding_between(hosts: Iterable[Host]) -> dict[Host, dict[str, tuple[MfcEntry, ...]]]:
    """Return what is forwarded now, by families, by each host that is plugged into several links, one of them of these hosts.

    Of one that routes no multicast that is nothing. What cannot be read is left out.
    """
    if not LINUX:
        return {}
    from pytest_mcast.lab import VirtualHost

    links = {port.link for host in hosts if isinstance(host, VirtualHost) for port in host.plugged.values()}
    found: dict[Host, dict[str, tuple[MfcEntry, ...]]] = {}
    for host in {port.host for link in links for port in link.ports}:
        if len(host.plugged) > 1 and not host.gone:
            try:
                read = {family: _read(host, family) for family in _INTERFACES}
            except OSError:  # it is read when it is asked for, and says so then
                continue
            found[host] = {family: entries for family, entries in read.items() if entries is not None}
    return found


def forwards(
    host: Host, family: str, kept: Mapping[Host, Mapping[str, tuple[MfcEntry, ...]]]
) -> tuple[MfcEntry, ...] | None:
    """Return what a host forwards of a family, or did if that was ``kept``; None when it routes no multicast."""
    if host in kept:
        return kept[host].get(family)
    return None if host.gone else _read(host, family)


def _read(host: Host, family: str) -> tuple[MfcEntry, ...] | None:
    with host.inside():
        try:
            lines = (
                Path("/proc/thread-self/net", _INTERFACES[family]).read_text("utf-8", "surrogateescape").splitlines()
            )
        except OSError:  # the kernel cannot
            return None
        if len(lines) < 2:  # the first is the heading
            return None
        from pytest_mcast.lab.mfc import read_mfc
        from pytest_mcast.lab.netlink import Netlink

        names = dict(socket.if_nameindex())
        with closing(Netlink()) as connection:
            return read_mfc(connection, family, lambda index: names.get(index, f"interface {index}"))
