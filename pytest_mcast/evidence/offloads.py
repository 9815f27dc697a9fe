"""What the network cards do instead of the kernel: ethtool(8), linux/ethtool.h."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from typing import Dict

__all__ = ["offloads"]

_SIOCETHTOOL = 0x8946  # linux/sockios.h
# ETHTOOL_G*: each a command and a number of 32 bits
_COMMANDS = {"rx-checksum": 0x14, "tx-checksum": 0x16, "tso": 0x1E, "gso": 0x23, "gro": 0x2B}
_GET_FLAGS, _LRO = 0x25, 1 << 15  # ETHTOOL_GFLAGS, ETH_FLAG_LRO


def offloads() -> Dict[str, Dict[str, bool]]:
    """Return for each interface what is on: ``rx-checksum``, ``tx-checksum``, ``tso``, ``gso``, ``gro``, ``lro``."""
    found: Dict[str, Dict[str, bool]] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _, name in socket.if_nameindex():
            of_this = found[name] = {}
            try:
                for offload, command in _COMMANDS.items():
                    of_this[offload] = bool(_ask(sock, name, command))
                of_this["lro"] = bool(_ask(sock, name, _GET_FLAGS) & _LRO)
            except OSError:  # EOPNOTSUPP: this kind of interface has none; ENODEV: it is gone
                continue
    return found


def _ask(sock: socket.socket, name: str, command: int) -> int:
    value = ctypes.create_string_buffer(struct.pack("=II", command, 0), 8)
    fcntl.ioctl(sock, _SIOCETHTOOL, struct.pack("@16sP16x", os.fsencode(name), ctypes.addressof(value)))
    answer: int = struct.unpack("=II", value.raw)[1]
    return answer
