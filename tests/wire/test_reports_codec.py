"""Messages of IGMP and MLD: read and written, with scapy as the oracle; malformed ones."""

from __future__ import annotations

import bisect
import dataclasses
import importlib
import random
import struct
from collections.abc import Callable
from typing import Any

import pytest

from pytest_mcast.wire import RECORD_TYPES, Message, Query, Record, Report, TappedFrame, build_query, read_message
from pytest_mcast.wire.messages import code_of, value_of

MAC = "02:00:00:00:00:01"
ETHERNET = bytes.fromhex("01005e000016" + MAC.replace(":", ""))
IPV4, IPV6 = ("10.0.0.1", "10.0.0.2"), ("fe80::1", "fe80::2")
V3_RECORDS = tuple(
    Record(kind, f"239.1.2.{number}", [f"10.0.{number}.{low}" for low in range(number)])
    for number, kind in enumerate(RECORD_TYPES[:6])
)
V2_RECORDS = tuple(
    Record(kind, f"ff15::{number}", [f"2001:db8::{number}:{low}" for low in range(number)])
    for number, kind in enumerate(RECORD_TYPES[:6])
)


def read(frame: bytes) -> Message | None:
    return read_message(TappedFrame(frame, "eth0", 7, outgoing=False))


class Scapy:
    """The same messages by scapy, whose IGMP has moved in 2.7."""

    def __init__(self) -> None:
        self.inet: Any = importlib.import_module("scapy.layers.inet")
        self.inet6: Any = importlib.import_module("scapy.layers.inet6")
        try:
            igmp: Any = importlib.import_module("scapy.layers.igmp")
        except ImportError:
            old: Any = importlib.import_module("scapy.contrib.igmp")
            old3: Any = importlib.import_module("scapy.contrib.igmpv3")
            self.igmp, self.group = old.IGMP, old3.IGMPv3gr
            self._query: Callable[..., Any] = lambda mrcode, **f: (
                old3.IGMPv3(type=17, mrcode=mrcode) / old3.IGMPv3mq(**f)
            )
            self._report: Callable[..., Any] = lambda **f: old3.IGMPv3(type=34, mrcode=0) / old3.IGMPv3mr(**f)
        else:
            self.igmp, self.group = igmp.IGMP, igmp.IGMPv3_MR_Group
            self._query, self._report = igmp.IGMPv3_MQ, igmp.IGMPv3_MR

    def ipv4(self, destination: str, payload: Any, *, alert: bool = True) -> bytes:
        options = [self.inet.IPOption_Router_Alert()] if alert else []
        header = self.inet.IP(src=IPV4[0], dst=destination, ttl=1, proto=2, options=options)
        return ETHERNET + b"\x08\x00" + bytes(header / bytes(payload))

    def ipv6(self, destination: str, payload: Any) -> bytes:
        header = self.inet6.IPv6(src=IPV6[0], dst=destination, hlim=1)
        alert = self.inet6.IPv6ExtHdrHopByHop(options=[self.inet6.RouterAlert(), self.inet6.PadN(optdata=b"")])
        return ETHERNET + b"\x86\xdd" + bytes(header / alert / payload)

    def frames(self) -> dict[str, tuple[bytes, Message]]:
        """Return messages of every kind, as bytes and as what they should be read as."""
        rtypes = {name: number for number, name in enumerate(RECORD_TYPES, 1)}
        igmp: Any = {"protocol": "igmp", "source": IPV4[0], "mac": MAC}
        mld: Any = {"protocol": "mld", "source": IPV6[0], "mac": MAC}
        groups = [self.group(rtype=rtypes[r.type], maddr=r.group, srcaddrs=sorted(r.sources)) for r in V3_RECORDS]
        addresses = [
            self.inet6.ICMPv6MLDMultAddrRec(rtype=rtypes[r.type], dst=r.group, sources=sorted(r.sources))
            for r in V2_RECORDS
        ]
        group, sources = "239.1.2.3", ["10.9.9.1", "10.9.9.2"]
        group6, sources6 = "ff15::3", ["2001:db8::1", "2001:db8::2"]

        def old(version: int, kind: str, destination: str) -> Report:
            alert = version > 1
            records = (Record(kind, group),)
            return Report(version=version, destination=destination, records=records, router_alert=alert, **igmp)

        def old6(kind: str, destination: str) -> Report:
            return Report(version=1, destination=destination, records=(Record(kind, group6),), **mld)

        return {
            "IGMPv1 report": (
                self.ipv4(group, self.igmp(type=0x12, mrcode=0, gaddr=group), alert=False),
                old(1, "REPORT", group),
            ),
            "IGMPv2 report": (
                self.ipv4(group, self.igmp(type=0x16, mrcode=0, gaddr=group)),
                old(2, "REPORT", group),
            ),
            "IGMPv2 leave": (
                self.ipv4("224.0.0.2", self.igmp(type=0x17, mrcode=0, gaddr=group)),
                old(2, "LEAVE", "224.0.0.2"),
            ),
            "IGMPv3 report": (
                self.ipv4("224.0.0.22", self._report(records=groups)),
                Report(version=3, destination="224.0.0.22", records=V3_RECORDS, **igmp),
            ),
            "IGMPv1 query": (
                self.ipv4("224.0.0.1", self.igmp(type=0x11, mrcode=0)),
                Query(version=1, destination="224.0.0.1", max_response=10, **igmp),
            ),
            "IGMPv2 query": (
                self.ipv4(group, self.igmp(type=0x11, mrcode=25, gaddr=group)),
                Query(version=2, destination=group, group=group, max_response=2.5, **igmp),
            ),
            "IGMPv3 query": (
                self.ipv4(group, self._query(mrcode=5, gaddr=group, s=1, qrv=3, qqic=0x9F, srcaddrs=sources)),
                Query(
                    version=3,
                    destination=group,
                    group=group,
                    sources=frozenset(sources),
                    max_response=0.5,
                    robustness=3,
                    interval=(15 + 16) << (1 + 3),
                    suppress=True,
                    **igmp,
                ),
            ),
            "MLDv1 report": (self.ipv6(group6, self.inet6.ICMPv6MLReport(mladdr=group6)), old6("REPORT", group6)),
            "MLDv1 done": (self.ipv6("ff02::2", self.inet6.ICMPv6MLDone(mladdr=group6)), old6("DONE", "ff02::2")),
            "MLDv2 report": (
                self.ipv6("ff02::16", self.inet6.ICMPv6MLReport2(records=addresses)),
                Report(version=2, destination="ff02::16", records=V2_RECORDS, **mld),
            ),
            "MLDv1 query": (
                self.ipv6("ff02::1", self.inet6.ICMPv6MLQuery(mrd=1234)),
                Query(version=1, destination="ff02::1", max_response=1.234, **mld),
            ),
            "MLDv2 query": (
                self.ipv6(
                    group6, self.inet6.ICMPv6MLQuery2(mrd=0x8000, mladdr=group6, S=1, QRV=3, QQIC=125, sources=sources6)
                ),
                Query(
                    version=2,
                    destination=group6,
                    group=group6,
                    sources=frozenset(sources6),
                    max_response=32.768,
                    robustness=3,
                    interval=125,
                    suppress=True,
                    **mld,
                ),
            ),
        }


@pytest.fixture(scope="module")
def scapy() -> Scapy:
    return Scapy()


@pytest.fixture(scope="module")
def frames(scapy: Scapy) -> dict[str, tuple[bytes, Message]]:
    return scapy.frames()


KINDS = [
    *(f"IGMPv{version} {kind}" for version in (1, 2, 3) for kind in ("report", "query")),
    *(f"MLDv{version} {kind}" for version in (1, 2) for kind in ("report", "query")),
    "IGMPv2 leave",
    "MLDv1 done",
]


@pytest.mark.parametrize("kind", KINDS)
def test_what_scapy_writes_is_read(frames: dict[str, tuple[bytes, Message]], kind: str) -> None:
    frame, expected = frames[kind]
    message = read(frame)
    assert message == expected
    assert message is not None
    assert (message.interface, message.timestamp_ns) == ("eth0", 7)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.endswith("query")])
def test_what_we_write_is_what_scapy_writes(frames: dict[str, tuple[bytes, Message]], kind: str) -> None:
    frame, query = frames[kind]
    assert isinstance(query, Query)
    ours = build_query(query)
    assert ours[14 + 20 :] == frame[14 + 20 :]  # all but the IP header; router alert is before the message
    assert read(ours) == query


@pytest.mark.parametrize("kind", KINDS)
def test_any_message_cut_short_is_none_and_never_an_error(frames: dict[str, tuple[bytes, Message]], kind: str) -> None:
    frame, _ = frames[kind]
    for length in range(len(frame)):
        assert read(frame[:length]) is None


@pytest.mark.parametrize("kind", KINDS)
def test_any_octets_may_be_wrong(frames: dict[str, tuple[bytes, Message]], kind: str) -> None:
    frame, _ = frames[kind]
    chance = random.Random(kind)  # noqa: S311 - the same ones every time
    for _ in range(500):
        wrong = bytearray(frame)
        for _ in range(chance.randint(1, 4)):
            wrong[chance.randrange(12, len(wrong))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        message = read(bytes(wrong))
        if message is not None:
            assert str(message)


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_of_the_message_shows_in_the_checksum(
    frames: dict[str, tuple[bytes, Message]], kind: str
) -> None:
    frame, expected = frames[kind]
    wrong = frame[:-1] + bytes([frame[-1] ^ 0x10])
    message = read(wrong)
    assert message is not None
    assert expected.checksum_ok
    assert not message.checksum_ok
    assert "bad checksum" in str(message)


def _igmp(payload: bytes, **fields: Any) -> bytes:
    header = {"version": 0x45, "fragment": 0, "total": 20 + len(payload), "ttl": 1} | fields
    packed = struct.pack(
        ">BBHHHBBH8s", header["version"], 0, header["total"], 0, header["fragment"], header["ttl"], 2, 0, bytes(8)
    )
    return ETHERNET + b"\x08\x00" + packed + payload


def _mld(payload: bytes, *, length: int | None = None) -> bytes:
    header = struct.pack(">IHBB32x", 6 << 28, len(payload) if length is None else length, 58, 1)
    return ETHERNET + b"\x86\xdd" + header + payload


MLD_QUERY = b"\x82\0\0\0" + bytes(20)
QUERY = b"\x11\x64\0\0" + bytes(4)


@pytest.mark.parametrize(
    ("what", "frame"),
    [
        ("a fragment", _igmp(QUERY, fragment=0x2000)),
        ("a later fragment", _igmp(QUERY, fragment=1)),
        ("a header of 16 octets", _igmp(QUERY, version=0x44)),
        ("a header longer than the packet", _igmp(QUERY, version=0x4F)),
        ("version 6 in IPv4", _igmp(QUERY, version=0x65)),
        ("longer than the frame", _igmp(QUERY, total=29)),
        ("a query of 9 octets (RFC 3376 section 7.1)", _igmp(QUERY + b"\0")),
        ("a query of 11 octets", _igmp(QUERY + b"\0\0\0")),
        ("fewer sources than it says", _igmp(QUERY + b"\0\0\0\x02" + bytes(4))),
        ("fewer records than it says", _igmp(b"\x22\0\0\0\0\0\0\x01")),
        ("a record with fewer sources", _igmp(b"\x22\0\0\0\0\0\0\x01" + b"\x01\0\0\x01" + bytes(4))),
        ("an unknown type", _igmp(b"\x30" + bytes(7))),
        *((f"an MLD query of {24 + n} octets (RFC 3810 section 8.1)", _mld(MLD_QUERY + bytes(n))) for n in (1, 2, 3)),
        ("an MLD query of 23 octets", _mld(MLD_QUERY[:-1])),
        ("an MLD query with fewer sources than it says", _mld(MLD_QUERY + b"\0\0\0\x01" + bytes(15))),
        ("an MLDv1 report without a group", _mld(b"\x83" + bytes(22))),
        ("an MLDv2 report with fewer records than it says", _mld(b"\x8f\0\0\0\0\0\0\x01" + bytes(19))),
        ("an MLDv2 record with fewer sources", _mld(b"\x8f\0\0\0\0\0\0\x01" + b"\x01\0\0\x01" + bytes(31))),
        ("another ICMPv6 message", _mld(b"\x80" + bytes(23))),
        ("IPv6 longer than the frame", _mld(MLD_QUERY, length=25)),
        ("no IP at all", ETHERNET + b"\x08\x06" + bytes(46)),
        ("nothing", b""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_malformed_is_none(what: str, frame: bytes) -> None:
    assert read(frame) is None, what


def test_what_is_not_malformed_is_read() -> None:
    assert read(_igmp(QUERY)) is not None
    assert read(_mld(MLD_QUERY)) is not None


def test_auxiliary_data_and_unknown_records_are_passed_over() -> None:
    first = b"\x09\x01\x00\x01" + bytes([239, 1, 2, 3]) + bytes([10, 0, 0, 1]) + b"aux."
    second = b"\x04\x00\x00\x00" + bytes([239, 1, 2, 4])
    report = read(_igmp(b"\x22\0\0\0\0\0\0\x02" + first + second + b"more"))
    assert isinstance(report, Report)
    assert report.records == (
        Record("UNKNOWN_9", "239.1.2.3", ["10.0.0.1"]),
        Record("CHANGE_TO_EXCLUDE_MODE", "239.1.2.4"),
    )
    assert report.of("239.1.2.4") == report.records[1:]


@pytest.mark.parametrize(("mantissa", "bits"), [(4, 8), (12, 16)])
def test_floating_point_codes(mantissa: int, bits: int) -> None:
    codes = range(1 << bits)
    values = [value_of(code, mantissa) for code in codes]
    assert values == sorted(values)
    assert [code_of(value, mantissa, "it") for value in values] == list(codes)
    for value in range(0, values[-1], 1 + values[-1] // 10000):
        assert code_of(value, mantissa, "it") == bisect.bisect_right(values, value) - 1  # rounded down


def test_the_largest_code_is_that_of_the_rfc() -> None:
    assert value_of(0xFF, 4) == 31744  # RFC 3376 section 4.1.1: (15 | 16) << 10
    assert value_of(0xFFFF, 12) == 8387584
    for value in (31745, -1, float("nan")):
        with pytest.raises(ValueError, match=r"it is .* units, and can be no more than 31744, and not below 0"):
            code_of(value, 4, "it")


def test_what_is_odd_is_told() -> None:
    query = Query(
        protocol="igmp",
        version=3,
        source="0.0.0.0",
        destination="224.0.0.1",
        ttl=2,
        router_alert=False,
        checksum_ok=False,
    )
    read_back = read(build_query(dataclasses.replace(query, mac=MAC)))
    assert str(read_back) == (
        "IGMPv3 query from 0.0.0.0 of all groups, answers within 0.1 s (TTL 2, no router alert, bad checksum)"
    )


def test_records_compare_by_value() -> None:
    assert Record("REPORT", "ff15:0::1", ["2001:DB8::1"]) == Record("REPORT", "ff15::1", {"2001:db8::1"})
    assert str(Record("ALLOW_NEW_SOURCES", "232.1.1.1", ["10.0.0.2", "10.0.0.1"])) == (
        "ALLOW_NEW_SOURCES 232.1.1.1 {10.0.0.1, 10.0.0.2}"
    )
