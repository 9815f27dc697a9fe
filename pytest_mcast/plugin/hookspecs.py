"""Hooks of this plugin, for other plugins and conftests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_mcast.cores import ReceiveCore

__all__ = ["pytest_mcast_cores"]


@pytest.hookspec
def pytest_mcast_cores(config: pytest.Config) -> Sequence[ReceiveCore]:  # type: ignore[empty-body]
    """Return receive cores that ``--mcast-core`` is to find by name; called only when it is given."""
