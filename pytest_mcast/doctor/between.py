"""What is between two virtual hosts: a switch, or routers."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_mcast.evidence import Snapshot, take_snapshot
from pytest_mcast.hosts import Host

from .facts import Facts
from .flow import Apart, Forwarder, MulticastRoute, Segment
from .moment import Moment, impaired_cables
from .party import Party, with_readings
from .switches import port_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_mcast.core.channels import Channel
    from pytest_mcast.lab import Link
    from pytest_mcast.lab.port import Port
    from pytest_mcast.wire.impairment import Judge

__all__ = ["at_switch", "between"]


def between(sender: Party, receiver: Party, channel: Channel, moment: Moment | None) -> dict[str, Any]:
    """Return what is between two virtual hosts: the switch, or that there is none (``Flow.segment``, ``Flow.apart``)."""
    ports = [port_of(party) for party in (sender, receiver)]
    if ports[0] is None or ports[1] is None or ports[0] is ports[1]:
        return {}
    link = ports[0].link
    if link.namespace.closed or ports[1].link.namespace.closed:
        return {}
    impaired, wire_lost = _impaired(ports[0], ports[1], channel.family, moment)
    if link is not ports[1].link:
        hosts = {each.host for each in link.ports}
        routers = {host for host in hosts if _routes_multicast(host, channel.family)}
        forwarders = tuple(_forwarder(link, router, channel) for router in sorted(routers, key=str))
        relays = {str(each.host) for each in ports[1].link.ports if each.host in hosts}
        return {
            "apart": Apart(
                str(link),
                str(ports[1].link),
                tuple(sorted(map(str, routers))),
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
    """Return the switch at which a virtual host is; None when it is gone."""
    link = port.link
    if link.namespace.closed:
        return None
    device = port.bridge_device
    return Segment(
        str(link), _facts(link, moment), f"switch{link.number}", device, device, *_impaired(port, port, family, moment)
    )


def _facts(link: Link, moment: Moment | None) -> Facts:
    with link.namespace:
        facts = Facts(Snapshot.from_json(take_snapshot()))
    return facts if moment is None else with_readings(facts, moment.switches.get(link.namespace.descriptor, {}))


def _impaired(sender: Port, receiver: Port, family: str, moment: Moment | None) -> tuple[tuple[str, ...], int]:
    """Say what impairs the cables between two ports, a line each, and how many datagrams that has lost on this way.

    A cable that was impaired at the ``moment`` may be whole again by now.
    """
    cables = impaired_cables([sender.host]) if moment is None else moment.cables
    lines: list[str] = []
    judges: list[Judge] = []
    for port, cable in cables.items():
        if port not in (sender, receiver) and (
            sender.link is receiver.link or not _routes_multicast(port.host, family)
        ):
            continue
        lines.append(f"the cable of {port.host} is impaired on purpose: {cable.impairment}")
        judges += [] if port is sender else [cable.to_host]
        judges += [] if port is receiver else [cable.from_host]
    return tuple(lines), sum(len(judge.lost) + len(judge.corrupted) + judge.overrun for judge in judges)


def _forwarder(link: Link, router: Host, channel: Channel) -> Forwarder:
    interfaces = tuple(port.interface for port in link.ports if port.host is router)
    return Forwarder(str(router), interfaces, tuple(_entries(router, channel)))


def _entries(router: Host, channel: Channel) -> Iterator[MulticastRoute]:
    """Yield what the kernel has for a group there, but for what waits for an entry."""
    from pytest_mcast.lab.mfc import read_mfc
    from pytest_mcast.lab.netlink import Netlink

    with router.inside():
        names = dict(socket.if_nameindex())
        connection = Netlink()
    with closing(connection):
        entries = read_mfc(connection, channel.family, lambda index: names.get(index, f"interface {index}"))
    group = str(ipaddress.ip_address(channel.group))
    for entry in entries:
        if entry.group == group and entry.resolved:
            yield MulticastRoute(entry.source, entry.incoming, tuple(entry.outgoing), str(entry))


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
