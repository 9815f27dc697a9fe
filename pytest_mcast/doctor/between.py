"""What is between two virtual hosts: a switch, or routers."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_mcast.core.system import LINUX
from pytest_mcast.evidence import Snapshot, take_snapshot
from pytest_mcast.hosts import Host

from .facts import Facts
from .flow import Apart, Segment
from .moment import Moment
from .party import Party, with_readings

if TYPE_CHECKING:
    from pytest_mcast.lab.port import Port

__all__ = ["between"]


def between(sender: Party, receiver: Party, moment: Moment | None) -> dict[str, Any]:
    """Return what is between two virtual hosts: the switch, or that there is none (``Flow.segment``, ``Flow.apart``)."""
    ports = [_port(party) for party in (sender, receiver)]
    if ports[0] is None or ports[1] is None or ports[0] is ports[1]:
        return {}
    link = ports[0].link
    if link.namespace.closed or ports[1].link.namespace.closed:
        return {}
    if link is not ports[1].link:
        routers = (each.host for each in link.ports if _routes_multicast(each.host))
        return {"apart": Apart(str(link), str(ports[1].link), tuple(sorted({str(host) for host in routers})))}
    with link.namespace:
        facts = Facts(Snapshot.from_json(take_snapshot()))
    if moment is not None:
        facts = with_readings(facts, moment.switches.get(link.namespace.descriptor, {}))
    impaired, wire_lost = _impaired(ports[0], ports[1])
    devices = ports[0].bridge_device, ports[1].bridge_device
    return {"segment": Segment(str(link), facts, f"switch{link.number}", *devices, impaired, wire_lost)}


def _impaired(sender: Port, receiver: Port) -> tuple[tuple[str, ...], int]:
    """Say what impairs the cables between two ports, a line each, and how many datagrams that has lost on this way."""
    cables = [(port, port.impaired) for port in (sender, receiver) if port.impaired is not None]
    lines = tuple(f"the cable of {port.host} is impaired on purpose: {cable.impairment}" for port, cable in cables)
    judges = [cable.from_host if port is sender else cable.to_host for port, cable in cables]
    return lines, sum(len(judge.lost) + len(judge.corrupted) + judge.overrun for judge in judges)


def _port(party: Party) -> Port | None:
    """Return where the interface of a party is plugged in; None when that is not a switch, or it is gone."""
    if not LINUX:
        return None
    from pytest_mcast.lab import VirtualHost

    host = party.host
    if not isinstance(host, VirtualHost) or host.gone:
        return None
    with host.inside():
        try:
            return host.plugged.get(socket.if_nametoindex(party.interface_name))
        except OSError:
            return None


def _routes_multicast(host: Host) -> bool:
    """Whether there is a multicast router in a host: one that the kernel forwards for (/proc/net/ip_mr_vif)."""
    if host.gone:
        return False
    with host.inside():
        for name in ("ip_mr_vif", "ip6_mr_vif"):
            try:
                lines = Path("/proc/thread-self/net", name).read_text("ascii").splitlines()
            except OSError:  # the kernel cannot
                continue
            if len(lines) > 1:  # the first is the heading
                return True
    return False
