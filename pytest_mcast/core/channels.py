"""Channels: which datagrams are meant, (S,G) or (*,G), and a UDP port.

RFC 1112 and RFC 5771 (IPv4 groups), RFC 2365 (IPv4 scopes), RFC 4291 and RFC 7346 (IPv6 groups and
scopes), RFC 4607 (source-specific multicast).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Optional, Union

from .errors import ChannelError

__all__ = ["FAMILIES", "MODES", "SCOPES", "Channel", "group_mac"]

FAMILIES = ("ipv4", "ipv6")
MODES = ("asm", "ssm")

_IPv4 = ipaddress.IPv4Address
_IPv6 = ipaddress.IPv6Address
_Address = Union[_IPv4, _IPv6]

# RFC 7346 section 2; the numbers are the scop field of an IPv6 group.
_SCOPE_NAMES = {
    1: "interface-local",
    2: "link-local",
    3: "realm-local",
    4: "admin-local",
    5: "site-local",
    8: "organization-local",
    14: "global",
}
SCOPES = tuple(_SCOPE_NAMES.values())

# RFC 2365 section 8 maps these prefixes to the scopes of IPv6. The rest of 239/8 is
# administratively scoped without a size of its own; everything else is global.
_IPV4_SCOPES = (
    (ipaddress.IPv4Network("224.0.0.0/24"), "link-local"),
    (ipaddress.IPv4Network("239.255.0.0/16"), "realm-local"),
    (ipaddress.IPv4Network("239.192.0.0/14"), "organization-local"),
    (ipaddress.IPv4Network("239.0.0.0/8"), "admin-local"),
)
_IPV4_SSM = ipaddress.IPv4Network("232.0.0.0/8")  # RFC 4607 section 1

_TEXT = re.compile(
    r"(?:(?P<source>\[[^\]]*\]|[^@\[\]]+)@)?"
    r"(?:\[(?P<group6>[^\]]*)\]|(?P<group4>[^:\[\]@]*)):(?P<port>[^:]*)"
)


@dataclass(frozen=True)
class Channel:
    """A group, a UDP port and, for source-specific multicast, the one source that is wanted.

    ``group`` and ``source`` are addresses as text (kept in canonical form, without a zone: the zone
    belongs to the interface); ``port`` is 0 to 65535, and 0 lets the system pick one when a receiver
    binds. Raises ``ChannelError`` for what RFC 4607, 4291, 7346 and 5771 forbid; ``Channel.unchecked``
    does not look.
    """

    group: str
    port: int
    source: Optional[str] = None

    def __post_init__(self) -> None:
        group = _address("group", self.group)
        _check_group(group)
        port: object = self.port
        if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
            raise ChannelError(f"port {port!r} is not a whole number from 0 to 65535")
        if self.source is not None:
            source = _address("source", self.source)
            _check_source(source, group)
            object.__setattr__(self, "source", str(source))
        elif _is_ssm(group):
            raise ChannelError(
                f"group {group} is in the range of source-specific multicast ({_ssm_range(group)}, RFC 4607) "
                f"and needs a source: Channel({str(group)!r}, {self.port}, source=...)"
            )
        object.__setattr__(self, "group", str(group))

    @classmethod
    def unchecked(cls, group: str, port: int, source: Optional[str] = None) -> Channel:
        """Return the same without validation, for packets that are wrong on purpose."""
        channel = object.__new__(cls)
        object.__setattr__(channel, "group", group)
        object.__setattr__(channel, "port", port)
        object.__setattr__(channel, "source", source)
        return channel

    @classmethod
    def parse(cls, text: str) -> Channel:
        """Read ``239.1.2.3:5000``, ``[ff15::1]:5000`` or ``10.0.0.1@232.1.1.1:5000``; see ``str(channel)``.

        Raises ``ChannelError`` for any other form and for what the constructor refuses.
        """
        match = _TEXT.fullmatch(text)
        if match is None or not re.fullmatch(r"[0-9]{1,5}", match["port"]):
            raise ChannelError(
                f"{text!r} is not a channel: write GROUP:PORT, [GROUP]:PORT or SOURCE@GROUP:PORT, "
                "such as 239.1.2.3:5000, [ff15::1]:5000 or 10.0.0.1@232.1.1.1:5000"
            )
        source = match["source"]
        if source is not None:
            source = source.strip("[]")
        group = match["group4"] if match["group6"] is None else match["group6"]
        return cls(group, int(match["port"]), source)

    def __str__(self) -> str:
        group = f"[{self.group}]" if ":" in self.group else self.group
        source = "" if self.source is None else f"{self.source}@"
        return f"{source}{group}:{self.port}"

    @property
    def family(self) -> str:
        """``ipv4`` or ``ipv6``."""
        return "ipv6" if ":" in self.group else "ipv4"

    @property
    def mode(self) -> str:
        """``ssm`` when there is a source, else ``asm``."""
        return "asm" if self.source is None else "ssm"

    @property
    def scope(self) -> str:
        """The scope of the group by its RFC 7346 name; of an IPv4 group as RFC 2365 section 8 maps it."""
        group = ipaddress.ip_address(self.group)
        if isinstance(group, _IPv6):
            number = group.packed[1] & 0x0F
            return _SCOPE_NAMES.get(number, f"unassigned-{number:x}")
        return next((name for network, name in _IPV4_SCOPES if group in network), "global")

    @property
    def mac(self) -> str:
        """The Ethernet address that the group maps to; many groups share one."""
        return group_mac(self.group)


def group_mac(group: str) -> str:
    """Map a group to its Ethernet address (RFC 1112 section 6.4: 23 bits; RFC 2464 section 7: 32 bits)."""
    address = ipaddress.ip_address(group)
    if isinstance(address, _IPv6):
        mac = b"\x33\x33" + address.packed[-4:]
    else:
        mac = b"\x01\x00\x5e" + bytes([address.packed[1] & 0x7F]) + address.packed[2:]
    return mac.hex(":")


def _address(what: str, value: object) -> _Address:
    if not isinstance(value, (str, _IPv4, _IPv6)):
        raise ChannelError(f"{what} {value!r} is not an address as text")
    if "%" in str(value):
        raise ChannelError(f"{what} {value!r} has a zone: name the interface instead, the zone belongs to it")
    try:
        return ipaddress.ip_address(value)
    except ValueError:
        raise ChannelError(f"{what} {value!r} is not an IPv4 or IPv6 address") from None


def _check_group(group: _Address) -> None:
    if not group.is_multicast:
        ranges = "ff00::/8" if isinstance(group, _IPv6) else "224.0.0.0/4"
        raise ChannelError(f"group {group} is a unicast address; groups are in {ranges}")
    if isinstance(group, _IPv6) and group.packed[1] & 0x0F in (0, 15):
        raise ChannelError(
            f"group {group} has the reserved scope {group.packed[1] & 0x0F:x} (RFC 7346 section 2); "
            "usable are 1 to e, such as ff12:: (link-local) or ff15:: (site-local)"
        )


def _check_source(source: _Address, group: _Address) -> None:
    if source.version != group.version:
        raise ChannelError(
            f"source {source} and group {group} are of different families: IPv{source.version} and IPv{group.version}"
        )
    if source.is_multicast:
        raise ChannelError(f"source {source} is a group; a source is one host's unicast address")
    if source.is_unspecified:
        raise ChannelError(f"source {source} is the unspecified address; leave the source out to accept any")
    if source == _IPv4("255.255.255.255"):
        raise ChannelError(f"source {source} is the broadcast address; a source is one host's unicast address")
    if isinstance(source, _IPv6) and source.ipv4_mapped is not None:
        raise ChannelError(f"source {source} is an IPv4-mapped address, which is never on the wire (RFC 4291)")


def _is_ssm(group: _Address) -> bool:
    if isinstance(group, _IPv6):
        # ff3x::/32 (RFC 4607 section 1): flags 3, any scope, no prefix.
        return group.packed[1] >> 4 == 3 and group.packed[2:4] == b"\0\0"
    return group in _IPV4_SSM


def _ssm_range(group: _Address) -> str:
    return "ff3x::/32" if isinstance(group, _IPv6) else str(_IPV4_SSM)
