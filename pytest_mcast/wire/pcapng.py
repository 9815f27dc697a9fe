"""Files that Wireshark reads: pcapng (draft-ietf-opsawg-pcapng), with nanoseconds, comments and drop counters."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["PcapngPacket", "pcapng"]

# Block types and options (the draft's sections 4.1 to 4.6 and 3.5).
_SECTION, _INTERFACE, _STATISTICS, _PACKET = 0x0A0D0D0A, 1, 5, 6
_END, _COMMENT, _APPLICATION = 0, 1, 4
_IF_NAME, _IF_RESOLUTION, _FLAGS, _RECEIVED, _DROPPED = 2, 9, 2, 4, 5
_ETHERNET = 1  # LINKTYPE_ETHERNET
_LONGEST = 0xFFFF  # of the value of an option


@dataclass(frozen=True)
class PcapngPacket:
    """A packet as a file has it: ``timestamp_ns`` since 1970; ``length`` on the wire, of which ``data`` is the beginning."""

    interface: str
    data: bytes
    timestamp_ns: int
    length: int
    outgoing: bool
    comments: tuple[str, ...] = ()


def pcapng(
    packets: Iterable[PcapngPacket],
    *,
    interfaces: Sequence[str] = (),
    dropped: Mapping[str, int] | None = None,
    comment: str = "",
    application: str = "",
) -> bytes:
    """Return a file of these packets, in the order of their times.

    ``interfaces`` names those that the file has also without a packet, ``dropped`` how many packets an interface has
    lost, ``comment`` says what the file is about, ``application`` what wrote it.
    """
    packets = sorted(packets, key=lambda packet: packet.timestamp_ns)
    names = list(dict.fromkeys([*interfaces, *(packet.interface for packet in packets), *(dropped or {})]))
    numbers = {name: number for number, name in enumerate(names)}
    blocks = [_section(comment, application), *map(_interface, names)]
    blocks += [_packet(packet, numbers[packet.interface]) for packet in packets]
    last = packets[-1].timestamp_ns if packets else 0
    for name in names:
        received = sum(packet.interface == name for packet in packets)
        blocks.append(_statistics(numbers[name], last, received, (dropped or {}).get(name, 0)))
    return b"".join(blocks)


def _section(comment: str, application: str) -> bytes:
    options = _texts(_COMMENT, [comment] if comment else []) + _texts(
        _APPLICATION, [application] if application else []
    )
    return _block(_SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1), options)


def _interface(name: str) -> bytes:
    options = _texts(_IF_NAME, [name]) + _option(_IF_RESOLUTION, b"\x09")  # 10^-9 s
    return _block(_INTERFACE, struct.pack("<HHI", _ETHERNET, 0, 0), options)


def _packet(packet: PcapngPacket, number: int) -> bytes:
    head = struct.pack("<I8sII", number, _time(packet.timestamp_ns), len(packet.data), packet.length)
    # Bits 0 and 1: 1 is in, 2 is out. Bits 2 to 4: 3 is multicast, 2 broadcast, 1 unicast.
    to = packet.data[:6]
    reception = 2 if to == b"\xff" * 6 else 3 if to and to[0] & 1 else 1
    flags = (2 if packet.outgoing else 1) | reception << 2
    options = _texts(_COMMENT, packet.comments) + _option(_FLAGS, struct.pack("<I", flags))
    return _block(_PACKET, head + _padded(packet.data), options)


def _statistics(number: int, time_ns: int, received: int, dropped: int) -> bytes:
    options = _option(_RECEIVED, struct.pack("<Q", received)) + _option(_DROPPED, struct.pack("<Q", dropped))
    return _block(_STATISTICS, struct.pack("<I8s", number, _time(time_ns)), options)


def _time(time_ns: int) -> bytes:
    return struct.pack("<II", time_ns >> 32, time_ns & 0xFFFFFFFF)


def _texts(code: int, texts: Iterable[str]) -> bytes:
    return b"".join(_option(code, _shortened(text)) for text in texts)


def _shortened(text: str) -> bytes:
    return text.encode(errors="replace")[:_LONGEST].decode(errors="ignore").encode()


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _block(kind: int, body: bytes, options: bytes) -> bytes:
    if options:
        options += struct.pack("<HH", _END, 0)
    length = 12 + len(body) + len(options)
    return struct.pack("<II", kind, length) + body + options + struct.pack("<I", length)


def _padded(value: bytes) -> bytes:
    return value + bytes(-len(value) % 4)
