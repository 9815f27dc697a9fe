"""What a frame on the wire is, as far as a control needs it: who sends which UDP datagram to whom.

Not a dissector: scapy is one, but it takes 100 us for a frame and 200 ms to be there.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Packet", "Seen", "packet", "seen"]

_IPV4, _IPV6, _UDP = 0x0800, 0x86DD, 17
_EXTENSIONS = {0, 43, 60}  # hop-by-hop, routing, destination options (RFC 8200 section 4)
_FRAGMENT = 44


@dataclass(frozen=True)
class Seen:
    """A UDP datagram, or its first fragment, in a frame.

    ``source`` and ``destination`` are (address, port); ``payload`` is as much as the frame has of the ``length`` bytes
    that the UDP header announces.
    """

    source: tuple[str, int]
    destination: tuple[str, int]
    payload: bytes
    length: int


class Packet(NamedTuple):
    """An IP packet in a frame: addresses as bytes, and where in the frame its payload starts and ends.

    ``offset`` is above 0 in every fragment but the first.
    """

    family: str
    source: bytes
    destination: bytes
    protocol: int
    start: int
    end: int
    offset: int


def packet(frame: bytes) -> Packet | None:
    """Read an Ethernet frame (RFC 791, RFC 8200), extension headers passed over; None when there is no IP in it."""
    if len(frame) < 34:
        return None
    kind = int.from_bytes(frame[12:14], "big")
    if kind == _IPV4:
        start, end, protocol, offset = _ipv4(frame)
        return Packet("ipv4", frame[26:30], frame[30:34], protocol, start, end, offset)
    if kind == _IPV6 and len(frame) >= 54:
        start, end, protocol, offset = _ipv6(frame)
        return Packet("ipv6", frame[22:38], frame[38:54], protocol, start, end, offset)
    return None


def seen(frame: bytes) -> Seen | None:
    """Read an Ethernet frame (RFC 768); None when there is no UDP header in it."""
    found = packet(frame)
    if found is None or found.protocol != _UDP or found.offset or found.end < found.start + 8:
        return None
    source_port, port, length, _ = struct.unpack_from(">HHHH", frame, found.start)
    family = socket.AF_INET if found.family == "ipv4" else socket.AF_INET6
    source, destination = (socket.inet_ntop(family, address) for address in (found.source, found.destination))
    room = found.end - found.start
    length = length or room  # IPv6 knows no other way to say "more than 65,535" (RFC 2675), and Linux takes it
    payload = frame[found.start + 8 : found.start + min(room, length)]
    return Seen((source, source_port), (destination, port), payload, length - 8)


def _ipv4(frame: bytes) -> tuple[int, int, int, int]:
    """Return where the payload of the packet starts and ends, its protocol, and its offset if it is a fragment."""
    total, fragment = int.from_bytes(frame[16:18], "big"), int.from_bytes(frame[20:22], "big")
    return 14 + 4 * (frame[14] & 0x0F), min(len(frame), 14 + total), frame[23], fragment & 0x1FFF


def _ipv6(frame: bytes) -> tuple[int, int, int, int]:
    """Return the same; extension headers are passed over."""
    end = min(len(frame), 54 + int.from_bytes(frame[18:20], "big"))
    header, start, offset = frame[20], 54, 0
    while (header in _EXTENSIONS or header == _FRAGMENT) and start + 8 <= end:
        if header == _FRAGMENT:
            offset |= int.from_bytes(frame[start + 2 : start + 4], "big") >> 3
            length = 8
        else:
            length = 8 * (frame[start + 1] + 1)
        header, start = frame[start], start + length
    return start, end, header, offset
