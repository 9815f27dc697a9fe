"""What is between two virtual hosts: a switch, or routers."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from pytest_mcast.evidence import Snapshot, take_snapshot
from pytest_mcast.hosts import Host

from .facts import Facts
from .flow import Apart, Forwarder, MulticastRoute, Segment
from .forwarding import forwards
from .moment import Moment, impaired_cables
from .party import Party, with_readings
from .switches import port_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_mcast.core.channels import Channel
    from pytest_mcast.lab import Link
    from pytest_mcast.lab.mfc import MfcEntry
    from pytest_mcast.lab.port import Port
    from pytest_mcast.wire.impairment import Judge

__all__ = ["at_switch", "between"]


def between(
    sender: Party, receiver: Party, channel: Channel, moment: Moment | None, *, report: bool = False
) -> dict[str, Any]:
    """Return what is between two virtual hosts: the switch, or that there is none (``Flow.segment``, ``Flow.apart``).

    ``report``: it is a report that was lost, no datagram.
    """
    ports = [port_of(party) for party in (sender, receiver)]
    if ports[0] is None or ports[1] is None or ports[0] is ports[1]:
        return {}
    link = ports[0].link
    if link.namespace.closed or ports[1].link.namespace.closed:
        return {}
    impaired, wire_lost = _impaired(ports[0], ports[1], channel.family, moment, report=report)
    if link is not ports[1].link:
        hosts = {each.host for each in link.ports}
        found = {host: _forwards(host, channel.family, moment) for host in sorted(hosts, key=str)}
        routers = {host: entries for host, entries in found.items() if entries is not None}
        forwarders = tuple(_forwarder(link, router, entries, channel) for router, entries in routers.items())
        relays = {str(each.host) for each in ports[1].link.ports if each.host in hosts}
        return {
            "apart": Apart(
                str(link),
                str(ports[1].link),
                tuple(map(str, routers)),
                tuple(sorted(relays)),
                forwarders,
                impaired,
                wire_lost,
            )
        }
    facts = _facts(link, moment)
    devices = ports[0].bridge_device, ports[1].bridge_device
    return {"segment": Segment(str(link), facts, f"switch{link.number}", *devices, impaired, wire_lost)}


def at_switch(port: Port, family: str, moment: Moment | None) -> Segment | None:
    """Return the switch that a virtual host reports to; None when it is gone."""
    link = port.link
    if link.namespace.closed:
        return None
    device, impaired = port.bridge_device, _impaired(port, port, family, moment, report=True)
    return Segment(str(link), _facts(link, moment), f"switch{link.number}", device, device, *impaired)


def _facts(link: Link, moment: Moment | None) -> Facts:
    with link.namespace:
        facts = Facts(Snapshot.from_json(take_snapshot()))
    return facts if moment is None else with_readings(facts, moment.switches.get(link.namespace.descriptor, {}))


def _impaired(
    sender: Port, receiver: Port, family: str, moment: Moment | None, *, report: bool
) -> tuple[tuple[str, ...], int]:
    """Say what impairs the cables between two ports, a line each, and how many datagrams that has lost on this way.

    A cable that was impaired at the ``moment`` may be whole again by now. A ``report`` is late on a slow one; only datagrams
    are lost on purpose.
    """
    cables = impaired_cables([sender.host]) if moment is None else moment.cables
    lines: list[str] = []
    judges: list[Judge] = []
    for port, cable in cables.items():
        if port not in (sender, receiver) and (
            sender.link is receiver.link or _forwards(port.host, family, moment) is None
        ):
            continue
        if report and not cable.impairment.delays[1] and cable.impairment.rate is None:
            continue
        lines.append(f"the cable of {port.host} is impaired on purpose: {cable.impairment}")
        judges += [] if port is sender else [cable.to_host]
        judges += [] if port is receiver else [cable.from_host]
    on_purpose = 0 if report else sum(len(judge.lost) + len(judge.corrupted) for judge in judges)
    return tuple(lines), on_purpose + sum(judge.overrun for judge in judges)


def _forwarder(link: Link, router: Host, entries: Iterable[MfcEntry], channel: Channel) -> Forwarder:
    interfaces = tuple(port.interface for port in link.ports if port.host is router)
    group = str(ipaddress.ip_address(channel.group))
    found = (each for each in entries if each.group == group and each.resolved)  # others wait for an entry
    routes = (MulticastRoute(each.source, each.incoming, tuple(each.outgoing), str(each)) for each in found)
    return Forwarder(str(router), interfaces, tuple(routes))


def _forwards(host: Host, family: str, moment: Moment | None) -> tuple[MfcEntry, ...] | None:
    return forwards(host, family, {} if moment is None else moment.forwarding)
