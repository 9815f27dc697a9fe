"""Which report a test has waited for in vain: whose, of what, and who listened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.errors import NotReported
from pytest_mcast.core.system import LINUX
from pytest_mcast.evidence import Reading
from pytest_mcast.hosts import Host

from .endpoint import Endpoint
from .flow import Flow
from .moment import Moment
from .observation import Observation
from .party import Party

__all__ = ["report_flow"]

_LEFT = Reading(refused="it was not read when the report was waited for")


def report_flow(
    error: NotReported, observation: Observation, hosts: Sequence[Host], moment: Moment | None = None
) -> Flow | None:
    """Gather what is known of a report: the receiver is who should have sent it, the sender who listened.

    None when it was no report that was expected, or nobody can tell whose.
    """
    if not LINUX:
        return None
    from pytest_mcast.wire.expectations import WantedReport

    wanted = error.wanted
    if not isinstance(wanted, WantedReport):
        return None
    endpoints = () if moment is None else moment.endpoints
    members = [
        each for each in endpoints if each.role == "receiver" and each.channel and each.channel.group == wanted.group
    ]
    if wanted.sender is not None:
        members = [each for each in members if str(each.host) == wanted.sender]
    host = members[-1].host if members else next((each for each in hosts if str(each) == wanted.sender), None)
    if host is None or (host.gone and not members):
        return None
    if error.moment is None and moment is not None and not members:  # who has joined may have left since
        moment = replace(
            moment, readings={**moment.readings, host: {**moment.readings.get(host, {}), "memberships": _LEFT}}
        )
    listener = next((each for each in hosts if str(each) == error.listener), None)
    interface = members[-1].interface if members else host.interface.name
    return observation.flow(
        Channel.unchecked(wanted.group, _port(members), wanted.source),
        sender=None if listener is None else Party(listener, (), _towards(listener, host, interface)),
        receiver=Party(host, [each.options for each in members[-1:] if each.options], interface),
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
