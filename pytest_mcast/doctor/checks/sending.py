"""Causes at the sender: what never leaves it."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_mcast.doctor.check import Check, Match
from pytest_mcast.doctor.flow import Flow

__all__ = ["CHECKS"]


def _ttl_zero(flow: Flow) -> Iterator[Match]:
    if flow.ttl != 0 or flow.same_host or flow.sender is None:
        return
    # Measured (Linux 6.18): without a member of the group on the sender's own interface they leave all the same.
    member = flow.sender.facts.memberships(flow.channel.group, flow.sender.interface)
    here = f"{flow.sender.name} has {'' if member else 'not '}joined the group on {flow.sender.interface}"
    yield Match("certain" if member else "possible", ("the socket sends with TTL (hop limit) 0", here))


#: Checks of what the sender does.
CHECKS: tuple[Check, ...] = (
    Check(
        id="ttl.zero",
        stage="sender",
        condition=_ttl_zero,
        sentence="datagrams with TTL (hop limit) 0 do not leave a host that has joined the group itself",
        cure="set a TTL of at least 1: Sender(ttl=1), IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS",
        reads=("the sender's socket: IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS", "memberships"),
        reference="RFC 1112 section 6.1",
        place="code",
    ),
)
