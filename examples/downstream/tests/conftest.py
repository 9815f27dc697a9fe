"""Set-up for all tests."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests that ask for a multicast network open sockets, whatever pytest-socket forbids the others.

    pytest-socket forbids before the fixtures are set up, so that they could not open theirs. Tests that use them have
    the marker ``mcast``; those that say themselves which hosts may be connected to may open sockets already.
    """
    for item in items:
        if item.get_closest_marker("mcast") and not item.get_closest_marker("allow_hosts"):
            item.add_marker("enable_socket")
