"""Channels that nobody else uses: for tests that run beside others."""

from __future__ import annotations

import hashlib
import ipaddress
from typing import TYPE_CHECKING, Iterable, Optional, Set, Tuple

from . import system
from .channels import FAMILIES, Channel
from .errors import ChannelError

if TYPE_CHECKING:
    from .interfaces import Interface

__all__ = ["ChannelPicker"]

# Where free groups of a scope are. IPv4: RFC 2365 (239/8), RFC 6676 (233.252.0/24, for tests and documentation);
# 224.0.0/24, the only link-local block, is all assigned (RFC 5771 section 4).
_IPV4_GROUPS = {
    "realm-local": "239.255.0.0/16",
    "organization-local": "239.192.0.0/14",
    "admin-local": "239.128.0.0/10",
    "global": "233.252.0.0/24",
}
_IPV6_SCOPES = {
    "interface-local": 1,
    "link-local": 2,
    "realm-local": 3,
    "admin-local": 4,
    "site-local": 5,
    "organization-local": 8,
    "global": 14,
}
_TRIES = 10_000
_PORT_TRIES = 16  # there are 28,000, and they do come to their end
_DEFAULT_SCOPE = {"ipv4": "realm-local", "ipv6": "link-local"}


class ChannelPicker:
    """Picks groups, none of them twice while there are others, and ports; they depend on a seed (bytes) and on how many were picked before.

    Different seeds give different channels: 2 to the 31 groups for IPv6, 2 to the 24 for IPv4 SSM, 2 to the 16 for
    IPv4 ASM, each with a port that was free when it was picked. ``taken`` are groups that are not to be picked.
    """

    def __init__(self, seed: bytes, taken: Iterable[str] = ()) -> None:
        self._seed = seed
        self._count = 0
        self._picked: Set[str] = set(taken)
        self._ports: Set[int] = set()

    def pick(
        self,
        family: str,
        scope: Optional[str] = None,
        *,
        source: Optional[str] = None,
        interface: Optional[Interface] = None,
    ) -> Channel:
        """Return a channel of the family; source-specific when there is a ``source``.

        The default scope is link-local for IPv6 and realm-local (239.255/16) for IPv4, whose source-specific range
        has one scope only. Reserved groups are avoided (RFC 5771, RFC 4607, RFC 3307), and those whose Ethernet
        address is that of a 224.0.0.x. Raises ``ChannelError`` for a scope that has no free groups.
        """
        if family not in FAMILIES:
            raise ChannelError(f"family {family!r} is not one of {', '.join(FAMILIES)}")
        if scope is not None and scope not in _IPV6_SCOPES:
            raise ChannelError(f"scope {scope!r} is not one of {', '.join(_IPV6_SCOPES)}")
        tries = 0
        while True:
            tries += 1
            self._count += 1
            number = hashlib.blake2b(self._count.to_bytes(8, "big") + self._seed, digest_size=8).digest()
            group = _group(family, scope or _DEFAULT_SCOPE[family], source is not None, int.from_bytes(number, "big"))
            # A small range (IPv4 global: 256) comes to its end; then the port alone makes the difference.
            if group is not None and (group not in self._picked or tries > _TRIES):
                self._picked.add(group)
                return Channel(group, self._port(family, group, interface), source)

    def _port(self, family: str, group: str, interface: Optional[Interface]) -> int:
        """Return a free port that was not picked before: a socket bound to no address gets every group on its port."""
        for _ in range(_PORT_TRIES):
            port = _free_port(family, group, interface)
            if port not in self._ports:
                break
        self._ports.add(port)
        return port


def _group(family: str, scope: str, ssm: bool, number: int) -> Optional[str]:
    """Return a group for a random number; None when it falls on a reserved one."""
    if family == "ipv6":
        # Transient groups; RFC 3307 section 4.3: dynamic group numbers have the highest of 32 bits set.
        flags = 3 if ssm else 1
        top = 0xFF00 | flags << 4 | _IPV6_SCOPES[scope]
        return str(ipaddress.IPv6Address(top << 112 | 0x80000000 | number & 0x7FFFFFFF))
    if not ssm and scope not in _IPV4_GROUPS:
        raise ChannelError(
            f"IPv4 has no free groups of scope {scope!r}, only of {', '.join(_IPV4_GROUPS)}; "
            "ask for family ipv6, or for one of these"
        )
    network = ipaddress.IPv4Network("232.0.0.0/8" if ssm else _IPV4_GROUPS[scope])
    group = network.network_address + number % network.num_addresses
    low = int(group) & 0x7FFFFF  # what remains of it in the Ethernet address (RFC 1112 section 6.4)
    # 232.0.0/24 is reserved (RFC 4607 section 4.4); the last 256 of a scope are relative addresses (RFC 2365 section 9).
    relative = not ssm and network.num_addresses > 256 and int(network.broadcast_address) - int(group) < 256
    reserved = low < 256 or relative or (ssm and int(group) & 0xFFFFFF < 256)
    return None if reserved else str(group)


def _free_port(family: str, group: str, interface: Optional[Interface]) -> int:
    """Ask the system for a port that nobody has at this group (bind succeeds without sharing)."""
    with system.open_socket(family) as sock:
        index = interface.index if interface is not None else 0
        wildcard: Tuple[object, ...] = ("::", 0, 0, 0) if family == "ipv6" else ("", 0)
        exact: Tuple[object, ...] = (group, 0, 0, index) if family == "ipv6" else (group, 0)
        try:
            sock.bind(exact if index else wildcard)
        except OSError:  # Windows binds to no group
            sock.bind(wildcard)
        return int(sock.getsockname()[1])
