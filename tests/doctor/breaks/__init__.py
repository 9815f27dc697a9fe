"""Everything that the tests break: for each check at least one, here by the module of its check."""

from __future__ import annotations

from tests.doctor.scene import Break

from . import calls, damage, memberships, packet_filter, receiving, sending, sockets

BREAKS: tuple[Break, ...] = (
    *calls.BREAKS,
    *sending.BREAKS,
    *receiving.BREAKS,
    *packet_filter.BREAKS,
    *damage.BREAKS,
    *memberships.BREAKS,
    *sockets.BREAKS,
)
