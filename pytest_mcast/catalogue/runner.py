"""Runs one case against one core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mcast.cores.runner import Result, look_at

from .case import Case

if TYPE_CHECKING:
    from pytest_mcast.cores import ReceiveCore
    from pytest_mcast.lab.view import HostPool
    from pytest_mcast.packets.explain import DropReasons

__all__ = ["run_case"]


def run_case(
    case: Case,
    core: ReceiveCore,
    pool: HostPool,
    family: str,
    mode: str,
    *,
    timeout: float = 5.0,
    drops: DropReasons | None = None,
) -> Result:
    """Look at what a core makes of a case, for one kind of channel, in hosts of its own; ``timeout`` is in seconds."""
    return look_at(core, case.id, case.look, pool, family, mode, timeout=timeout, drops=drops)
