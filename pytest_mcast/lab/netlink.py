"""The rtnetlink messages that build a network: rtnetlink(7), linux/if_link.h, linux/rtnetlink.h.

Our own, because a network must be there in milliseconds: a whole host is one batch of messages with interface numbers
of our choice, where the libraries make a round trip per step and cannot run beside a running event loop.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_mcast.core.deadline import Deadline

__all__ = [
    "Netlink",
    "NetlinkError",
    "Request",
    "address",
    "bridge",
    "delete_link",
    "link",
    "no_automatic_addresses",
    "route",
    "veth",
]

_NEWLINK, _DELLINK, _GETLINK, _NEWADDR, _NEWROUTE = 16, 17, 18, 20, 24
_REQUEST, _ACK, _CREATE, _EXCL = 0x1, 0x4, 0x400, 0x200
_NESTED = 0x8000
_IFF_UP = 0x1
_SOL_NETLINK, _ADD_MEMBERSHIP, _DROP_MEMBERSHIP, _CAP_ACK, _EXT_ACK = 270, 1, 2, 10, 11
_GROUP_LINK = 1  # RTNLGRP_LINK
_ERROR = 2


class NetlinkError(OSError):
    """The kernel refused a request; the text says which one, and why."""


@dataclass(frozen=True)
class Request:
    """One message: its type, flags and body, and what it does in words."""

    kind: int
    flags: int
    body: bytes
    what: str


class Netlink:
    """A rtnetlink socket; it stays in the network namespace in which it was made."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.setsockopt(_SOL_NETLINK, _EXT_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
        self._sequence = 0

    def run(self, *requests: Request) -> None:
        """Carry the requests out in order, as one batch; raises ``NetlinkError`` for the first that was refused."""
        batch, waiting = bytearray(), {}
        for request in requests:
            self._sequence += 1
            waiting[self._sequence] = request
            flags = _REQUEST | _ACK | request.flags
            batch += struct.pack("=IHHII", 16 + len(request.body), request.kind, flags, self._sequence, 0)
            batch += request.body
        self._socket.send(batch)
        refused = None
        while waiting:
            for kind, sequence, body in self._messages():
                if kind == _ERROR and (request_done := waiting.pop(sequence, None)):
                    code = -struct.unpack_from("=i", body)[0]
                    if code and refused is None:
                        reason = _extended(body) or os.strerror(code)
                        refused = NetlinkError(code, f"cannot {request_done.what}: {reason}")
        if refused is not None:
            raise refused

    def wait_until_up(self, index: int, timeout: float = 10.0) -> None:
        """Wait until a link is operational (RFC 2863), ``timeout`` seconds at the most.

        Of two ends of a veth pair the one that was set up first carries nothing until the kernel's link watch, which
        has work to do elsewhere on a busy machine, has noticed the other; the same goes for IPv6 on the link.
        Raises ``NetlinkError`` (ETIMEDOUT, or ENODEV when there is no such link).
        """
        for kind, body in self._watch(index, Deadline(timeout)):
            if kind == _NEWLINK and _is_up(body):
                return
            if kind in (_DELLINK, _ERROR):
                raise NetlinkError(errno.ENODEV, f"there is no link {index}")

    def wait_until_gone(self, index: int, timeout: float = 10.0) -> None:
        """Wait until there is no such link, ``timeout`` seconds at the most; raises ``NetlinkError`` (ETIMEDOUT)."""
        for kind, _ in self._watch(index, Deadline(timeout)):
            if kind in (_DELLINK, _ERROR):
                return

    def _watch(self, index: int, deadline: Deadline) -> Iterator[tuple[int, bytes]]:
        """Yield kind and body of the message that says how a link is, and of those that say how it changes."""
        self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP_LINK)  # first, so that no change is missed
        try:
            self._sequence += 1
            asked = self._sequence
            body = _ifinfo(index, up=False)
            self._socket.send(struct.pack("=IHHII", 16 + len(body), _GETLINK, _REQUEST, asked, 0) + body)
            while True:
                self._socket.settimeout(deadline.remaining())
                for kind, sequence, content in self._messages():
                    if sequence == asked or struct.unpack_from("=i", content, 4)[0] == index:
                        yield kind, content
        except (TimeoutError, BlockingIOError):
            what = f"link {index} is not as it should be after {deadline.seconds:g} s"
            raise NetlinkError(errno.ETIMEDOUT, what) from None
        finally:
            self._socket.setsockopt(_SOL_NETLINK, _DROP_MEMBERSHIP, _GROUP_LINK)
            self._socket.settimeout(None)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _messages(self) -> Iterator[tuple[int, int, bytes]]:
        data, position = self._socket.recv(1 << 17), 0
        while position < len(data):
            length, kind, _, sequence, _ = struct.unpack_from("=IHHII", data, position)
            yield kind, sequence, data[position + 16 : position + length]
            position += (length + 3) & ~3


def _is_up(body: bytes) -> bool:
    """Read the operational state (IFLA_OPERSTATE: IF_OPER_UP) from the body of a RTM_NEWLINK."""
    return any(kind == 16 and value[0] == 6 for kind, value in _attributes(body, 16))


def _attributes(body: bytes, position: int) -> Iterator[tuple[int, bytes]]:
    while position + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, position)
        yield kind & 0x3FFF, body[position + 4 : position + length]
        position += max(4, (length + 3) & ~3)


def _extended(body: bytes) -> str | None:
    """Read the kernel's own words from an error message (NLMSGERR_ATTR_MSG)."""
    # After the code, and the header of the request, of which NETLINK_CAP_ACK leaves nothing else.
    words = [value for kind, value in _attributes(body, 4 + 16) if kind == 1]
    return words[0].rstrip(b"\0").decode(errors="replace") if words else None


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("=I", value))


def _octet(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("=B", value))


def _ifinfo(index: int, *, up: bool) -> bytes:
    flags = _IFF_UP if up else 0
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, flags, _IFF_UP if up else 0)


_ADDRESS, _NAME, _MTU, _MASTER, _LINKINFO, _AF_SPEC, _NET_NS_FD = 1, 3, 4, 10, 18, 26, 28  # IFLA_*


@dataclass(frozen=True)
class _End:
    """One end of a veth pair."""

    name: str
    index: int
    mac: str

    def attributes(self) -> bytes:
        return _text(_NAME, self.name) + _attribute(_ADDRESS, bytes.fromhex(self.mac.replace(":", "")))


def veth(
    name: str, index: int, mac: str, *, master: int | None, peer: tuple[str, int, str], peer_namespace: int, mtu: int
) -> Request:
    """Make a veth pair: this end up and in the bridge ``master``, the peer (name, index, MAC) down in a namespace."""
    here, there = _End(name, index, mac), _End(*peer)
    other = _ifinfo(there.index, up=False) + there.attributes() + _number(_MTU, mtu)
    other += _number(_NET_NS_FD, peer_namespace)
    body = _ifinfo(index, up=True) + here.attributes() + _number(_MTU, mtu)
    if master is not None:
        body += _number(_MASTER, master)
    body += _attribute(
        _LINKINFO | _NESTED,
        _text(1, "veth") + _attribute(2 | _NESTED, _attribute(1 | _NESTED, other)),  # VETH_INFO_PEER
    )
    return Request(_NEWLINK, _CREATE | _EXCL, body, f"make the link {name} - {there.name}")


def bridge(name: str, index: int, mac: str, *, mtu: int) -> Request:
    """Make a flat bridge, up: no snooping, no spanning tree, no packet filter between its ports."""
    snooping, nf_ipv4, nf_ipv6, nf_arp = 23, 36, 37, 38  # IFLA_BR_*
    data = b"".join(_octet(kind, 0) for kind in (snooping, nf_ipv4, nf_ipv6, nf_arp))
    body = _ifinfo(index, up=True) + _End(name, index, mac).attributes() + _number(_MTU, mtu)
    body += _attribute(_LINKINFO | _NESTED, _text(1, "bridge") + _attribute(2 | _NESTED, data))
    return Request(_NEWLINK, _CREATE | _EXCL, body, f"make the switch {name}")


def link(index: int, *, up: bool) -> Request:
    """Set a link up or down."""
    body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, _IFF_UP if up else 0, _IFF_UP)
    return Request(_NEWLINK, 0, body, f"set link {index} {'up' if up else 'down'}")


def no_automatic_addresses(index: int) -> Request:
    """Keep the kernel from making a link-local address, which would go through DAD whatever its flags (1 to 1.8 s)."""
    mode_none = _attribute(socket.AF_INET6 | _NESTED, _octet(8, 1))  # IFLA_INET6_ADDR_GEN_MODE
    body = _ifinfo(index, up=False) + _attribute(_AF_SPEC | _NESTED, mode_none)
    return Request(_NEWLINK, 0, body, f"switch off automatic addresses of link {index}")


def delete_link(index: int) -> Request:
    """Delete a link, and with it the other end of a veth pair."""
    return Request(_DELLINK, 0, _ifinfo(index, up=False), f"delete link {index}")


def address(index: int, ip: str, prefix: int) -> Request:
    """Add an address; an IPv6 one without duplicate address detection (IFA_F_NODAD)."""
    packed = ipaddress.ip_address(ip).packed
    family = socket.AF_INET6 if len(packed) == 16 else socket.AF_INET
    nodad = 0x02 if family == socket.AF_INET6 else 0
    body = struct.pack("=BBBBI", family, prefix, nodad, 0, index)
    body += _attribute(2, packed) + _attribute(1, packed)  # IFA_LOCAL, IFA_ADDRESS
    return Request(_NEWADDR, _CREATE | _EXCL, body, f"add the address {ip}/{prefix}")


def route(
    network: str,
    *,
    index: int | None = None,
    gateway: str | None = None,
    kind: str = "unicast",
    table: int = 254,
    metric: int = 0,
) -> Request:
    """Add a route to a network (``ff00::/8``) through a link or a gateway; ``kind``: unicast, local or multicast."""
    destination = ipaddress.ip_network(network)
    family = socket.AF_INET6 if destination.version == 6 else socket.AF_INET
    number = {"unicast": 1, "local": 2, "multicast": 5}[kind]
    scope = 0 if gateway or family == socket.AF_INET6 else 254 if kind == "local" else 253  # global, host, link
    body = struct.pack("=BBBBBBBBI", family, destination.prefixlen, 0, 0, table, 4, scope, number, 0)
    if destination.prefixlen:
        body += _attribute(1, destination.network_address.packed)  # RTA_DST
    if index is not None:
        body += _number(4, index)  # RTA_OIF
    if gateway is not None:
        body += _attribute(5, ipaddress.ip_address(gateway).packed)  # RTA_GATEWAY
    if metric:
        body += _number(6, metric)  # RTA_PRIORITY
    return Request(_NEWROUTE, _CREATE, body, f"add the route to {network}")
