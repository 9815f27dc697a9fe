"""What is between two virtual hosts: a switch, or routers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_mcast.evidence import Snapshot, take_snapshot
from pytest_mcast.hosts import Host

from .facts import Facts
from .flow import Apart, Segment
from .moment import Moment
from .party import Party, with_readings
from .switches import port_of

if TYPE_CHECKING:
    from pytest_mcast.lab import Link
    from pytest_mcast.lab.port import Port

__all__ = ["at_switch", "between"]


def between(sender: Party, receiver: Party, family: str, moment: Moment | None) -> dict[str, Any]:
    """Return what is between two virtual hosts: the switch, or that there is none (``Flow.segment``, ``Flow.apart``)."""
    ports = [port_of(party) for party in (sender, receiver)]
    if ports[0] is None or ports[1] is None or ports[0] is ports[1]:
        return {}
    link = ports[0].link
    if link.namespace.closed or ports[1].link.namespace.closed:
        return {}
    if link is not ports[1].link:
        hosts = {each.host for each in link.ports}
        routers = {str(host) for host in hosts if _routes_multicast(host, family)}
        relays = {str(each.host) for each in ports[1].link.ports if each.host in hosts}
        return {"apart": Apart(str(link), str(ports[1].link), tuple(sorted(routers)), tuple(sorted(relays)))}
    facts = _facts(link, moment)
    impaired, wire_lost = _impaired(ports[0], ports[1])
    devices = ports[0].bridge_device, ports[1].bridge_device
    return {"segment": Segment(str(link), facts, f"switch{link.number}", *devices, impaired, wire_lost)}


def at_switch(port: Port, moment: Moment | None) -> Segment | None:
    """Return the switch at which a virtual host is; None when it is gone."""
    link = port.link
    if link.namespace.closed:
        return None
    device = port.bridge_device
    return Segment(str(link), _facts(link, moment), f"switch{link.number}", device, device, *_impaired(port))


def _facts(link: Link, moment: Moment | None) -> Facts:
    with link.namespace:
        facts = Facts(Snapshot.from_json(take_snapshot()))
    return facts if moment is None else with_readings(facts, moment.switches.get(link.namespace.descriptor, {}))


def _impaired(sender: Port, *receiver: Port) -> tuple[tuple[str, ...], int]:
    """Say what impairs the cables between ports, a line each, and how many datagrams that has lost on this way."""
    cables = [(port, port.impaired) for port in (sender, *receiver) if port.impaired is not None]
    lines = tuple(f"the cable of {port.host} is impaired on purpose: {cable.impairment}" for port, cable in cables)
    judges = [cable.from_host if port is sender else cable.to_host for port, cable in cables]
    return lines, sum(len(judge.lost) + len(judge.corrupted) + judge.overrun for judge in judges)


def _routes_multicast(host: Host, family: str) -> bool:
    """Whether there is a multicast router in a host: one that the kernel forwards for, by ip_mr_vif."""
    if host.gone:
        return False
    with host.inside():
        name = "ip_mr_vif" if family == "ipv4" else "ip6_mr_vif"
        try:
            lines = Path("/proc/thread-self/net", name).read_text("utf-8", "surrogateescape").splitlines()
        except OSError:  # the kernel cannot
            return False
    return len(lines) > 1  # the first is the heading
