"""What works on an interface of this machine, by trying: every capability, and a private network."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from pytest_mcast.core.channels import FAMILIES, MODES
from pytest_mcast.core.errors import MissingCapability
from pytest_mcast.core.interfaces import Interface
from pytest_mcast.core.system import LINUX
from pytest_mcast.hosts import LocalHost

from .probes import probe_channel, probe_namespaces, probe_packets, probe_programs

__all__ = ["try_interface", "try_private_network"]

# Of a process of its own: a user namespace is for a process of one thread, and there is no way back.
_PRIVATE = """
import json
from pytest_mcast.core.errors import MissingCapability
from pytest_mcast.lab.private import enter_private_network
try:
    enter_private_network({"eth0": None}).close()
except MissingCapability as missing:
    print(json.dumps({"reason": missing.reason, "remedy": missing.remedy}))
else:
    print("null")
"""


def try_interface(interface: Interface, *, timeout: float = 1.0) -> dict[str, Any]:
    """Send and receive on an interface, by family and mode, and try what else ``--mcast-require`` can ask for.

    Return ``interface`` and ``capabilities``: by name None, or ``reason``, ``remedy`` and ``errno`` (None when no call
    was refused). ``timeout`` is in seconds, of all that is not received together.
    """

    def channel(family: str, mode: str) -> MissingCapability | None:
        host = LocalHost(interface)
        return probe_channel(host, host, family, mode, timeout=timeout)

    tries: dict[str, Callable[[], MissingCapability | None]] = {
        f"{family}-{mode}": partial(channel, family, mode) for family in FAMILIES for mode in MODES
    }
    tries.update(namespaces=probe_namespaces, packets=probe_packets, programs=probe_programs)
    # Threads are in the network namespace of the one that starts them.
    with ThreadPoolExecutor(len(tries)) as threads:
        running = {name: threads.submit(each) for name, each in tries.items()}
        verdicts = {name: _plain(each.result()) for name, each in running.items()}
    return {"interface": interface.name, "capabilities": verdicts}


def try_private_network() -> Mapping[str, str] | None:
    """Try what ``pytest --mcast-lab`` and ``pytest-mcast run`` need; return ``reason`` and ``remedy``, None if it works."""
    if not LINUX:
        return {"reason": f"{sys.platform} has no network namespaces", "remedy": "run the tests on Linux"}
    command = [sys.executable, "-c", _PRIVATE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        words = getattr(error, "stderr", None) or str(error)
        return {"reason": f"trying it broke off: {words.strip().splitlines()[-1]}", "remedy": "report this"}
    answer: Mapping[str, str] | None = json.loads(done.stdout)
    return answer


def _plain(missing: MissingCapability | None) -> dict[str, Any] | None:
    if missing is None:
        return None
    code = getattr(missing.__cause__, "errno", None)
    return {"reason": missing.reason, "remedy": missing.remedy, "errno": code}
