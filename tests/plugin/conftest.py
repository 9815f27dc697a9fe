"""What runs of pytest in this process need is imported before them."""

from __future__ import annotations

import pytest


# For the session, and so before pytester, which forgets what is imported later: each run would import it again.
@pytest.fixture(scope="session", autouse=True)
def imported() -> None:
    """Import what is heavy."""
    import jsonschema  # noqa: F401
    import ruamel.yaml  # noqa: F401

    import pytest_mcast.cores
    import pytest_mcast.report
    import pytest_mcast.scenarios  # noqa: F401
    from pytest_mcast.packets.template import load_scapy

    load_scapy()
