"""Causes of a call that the kernel has refused: asked then only, because nothing could be lost yet."""

from __future__ import annotations

from pytest_mcast.doctor.check import Check

from . import refused_addresses, refused_interfaces, refused_joins, refused_routes, refused_sends

__all__ = ["CHECKS"]

#: Checks of refused calls.
CHECKS: tuple[Check, ...] = (
    *refused_interfaces.CHECKS,
    *refused_addresses.CHECKS,
    *refused_routes.CHECKS,
    *refused_joins.CHECKS,
    *refused_sends.CHECKS,
)
