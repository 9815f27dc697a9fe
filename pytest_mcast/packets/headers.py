"""Options of IPv4 and extension headers of IPv6 as bytes, right or wrong (RFC 791 section 3.1, RFC 8200 section 4).

scapy has classes for all of them, which are taken as well; these can stand in tables without loading it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

__all__ = [
    "FRAGMENT",
    "UDP",
    "ExtensionHeader",
    "destination_options",
    "fragment_header",
    "header_bytes",
    "hop_by_hop",
    "ipv4_option",
    "ipv6_option",
    "routing",
    "split_headers",
]

FRAGMENT, UDP = 44, 17
_HOP_BY_HOP, _ROUTING, _DESTINATION = 0, 43, 60
_IPV4_KINDS = {"end": 0, "nop": 1, "record-route": 7, "timestamp": 68, "lsrr": 131, "ssrr": 137, "router-alert": 148}
_IPV6_KINDS = {"pad1": 0, "padn": 1, "router-alert": 5, "jumbo": 194}
# The classes of scapy, by name so that nobody has to load them.
_SCAPY = {
    "IPv6ExtHdrHopByHop": _HOP_BY_HOP,
    "IPv6ExtHdrRouting": _ROUTING,
    "IPv6ExtHdrSegmentRouting": _ROUTING,
    "IPv6ExtHdrFragment": FRAGMENT,
    "IPv6ExtHdrDestOpt": _DESTINATION,
}


@dataclass(frozen=True)
class ExtensionHeader:
    """An extension header: its number, and its octets without the first, which says what follows."""

    number: int
    body: bytes


def ipv4_option(kind: int | str, data: bytes = b"", *, length: int | None = None) -> bytes:
    """Return an option of IPv4 (RFC 791): a number or a name, and what follows type and length.

    ``length`` is that in the option when it is to be wrong; "end" and "nop" have none. Raises ``ValueError``.
    """
    number = _kind(kind, _IPV4_KINDS)
    if number in (0, 1) and length is None and not data:
        return bytes([number])
    return bytes([number, 2 + len(data) if length is None else length]) + data


def ipv6_option(kind: int | str, data: bytes = b"", *, length: int | None = None) -> bytes:
    """Return an option of a hop-by-hop or destination options header (RFC 8200 section 4.2); as ``ipv4_option``."""
    number = _kind(kind, _IPV6_KINDS)
    if number == 0 and length is None and not data:
        return b"\0"
    return bytes([number, len(data) if length is None else length]) + data


def hop_by_hop(*options: bytes, length: int | None = None) -> ExtensionHeader:
    """Return a hop-by-hop options header, padded; ``length`` is its length field when that is to be wrong."""
    return ExtensionHeader(_HOP_BY_HOP, _padded(options, length))


def destination_options(*options: bytes, length: int | None = None) -> ExtensionHeader:
    """Return a destination options header, padded; ``length`` is its length field when that is to be wrong."""
    return ExtensionHeader(_DESTINATION, _padded(options, length))


def routing(kind: int = 0, segments_left: int = 0, data: bytes = bytes(20)) -> ExtensionHeader:
    """Return a routing header of a type (RFC 8200 section 4.4); ``data`` follows the first four octets, and is 4 + 8n long."""
    if len(data) % 8 != 4:
        raise ValueError(f"the data of a routing header is 4, 12, 20... bytes long, not {len(data)}")
    return ExtensionHeader(_ROUTING, bytes([(len(data) - 4) // 8, kind, segments_left]) + data)


def fragment_header(offset: int = 0, *, more: bool = False, identification: int = 0) -> ExtensionHeader:
    """Return a fragment header by itself, for nesting; ``Packet.fragmented`` makes those that are right."""
    return ExtensionHeader(FRAGMENT, struct.pack(">BHI", 0, offset & ~7 | more, identification))


def header_bytes(what: Any) -> bytes | ExtensionHeader:
    """Return an option or header as we keep it; raises ``ValueError`` for what is none."""
    if isinstance(what, (bytes, ExtensionHeader)):
        return what
    name = type(what).__name__
    if not type(what).__module__.startswith("scapy."):
        raise ValueError(f"{what!r} is neither bytes, nor an extension header, nor one of scapy's")
    alone = what.copy()
    alone.remove_payload()
    if name in _SCAPY:
        return ExtensionHeader(_SCAPY[name], bytes(alone)[1:])
    return bytes(alone)


def split_headers(headers: Iterable[ExtensionHeader]) -> tuple[list[ExtensionHeader], list[ExtensionHeader]]:
    """Return those that each fragment has, and those that are fragmented (RFC 8200 section 4.5)."""
    listed = list(headers)
    last = max((place for place, header in enumerate(listed) if header.number in (_HOP_BY_HOP, _ROUTING)), default=-1)
    nested = next((place for place, header in enumerate(listed) if header.number == FRAGMENT), len(listed))
    cut = min(last + 1, nested)
    return listed[:cut], listed[cut:]


def _kind(kind: int | str, names: dict[str, int]) -> int:
    if isinstance(kind, str):
        if kind not in names:
            raise ValueError(f"there is no option {kind!r}; name one of {', '.join(names)}, or give its number")
        return names[kind]
    if not 0 <= kind <= 255:
        raise ValueError(f"option {kind!r} is not a number from 0 to 255")
    return kind


def _padded(options: tuple[bytes, ...], length: int | None) -> bytes:
    joined = b"".join(options)
    missing = -(2 + len(joined)) % 8
    padding = b"" if not missing else b"\0" if missing == 1 else bytes([1, missing - 2]) + bytes(missing - 2)
    body = joined + padding
    units = (len(body) + 2) // 8 - 1
    return bytes([units if length is None else length]) + body
