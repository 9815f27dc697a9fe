"""What the plugin keeps at pytest's config object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from .settings import Settings

if TYPE_CHECKING:
    from pytest_mcast.cores import ReceiveCore
    from pytest_mcast.hosts import Host
    from pytest_mcast.lab.private import PrivateNetwork

    from .captures import Captures
    from .doctoring import Doctor
    from .place import Place
    from .watch import Watch

__all__ = ["CAPTURES", "CORE", "DOCTOR", "LAB", "NO_LAB", "OTHERS", "PLACE", "SETTINGS", "WATCH", "notice", "place_of"]

SETTINGS: pytest.StashKey[Settings] = pytest.StashKey()
LAB: pytest.StashKey[PrivateNetwork | None] = pytest.StashKey()  # None: auto, and there can be none
NO_LAB: pytest.StashKey[str] = pytest.StashKey()  # why
OTHERS: pytest.StashKey[dict[str, dict[str, Any]]] = pytest.StashKey()  # cells of other shards, by node id
PLACE: pytest.StashKey[Place] = pytest.StashKey()
CORE: pytest.StashKey[ReceiveCore] = pytest.StashKey()  # with --mcast-core
CAPTURES: pytest.StashKey[Captures] = pytest.StashKey()  # with --mcast-capture
DOCTOR: pytest.StashKey[Doctor] = pytest.StashKey()  # from the first test on that has to do with multicast
WATCH: pytest.StashKey[Watch] = pytest.StashKey()  # when somebody wants to know which hosts a test has


def notice(config: pytest.Config, *hosts: Host) -> None:
    """Tell who wants to know that the running test has these hosts; again is no error."""
    if WATCH in config.stash:
        config.stash[WATCH].notice(*hosts)


def place_of(config: pytest.Config) -> Place:
    """Return the place of this process, made when it is first asked for."""
    if PLACE not in config.stash:
        from .place import Place

        network = config.stash.get(LAB, None)
        config.stash[PLACE] = Place(config.stash[SETTINGS], None if network is None else network.lab)
    return config.stash[PLACE]
