"""Causes between the hosts: two links without a router, and all that a switch can do."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_mcast.doctor.check import Check, Match
from pytest_mcast.doctor.flow import Flow

from . import ports, reporting, snooping, switch_filtering

__all__ = ["CHECKS"]


def _apart(flow: Flow) -> Iterator[Match]:
    apart = flow.apart
    if apart is None or flow.sender is None or flow.receiver is None:
        return
    seen = f"{flow.sender.interface} of {flow.sender.name} is on {apart.sender}, {flow.receiver.interface} of {flow.receiver.name} on {apart.receiver}"
    values = {"sender": flow.sender.name, "receiver": flow.receiver.name}
    if not apart.routers:
        relays = (
            [f"{', '.join(apart.relays)} is on both: a program there may pass datagrams on"] if apart.relays else []
        )
        sure = not apart.relays and not flow.received
        evidence = (seen, f"nobody on {apart.sender} routes multicast", *relays)
        yield Match("certain" if sure else "likely", evidence, values)


#: Checks of the network between two hosts.
CHECKS: tuple[Check, ...] = (
    Check(
        id="links.apart",
        stage="network",
        condition=_apart,
        sentence="{sender} and {receiver} are on different links, and nothing forwards multicast between them",
        cure="put both on one link, or a multicast router between them: mcast_lab.router(...)",
        reads=(
            "where the hosts are plugged in",
            "which hosts on the sender's link route multicast (ip_mr_vif, ip6_mr_vif)",
        ),
        reference="RFC 1112 section 3",
        place="code",
    ),
    *ports.CHECKS,
    *switch_filtering.CHECKS,
    *snooping.CHECKS,
    *reporting.CHECKS,
)
