"""The packet filters of a network namespace: nftables by nft(8), and whether there are legacy tables of iptables."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Dict, List

from .nft_devices import add_devices, lack_devices

__all__ = ["legacy_tables", "nftables"]

_PROC = Path("/proc/thread-self/net")  # /proc/net is the main thread's
# Ordinary users seldom have the programs of administrators in their PATH.
_MORE_PATH = os.pathsep.join(("/usr/sbin", "/sbin", "/usr/local/sbin"))


def nftables() -> List[Dict[str, Any]]:
    """Return the list ``nftables`` of libnftables-json(5); raises ``OSError`` with the reason."""
    program = shutil.which("nft", path=os.environ.get("PATH", os.defpath) + os.pathsep + _MORE_PATH)
    if program is None:
        raise FileNotFoundError("the program nft is not installed")
    found: List[Dict[str, Any]] = json.loads(_nft(program, "-j", "list", "ruleset"))["nftables"]
    if lack_devices(found):
        add_devices(found, _nft(program, "list", "chains"))
    return found


def _nft(program: str, *arguments: str) -> str:
    done = subprocess.run([program, *arguments], capture_output=True, timeout=5.0, check=False)
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").split("\n")[0]
        raise PermissionError(f"nft list ruleset: {said}")
    return done.stdout.decode("utf-8", "replace")


def legacy_tables() -> List[str]:
    """Return the names of the legacy tables, such as ``ip filter``: their rules are not read."""
    found = []
    for family, name in (("ip", "ip_tables_names"), ("ip6", "ip6_tables_names")):
        try:
            found += [f"{family} {table}" for table in (_PROC / name).read_text("ascii").split()]
        except FileNotFoundError:  # without the module there are none
            continue
    return found
