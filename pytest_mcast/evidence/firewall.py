"""The packet filters of a network namespace: nftables by nft(8), and whether there are legacy tables of iptables."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import struct
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any, Dict, List

from pytest_mcast.wire.attributes import attributes
from pytest_mcast.wire.rtnetlink import Netlink, Request

from .nft_devices import add_devices, lack_devices

__all__ = ["legacy_tables", "nftables", "table_names"]

_PROC = Path("/proc/thread-self/net")  # /proc/net is the main thread's
# Ordinary users seldom have the programs of administrators in their PATH.
_MORE_PATH = os.pathsep.join(("/usr/sbin", "/sbin", "/usr/local/sbin"))
# linux/netfilter/nfnetlink.h, nf_tables.h
_NETLINK_NETFILTER, _GETTABLE, _TABLE_NAME = 12, 10 << 8 | 1, 1
_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}  # NFPROTO_*
_TIMEOUT_S = 5.0


def nftables() -> List[Dict[str, Any]]:
    """Return the list ``nftables`` of libnftables-json(5); empty when there are no tables. Takes CAP_NET_ADMIN.

    Raises ``OSError`` with the reason. The program nft is run only if there is something to list: it takes milliseconds.
    """
    tables = table_names()
    if not tables:
        return []
    program = shutil.which("nft", path=os.environ.get("PATH", os.defpath) + os.pathsep + _MORE_PATH)
    if program is None:
        raise FileNotFoundError(f"the program nft is not installed; there are the tables {', '.join(tables)}")
    found: List[Dict[str, Any]] = json.loads(_nft(program, "-j", "list", "ruleset"))["nftables"]
    if lack_devices(found):
        add_devices(found, _nft(program, "list", "chains"))
    return found


def _nft(program: str, *arguments: str) -> str:
    try:
        done = subprocess.run([program, *arguments], capture_output=True, timeout=_TIMEOUT_S, check=False, cwd="/")
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"nft {' '.join(arguments)} did not end in {_TIMEOUT_S:g} s") from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().split("\n")[0]
        raise OSError(f"nft {' '.join(arguments)}: {said or f'exit code {done.returncode}'}")
    return done.stdout.decode("utf-8", "replace")


def table_names() -> List[str]:
    """Return the tables of nftables, such as ``inet filter``; raises ``OSError``."""
    request = Request(_GETTABLE, 0, struct.pack("=BBH", socket.AF_UNSPEC, 0, 0), "list the tables of nftables")
    with closing(Netlink(_NETLINK_NETFILTER)) as netlink:
        try:
            bodies = netlink.ask(request, dump=True)
        except OSError as error:
            if error.errno != errno.EPERM:
                raise
            raise PermissionError("nftables are told to nobody without CAP_NET_ADMIN") from None
    return [
        f"{_FAMILIES.get(body[0], body[0])} {dict(attributes(body, 4))[_TABLE_NAME].rstrip(bytes(1)).decode()}"
        for body in bodies
    ]


def legacy_tables() -> List[str]:
    """Return the names of the legacy tables, such as ``ip filter``; raises ``OSError``. Their rules are not read."""
    found = []
    for family, name in (("ip", "ip_tables_names"), ("ip6", "ip6_tables_names")):
        try:
            found += [f"{family} {table}" for table in (_PROC / name).read_text("ascii").split()]
        except FileNotFoundError:
            if not _PROC.exists():
                raise
            continue  # without the module there are none
    return found
