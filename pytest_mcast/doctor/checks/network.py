"""Causes between the hosts: two links without a router, and all that a switch can do."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_mcast.doctor.check import Check, Match
from pytest_mcast.doctor.flow import Flow

from . import ports, reporting, snooping, switch_filtering

__all__ = ["CHECKS"]

# Scopes whose groups no router forwards (RFC 4291 section 2.7, RFC 5771 section 4).
_NOT_FORWARDED = ("interface-local", "link-local")


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


def _not_forwarded(flow: Flow) -> Iterator[Match]:
    """Yield that no router on the sender's link has an entry that takes the datagrams on from there."""
    apart = flow.apart
    if apart is None or not apart.forwarders or flow.sender is None or flow.channel.scope in _NOT_FORWARDED:
        return
    evidence = []
    for router in apart.forwarders:
        for entry in router.entries:
            for_it = flow.source is None or entry.source in (None, flow.source)
            if for_it and entry.incoming in router.interfaces and set(entry.outgoing) - {entry.incoming}:
                return
        from_there = f"the sender is behind its {' and '.join(router.interfaces)}"
        has = "; ".join(entry.words for entry in router.entries) or "none for the group"
        evidence.append(f"entries of {router.name}, and {from_there}: {has}")
    if flow.source is not None:
        evidence.append(f"the datagrams come from {flow.source}")
    values = {"routers": ", ".join(router.name for router in apart.forwarders), "link": apart.sender}
    yield Match("likely" if flow.received else "certain", tuple(evidence), values)


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
    Check(
        id="router.entry",
        stage="network",
        condition=_not_forwarded,
        sentence="no entry of a multicast router on {link} ({routers}) takes the datagrams on from there",
        cure="router.route(group, incoming, [outgoing], source=...) with the interface that they come in by and the address "
        "that they come from; with a routing daemon, its log says what it has heard of",
        reads=("where the hosts are plugged in", "forwarding entries (MFC) of the routers on the sender's link"),
        reference="Router.route(); ip-mroute(8)",
        place="code",
    ),
    *ports.CHECKS,
    *switch_filtering.CHECKS,
    *snooping.CHECKS,
    *reporting.CHECKS,
)
