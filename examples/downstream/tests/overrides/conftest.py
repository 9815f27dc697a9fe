"""Hosts of this directory's own, whose interface has the name and the MAC address that the product expects."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_mcast import Host, Interface, Lab, MissingCapability


@pytest.fixture(scope="session")
def plant() -> Iterator[Lab]:
    try:
        lab = Lab()
    except MissingCapability as missing:
        pytest.skip(f"mcast: {missing.reason}; {missing.remedy}")
    with lab:
        yield lab


@pytest.fixture(scope="session")
def mcast_sender_host(plant: Lab) -> Host:
    return plant.host("controller", interfaces={"field0": "fieldbus"}, macs={"field0": "02:00:5e:00:53:01"})


@pytest.fixture(scope="session")
def mcast_receiver_host(plant: Lab) -> Host:
    return plant.host("meter", interfaces={"field0": "fieldbus", "office0": "office"})


@pytest.fixture(scope="session")
def mcast_iface(mcast_receiver_host: Host) -> Interface:
    # The plugin's own says the same, but is set up once in a session: maybe for a test elsewhere, with another host.
    return mcast_receiver_host.interface
