"""The checks, by where on the way the cause is. To add one, append it to the tuple of its module, and its proof to tests/doctor/breaks."""

from __future__ import annotations

from pytest_mcast.doctor.check import Check

from . import memberships, network, sending, sockets

__all__ = ["CHECKS"]

#: All checks, in the order of the way.
CHECKS: tuple[Check, ...] = (*sending.CHECKS, *network.CHECKS, *memberships.CHECKS, *sockets.CHECKS)
