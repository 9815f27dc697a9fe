"""MLD, versions 1 and 2 (RFC 2710, RFC 3810): messages read, and queries written."""

from __future__ import annotations

import dataclasses
import ipaddress
import struct
from typing import Any

from .messages import RECORD_TYPES, Message, Query, Record, Report, code_of, value_of
from .packets import Packet, internet_checksum

__all__ = ["mld_query", "read_mld"]

_QUERY, _V1_REPORT, _V1_DONE, _V2_REPORT = 130, 131, 132, 143


def read_mld(packet: Packet, **common: Any) -> Message | None:
    """Read a message; ``common`` are the fields of it that are the packet's. None when it is none, or malformed."""
    data = packet.payload
    if len(data) < 8:
        return None
    common.update(protocol="mld", checksum_ok=internet_checksum(packet.pseudo_header + data) == 0)
    if data[0] == _QUERY:
        return _read_query(data, common)
    if data[0] in (_V1_REPORT, _V1_DONE) and len(data) >= 24:
        kind = "REPORT" if data[0] == _V1_REPORT else "DONE"
        return Report(version=1, records=(Record(kind, _ip(data, 8)),), **common)
    if data[0] == _V2_REPORT:
        records = _read_records(data, int.from_bytes(data[6:8], "big"))
        return None if records is None else Report(version=2, records=records, **common)
    return None


def _read_query(data: bytes, common: dict[str, Any]) -> Query | None:
    if len(data) < 24:
        return None
    code, group = int.from_bytes(data[4:6], "big"), None if data[8:24] == bytes(16) else _ip(data, 8)
    if len(data) == 24:  # RFC 3810 section 8.1
        return Query(version=1, group=group, max_response=code / 1000, **common)
    count = int.from_bytes(data[26:28], "big")
    if len(data) < 28 + 16 * count:
        return None
    return Query(
        version=2,
        group=group,
        sources=frozenset(_ip(data, 28 + 16 * number) for number in range(count)),
        max_response=value_of(code, 12) / 1000,
        suppress=bool(data[24] & 0x08),
        robustness=data[24] & 0x07,
        interval=value_of(data[25], 4),
        **common,
    )


def _read_records(data: bytes, count: int) -> tuple[Record, ...] | None:
    records, position = [], 8
    for _ in range(count):
        if position + 20 > len(data):
            return None
        kind, auxiliary, sources = struct.unpack_from(">BBH", data, position)
        end = position + 20 + 16 * sources + 4 * auxiliary
        if end > len(data):
            return None
        name = RECORD_TYPES[kind - 1] if 1 <= kind <= 6 else f"UNKNOWN_{kind}"
        starts = range(position + 20, position + 20 + 16 * sources, 16)
        records.append(Record(name, _ip(data, position + 4), (_ip(data, start) for start in starts)))
        position = end
    return tuple(records)


def mld_query(query: Query, packet: Packet) -> bytes:
    """Write a query for the addresses of a packet, with a wrong checksum if its ``checksum_ok`` is false.

    Raises ``ValueError`` for what cannot be written.
    """
    group = ipaddress.IPv6Address(query.group or "::").packed
    if query.version == 1:
        code, rest = int(query.max_response * 1000 + 1e-6), b""
        if not 0 <= code <= 0xFFFF:
            raise ValueError(f"max_response {query.max_response:g} s: MLDv1 says 0 to 65.535 s (RFC 2710 section 3.4)")
    else:
        code = code_of(query.max_response * 1000, 12, f"max_response {query.max_response:g} s in milliseconds")
        interval = code_of(query.interval, 4, f"interval {query.interval:g} s")
        sources = [ipaddress.IPv6Address(source).packed for source in sorted(query.sources)]
        rest = struct.pack(">BBH", query.suppress << 3 | query.robustness, interval, len(sources)) + b"".join(sources)
    zeroed = struct.pack(">BBHHH16s", _QUERY, 0, 0, code, 0, group) + rest
    whole = dataclasses.replace(packet, payload=zeroed)
    checksum = internet_checksum(whole.pseudo_header + zeroed) ^ (not query.checksum_ok)
    return zeroed[:2] + checksum.to_bytes(2, "big") + zeroed[4:]


def _ip(data: bytes, position: int) -> str:
    return str(ipaddress.IPv6Address(data[position : position + 16]))
