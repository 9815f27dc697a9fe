"""The checks, by where on the way the cause is. To add one, append it to the tuple of its module, and its proof to tests/doctor/breaks."""

from __future__ import annotations

from pytest_mcast.doctor.check import Check

from . import (
    calls,
    damage,
    deliveries,
    filtering,
    memberships,
    network,
    queues,
    receiving,
    sending,
    sockets,
    sources,
    way,
)

__all__ = ["CHECKS"]

#: All checks, in the order of the way.
CHECKS: tuple[Check, ...] = (
    *calls.CHECKS,
    *sending.CHECKS,
    *network.CHECKS,
    *way.CHECKS,
    *receiving.CHECKS,
    *sources.CHECKS,
    *filtering.CHECKS,
    *damage.CHECKS,
    *memberships.CHECKS,
    *sockets.CHECKS,
    *queues.CHECKS,
    *deliveries.CHECKS,
)
