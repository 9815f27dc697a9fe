"""Shell commands in virtual hosts and where switches are; without what ``host.popen()`` gives a program, two Pythons less."""

from __future__ import annotations

import os
import subprocess

from pytest_mcast import VirtualHost
from pytest_mcast.lab.namespace import Namespace


def sh(where: VirtualHost | Namespace, command: str) -> str:
    """Run a command in a host, which is not used again then, or in a network namespace; it must succeed. Return what it says."""
    if isinstance(where, VirtualHost):
        where.touch()
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"  # ordinary users often lack these
    with where.inside() if isinstance(where, VirtualHost) else where:
        done = subprocess.run(
            ["sh", "-ec", command],
            env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    assert done.returncode == 0, f"{command!r} in {where}: {done.stdout}{done.stderr}"
    return done.stdout
