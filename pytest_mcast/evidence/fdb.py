"""The forwarding databases of the bridges in a network namespace: linux/neighbour.h, bridge(8)."""

from __future__ import annotations

import socket
import struct
from contextlib import closing
from typing import Any, Dict, List

from pytest_mcast.wire.attributes import attributes
from pytest_mcast.wire.rtnetlink import Netlink, Request

__all__ = ["MOST", "learned"]

#: Stations that are read, at the most.
MOST = 20_000
_GETNEIGH = 30  # linux/rtnetlink.h
_LLADDR, _MASTER = 2, 9  # NDA_*


def learned() -> List[Dict[str, Any]]:
    """Return which station is behind which port: ``bridge``, ``port``, ``mac``; raises ``OSError``.

    That also when there are more than ``MOST``. What the switch itself answers to is among them; the multicast filters of the interfaces are not.
    """
    request = Request(_GETNEIGH, 0, struct.pack("=BxxxiHBB", socket.AF_BRIDGE, 0, 0, 0, 0), "read where stations are")
    with closing(Netlink()) as netlink:
        bodies = netlink.ask(request, dump=True, most=MOST)
        names = dict(socket.if_nameindex())
    found = []
    for body in bodies:
        port = struct.unpack_from("=Bxxxi", body)[1]
        more = dict(attributes(body, 12))
        if _MASTER in more and _LLADDR in more:
            bridge = struct.unpack("=I", more[_MASTER])[0]
            values = {"bridge": bridge, "port": port}
            found.append(
                {
                    **{what: names.get(index, str(index)) for what, index in values.items()},
                    "mac": more[_LLADDR].hex(":"),
                }
            )
    return found
