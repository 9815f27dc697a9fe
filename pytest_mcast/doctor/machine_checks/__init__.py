"""The checks of a whole machine. To add one, append it to the tuple of its module, and its proof to tests/doctor/machine_breaks."""

from __future__ import annotations

from pytest_mcast.doctor.machine_check import MachineCheck

from . import elsewhere, firewalls, interfaces, limits, protocols, routes

__all__ = ["CHECKS"]

#: All checks of a machine.
CHECKS: tuple[MachineCheck, ...] = (
    *interfaces.CHECKS,
    *routes.CHECKS,
    *firewalls.CHECKS,
    *protocols.CHECKS,
    *limits.CHECKS,
    *elsewhere.CHECKS,
)
