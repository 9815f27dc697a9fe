"""What is on the wire when a template is sent: scapy takes it apart again."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP, in4_chksum
from scapy.layers.inet6 import IPv6ExtHdrFragment, in6_chksum
from scapy.layers.l2 import Ether
from scapy.utils import checksum

from pytest_mcast.core.channels import group_mac
from pytest_mcast.packets import Packet, Template, hop_by_hop
from pytest_mcast.packets.marks import MARK_PLACE, MARK_SIZE, MARKED, RECOGNISED, mark_of, new_mark, payload_with

ADDRESSES = {"ipv4": ("10.1.2.3", "239.1.2.3"), "ipv6": ("fe80::1:2", "ff12::8000:1")}
MAC = "02:00:00:00:00:01"
SIZES = [MARKED, MARKED + 1, 64, 65, 1000, 1001]

families = pytest.mark.parametrize("family", list(ADDRESSES))


def _packet(family: str, **changes: Any) -> Packet:
    source, group = ADDRESSES[family]
    values: dict[str, Any] = {"source": source, "source_port": 40000, "group": group, "port": 5000, "source_mac": MAC}
    return Packet(**{**values, **changes})


def _put_together(frames: Sequence[bytes]) -> Any:
    """Return the IP packet in the frames, put together by what scapy reads in them (RFC 791, RFC 8200 section 4.5)."""
    packets = [Ether(frame).payload for frame in frames]
    head = packets[0]
    if len(packets) == 1:
        return head
    parts: list[tuple[int, int, bytes]] = []
    for packet in packets:
        if IP in packet:
            assert packet.proto == 17
            parts.append((packet.frag, int(packet.flags.MF), bytes(packet.payload)))
        else:
            fragment = packet[IPv6ExtHdrFragment]
            assert fragment.nh == 17
            parts.append((fragment.offset, fragment.m, bytes(fragment.payload)))
    whole = b""
    for offset, more, part in parts:
        assert offset * 8 == len(whole)
        assert bool(more) == (len(whole) + len(part) != sum(len(part) for _, _, part in parts))
        whole += part
    udp = UDP(whole)
    return head.__class__(src=head.src, dst=head.dst) / udp


def _is_right(packet: Any) -> bool:
    part = bytes(packet[UDP])
    check: Any = in4_chksum if IP in packet else in6_chksum
    return packet[UDP].chksum != 0 and check(
        17, packet.__class__(src=packet.src, dst=packet.dst) / UDP(part), part
    ) in (
        0,
        0xFFFF,
    )


@families
@pytest.mark.parametrize("size", SIZES)
def test_a_packet_has_the_fields_asked_for(family: str, size: int) -> None:
    packet = _packet(family, size=size, ttl=7)
    mark = new_mark(11, 12)
    (frame,) = Template(packet).frames(mark, 13)
    ether = Ether(frame)
    network, udp = ether.payload, ether[UDP]
    assert (ether.src, ether.dst) == (MAC, group_mac(str(packet.group)))
    assert (network.src, network.dst) == ADDRESSES[family]
    assert (network.ttl if family == "ipv4" else network.hlim) == 7
    assert (udp.sport, udp.dport, udp.len) == (40000, 5000, 8 + size)
    assert len(bytes(udp.payload)) == size
    assert mark_of(bytes(udp.payload)) == (11, 12)


@families
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("fragment", [None, 64])
def test_the_checksum_is_right_with_every_mark(family: str, size: int, fragment: int | None) -> None:
    template = Template(_packet(family, size=size, fragment=fragment))
    chance = random.Random(size)  # noqa: S311 - the same marks each time
    for number in (0, 1, 0x7FFFFFFF, 0xFFFFFFFF, *(chance.getrandbits(32) for _ in range(20))):
        packet = _put_together(template.frames(new_mark(chance.getrandbits(32), number), number))
        assert _is_right(packet)
        mark = mark_of(bytes(packet[UDP].payload))
        assert mark is not None
        assert mark[1] == number


@families
def test_a_bad_checksum_stays_bad_with_every_mark(family: str) -> None:
    chance = random.Random(5)  # noqa: S311 - the same marks each time
    for size in (*SIZES, *range(100, 140)):
        template = Template(_packet(family, size=size, checksum="bad"))
        for number in range(20):
            packet = _put_together(template.frames(new_mark(chance.getrandbits(32), number), number))
            assert not _is_right(packet)
            assert packet[UDP].chksum != 0  # which would say that there is none


@families
def test_a_number_is_the_checksum(family: str) -> None:
    for number in (0, 1, 0xFFFF):
        (frame,) = Template(_packet(family, checksum=number)).frames(new_mark(1, 1), 1)
        assert Ether(frame)[UDP].chksum == number


@families
@pytest.mark.parametrize(("size", "fragment"), [(4000, None), (65507, None), (1000, 64), (200, 104), (2000, 1024)])
def test_a_fragmented_packet_is_whole_again(family: str, size: int, fragment: int | None) -> None:
    frames = Template(_packet(family, size=size, fragment=fragment)).frames(new_mark(1, 2), 3)
    assert len(frames) > 1
    room = 1500 if fragment is None else fragment + (20 if family == "ipv4" else 48)
    assert all(len(frame) <= 14 + room for frame in frames)
    packet = _put_together(frames)
    (whole,) = Template(_packet(family, size=size, mtu=70000)).frames(new_mark(1, 2), 3)
    assert bytes(packet[UDP].payload) == whole[-size:]
    assert packet[UDP].len == 8 + size
    assert _is_right(packet)


@families
@pytest.mark.parametrize("room", [0, 1, 2, 7, 8])
def test_it_is_fragmented_when_it_does_not_fit(family: str, room: int) -> None:
    header = 20 if family == "ipv4" else 40
    template = Template(_packet(family, size=1000, mtu=header + 8 + 1000 - room))
    frames = template.frames(new_mark(1, 1), 1)
    assert len(frames) == (1 if room == 0 else 2)
    assert all(len(frame) <= 14 + template.packet.mtu for frame in frames)


@families
def test_all_fragments_have_the_identification_and_a_right_header(family: str) -> None:
    template = Template(_packet(family, size=4000))
    for identification in (0, 1, 0xFFFE, 0xFFFF, 0x10000, 0xFFFFFFFF, 0x1234_ABCD, 0xABCD_1234):
        for frame in template.frames(new_mark(1, 1), identification):
            packet = Ether(frame).payload
            if family == "ipv4":
                assert packet.id == identification & 0xFFFF
                assert checksum(frame[14:34]) == 0
            else:
                assert packet[IPv6ExtHdrFragment].id == identification


def test_the_header_checksum_is_that_of_scapy_for_every_identification() -> None:
    template = Template(_packet("ipv4", size=200, fragment=104))
    right = {}
    for identification in range(0, 0x10000, 257):
        header = IP(template.frames(new_mark(1, 1), identification)[1][14:34])
        given, header.chksum = header.chksum, None
        right[identification] = given == IP(bytes(header)).chksum
    assert all(right.values())
    sums = {checksum(template.frames(new_mark(1, 1), number)[0][14:34]) for number in range(0x10000)}
    assert sums == {0}


def test_what_was_sent_is_not_changed_by_what_is_sent_next() -> None:
    template = Template(_packet("ipv4", size=4000))
    first = template.frames(new_mark(1, 1), 1)
    copies = [bytes(frame) for frame in first]
    template.frames(new_mark(2, 2), 2)
    assert first == copies


def test_a_payload_without_a_mark_has_none() -> None:
    assert mark_of(b"") is None
    assert mark_of(b"somebody else's") is None
    payload = payload_with(new_mark(3, 4), 64)
    for size in range(RECOGNISED, 64):
        assert mark_of(payload[:size]) == (3, 4)
    for size in range(RECOGNISED):  # cut off in its mark
        assert mark_of(payload[:size]) is None
    for place in range(MARKED):
        assert mark_of(payload[:place] + b" " + payload[place + 1 :]) is None
        assert mark_of(payload[:place] + bytes([payload[place] ^ 1]) + payload[place + 1 :]) is None


@pytest.mark.parametrize("numbers", [(0, 0), (0xFFFFFFFF, 0xFFFFFFFF), (0x12345678, 0x1_0000_0002)])
def test_a_mark_and_its_complement_always_add_up_to_the_same(numbers: tuple[int, int]) -> None:
    mark = new_mark(*numbers)
    assert len(mark) == MARK_SIZE
    assert checksum(mark) == checksum(b"\xd1\xd1" * (MARK_SIZE // 4))
    assert mark_of(payload_with(mark, MARKED)) == (numbers[0], numbers[1] & 0xFFFFFFFF)


@pytest.mark.parametrize("size", [1, 43, 44, 64, 137, 138, 139, 1000, 65507])
def test_a_payload_is_printable_and_known_by_its_beginning(size: int) -> None:
    payload = payload_with(new_mark(5, 6), size)
    assert len(payload) == size
    assert payload.isascii()
    assert payload.decode().isprintable()
    assert b" " not in payload  # so that a pattern of words finds all of it
    assert MARK_PLACE + MARK_SIZE == MARKED <= 60


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"source": "fe80::1"}, "source fe80::1 and group 239.1.2.3 are of different families"),
        ({"size": -1}, "size=-1 is not from 0 to 65507 bytes"),
        ({"size": 65508}, "size=65508 is not from 0 to 65507"),
        ({"fragment": 0}, "fragment=0 is not a multiple of 8 from 8"),
        ({"fragment": 100}, "fragment=100 is not a multiple of 8 from 8"),
        (
            {"udp_length": "5"},
            "udp_length='5' is neither a number from 0 to 65535 nor a difference such as '-5' nor None",
        ),
        ({"mac": "2:0:0:0:0:1"}, "mac='2:0:0:0:0:1' is no Ethernet address, such as '02:00:00:00:00:01'"),
        ({"flow_label": 1}, "flow_label is for ipv6, and this is ipv4"),
        ({"options": (bytes(41),)}, "41 bytes of options are more than the 40 of IPv4"),
        ({"options": (hop_by_hop(),)}, "is not for ipv4: IPv4 has options (bytes), IPv6 has extension headers"),
        ({"ip_fields": (("hlim", 1),)}, "ipv4 has no field 'hlim'; it has chksum, flags, frag"),
        ({"order": (0, 1)}, "an order and a first fragment belong to fragments: name their size as well"),
        ({"fragment": 64, "order": "odd"}, "order='odd' is neither 'reversed' nor numbers of fragments"),
        ({"fragment": 64, "order": (0, 9)}, "order=(0, 9) names more than 2 fragments"),
        ({"vlan": (1 << 16,)}, "vlan=(65536,) is not made of numbers of 16 bits"),
        ({"source_mac": None}, "does not say everything: it needs addresses, ports and an Ethernet source"),
        ({"checksum": "wrong"}, "checksum='wrong' is neither 'bad' nor a number from 0 to 65535 nor None"),
        ({"checksum": 70000}, "checksum=70000"),
        ({"checksum": -1}, "checksum=-1"),
        ({"ttl": 256}, "ttl=256 is not from 0 to 255"),
        ({"ttl": -1}, "ttl=-1 is not from 0 to 255"),
        ({"port": 65536}, "port=65536 is not from 0 to 65535"),
        ({"source_port": 65536}, "source_port=65536"),
        ({"source": "10.0.0.300"}, "'10.0.0.300'"),
        ({"source": "10.0.0.0/24"}, "'10.0.0.0/24'"),
        ({"group": "all-hosts.example"}, "'all-hosts.example'"),
    ],
    ids=lambda value: "-".join(f"{name}={what}" for name, what in value.items()) if isinstance(value, dict) else "",
)
def test_what_cannot_be_is_a_value_error(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        Template(_packet("ipv4", **changes))


def test_ipv6_takes_twenty_bytes_more() -> None:
    assert len(Template(_packet("ipv6", size=65527)).frames(new_mark(1, 1), 1)) == 46
    with pytest.raises(ValueError, match=r"size=65528 is not from 0 to 65527 bytes"):
        _packet("ipv6", size=65528)


def test_a_packet_says_what_it_is() -> None:
    assert str(_packet("ipv4")) == "64 bytes from 10.1.2.3 port 40000 to 239.1.2.3 port 5000, TTL 1"
    assert str(_packet("ipv4", checksum="bad", fragment=64)).endswith(
        "TTL 1, UDP checksum bad, fragments of 64 bytes",
    )
