"""Where the benchmarks run: networks of their own, and empty projects for pytest."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_mcast import ChannelPicker, Host, Interface, Lab, LocalHost
from pytest_mcast.doctor import probe_channel, probe_namespaces

from .harness import Skip

__all__ = ["loopback", "need_namespaces", "project", "python"]


def need_namespaces() -> None:
    """Raise ``Skip`` where this process may not make network namespaces."""
    missing = probe_namespaces()
    if missing is not None:
        raise Skip(missing.reason)


@contextmanager
def loopback(family: str) -> Iterator[tuple[Host, ChannelPicker]]:
    """Be in a host whose interface is loopback: a virtual one, or else this machine.

    Raises ``Skip`` where multicast of that family does not work there.
    """
    with tempfile_free_host() as host:
        missing = probe_channel(host, host, family, "asm")
        if missing is not None:
            raise Skip(missing.reason)
        yield host, ChannelPicker(secrets.token_bytes(8))
