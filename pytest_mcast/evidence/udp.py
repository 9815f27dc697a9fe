"""The UDP sockets of a network namespace, whoever they belong to."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any, Dict, List

__all__ = ["udp_sockets"]

_PROC = Path("/proc/thread-self/net")  # /proc/net is the main thread's
_FILES = {"udp": socket.AF_INET, "udp6": socket.AF_INET6}


def udp_sockets() -> List[Dict[str, Any]]:
    """Return the UDP sockets; raises ``OSError``."""
    return sockets_by_proc()


def sockets_by_proc() -> List[Dict[str, Any]]:
    """Return them as /proc/net/udp and udp6 have them: without the interface, and without options."""
    found = []
    for name, family in _FILES.items():
        try:
            lines = (_PROC / name).read_text("ascii").splitlines()[1:]
        except FileNotFoundError:  # no IPv6
            continue
        found += [_socket(family, line.split()) for line in lines]
    return found


def _socket(family: int, columns: List[str]) -> Dict[str, Any]:
    (local, port), (peer, peer_port) = (column.split(":") for column in columns[1:3])
    return {
        "family": "ipv4" if family == socket.AF_INET else "ipv6",
        "local": _address(family, local),
        "port": int(port, 16),
        "peer": _address(family, peer),
        "peer_port": int(peer_port, 16),
        "inode": int(columns[9]),
        "uid": int(columns[7]),
        "interface": None,
        "queued": int(columns[4].partition(":")[2], 16),
        "drops": int(columns[12]),
        "receive_buffer": None,
    }


def _address(family: int, text: str) -> str:
    # Words of 32 bits, each a number of this machine's byte order.
    words = [int(text[start : start + 8], 16).to_bytes(4, sys.byteorder) for start in range(0, len(text), 8)]
    return socket.inet_ntop(family, b"".join(words))
