"""The header of IPv6: its fields at their limits and wrong, and what follows that is not UDP."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from pytest_mcast.packets import Expectation, Packet, Raw, deliver, drop, frames_of, raw, udp
from pytest_mcast.wire.packets import internet_checksum

from .case import Probe, register
from .probing import ProbeCase

__all__: list[str] = []

_ETHERNET, _HEADER = 14, 40  # bytes
_PAYLOAD = b"pytest-mcast: not for UDP, which has the same ports"


def _case(
    name: str,
    title: str,
    level: str,
    reference: str,
    reason: str,
    probe: Probe,
    expect: Expectation,
    **more: Any,
) -> ProbeCase:
    return ProbeCase(
        f"ipv6.{name}",
        title,
        level,
        reference,
        reason,
        families=("ipv6",),
        probe=probe,
        expect=expect,
        **more,
    )


def _carrying(number: int, make: Callable[[Packet, bytes], bytes]) -> Probe:
    """Return what makes a probe with another protocol; ``make`` is given the legitimate datagram and both addresses."""

    def probe(right: Packet) -> Raw:
        frame = frames_of(udp(payload=_PAYLOAD).with_ip(nh=number).over(right))[0]
        header = frame[: _ETHERNET + _HEADER]
        body = make(right, frame[_ETHERNET + 8 : _ETHERNET + _HEADER])
        header = header[: _ETHERNET + 4] + struct.pack(">H", len(body)) + header[_ETHERNET + 6 :]
        return raw(header + body, payload=_PAYLOAD, name=f"protocol {number}, {len(body)} bytes")

    return probe


def _summed(number: int, body: bytes, place: int, addresses: bytes) -> bytes:
    """Return it with its checksum in that place (RFC 8200 section 8.1)."""
    pseudo = addresses + struct.pack(">II", len(body), number)
    return body[:place] + struct.pack(">H", internet_checksum(pseudo + body)) + body[place + 2 :]


def _udp_lite(right: Packet, addresses: bytes) -> bytes:
    header = struct.pack(">HHHH", right.source_port, right.port, 8 + len(_PAYLOAD), 0)
    return _summed(136, header + _PAYLOAD, 6, addresses)


def _echo(_: Packet, addresses: bytes) -> bytes:
    return _summed(58, struct.pack(">BBHHH", 128, 0, 0, 1, 1) + _PAYLOAD, 2, addresses)


def _tcp(right: Packet, addresses: bytes) -> bytes:
    header = struct.pack(">HHIIBBHHH", right.source_port, right.port, 1, 0, 5 << 4, 2, 1024, 0, 0)  # SYN
    return _summed(6, header + _PAYLOAD, 16, addresses)


def _inner_ipv6(right: Packet, _: bytes) -> bytes:
    return frames_of(udp(payload=_PAYLOAD).over(right))[0][_ETHERNET:]


def _inner_ipv4(right: Packet, _: bytes) -> bytes:
    inner = udp(payload=_PAYLOAD, source="198.51.100.9", group="239.255.8.7", port=right.port)
    return frames_of(inner.over(right))[0][_ETHERNET:]


register(
    *(
        _case(
            f"hop-limit-{limit}",
            f"with a hop limit of {limit}",
            "kernel" if limit else "SHOULD",
            "RFC 8200 section 3, Linux ip6_rcv_core",
            "the hop limit is for those who forward: the destination takes any, 0 as well",
            udp(ttl=limit),
            deliver(),
        )
        for limit in (0, 1, 64, 255)
    ),
    _case(
        "traffic-class",
        "with all bits of the traffic class but congestion",
        "kernel",
        "RFC 8200 section 7, RFC 2474 section 3",
        "unknown code points are treated as the default one",
        udp(traffic_class=0xFC),
        deliver(),
    ),
    _case(
        "congestion",
        "with congestion experienced",
        "kernel",
        "RFC 3168 section 5, RFC 8085 section 3.1.7",
        "it is a sign to whom it may concern, not an error",
        udp(traffic_class=3),
        deliver(),
    ),
    _case(
        "flow-label",
        "with a flow label of fffff",
        "MUST",
        "RFC 6437 section 2, RFC 8200 section 6",
        "nobody may assume that a value of it means something",
        udp(flow_label=0xFFFFF),
        deliver(),
    ),
    _case(
        "everything-set",
        "with all bits of traffic class and flow label, and the highest hop limit",
        "kernel",
        "RFC 8200 section 3, Linux ip6_rcv_core",
        "none of them is a reason to drop",
        udp(traffic_class=0xFF, flow_label=0xFFFFF, ttl=255),
        deliver(),
    ),
    *(
        _case(
            f"version-{version}",
            f"with version {version} in a frame of IPv6",
            "kernel",
            "RFC 8200 section 3, Linux ip6_rcv_core",
            "it is no packet of IPv6",
            udp().with_ip(version=version),
            drop(),
            direct=True,
        )
        for version in (0, 4, 5, 7, 15)
    ),
    _case(
        "ethertype-ipv4",
        "in a frame that says it is IPv4",
        "kernel",
        "RFC 2464 section 3, Linux ip_rcv_core",
        "version 6 is no packet of IPv4",
        udp().as_frame(ethertype=0x0800),
        drop(),
        direct=True,
    ),
    _case(
        "ethertype-unknown",
        "in a frame of a protocol that nobody has (88b5)",
        "MUST",
        "RFC 2464 section 3",
        "IPv6 is 86dd",
        udp().as_frame(ethertype=0x88B5),
        drop(),
        direct=True,
    ),
    _case(
        "padding",
        "with 40 bytes after the packet, in the same frame",
        "kernel",
        "RFC 8200 section 3, Linux ip6_rcv_core",
        "the payload length says where the packet ends",
        udp().as_frame(padding=b"after the end of the packet, 40 bytes...."),
        deliver(),
        direct=True,
    ),
    _case(
        "padding-small",
        "with 1 byte of payload, and padding up to the smallest frame",
        "MUST",
        "RFC 8200 section 3, RFC 2464 section 3",
        "the payload length says where the packet ends",
        udp(size=1).as_frame(padding=bytes(11)),
        deliver(),
        direct=True,
    ),
    _case(
        "payload-length-long",
        "with a payload length that is 4 bytes beyond the frame",
        "kernel",
        "RFC 8200 section 3, Linux ip6_rcv_core",
        "a part of the packet is missing",
        udp().with_length(ip="+4"),
        drop(),
        direct=True,
    ),
    _case(
        "payload-length-longest",
        "with a payload length of 65535 in a small frame",
        "kernel",
        "RFC 8200 section 3, Linux ip6_rcv_core",
        "most of the packet is missing",
        udp().with_length(ip=65535),
        drop(),
        direct=True,
    ),
    _case(
        "payload-length-short",
        "with a payload length that ends within the datagram",
        "kernel",
        "RFC 768, Linux __udp6_lib_rcv",
        "UDP says that it is longer than what IPv6 has",
        udp().with_length(ip="-4"),
        drop(),
        direct=True,
    ),
    _case(
        "payload-length-header-only",
        "with a payload length that ends after the header of UDP",
        "kernel",
        "RFC 768, Linux __udp6_lib_rcv",
        "UDP says that it is longer than what IPv6 has",
        udp().with_length(ip=8),
        drop(),
        direct=True,
    ),
    _case(
        "payload-length-half-a-header",
        "with a payload length of 4, within the header of UDP",
        "kernel",
        "RFC 768, Linux __udp6_lib_rcv",
        "there is no whole header of UDP",
        udp().with_length(ip=4),
        drop(),
        direct=True,
    ),
    _case(
        "payload-length-zero",
        "with a payload length of 0 and no jumbo option",
        "kernel",
        "RFC 8200 section 3, RFC 2675 section 3, Linux ip6_rcv_core",
        "there is no datagram in it",
        udp().with_length(ip=0),
        drop(),
        direct=True,
    ),
    _case(
        "cut-in-the-header",
        "cut within the header",
        "kernel",
        "RFC 8200 section 3, Linux ip6_rcv_core",
        "there is no whole header",
        udp().as_frame(cut=_ETHERNET + 30),
        drop(),
        direct=True,
    ),
    _case(
        "cut-after-the-header",
        "cut after the header",
        "kernel",
        "RFC 8200 section 3, Linux ip6_rcv_core",
        "what the payload length promises is missing",
        udp().as_frame(cut=_ETHERNET + _HEADER),
        drop(),
        direct=True,
    ),
    _case(
        "cut-by-one",
        "without its last byte",
        "kernel",
        "RFC 8200 section 3, Linux ip6_rcv_core",
        "what the payload length promises is missing",
        udp().as_frame(cut=_ETHERNET + _HEADER + 8 + 63),
        drop(),
        direct=True,
    ),
    _case(
        "twice",
        "the same packet twice",
        "kernel",
        "RFC 768, Linux __udp6_lib_mcast_deliver",
        "neither IPv6 nor UDP looks for duplicates: it is delivered twice",
        udp().repeated(2),
        deliver(2),
    ),
    _case(
        "no-next-header",
        "with next header 59: nothing follows",
        "MUST",
        "RFC 8200 section 4.7",
        "what comes after is ignored",
        udp().with_ip(nh=59),
        drop(),
    ),
    *(
        _case(
            name,
            f"with next header {number}, {what}",
            "MUST",
            "RFC 8200 section 4, RFC 4443 section 3.4",
            "a node discards what it does not know",
            udp().with_ip(nh=number),
            drop(),
        )
        for name, number, what in (
            ("next-header-unassigned", 200, "which is unassigned"),
            ("next-header-experiment", 253, "which is for experiments"),
            ("next-header-reserved", 255, "which is reserved"),
        )
    ),
    _case(
        "udp-lite",
        "UDP-Lite to the same port, with a right checksum",
        "MUST",
        "RFC 3828 section 3",
        "UDP-Lite is another protocol with ports of its own",
        _carrying(136, _udp_lite),
        drop(),
    ),
    _case(
        "tcp",
        "TCP to the same port, with a right checksum",
        "MUST",
        "RFC 1122 section 4.2.3.10, RFC 8200 section 4",
        "TCP is not for groups",
        _carrying(6, _tcp),
        drop(),
    ),
    _case(
        "icmp-echo",
        "an echo request to the group",
        "kernel",
        "RFC 4443 section 4.1, Linux icmpv6_rcv",
        "the host answers, the receiver is not concerned",
        _carrying(58, _echo),
        drop(),
    ),
    _case(
        "ipv6-in-ipv6",
        "the legitimate datagram in another packet to the group",
        "kernel",
        "RFC 2473 section 3, Linux tunnel6_rcv",
        "this host is no end of a tunnel",
        _carrying(41, _inner_ipv6),
        drop(),
    ),
    _case(
        "ipv4-in-ipv6",
        "a datagram of IPv4 to the same port, in a packet to the group",
        "kernel",
        "RFC 2473 section 3, Linux tunnel46_rcv",
        "this host is no end of a tunnel",
        _carrying(4, _inner_ipv4),
        drop(),
    ),
)
