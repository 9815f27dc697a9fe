"""What a frame says of a UDP datagram; scapy is the oracle."""

from __future__ import annotations

import random
import struct
from functools import partial
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
    RouterAlert,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether

from pytest_mcast.wire import Seen, seen

PAYLOAD = bytes(range(64))
_ether = partial(Ether, src="02:00:00:00:00:01", dst="01:00:5e:01:02:03")
_ipv4 = partial(IP, src="10.1.2.3", dst="239.1.2.3", ttl=1)
_ipv6 = partial(IPv6, src="fe80::1:2", dst="ff12::8000:1", hlim=1)
_udp = partial(UDP, sport=1234, dport=5000)

WHOLE = {
    "ipv4": _ipv4() / _udp() / PAYLOAD,
    "ipv4 empty": _ipv4() / _udp(),
    "ipv4 router alert": _ipv4(options=[IPOption_Router_Alert()]) / _udp() / PAYLOAD,
    "ipv4 all of the options": _ipv4(options=[IPOption_Router_Alert()] * 10) / _udp() / PAYLOAD,
    "ipv4 do not fragment": _ipv4(flags="DF") / _udp() / PAYLOAD,
    "ipv4 bad checksums": _ipv4(chksum=1) / _udp(chksum=1) / PAYLOAD,
    "ipv6": _ipv6() / _udp() / PAYLOAD,
    "ipv6 empty": _ipv6() / _udp(),
    "ipv6 hop-by-hop": _ipv6() / IPv6ExtHdrHopByHop(options=[RouterAlert()]) / _udp() / PAYLOAD,
    "ipv6 long destination options": _ipv6() / IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(60))]) / _udp() / PAYLOAD,
    "ipv6 routing": _ipv6() / IPv6ExtHdrRouting(addresses=["fe80::9"], segleft=0) / _udp() / PAYLOAD,
    "ipv6 three headers": _ipv6() / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / IPv6ExtHdrDestOpt() / _udp() / PAYLOAD,
    "ipv6 atomic fragment": _ipv6() / IPv6ExtHdrFragment(offset=0, m=0, id=7) / _udp() / PAYLOAD,
}
NO_UDP = {
    "arp": ARP(psrc="10.1.2.3", pdst="10.1.2.4"),
    "tcp": _ipv4() / TCP(sport=1234, dport=5000) / PAYLOAD,
    "icmp": _ipv4() / ICMP() / PAYLOAD,
    "ipv6 tcp": _ipv6() / TCP(sport=1234, dport=5000) / PAYLOAD,
    "ipv6 no next header": _ipv6(nh=59) / PAYLOAD,
    "udp inside ipv4": _ipv4(proto=4) / _ipv4() / _udp() / PAYLOAD,
    "vlan tag": Dot1Q(vlan=5) / _ipv4() / _udp() / PAYLOAD,
}


def _expected(frame: bytes) -> Seen:
    """Return what scapy reads in a frame."""
    packet = Ether(frame)
    network, udp = packet[IP] if IP in packet else packet[IPv6], packet[UDP]
    payload = bytes(udp.payload)[: udp.len - 8]
    return Seen((network.src, udp.sport), (network.dst, udp.dport), payload, udp.len - 8)


@pytest.mark.parametrize("name", WHOLE)
def test_a_datagram_is_seen_as_scapy_sees_it(name: str) -> None:
    frame = bytes(_ether() / WHOLE[name])
    assert seen(frame) == _expected(frame)
    assert seen(frame).length == (0 if "empty" in name else len(PAYLOAD))  # type: ignore[union-attr]


@pytest.mark.parametrize("name", WHOLE)
def test_padding_is_no_payload(name: str) -> None:
    frame = bytes(_ether() / WHOLE[name])
    assert seen(frame + bytes(46)) == seen(frame)


@pytest.mark.parametrize("name", NO_UDP)
def test_what_is_no_udp_datagram_is_not_seen(name: str) -> None:
    assert seen(bytes(_ether() / NO_UDP[name])) is None


@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize("network", [_ipv4, _ipv6], ids=["ipv4", "ipv6"])
def test_of_fragments_the_first_is_seen(network: Any, more: int) -> None:
    whole = bytes(_udp(len=3008, chksum=1)) + bytes(1392)
    if network is _ipv4:
        first = network(flags="MF", frag=0, proto=17) / whole
        later = network(flags="MF" if more else 0, frag=175, proto=17) / whole
    else:
        first = network() / IPv6ExtHdrFragment(nh=17, offset=0, m=1, id=7) / whole
        later = network() / IPv6ExtHdrFragment(nh=17, offset=175, m=more, id=7) / whole
    datagram = seen(bytes(_ether() / first))
    assert datagram is not None
    assert (datagram.length, datagram.payload) == (3000, bytes(1392))
    assert datagram.destination == (first.dst, 5000)
    assert seen(bytes(_ether() / later)) is None


def test_the_payload_ends_where_the_udp_header_says() -> None:
    for network in (_ipv4(), _ipv6()):
        datagram = seen(bytes(_ether() / network / _udp(len=8 + 10) / PAYLOAD))
        assert datagram is not None
        assert (datagram.length, datagram.payload) == (10, PAYLOAD[:10])


@pytest.mark.parametrize("name", WHOLE)
def test_a_truncated_frame_gives_what_it_has_or_nothing(name: str) -> None:
    frame = bytes(_ether() / WHOLE[name])
    whole = _expected(frame)
    for end in range(len(frame)):
        datagram = seen(frame[:end])
        if end < len(frame) - whole.length:
            assert datagram is None
        else:
            assert datagram == Seen(
                whole.source, whole.destination, frame[len(frame) - whole.length : end], whole.length
            )


def test_nothing_that_can_be_in_a_frame_raises() -> None:
    chance = random.Random(4)  # noqa: S311 - the same garbage each time
    frames = [bytearray(bytes(_ether() / packet)) for packet in (*WHOLE.values(), *NO_UDP.values())]
    for _ in range(20_000):
        frame = bytearray(chance.choice(frames))
        for _ in range(chance.randrange(1, 6)):
            frame[chance.randrange(len(frame))] = chance.choice((0, 1, 17, 43, 44, 60, 255, chance.randrange(256)))
        datagram = seen(bytes(frame[: chance.randrange(len(frame) + 1)]))
        assert datagram is None or len(datagram.payload) <= len(frame)
    for size in range(200):
        for kind in (0x0800, 0x86DD, chance.randrange(65536)):
            seen(chance.randbytes(12) + struct.pack(">H", kind) + chance.randbytes(size))
