"""pcapng files, as Wireshark and scapy read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_mcast.wire.pcapng import PcapngPacket, pcapng

from ..support.wireshark import fields, tshark

# 2026-01-02 03:04:05.123456789 UTC: a float cannot say it.
TIME_NS = 1_767_323_045_123_456_789
MULTICAST, UNICAST, BROADCAST = b"\x01\x00\x5e\x00\x00\x01", b"\x02\x00\x00\x00\x00\x01", b"\xff" * 6


def _frame(to: bytes, payload: bytes = b"") -> bytes:
    return to + b"\x02\x00\x00\x00\x00\x02" + b"\x88\xb5" + payload  # IEEE 802: local experimental


PACKETS = [
    PcapngPacket("b:eth0", _frame(UNICAST, b"later"), TIME_NS + 1, 5000, outgoing=False),
    PcapngPacket(
        "a:eth0", _frame(MULTICAST), TIME_NS, 14, outgoing=True, comments=("fence", "zweite Prüfung\nand more")
    ),
    PcapngPacket("a:eth0", _frame(BROADCAST, b"123"), TIME_NS + 2, 17, outgoing=True, comments=("x" * 70_000,)),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "it.pcapng"
    content = pcapng(
        PACKETS, interfaces=["idle:eth0"], dropped={"a:eth0": 7}, comment="tests/it.py::test[ü]", application="we"
    )
    path.write_bytes(content)
    return path


def test_wireshark_reads_times_interfaces_lengths_and_directions(file: Path) -> None:
    names = ("time_epoch", "interface_name", "cap_len", "len", "packet_flags_direction")
    assert fields(file, *(f"frame.{name}" for name in names), "frame.packet_flags_reception_type") == [
        ("1767323045.123456789", "a:eth0", "14", "14", "0x00000002", "3"),
        ("1767323045.123456790", "b:eth0", "19", "5000", "0x00000001", "1"),
        ("1767323045.123456791", "a:eth0", "17", "17", "0x00000002", "2"),
    ]


def test_wireshark_reads_comments(file: Path) -> None:
    first, second, third = (comment for (comment,) in fields(file, "frame.comment"))
    assert first == "fence,zweite Prüfung\\nand more"
    assert second == ""
    assert third == "x" * 65535  # what an option can hold


def test_wireshark_reads_what_the_file_is_about_and_what_was_dropped(file: Path) -> None:
    text = tshark(file, "-X", "read_format:MIME Files Format", "-V")  # which dissects the file itself
    lines = [line.strip() for line in text.splitlines()]
    assert "Option: Comment = tests/it.py::test[ü]" in lines
    assert "Option: User Application = we" in lines
    for what, values in {
        "Interface Name": ["idle:eth0", "a:eth0", "b:eth0"],
        "Number of Received Packets": ["0", "2", "1"],
        "Number of Dropped Packets": ["0", "7", "0"],
    }.items():
        head = f"Option: {what} = "
        assert [line.removeprefix(head) for line in lines if line.startswith(head)] == values


def test_scapy_reads_it(file: Path) -> None:
    from scapy.utils import RawPcapNgReader

    with RawPcapNgReader(str(file)) as reader:
        packets = list(reader)
    assert [data for data, _ in packets] == [_frame(MULTICAST), _frame(UNICAST, b"later"), _frame(BROADCAST, b"123")]
    meta: Any = packets[0][1]
    assert (meta.tshigh << 32) + meta.tslow == TIME_NS
    assert (meta.tsresol, meta.ifname, meta.wirelen) == (1_000_000_000, b"a:eth0", 14)


def test_a_file_without_packets_is_one(tmp_path: Path) -> None:
    path = tmp_path / "empty.pcapng"
    path.write_bytes(pcapng([], interfaces=["a:eth0"]))
    assert fields(path, "frame.number") == []


@pytest.mark.parametrize("length", range(5))
def test_every_length_is_padded(tmp_path: Path, length: int) -> None:
    path = tmp_path / "it.pcapng"
    payload = bytes(range(length))
    path.write_bytes(
        pcapng([PcapngPacket("x" * length, _frame(UNICAST, payload), TIME_NS, 14 + length, outgoing=True)])
    )
    assert fields(path, "data.data") == ([(payload.hex(),)] if length else [("",)])
