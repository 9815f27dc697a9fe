"""Everything that the tests break: for each check at least one, here by the module of its check."""

from __future__ import annotations

from tests.doctor.scene import Break

from . import memberships, network, reports, sending, snooping, sockets

BREAKS: tuple[Break, ...] = (*sending.BREAKS, *network.BREAKS, *snooping.BREAKS, *reports.BREAKS, *memberships.BREAKS, *sockets.BREAKS)
