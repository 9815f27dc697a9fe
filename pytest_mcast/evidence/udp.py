"""The UDP sockets of a network namespace, whoever they belong to: by sock_diag(7), else as /proc/net/udp has them."""

from __future__ import annotations

import errno
import socket
import struct
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Dict, List

from pytest_mcast.wire.attributes import attributes
from pytest_mcast.wire.rtnetlink import Netlink, Request
from pytest_mcast.wire.udp import read_sockets

__all__ = ["by_diagnosis", "by_proc", "sockets_in_use", "udp_sockets"]

_PROC = Path("/proc/thread-self/net")  # /proc/net is the main thread's
_FAMILIES = {"udp": socket.AF_INET, "udp6": socket.AF_INET6}
# linux/sock_diag.h, linux/inet_diag.h
_NETLINK_SOCK_DIAG, _DIAG_BY_FAMILY = 4, 20
_SKMEMINFO, _V6ONLY, _SOCKOPT = 7, 11, 22  # INET_DIAG_*
_MESSAGE = "=BBBB2s2s16s16sI8sIIIII"  # struct inet_diag_msg
_MC_LOOP, _MC_ALL = 0x10, 0x40  # bits of struct inet_diag_sockopt
_RCVBUF, _DROPS = 1, 8  # SK_MEMINFO_*


def udp_sockets() -> List[Dict[str, Any]]:
    """Return the UDP sockets that have a port; raises ``OSError``.

    ``family``, ``local``, ``port``, ``peer``, ``peer_port``, ``inode``, ``uid``, ``interface`` (the index it is bound to, 0:
    none), ``queued`` (bytes of the buffer in use), ``drops`` (datagrams, for the lack of it), ``receive_buffer`` (bytes as
    Linux counts them, twice what was asked for); by sock_diag ``v6only`` of IPv6, and of IPv4 ``multicast_all`` and
    ``multicast_loop``. What /proc does not tell is None, or not there.
    """
    try:
        return by_diagnosis()
    except OSError as error:
        # No sock_diag for UDP in this kernel (CONFIG_INET_UDP_DIAG), or its module may not be loaded.
        if error.errno not in (errno.ENOENT, errno.EPROTONOSUPPORT, errno.EOPNOTSUPP, errno.EPERM, errno.EACCES):
            raise
        return by_proc()


def sockets_in_use() -> int:
    """Return how many UDP sockets have a port (about 0.05 ms, however many there are); 0 where that is not told."""
    count = 0
    for name, word in (("sockstat", "UDP:"), ("sockstat6", "UDP6:")):
        with suppress(OSError, ValueError):  # no IPv6, or no /proc
            for line in (_PROC / name).read_text("ascii").splitlines():
                if line.startswith(word):
                    count += int(line.split()[2])
    return count


def by_diagnosis() -> List[Dict[str, Any]]:
    """Return them as sock_diag(7) tells; raises ``OSError``."""
    found = []
    with closing(Netlink(_NETLINK_SOCK_DIAG)) as netlink:
        for family in _FAMILIES.values():
            wanted = 1 << (_SKMEMINFO - 1)
            body = struct.pack("=BBBxI48x", family, socket.IPPROTO_UDP, wanted, 0xFFFFFFFF)
            request = Request(_DIAG_BY_FAMILY, 0, body, "list the UDP sockets")
            found += [_diagnosed(answer) for answer in netlink.ask(request, dump=True)]
    return found


def _diagnosed(body: bytes) -> Dict[str, Any]:
    family, _, _, _, port, peer_port, local, peer, interface, _, _, queued, _, uid, inode = struct.unpack_from(
        _MESSAGE, body
    )
    more = dict(attributes(body, struct.calcsize(_MESSAGE)))
    memory = struct.unpack_from("=9I", more[_SKMEMINFO]) if _SKMEMINFO in more else None
    size = 4 if family == socket.AF_INET else 16
    found = {
        "family": "ipv4" if family == socket.AF_INET else "ipv6",
        "local": socket.inet_ntop(family, local[:size]),
        "port": int.from_bytes(port, "big"),
        "peer": socket.inet_ntop(family, peer[:size]),
        "peer_port": int.from_bytes(peer_port, "big"),
        "inode": inode,
        "uid": uid,
        "interface": interface,
        "queued": queued,
        "drops": memory and memory[_DROPS],
        "receive_buffer": memory and memory[_RCVBUF],
    }
    if _V6ONLY in more:
        found["v6only"] = bool(more[_V6ONLY][0])
    if _SOCKOPT in more and family == socket.AF_INET:  # these bits are of IPv4, also in a socket of IPv6
        found["multicast_loop"] = bool(more[_SOCKOPT][0] & _MC_LOOP)
        found["multicast_all"] = bool(more[_SOCKOPT][0] & _MC_ALL)
    return found


def by_proc() -> List[Dict[str, Any]]:
    """Return them as /proc/net/udp and udp6 have them; raises ``OSError``."""
    found = []
    for name, family in _FAMILIES.items():
        try:
            sockets = read_sockets((_PROC / name).read_text("ascii"))
        except FileNotFoundError:
            if family == socket.AF_INET6:  # no IPv6
                continue
            raise
        found += [
            {
                "family": "ipv4" if family == socket.AF_INET else "ipv6",
                "local": each.address,
                "port": each.port,
                "peer": each.peer[0],
                "peer_port": each.peer[1],
                "inode": each.inode,
                "uid": each.uid,
                "interface": None,
                "queued": each.queued,
                "drops": each.drops,
                "receive_buffer": None,
            }
            for each in sockets
        ]
    return found
