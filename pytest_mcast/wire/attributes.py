"""The attributes that rtnetlink messages consist of: rtnetlink(7), linux/netlink.h."""

from __future__ import annotations

import struct
from collections.abc import Iterator

__all__ = ["NESTED", "attribute", "attributes", "long_number", "nested", "number", "octet", "text"]

NESTED = 0x8000  # NLA_F_NESTED


def attribute(kind: int, value: bytes) -> bytes:
    """Encode one attribute."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def nested(kind: int, *inner: bytes) -> bytes:
    """Encode an attribute that consists of attributes."""
    return attribute(kind | NESTED, b"".join(inner))


def text(kind: int, value: str) -> bytes:
    """Encode a text."""
    return attribute(kind, value.encode("utf-8", "surrogateescape") + b"\0")


def octet(kind: int, value: int) -> bytes:
    """Encode a number of 8 bits."""
    return attribute(kind, struct.pack("=B", value))


def number(kind: int, value: int) -> bytes:
    """Encode a number of 32 bits."""
    return attribute(kind, struct.pack("=I", value))


def long_number(kind: int, value: int) -> bytes:
    """Encode a number of 64 bits."""
    return attribute(kind, struct.pack("=Q", value))


def attributes(body: bytes, position: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield kind and value of each attribute from that position on."""
    while position + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, position)
        yield kind & 0x3FFF, body[position + 4 : position + length]
        position += max(4, (length + 3) & ~3)
