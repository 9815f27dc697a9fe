"""The packet filters of a network namespace: nftables by nft(8), and whether there are legacy tables of iptables."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import struct
from contextlib import closing
from pathlib import Path
from typing import Any, Dict, List, Tuple

from pytest_mcast.wire.attributes import attributes
from pytest_mcast.wire.rtnetlink import Netlink, Request

from .asking import answer
from .nft_devices import add_devices, lack_devices

__all__ = ["legacy_tables", "nftables", "table_names"]

_PROC = Path("/proc/thread-self/net")  # /proc/net is the main thread's
# Ordinary users seldom have the programs of administrators in their PATH.
_MORE_PATH = os.pathsep.join(("/usr/sbin", "/sbin", "/usr/local/sbin"))
# linux/netfilter/nfnetlink.h, nf_tables.h
_NETLINK_NETFILTER, _GETTABLE, _TABLE_NAME, _TABLE_FLAGS = 12, 10 << 8 | 1, 1, 2
_DORMANT = 1  # NFT_TABLE_F_DORMANT
_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}  # NFPROTO_*
_TIMEOUT_S = 5.0


def nftables() -> List[Dict[str, Any]]:
    """Return the list ``nftables`` of libnftables-json(5), without tables that are dormant. Takes CAP_NET_ADMIN.

    Raises ``OSError`` with the reason. The program nft is run only if there is something to list: it takes milliseconds.
    """
    tables = _tables()
    active = [name for name, flags in tables if not flags & _DORMANT]
    if not active:
        return []
    program = shutil.which("nft", path=os.environ.get("PATH", os.defpath) + os.pathsep + _MORE_PATH)
    if program is None:
        raise FileNotFoundError(f"the program nft is not installed; there are the tables {', '.join(active)}")
    # nft 1.0.6 writes broken JSON for tables that are dormant.
    wanted = [["ruleset"]] if len(active) == len(tables) else [["table", *name.split(" ", 1)] for name in active]
    found: List[Dict[str, Any]] = []
    for what in wanted:
        found += json.loads(answer([program, "-j", "list", *what], _TIMEOUT_S))["nftables"]
    if lack_devices(found):
        add_devices(found, answer([program, "list", "chains"], _TIMEOUT_S))
    return found


def table_names() -> List[str]:
    """Return the tables of nftables, such as ``inet filter``; raises ``OSError``."""
    return [name for name, _ in _tables()]


def _tables() -> List[Tuple[str, int]]:
    """Return the tables with their flags."""
    request = Request(_GETTABLE, 0, struct.pack("=BBH", socket.AF_UNSPEC, 0, 0), "list the tables of nftables")
    with closing(Netlink(_NETLINK_NETFILTER)) as netlink:
        try:
            bodies = netlink.ask(request, dump=True)
        except OSError as error:
            if error.errno != errno.EPERM:
                raise
            raise PermissionError("nftables are told to nobody without CAP_NET_ADMIN") from None
    found = []
    for body in bodies:
        table = dict(attributes(body, 4))
        name = table[_TABLE_NAME].rstrip(bytes(1)).decode("utf-8", "replace")
        flags = int.from_bytes(table.get(_TABLE_FLAGS, b""), "big")
        found.append((f"{_FAMILIES.get(body[0], body[0])} {name}", flags))
    return found


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
