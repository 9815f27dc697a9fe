"""Datagrams of all sizes, whole and in fragments, what is in them, and receivers that take no more than they were told."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pytest_mcast.cores import CoreFailure
from pytest_mcast.packets import Prober, deliver, destination_options, either, ipv6_option, udp

from .case import Situation, register
from .probing import ProbeCase

if TYPE_CHECKING:
    from pytest_mcast.cores.behaviours import Bench

__all__ = ["limited"]

_ACCEPT = "RFC 791 section 3.1, RFC 8200 section 5"
_EVERY_HOST = "every host takes a datagram of this size"
_SHOULD = "RFC 1122 section 3.3.2"
_PERMITTED = "RFC 8200 section 5; ipv6_frag_rcv"
_INDEFINITE = "what can be put together should have no other limit than that of IP"
_LINUX_TOO = "a node need not put together more than 1500 bytes, and Linux does"
_BYTES = "RFC 768; udp_recvmsg"
_OPAQUE = "a payload is bytes, and none of them means anything to a receiver"
_PORT = ("payload", "source_port")
_OPTIONS = destination_options(ipv6_option("padn", bytes(4)))

register(
    ProbeCase(
        "size.empty",
        "no payload",
        "MUST",
        f"RFC 768, {_ACCEPT}",
        "a datagram without a payload is a datagram, and not the end of anything",
        needs=_PORT,
        probe=udp(size=0),
        expect=deliver(),
    ),
    ProbeCase(
        "size.empty-repeated",
        "eight datagrams without a payload",
        "MUST",
        f"RFC 768, {_ACCEPT}",
        "each of them is a datagram",
        needs=_PORT,
        probe=udp(size=0).repeated(8),
        expect=deliver(8),
    ),
    ProbeCase(
        "size.empty-after-large",
        "no payload, after a datagram of 1400 bytes",
        "MUST",
        f"RFC 768, {_ACCEPT}",
        "nothing is left of the one before",
        needs=_PORT,
        before=(udp(size=1400),),
        probe=udp(size=0),
        expect=deliver(),
    ),
    ProbeCase(
        "size.one",
        "a payload of one byte",
        "MUST",
        f"RFC 768, {_ACCEPT}",
        _EVERY_HOST,
        needs=_PORT,
        probe=udp(size=1),
        expect=deliver(),
    ),
    ProbeCase(
        "size.one-after-large",
        "a payload of one byte, after a datagram of 1400 bytes",
        "MUST",
        f"RFC 768, {_ACCEPT}",
        "nothing is left of the one before",
        needs=_PORT,
        before=(udp(size=1400),),
        probe=udp(size=1),
        expect=deliver(),
    ),
    ProbeCase(
        "size.minimum",
        "a datagram of 576 bytes with the header of IPv4",
        "MUST",
        "RFC 791 section 3.1",
        _EVERY_HOST,
        families=("ipv4",),
        probe=udp(size=548),
        expect=deliver(),
    ),
    ProbeCase(
        "size.minimum-in-fragments",
        "two fragments of a datagram of 576 bytes with the header of IPv4",
        "MUST",
        "RFC 791 section 3.1, RFC 1122 section 3.3.2",
        "every host takes a datagram of this size, whole or in fragments",
        families=("ipv4",),
        probe=udp(size=548).fragmented(280),
        expect=deliver(),
    ),
    ProbeCase(
        "size.minimum-ipv6",
        "a packet of 1280 bytes, the smallest MTU of IPv6",
        "MUST",
        "RFC 8200 section 5",
        _EVERY_HOST,
        families=("ipv6",),
        probe=udp(size=1232),
        expect=deliver(),
    ),
    ProbeCase(
        "size.mtu",
        "1472 bytes, which just fit into a frame",
        "SHOULD",
        _SHOULD,
        "a host should take what its network can carry",
        families=("ipv4",),
        probe=udp(size=1472),
        expect=deliver(),
    ),
    ProbeCase(
        "size.mtu-ipv6",
        "1452 bytes, which just fit into a frame",
        "MUST",
        "RFC 8200 section 5",
        "a node takes what its link can carry",
        families=("ipv6",),
        probe=udp(size=1452),
        expect=deliver(),
    ),
    ProbeCase(
        "size.mtu-in-fragments",
        "fragments of a datagram of 1500 bytes with the header of IPv4",
        "SHOULD",
        _SHOULD,
        "a host should put together what its network can carry",
        families=("ipv4",),
        probe=udp(size=1472).fragmented(800),
        expect=deliver(),
    ),
    ProbeCase(
        "size.mtu-in-fragments-ipv6",
        "fragments of a packet of 1500 bytes",
        "MUST",
        "RFC 8200 section 5",
        "a node puts 1500 bytes together",
        families=("ipv6",),
        probe=udp(size=1452).fragmented(800),
        expect=deliver(),
    ),
    *(
        ProbeCase(
            f"size.{name}{suffix}",
            title,
            level,
            reference,
            reason,
            families=(family,),
            probe=udp(size=size).fragmented(fragment, order=order),
            expect=deliver(),
        )
        for family, suffix, fragment, level, reference, reason in (
            ("ipv4", "", 1480, "SHOULD", _SHOULD, _INDEFINITE),
            ("ipv6", "-ipv6", 1448, "kernel", _PERMITTED, _LINUX_TOO),
        )
        for name, title, size, order in (
            (
                "over-mtu",
                "a payload of one byte more than fits into a frame, in two fragments",
                1473 if family == "ipv4" else 1453,
                None,
            ),
            ("fragmented", "3000 bytes in three fragments", 3000, None),
            ("power-of-two", "8192 bytes in six fragments, a size at which many buffers end", 8192, None),
            (
                "largest",
                "the largest datagram there is, in fragments",
                65507 if family == "ipv4" else 65527,
                None,
            ),
            (
                "largest-reversed",
                "the largest datagram there is, in fragments, the last one first",
                65507 if family == "ipv4" else 65527,
                "reversed",
            ),
        )
    ),
    ProbeCase(
        "size.small-fragments",
        "3000 bytes in fragments of 104 bytes",
        "kernel",
        "RFC 1122 section 3.3.2, RFC 8200 section 5; inet_frag_queue_insert",
        "there is no smallest fragment, in IPv6 neither",
        probe=udp(size=3000).fragmented(104),
        expect=deliver(),
    ),
    ProbeCase(
        "size.too-large",
        "65508 bytes in fragments, which make 65536 with the header of IPv4",
        "kernel",
        "RFC 791 section 3.1; ip_frag_reasm (out_oversize)",
        "no length of IP can say that",
        families=("ipv4",),
        probe=udp(size=65508).fragmented(1480),
    ),
    ProbeCase(
        "size.much-too-large",
        "65527 bytes in fragments, which make 65555 with the header of IPv4",
        "kernel",
        "RFC 791 section 3.1; ip_frag_reasm (out_oversize)",
        "what UDP could say, IP cannot",
        families=("ipv4",),
        probe=udp(size=65527).fragmented(1480),
    ),
    ProbeCase(
        "size.largest-with-options",
        "65519 bytes behind a destination options header of 8, in fragments, which make 65535",
        "kernel",
        _PERMITTED,
        _LINUX_TOO,
        families=("ipv6",),
        probe=udp(size=65519).with_options(_OPTIONS).fragmented(1448),
        expect=deliver(),
    ),
    ProbeCase(
        "size.too-large-with-options",
        "65520 bytes behind a destination options header of 8, in fragments, which make 65536",
        "MUST",
        "RFC 8200 section 4.5",
        "the fragment that goes beyond 65535 is discarded",
        families=("ipv6",),
        probe=udp(size=65520).with_options(_OPTIONS).fragmented(1448),
    ),
    *(
        ProbeCase(
            f"size.{name}",
            title,
            "kernel",
            _BYTES,
            _OPAQUE,
            needs=_PORT,
            probe=udp(payload=payload),
            expect=deliver(),
        )
        for name, title, payload in (
            ("all-octets", "a payload of all octets from 0 to 255", bytes(range(256))),
            ("all-octets-backwards", "a payload of all octets from 255 to 0", bytes(range(255, -1, -1))),
            ("null-bytes", "a payload of 64 bytes 0", bytes(64)),
            ("null-byte-last", "a text with a byte 0 at its end", b"text\0"),
            ("line-ends", "a text with line ends of all kinds, one of them last", b"one\ntwo\r\nthree\rfour\n\n"),
            ("spaces", "a text with white space around it", b" \t text \t "),
            ("not-utf-8", "a text in Latin-1, which is no UTF-8", "Grüße".encode("latin-1")),
            ("utf-8", "a text in UTF-8", "Grüße, 世界 🌍".encode()),
        )
    ),
    ProbeCase(
        "size.all-octets-in-fragments",
        "fragments of a payload with all octets from 0 to 255, twice",
        "kernel",
        _BYTES,
        _OPAQUE,
        needs=_PORT,
        probe=udp(payload=bytes(range(256)) * 2).fragmented(104),
        expect=deliver(),
    ),
)


def limited(size: int, limit: int, fragment: int | None = None) -> Callable[[Bench], None]:
    """Return what looks at a receiver that takes ``limit`` bytes and gets ``size``: what is cut off is told, or missing."""

    def look(bench: Bench) -> None:
        rx, tx = bench.lab.hosts(2)
        receiver = bench.open(bench.channel(tx), rx, max_size=limit)
        packet = udp(size=size) if fragment is None else udp(size=size).fragmented(fragment)
        with Prober(receiver, tx, rx, timeout=bench.timeout, drops=bench.drops) as probe:
            probe().expect(deliver())
            verdict = probe(packet, expect=deliver() if size <= limit else either()).check()
        if size > limit and any(not datagram.truncated for datagram in verdict.datagrams):
            raise CoreFailure(
                "wrong", f"{receiver!r} took {limit} bytes of {size}, and did not say so\n{verdict.evidence}"
            )
        bench.evidence.append(
            f"{'delivered' if verdict.delivered else 'not delivered'}, of {size} bytes at most {limit}"
        )

    return look


register(
    *(
        Situation(
            f"size.{name}",
            title,
            "kernel",
            "recv(2) (MSG_TRUNC), recv() of POSIX; udp_recvmsg",
            reason,
            outcome=outcome,
            run=limited(*sizes),
        )
        for name, title, reason, outcome, sizes in (
            (
                "limit-reached",
                "100 bytes, for a receiver that takes 100",
                "it is whole",
                "delivered once",
                (100, 100),
            ),
            (
                "limit-exceeded-by-one",
                "101 bytes, for a receiver that takes 100",
                "what is cut off is lost, which must not go unnoticed",
                "delivered truncated and said to be so, or not delivered",
                (101, 100),
            ),
            (
                "limit-exceeded",
                "1400 bytes, for a receiver that takes 100",
                "the rest is lost, and is no datagram of its own",
                "delivered truncated and said to be so, or not delivered",
                (1400, 100),
            ),
            (
                "limit-exceeded-in-fragments",
                "3000 bytes in fragments, for a receiver that takes 1472",
                "it is the datagram that is cut, not the fragment",
                "delivered truncated and said to be so, or not delivered",
                (3000, 1472, 1000),
            ),
        )
    )
)
