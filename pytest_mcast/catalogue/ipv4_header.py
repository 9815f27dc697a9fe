"""The header of IPv4, field by field; options have a module of their own."""

from __future__ import annotations

import ipaddress
import secrets
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_mcast.packets import Expectation, Packet, Raw, deliver, drop, frames_of, raw, udp
from pytest_mcast.packets.template import load_scapy
from pytest_mcast.wire.packets import internet_checksum

from .case import Probe, register
from .probing import ProbeCase

if TYPE_CHECKING:
    from collections.abc import Callable

__all__: list[str] = []

_CHECKSUM, _VERSION = "RFC 1122 section 3.2.1.2", "RFC 1122 section 3.2.1.1"
_HEADER, _LENGTH = "ip_rcv_core(), RFC 791 section 3.1", "__udp4_lib_rcv(), RFC 791 section 3.1"
_TTL = "RFC 1122 section 3.2.1.7, RFC 1112 section 7.2"
_DSCP, _ECN = "RFC 1122 section 3.2.1.6, RFC 2474 section 3", "RFC 3168 section 5"
_PROTOCOL = "ip_protocol_deliver_rcu(), RFC 791 section 3.1"
_UDP_LITE = 136
_TAGGED = 16  # random bytes, by which a payload is known


def _inside(build: Callable[[Any, Packet, bytes], Any], name: str) -> Probe:
    """Return a probe that is something else than UDP; ``build`` gets scapy, the legitimate datagram, and a payload."""

    def probe(right: Packet) -> Raw:
        payload = secrets.token_hex(_TAGGED).encode()
        return raw(build(load_scapy(), right, payload), payload=payload, name=name)

    return probe


def _echo(scapy: Any, right: Packet, payload: bytes) -> Any:
    from scapy.layers.inet import ICMP

    return scapy.IP(src=right.source, dst=right.group, ttl=1) / ICMP(type=8, id=right.port, seq=1) / payload


def _syn(scapy: Any, right: Packet, payload: bytes) -> Any:
    from scapy.layers.inet import TCP

    tcp = TCP(sport=right.source_port, dport=right.port, flags="S")
    return scapy.IP(src=right.source, dst=right.group, ttl=1) / tcp / payload


def _tunnel(scapy: Any, right: Packet, payload: bytes) -> Any:
    inner = scapy.IP(frames_of(replace(right, payload=payload))[0][14:])
    return scapy.IP(src=right.source, dst=right.group, ttl=1, proto=4) / inner


def _udp_lite(scapy: Any, right: Packet, payload: bytes) -> Any:
    ports = struct.pack(">HH", right.source_port or 0, right.port)
    addresses = (ipaddress.ip_address(one or "").packed for one in (right.source, right.group))
    pseudo = b"".join(addresses) + struct.pack(">II", 8 + len(payload), _UDP_LITE)
    checksum = internet_checksum(pseudo + ports + bytes(4) + payload)  # RFC 3828 section 3.1: coverage 0 is all
    data = ports + struct.pack(">HH", 0, checksum) + payload
    return scapy.IP(src=right.source, dst=right.group, ttl=1, proto=_UDP_LITE) / data


def _case(
    name: str,
    title: str,
    level: str,
    reference: str,
    reason: str,
    probe: Probe,
    expect: Expectation,
    *,
    direct: bool = False,
    before: tuple[Probe, ...] = (),
) -> ProbeCase:
    return ProbeCase(
        f"ipv4.{name}",
        title,
        level,
        reference,
        reason,
        families=("ipv4",),
        probe=probe,
        expect=expect,
        direct=direct,
        before=before,
    )


def _wrong(name: str, title: str, level: str, reference: str, reason: str, probe: Probe) -> ProbeCase:
    """Return a case with a header that is wrong: over a cable, because a switch may look at it as well."""
    return _case(name, title, level, reference, reason, probe, drop(), direct=True)


register(
    _wrong(
        "checksum-bad",
        "with a wrong checksum of the header",
        "MUST",
        _CHECKSUM,
        "nothing in a header that was damaged can be believed",
        udp().with_checksum(ip="bad"),
    ),
    _wrong(
        "checksum-zero",
        "with a checksum of the header of 0",
        "MUST",
        _CHECKSUM,
        "other than that of UDP it cannot be left out",
        udp().with_checksum(ip=0),
    ),
    *(
        _wrong(
            f"version-{version}",
            f"of IP version {version}",
            "MUST",
            _VERSION,
            "it is not IPv4",
            udp().with_ip(version=version),
        )
        for version in (0, 5, 6, 15)
    ),
    _wrong(
        "header-length-0",
        "with a header length (IHL) of 0",
        "kernel",
        _HEADER,
        "a header has 5 words at least",
        udp().with_ip(ihl=0),
    ),
    _wrong(
        "header-length-4",
        "with a header length (IHL) of 4",
        "kernel",
        _HEADER,
        "a header has 5 words at least",
        udp().with_ip(ihl=4),
    ),
    _wrong(
        "header-length-past-end",
        "with a header length (IHL) of 15, in a frame that is shorter",
        "kernel",
        _HEADER,
        "the header would go past the end of the frame",
        udp(size=8).with_ip(ihl=15),
    ),
    _wrong(
        "length-past-end",
        "with a total length 8 bytes more than there are",
        "kernel",
        _HEADER,
        "a part of the datagram is missing",
        udp().with_length(ip="+8"),
    ),
    _wrong(
        "length-largest",
        "with a total length of 65535",
        "kernel",
        _HEADER,
        "most of the datagram is missing",
        udp().with_length(ip=65535),
    ),
    _wrong(
        "cut",
        "in a frame that ends 10 bytes into the payload",
        "kernel",
        _HEADER,
        "a part of the datagram is missing",
        udp().as_frame(cut=14 + 20 + 8 + 10),
    ),
    _wrong(
        "cut-in-header",
        "in a frame that ends after 19 of the 20 bytes of the header",
        "kernel",
        _HEADER,
        "there is no whole header",
        udp().as_frame(cut=14 + 19),
    ),
    _wrong(
        "length-0",
        "with a total length of 0",
        "kernel",
        _HEADER,
        "it is shorter than the header",
        udp().with_length(ip=0),
    ),
    _wrong(
        "length-19",
        "with a total length of 19",
        "kernel",
        _HEADER,
        "it is shorter than the header",
        udp().with_length(ip=19),
    ),
    _wrong(
        "length-20",
        "with a total length of 20",
        "kernel",
        _LENGTH,
        "the header of UDP is behind the end of the datagram, though it is in the frame",
        udp().with_length(ip=20),
    ),
    _wrong(
        "length-24",
        "with a total length of 24",
        "kernel",
        _LENGTH,
        "half of the header of UDP is behind the end of the datagram",
        udp().with_length(ip=24),
    ),
    _wrong(
        "length-short",
        "with a total length 8 bytes less than UDP says",
        "kernel",
        _LENGTH,
        "a part of the UDP datagram is behind the end of the IP datagram",
        udp().with_length(ip="-8"),
    ),
    *(
        _case(
            f"ttl-{ttl}",
            f"with a TTL of {ttl}",
            "MUST",
            _TTL,
            reason,
            udp(ttl=ttl),
            deliver(),
        )
        for ttl, reason in (
            (0, "the TTL is the business of routers; a host must not discard what arrives with less than 2"),
            (1, "the TTL is the business of routers; a host must not discard what arrives with less than 2"),
            (2, "the TTL is the business of routers"),
            (255, "the TTL is the business of routers"),
        )
    ),
    _case(
        "dont-fragment",
        "with the flag DF",
        "MUST",
        "RFC 791 section 3.1, RFC 1122 section 3.2.1",
        "it was not fragmented",
        udp(dont_fragment=True),
        deliver(),
    ),
    _case(
        "reserved-flag",
        "with the first flag, which is reserved",
        "kernel",
        _HEADER,
        "it must be sent as 0, and is not looked at",
        udp().with_ip(flags=4),
        deliver(),
    ),
    _case(
        "reserved-flag-dont-fragment",
        "with the first flag, which is reserved, and DF",
        "kernel",
        _HEADER,
        "it must be sent as 0, and is not looked at",
        udp().with_ip(flags=6),
        deliver(),
    ),
    _case(
        "identification-0",
        "with an identification of 0, and DF",
        "MUST",
        "RFC 6864 section 4.1",
        "that of a datagram which is not fragmented says nothing",
        udp(identification=0, dont_fragment=True),
        deliver(),
    ),
    _case(
        "identification-0-may-fragment",
        "with an identification of 0, without DF",
        "kernel",
        "ip_rcv_core(), RFC 6864 section 4.3",
        "it is a number as any other",
        udp(identification=0),
        deliver(),
    ),
    _case(
        "identification-again",
        "with DF and the identification of the datagram before",
        "MUST",
        "RFC 6864 section 4.1",
        "that of a datagram which is not fragmented says nothing: the two are not duplicates",
        udp(identification=0x4D43, dont_fragment=True),
        deliver(),
        before=(udp(identification=0x4D43, dont_fragment=True),),
    ),
    *(
        _case(
            name,
            f"with the TOS octet {octet:#04x}: {title}",
            "MUST",
            reference,
            reason,
            udp(traffic_class=octet),
            deliver(),
        )
        for name, octet, title, reference, reason in (
            ("dscp-ef", 0xB8, "DSCP 46, expedited forwarding", _DSCP, "it says how to forward, not whether to deliver"),
            ("dscp-unknown", 0xFC, "DSCP 63, which is for local use", _DSCP, "an unknown one counts as the default"),
            ("ecn-ect-0", 0x02, "ECT(0), or RFC 1349's least cost", _ECN, "congestion was not met"),
            ("ecn-ect-1", 0x01, "ECT(1)", _ECN, "congestion was not met"),
            (
                "ecn-ce",
                0x03,
                "CE, congestion experienced",
                _ECN,
                "it is for the transport to slow down, not for IP to drop",
            ),
            ("tos-all-ones", 0xFF, "all bits", f"{_DSCP}, {_ECN}", "no value is a reason to drop"),
        )
    ),
    *(
        _case(
            f"protocol-{protocol}",
            f"of protocol {protocol} ({name}) in place of 17",
            "kernel",
            _PROTOCOL,
            "it is not UDP, though it looks like it",
            udp().with_ip(proto=protocol),
            drop(),
        )
        for protocol, name in (
            (0, "IPv6 hop-by-hop options"),
            (2, "IGMP"),
            (6, "TCP"),
            (253, "for experiments"),
            (255, "reserved"),
        )
    ),
    _case(
        "protocol-udp-lite",
        "a UDP-Lite datagram to the group and the port",
        "MUST",
        "RFC 3828 section 3.1",
        "UDP-Lite is a protocol of its own, whose ports are not those of UDP",
        _inside(_udp_lite, "UDP-Lite"),
        drop(),
    ),
    _case(
        "icmp-echo",
        "an ICMP echo request to the group",
        "kernel",
        "icmp_rcv(), ip-sysctl icmp_echo_ignore_broadcasts, RFC 1122 section 3.2.2.6",
        "it is not UDP",
        _inside(_echo, "an ICMP echo request"),
        drop(),
    ),
    _case(
        "tcp-syn",
        "a TCP SYN to the group and the port",
        "MUST",
        "RFC 1122 section 4.2.3.10",
        "TCP connects two, and never a group",
        _inside(_syn, "a TCP SYN"),
        drop(),
    ),
    _case(
        "encapsulated",
        "a legitimate datagram in another to the group, IP in IP",
        "kernel",
        "tunnel4_rcv(), RFC 2003",
        "the host is no end of a tunnel",
        _inside(_tunnel, "IP in IP"),
        drop(),
    ),
)
