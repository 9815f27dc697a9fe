"""Which virtual hosts the running test has, for captures, for a pause and for the doctor."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from .place import SESSION
from .stash import LAB

if TYPE_CHECKING:
    from pytest_mcast.hosts import Host
    from pytest_mcast.lab import VirtualHost

__all__ = ["Watch"]


class Watch:
    """A plugin that follows the tests. Who is in ``arrivals`` is told of each host of a test once, before there is traffic."""

    def __init__(self) -> None:
        self.hosts: list[VirtualHost] = []
        #: Hosts that are not virtual.
        self.others: list[Host] = []
        self.arrivals: list[Callable[[Host], None]] = []

    def notice(self, *hosts: Host) -> None:
        """Note that the running test has these hosts."""
        from pytest_mcast.lab import VirtualHost

        for host in hosts:
            if host in self.hosts or host in self.others:
                continue
            if isinstance(host, VirtualHost):
                self.hosts.append(host)
            else:
                self.others.append(host)
            for arrival in self.arrivals:
                arrival(host)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Begin a test, or one more attempt."""
        self.hosts.clear()
        self.others.clear()
        network = item.config.stash.get(LAB, None)
        if network is not None:  # then this process is a host itself
            self.notice(network.lab.host(SESSION))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> None:
        """Look at the fixtures: hosts that were made for an earlier test, and those of the user's own fixtures."""
        from pytest_mcast.hosts import Host

        self.notice(*(value for value in getattr(item, "funcargs", {}).values() if isinstance(value, Host)))
