"""Everything that the tests break: for each check at least one, here by the module of its check."""

from __future__ import annotations

from tests.doctor.scene import Break, Stray

from . import (
    calls,
    damage,
    deliveries,
    filtering,
    memberships,
    network,
    queues,
    receiving,
    reports,
    sending,
    snooping,
    sockets,
    sources,
    way,
)

BREAKS: tuple[Break, ...] = (
    *calls.BREAKS,
    *sending.BREAKS,
    *network.BREAKS,
    *snooping.BREAKS,
    *reports.BREAKS,
    *receiving.BREAKS,
    *sources.BREAKS,
    *filtering.BREAKS,
    *damage.BREAKS,
    *memberships.BREAKS,
    *sockets.BREAKS,
    *queues.BREAKS,
    *way.BREAKS,
)
#: What is delivered and should not be.
STRAYS: tuple[Stray, ...] = deliveries.STRAYS
