"""What the plugin keeps at pytest's config object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .settings import Settings

if TYPE_CHECKING:
    from pytest_mcast.lab.private import PrivateNetwork

    from .place import Place

__all__ = ["LAB", "NO_LAB", "PLACE", "SETTINGS", "place_of"]

SETTINGS: pytest.StashKey[Settings] = pytest.StashKey()
LAB: pytest.StashKey[PrivateNetwork | None] = pytest.StashKey()  # None: auto, and there can be none
NO_LAB: pytest.StashKey[str] = pytest.StashKey()  # why
PLACE: pytest.StashKey[Place] = pytest.StashKey()


def place_of(config: pytest.Config) -> Place:
    """Return the place of this process, made when it is first asked for."""
    if PLACE not in config.stash:
        from .place import Place

        network = config.stash.get(LAB, None)
        config.stash[PLACE] = Place(config.stash[SETTINGS], None if network is None else network.lab)
    return config.stash[PLACE]
