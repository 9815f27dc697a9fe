"""Filters of captures."""

from __future__ import annotations

import socket
import struct

import pytest

from pytest_mcast.core import Channel
from pytest_mcast.wire import KINDS, Filter, frame_filter
from pytest_mcast.wire.filters import describe

_hex = bytes.fromhex
ETHERNET = _hex("01005e000001 020000000002")
IPV4 = ETHERNET + _hex("0800")
IPV6 = ETHERNET + _hex("86dd")
LINK_LOCAL, MLD_ROUTERS = (socket.inet_pton(socket.AF_INET6, address) for address in ("fe80::1", "ff02::16"))


def _ipv4(protocol: int, source: str, group: str, payload: bytes, fragment: int = 0) -> bytes:
    addresses = socket.inet_aton(source) + socket.inet_aton(group)
    return (
        IPV4 + struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, fragment, 1, protocol, 0) + addresses + payload
    )


def _udp(port: int, payload: bytes = b"hello") -> bytes:
    return struct.pack("!HHHH", 4000, port, 8 + len(payload), 0) + payload


FRAMES = {
    "arp": ETHERNET + _hex("0806") + bytes(28),
    "short": ETHERNET + _hex("0800 4500"),
    "igmp": _ipv4(2, "10.0.0.1", "224.0.0.22", _hex("2200000000000000")),
    # With the router alert option that RFC 3810 asks for: hop-by-hop options before ICMPv6.
    "mld": IPV6
    + _hex("6000000000240001")
    + LINK_LOCAL
    + MLD_ROUTERS
    + _hex("3a00050200000100 8f00000000000000")
    + bytes(20),
    "neighbour": IPV6 + _hex("6000000000083aff") + LINK_LOCAL + MLD_ROUTERS + _hex("8700000000000000"),
    "udp": _ipv4(17, "10.0.0.1", "239.1.2.3", _udp(5000)),
    "other source": _ipv4(17, "10.0.0.2", "239.1.2.3", _udp(5000)),
    "other port": _ipv4(17, "10.0.0.1", "239.1.2.3", _udp(5001)),
    "other group": _ipv4(17, "10.0.0.1", "239.1.2.4", _udp(5000)),
    "fragment": _ipv4(17, "10.0.0.1", "239.1.2.3", bytes(16), fragment=185),
}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (None, set(FRAMES)),
        ("arp", {"arp"}),
        ("igmp", {"igmp"}),
        ("mld", {"mld"}),
        ("ipv6", {"mld", "neighbour"}),
        ("ipv4", {"igmp", "udp", "other source", "other port", "other group", "fragment"}),
        ("udp", {"udp", "other source", "other port", "other group", "fragment"}),
        (Channel("239.1.2.3", 5000), {"udp", "other source", "fragment"}),
        (Channel.unchecked("239.1.2.3", 5000, "10.0.0.1"), {"udp", "fragment"}),
        (Channel("239.1.2.3", 0), {"udp", "other source", "other port", "fragment"}),
        (Channel("ff02::1", 5000), set()),
        (lambda frame: b"hello" in frame, {"udp", "other source", "other port", "other group"}),
    ],
)
def test_what_a_filter_lets_in(wanted: Filter, expected: set[str]) -> None:
    wants = frame_filter(wanted)
    assert {name for name, frame in FRAMES.items() if wants(frame)} == expected


@pytest.mark.parametrize("wrong", ["IGMP", "udp port 5000", 5000, b"udp"])
def test_a_wrong_filter_is_refused_with_the_choices(wrong: Filter) -> None:
    with pytest.raises(ValueError, match=r"one of 'arp', 'igmp', .*'udp', a function.* or None, not ") as refusal:
        frame_filter(wrong)
    assert str(refusal.value).endswith(repr(wrong))


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_every_beginning_of_a_frame_can_be_looked_at(frame: bytes) -> None:
    filters = [*KINDS.values(), frame_filter(Channel("239.1.2.3", 5000))]
    for length in range(len(frame)):
        for wants in filters:
            wants(frame[:length])
        assert describe(frame[:length])


def test_a_frame_in_words() -> None:
    assert describe(FRAMES["udp"]) == "10.0.0.1 port 4000 to 239.1.2.3 port 5000: 5 bytes b'hello'"
    assert describe(FRAMES["igmp"]) == "10.0.0.1 to 224.0.0.22: igmp, 8 bytes"
    assert describe(FRAMES["fragment"]) == "10.0.0.1 to 239.1.2.3: a fragment of UDP, 16 bytes"
    assert describe(FRAMES["arp"]) == "42 bytes of Ethernet type 0x0806"
