"""Which report a test has waited for in vain, or for what it makes a switch or a router do: whose, of what, and who listened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.errors import NotReported
from pytest_mcast.core.system import LINUX
from pytest_mcast.evidence import Reading
from pytest_mcast.hosts import Host

from .between import at_switch
from .endpoint import Endpoint
from .flow import Flow
from .moment import Moment
from .observation import Observation
from .party import Party

if TYPE_CHECKING:
    from pytest_mcast.lab import MdbTimeout, RouteTimeout
    from pytest_mcast.wire.expectations import WantedReport

__all__ = ["report_flow"]

_LEFT = Reading(refused="it was not read when the report was waited for")


def report_flow(
    error: BaseException, observation: Observation, hosts: Sequence[Host], moment: Moment | None = None
) -> Flow | None:
    """Gather what is known of a report: the receiver is who should have sent it, the sender who listened.

    There is no sender when a switch has. None when it was no report that was expected, or nobody can tell whose.
    """
    if not LINUX:
        return None
    from pytest_mcast.lab import MdbTimeout, RouteTimeout
    from pytest_mcast.wire.expectations import WantedReport

    wanted = getattr(error, "wanted", None)
    if not isinstance(wanted, WantedReport):
        return None
    endpoints = () if moment is None else moment.endpoints
    members = [
        each for each in endpoints if each.role == "receiver" and each.channel and each.channel.group == wanted.group
    ]
    if isinstance(error, MdbTimeout):
        return _to_switch(error, wanted, members, observation, moment)
    if isinstance(error, RouteTimeout):
        return _to_router(error, wanted, members, observation, hosts, moment)
    return _to_listener(error, wanted, members, observation, hosts, moment) if isinstance(error, NotReported) else None


def _to_listener(
    error: NotReported,
    wanted: WantedReport,
    members: Sequence[Endpoint],
    observation: Observation,
    hosts: Sequence[Host],
    moment: Moment | None,
) -> Flow | None:
    if wanted.sender is not None:
        members = [each for each in members if str(each.host) == wanted.sender]
    host = members[-1].host if members else next((each for each in hosts if str(each) == wanted.sender), None)
    if host is None or (host.gone and not members):
        return None
    listener = next((each for each in hosts if str(each) == error.listener), None)
    interface = members[-1].interface if members else host.interface.name
    sender = None if listener is None else Party(listener, (), _towards(listener, host, interface))
    return _flow(error, wanted, Party(host, (), interface), members, sender, observation, moment)


def _to_switch(
    error: MdbTimeout,
    wanted: WantedReport,
    members: Sequence[Endpoint],
    observation: Observation,
    moment: Moment | None,
) -> Flow | None:
    port = error.port
    if port is None or port.host.gone:
        return None
    here = [each for each in members if (each.host, each.interface) == (port.host, port.interface)]
    flow = _flow(error, wanted, Party(port.host, (), port.interface), here, None, observation, moment)
    return replace(flow, segment=at_switch(port, flow.channel.family, moment))


def _to_router(
    error: RouteTimeout,
    wanted: WantedReport,
    members: Sequence[Endpoint],
    observation: Observation,
    hosts: Sequence[Host],
    moment: Moment | None,
) -> Flow | None:
    """Gather what is known of the report of a member behind the router, or of the one host that could be one."""
    router = error.router
    if router is None or router.gone:
        return None
    ports = [port for port in router.plugged.values() if error.interface in (None, port.interface)]
    for at in ports:
        there = {(port.host, port.interface): port for port in at.link.ports if port.host is not router}
        known = [each for each in members if (each.host, each.interface) in there]
        if not known and len(ports) == 1 and len(there) == 1:
            ((host, interface),) = there
        elif known:
            host, interface = known[-1].host, known[-1].interface  # type: ignore[assignment] # a VirtualHost: it is there
        else:
            continue
        if host in hosts and not host.gone:
            sender = Party(router, (), at.interface)
            return _flow(error, wanted, Party(host, (), interface), known, sender, observation, moment)
    return None


def _flow(
    error: NotReported | MdbTimeout | RouteTimeout,
    wanted: WantedReport,
    receiver: Party,
    members: Sequence[Endpoint],
    sender: Party | None,
    observation: Observation,
    moment: Moment | None,
) -> Flow:
    if error.moment is None and moment is not None and not members:  # who has joined may have left since
        readings = {**moment.readings.get(receiver.host, {}), "memberships": _LEFT}
        moment = replace(moment, readings={**moment.readings, receiver.host: readings})
    return observation.flow(
        Channel.unchecked(wanted.group, _port(members), wanted.source),
        sender=sender,
        receiver=replace(receiver, sockets=[each.options for each in members[-1:] if each.options]),
        call="report",
        error=error,
        moment=moment,
    )


def _port(members: Sequence[Endpoint]) -> int:
    channel = members[-1].channel if members else None
    return 0 if channel is None else channel.port


def _towards(listener: Host, member: Host, interface: str) -> str:
    """Return the interface of the listener that is on the member's link; its first one when there is none."""
    from pytest_mcast.lab import VirtualHost

    if isinstance(listener, VirtualHost) and isinstance(member, VirtualHost):
        links = {port.link for port in member.plugged.values() if port.interface == interface}
        for port in listener.plugged.values():
            if port.link in links:
                return port.interface
    return Party(listener).interface_name
