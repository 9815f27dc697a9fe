"""``--mcast-lab``: the whole session in a private network."""

from __future__ import annotations

import inspect

import pytest

from .settings import Setting, read_lab_interfaces
from .stash import LAB, NO_LAB

__all__ = ["enter_lab", "in_xdist_worker", "leave_lab"]


def in_xdist_worker() -> bool:
    """Whether this is a worker of xdist, asked before its config says so.

    The environment does not tell: a pytest that a test starts inherits PYTEST_XDIST_WORKER. The callers do.
    """
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__") != "__channelexec__":
        frame = frame.f_back
    return frame is not None


def enter_lab(config: pytest.Config, setting: Setting[str]) -> None:
    """Move this process into a network of its own, and keep it at the config.

    Where there can be none: exit code 4 with the reason and the cure, or with ``auto`` a line at the end of the run.
    """
    from pytest_mcast.core.errors import MissingCapability
    from pytest_mcast.lab.private import enter_private_network

    remote = [spec for spec in getattr(config.known_args_namespace, "tx", None) or [] if "popen" not in spec]
    if remote:
        raise pytest.UsageError(
            f"{setting.origin} and remote workers exclude each other; drop --tx {' --tx '.join(remote)}"
        )
    try:
        config.stash[LAB] = enter_private_network(dict(read_lab_interfaces(config).value))
        config.add_cleanup(lambda: leave_lab(config))
    except MissingCapability as missing:
        text = f"{setting.origin}: no private network: {missing.reason}; {missing.remedy}"
        if setting.value == "on":
            raise pytest.UsageError(text) from None
        config.stash[LAB] = None
        config.stash[NO_LAB] = f"mcast: {text}; went on without"


def leave_lab(config: pytest.Config) -> None:
    """Let go of the network, and go back to where the process was, as far as the kernel allows that."""
    network = config.stash.get(LAB, None)
    if network is not None:
        network.close()
        config.stash[LAB] = None
