"""The queues (qdiscs) of the links of a network namespace, and what they have dropped: rtnetlink(7), tc(8)."""

from __future__ import annotations

import socket
import struct
from contextlib import closing
from typing import Any, Dict, List

from pytest_mcast.wire.attributes import attributes
from pytest_mcast.wire.rtnetlink import Netlink, Request

__all__ = ["queues"]

_GETQDISC = 38  # linux/rtnetlink.h
_KIND, _STATS2 = 1, 7  # TCA_*
_STATS_QUEUE = 3  # TCA_STATS_QUEUE: struct gnet_stats_queue (linux/gen_stats.h)
_ROOT = 0xFFFFFFFF  # TC_H_ROOT


def queues() -> List[Dict[str, Any]]:
    """Return the queues: ``index`` of the link, ``kind``, ``root``, ``handle``, ``backlog`` (bytes), ``drops``; raises ``OSError``.

    ``handle`` is 0 for one that the kernel has put there by itself.
    """
    request = Request(_GETQDISC, 0, struct.pack("=BxxxiIII", socket.AF_UNSPEC, 0, 0, 0, 0), "list the queues")
    with closing(Netlink()) as netlink:
        return [_queue(body) for body in netlink.ask(request, dump=True)]


def _queue(body: bytes) -> Dict[str, Any]:
    index, handle, parent = struct.unpack_from("=4xiII", body)
    found = dict(attributes(body, 20))
    counts = dict(attributes(found.get(_STATS2, b""))).get(_STATS_QUEUE, bytes(12))
    backlog, drops = struct.unpack_from("=4xII", counts)
    return {
        "index": index,
        "kind": found.get(_KIND, b"").rstrip(b"\0").decode("ascii", "replace"),
        "root": parent == _ROOT,
        "handle": handle,
        "backlog": backlog,
        "drops": drops,
    }
