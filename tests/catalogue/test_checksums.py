"""The checksums of the cases are what their titles say: scapy computes them again."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from pytest_mcast.catalogue import ProbeCase, matching
from pytest_mcast.catalogue.checksums import checksum_of, from_port_with
from pytest_mcast.packets import Packet, frames_of, udp

RIGHT = {
    "ipv4": Packet(source="10.1.2.3", source_port=50000, group="239.1.2.3", port=5000, source_mac="02:00:00:00:00:01"),
    "ipv6": Packet(
        source="fe80::1:2", source_port=50000, group="ff12::8000:1", port=5000, source_mac="02:00:00:00:00:01"
    ),
}
MADE = [
    (case, family)
    for case, family, mode in matching([("ipv4", "asm"), ("ipv6", "asm")])
    if isinstance(case, ProbeCase) and case.area == "checksum" and callable(case.probe)
]

families = pytest.mark.parametrize("family", list(RIGHT))


def _computed(frame: bytes) -> int:
    """Return the checksum that is right for the datagram in a frame, as scapy computes it."""
    network = Ether(frame).payload
    datagram = network[UDP]
    del datagram.chksum
    rebuilt = (IP if IP in network else IPv6)(bytes(network))
    return int(rebuilt[UDP].chksum)


@families
@pytest.mark.parametrize("checksum", [1, 0x1A2B, 0xFFFE, 0xFFFF])
@pytest.mark.parametrize("size", [64, 65])
def test_a_port_makes_a_checksum_right(family: str, checksum: int, size: int) -> None:
    packet = from_port_with(checksum, RIGHT[family], udp(size=size))
    assert checksum_of(packet) == checksum == _computed(frames_of(packet)[0])


@pytest.mark.parametrize(("case", "family"), MADE, ids=[f"{case}-{family}" for case, family in MADE])
def test_what_is_sent_is_wrong_unless_it_is_to_be_delivered(case: ProbeCase, family: str) -> None:
    packet = case.probe(RIGHT[family]).over(RIGHT[family])
    frame = frames_of(packet)[0]
    sent, right = checksum_of(packet), _computed(frame)
    assert (sent == right) == case.expect.delivered
    assert (sent == 0) == case.id.startswith("checksum.zero")
