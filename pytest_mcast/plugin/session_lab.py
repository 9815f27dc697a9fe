"""``--mcast-lab``: the whole session in a private network."""

from __future__ import annotations

import sys

import pytest

from .settings import Setting, read_lab_interfaces
from .stash import LAB

__all__ = ["enter_lab"]


def enter_lab(config: pytest.Config, setting: Setting[str]) -> None:
    """Move this process into a network of its own, and keep it at the config.

    Where there can be none: exit code 4 with the reason and the cure, or a line on standard error with ``auto``.
    """
    from pytest_mcast.core.errors import MissingCapability

    try:
        if not sys.platform.startswith("linux"):
            raise MissingCapability("namespaces", f"{sys.platform} has no network namespaces", "run the tests on Linux")
        from pytest_mcast.lab.private import enter_private_network

        config.stash[LAB] = enter_private_network(dict(read_lab_interfaces(config).value))
    except MissingCapability as missing:
        text = f"{setting.origin}: no private network: {missing.reason}; {missing.remedy}"
        if setting.value == "on":
            raise pytest.UsageError(text) from None
        print(f"mcast: {text}; going on without", file=sys.stderr)
