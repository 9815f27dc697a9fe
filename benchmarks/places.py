"""Where the benchmarks run: networks and programs of their own."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pytest_mcast import Channel, ChannelPicker, Host, Interface, Lab, LocalHost
from pytest_mcast.doctor import probe_channel, probe_namespaces

from .harness import Skip

__all__ = ["loopback", "need_namespaces", "python"]


def need_namespaces() -> None:
    """Raise ``Skip`` where this process may not make network namespaces."""
    missing = probe_namespaces()
    if missing is not None:
        raise Skip(missing.reason)


@contextmanager
def loopback(family: str) -> Iterator[tuple[Channel, Interface]]:
    """Be in a virtual host that has loopback only, or else on this machine; gives a free channel and the interface.

    Raises ``Skip`` where multicast of that family does not work there.
    """
    with ExitStack() as stack:
        host: Host
        if probe_namespaces() is None:
            host = stack.enter_context(Lab()).host(interfaces={})
        else:
            host = LocalHost(next(interface for interface in Interface.all() if interface.loopback))
        missing = probe_channel(host, host, family, "asm")
        if missing is not None:
            raise Skip(missing.reason)
        stack.enter_context(host)
        yield ChannelPicker(secrets.token_bytes(8)).pick(family, interface=host.interface), host.interface


def python(*arguments: str | Path, cwd: Path | None = None) -> None:
    """Run this Python with the arguments; its pytest has only the plugins that they name, and no settings."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # byte code is at hand, as it is of what is installed
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
