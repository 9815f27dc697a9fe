"""Hosts of this directory's own, with two interfaces, whose names are those that a product expects."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_mcast import Interface, Lab, MissingCapability, VirtualHost

INTERFACES = {"field0": "fieldbus", "office0": "office"}


@pytest.fixture(scope="session")
def plant() -> Iterator[Lab]:
    try:
        lab = Lab()
    except MissingCapability as missing:
        pytest.skip(f"mcast: {missing.reason}; {missing.remedy}")
    with lab:
        yield lab


@pytest.fixture(scope="session")
def mcast_sender_host(plant: Lab) -> VirtualHost:
    return plant.host("controller", interfaces=INTERFACES)


@pytest.fixture(scope="session")
def mcast_receiver_host(plant: Lab) -> VirtualHost:
    return plant.host("meter", interfaces=INTERFACES)


@pytest.fixture(scope="session")
def mcast_iface(mcast_receiver_host: VirtualHost) -> Interface:
    # The plugin's own says the same, but is set up once in a session: maybe for a test elsewhere, with another host.
    return mcast_receiver_host.interface
