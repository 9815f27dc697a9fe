"""IGMP, versions 1 to 3 (RFC 1112, RFC 2236, RFC 3376): messages read, and queries written."""

from __future__ import annotations

import ipaddress
import struct
from typing import Any

from .messages import RECORD_TYPES, Message, Query, Record, Report, code_of, value_of
from .packets import Packet, internet_checksum

__all__ = ["igmp_query", "read_igmp"]

_QUERY, _V1_REPORT, _V2_REPORT, _V2_LEAVE, _V3_REPORT = 0x11, 0x12, 0x16, 0x17, 0x22
_OLDER = {_V1_REPORT: (1, "REPORT"), _V2_REPORT: (2, "REPORT"), _V2_LEAVE: (2, "LEAVE")}
_V1_RESPONSE_S = 10.0  # RFC 3376 section 7.2.1: an IGMPv1 query is one with 100 tenths of a second


def read_igmp(packet: Packet, **common: Any) -> Message | None:
    """Read a message; ``common`` are the fields of it that are the packet's. None when it is none, or malformed."""
    data = packet.payload
    if len(data) < 8:
        return None
    common.update(protocol="igmp", checksum_ok=packet.checksum_ok and internet_checksum(data) == 0)
    if data[0] == _QUERY:
        return _read_query(data, common)
    if data[0] in _OLDER:
        version, kind = _OLDER[data[0]]
        return Report(version=version, records=(Record(kind, _ip(data, 4)),), **common)
    if data[0] == _V3_REPORT:
        records = _read_records(data, int.from_bytes(data[6:8], "big"))
        return None if records is None else Report(version=3, records=records, **common)
    return None


def _read_query(data: bytes, common: dict[str, Any]) -> Query | None:
    group = None if data[4:8] == bytes(4) else _ip(data, 4)
    if len(data) == 8:  # RFC 3376 section 7.1
        version, seconds = (2, data[1] / 10) if data[1] else (1, _V1_RESPONSE_S)
        return Query(version=version, group=group, max_response=seconds, **common)
    count = int.from_bytes(data[10:12], "big")
    if len(data) < 12 + 4 * count:
        return None
    return Query(
        version=3,
        group=group,
        sources=frozenset(_ip(data, 12 + 4 * number) for number in range(count)),
        max_response=value_of(data[1], 4) / 10,
        suppress=bool(data[8] & 0x08),
        robustness=data[8] & 0x07,
        interval=value_of(data[9], 4),
        **common,
    )


def _read_records(data: bytes, count: int) -> tuple[Record, ...] | None:
    records, position = [], 8
    for _ in range(count):
        if position + 8 > len(data):
            return None
        kind, auxiliary, sources = struct.unpack_from(">BBH", data, position)
        end = position + 8 + 4 * (sources + auxiliary)
        if end > len(data):
            return None
        name = RECORD_TYPES[kind - 1] if 1 <= kind <= 6 else f"UNKNOWN_{kind}"
        starts = range(position + 8, position + 8 + 4 * sources, 4)
        records.append(Record(name, _ip(data, position + 4), (_ip(data, start) for start in starts)))
        position = end
    return tuple(records)


def igmp_query(query: Query) -> bytes:
    """Write a query, with a wrong checksum if its ``checksum_ok`` is false; raises ``ValueError``."""
    group = ipaddress.IPv4Address(query.group or 0).packed
    if query.version < 3:
        tenths = 0 if query.version == 1 else int(query.max_response * 10 + 1e-6)
        if query.version == 2 and not 1 <= tenths <= 255:
            raise ValueError(f"max_response {query.max_response:g} s: IGMPv2 says 0.1 to 25.5 s (RFC 2236 section 2.2)")
        code, rest = tenths, b""
    else:
        code = code_of(query.max_response * 10, 4, f"max_response {query.max_response:g} s in tenths of a second")
        interval = code_of(query.interval, 4, f"interval {query.interval:g} s")
        sources = [ipaddress.IPv4Address(source).packed for source in sorted(query.sources)]
        rest = struct.pack(">BBH", query.suppress << 3 | query.robustness, interval, len(sources)) + b"".join(sources)
    zeroed = struct.pack(">BBH4s", _QUERY, code, 0, group) + rest
    checksum = internet_checksum(zeroed) ^ (not query.checksum_ok)
    return zeroed[:2] + checksum.to_bytes(2, "big") + zeroed[4:]


def _ip(data: bytes, position: int) -> str:
    return str(ipaddress.IPv4Address(data[position : position + 4]))
