"""Checksums of UDP: wrong, absent, and right in unusual ways."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import replace
from itertools import product

from pytest_mcast.packets import Packet, deliver, destination_options, frames_of, ipv6_option, udp
from pytest_mcast.packets.words import neighbour_address
from pytest_mcast.wire.frames import packet as read
from pytest_mcast.wire.packets import internet_checksum

from .case import register
from .probing import ProbeCase

__all__ = ["checksum_of", "from_port_with"]

_RIGHT = 0x1A2B  # what is right in those that send another one on purpose: no two of those are alike
_DISCARD = "RFC 1122 section 4.1.3.4, RFC 8200 section 8.1"
_NONE = "RFC 768, RFC 1122 section 4.1.3.4"
_BEHIND_OPTIONS = udp().with_options(destination_options(ipv6_option("padn", bytes(4))))


def checksum_of(packet: Packet) -> int:
    """Return the checksum of UDP that a packet has, which must be complete."""
    frame = frames_of(packet)[0]
    found = read(frame)
    assert found is not None, f"{packet} has no IP"
    return int.from_bytes(frame[found.start + 6 : found.start + 8], "big")


def from_port_with(checksum: int, right: Packet, base: Packet | None = None) -> Packet:
    """Return ``base`` as the legitimate datagram ``right``, from a port with which that is its right checksum.

    0xFFFF is that of a datagram whose checksum computes to 0 (RFC 768).
    """
    packet = replace(base or udp(), source_port=1).over(right)
    return replace(packet, source_port=(checksum_of(packet) - checksum) % 0xFFFF + 1)


def _sent_as(checksum: int, base: Packet | None = None) -> Callable[[Packet], Packet]:
    """Return a probe with that checksum, where ``_RIGHT`` is right."""
    return lambda right: from_port_with(_RIGHT, right, base).with_checksum(checksum)


def _right_if(**changes: str | int) -> Callable[[Packet], Packet]:
    """Return a probe with the checksum that were right with these changes."""

    def probe(right: Packet) -> Packet:
        packet = udp().over(right)
        return packet.with_checksum(checksum_of(replace(packet, **changes)))  # type: ignore[arg-type]  # any field

    return probe


def _another(address: str | None) -> str:
    return neighbour_address(address or "", ())


def _pseudo_sum(packet: Packet, protocol: int = 17) -> int:
    """Return the sum of the pseudo header, which is what is left to the network card to go on with."""
    addresses = b"".join(ipaddress.ip_address(one or "").packed for one in (packet.source, packet.group))
    lengths = (8 + packet.size).to_bytes(4, "big") + protocol.to_bytes(4, "big")
    return internet_checksum(addresses + lengths) ^ 0xFFFF


def _pseudo_header_only(right: Packet) -> Packet:
    wrong = _pseudo_sum(udp().over(right))
    return from_port_with(wrong ^ 0x5555 or _RIGHT, right).with_checksum(wrong)


def _without_pseudo_header(right: Packet) -> Packet:
    """Return one with the checksum of the UDP datagram alone; of these sizes and checksums one is not right by chance."""
    for size, checksum in product((64, 66), (_RIGHT, _RIGHT + 1)):
        packet = from_port_with(checksum, right, udp(size=size))
        wrong = (checksum + _pseudo_sum(packet)) % 0xFFFF
        if wrong not in (0, checksum):
            return packet.with_checksum(wrong)
    raise AssertionError("no sum is 0 for two sizes")


def _of_other_protocol(right: Packet) -> Packet:
    """Return one whose pseudo header has the number of the extension header that follows that of IPv6."""
    return from_port_with(_RIGHT, right, _BEHIND_OPTIONS).with_checksum(_RIGHT - (60 - 17))


_COMPUTED = "it does not fit the datagram"

register(
    ProbeCase(
        "checksum.odd-size",
        "a right checksum of an odd number of bytes",
        "MUST",
        "RFC 768, RFC 1122 section 4.1.3.4",
        "for the checksum, and only for it, a byte 0 is put after the last one",
        probe=udp(size=65),
        expect=deliver(),
    ),
    ProbeCase(
        "checksum.computes-to-zero",
        "a right checksum that computes to 0 and is sent as 0xFFFF",
        "MUST",
        "RFC 768, RFC 1122 section 4.1.3.4, RFC 8200 section 8.1",
        "0 in its place would say that there is none",
        probe=lambda right: from_port_with(0xFFFF, right),
        expect=deliver(),
    ),
    ProbeCase(
        "checksum.behind-options",
        "a right checksum behind a destination options header",
        "MUST",
        "RFC 8200 section 8.1",
        "the pseudo header names UDP, whatever follows the IPv6 header",
        families=("ipv6",),
        probe=_BEHIND_OPTIONS,
        expect=deliver(),
    ),
    ProbeCase(
        "checksum.bad",
        "a small datagram with a wrong checksum",
        "MUST",
        _DISCARD,
        "a datagram whose checksum is wrong is discarded in silence",
        probe=udp().with_checksum("bad"),
    ),
    ProbeCase(
        "checksum.bad-empty",
        "a wrong checksum, and no payload",
        "MUST",
        _DISCARD,
        "the header is protected as well",
        needs=("payload", "source_port"),
        probe=udp(size=0).with_checksum("bad"),
    ),
    ProbeCase(
        "checksum.bad-76",
        "a wrong checksum in the largest datagram that Linux checks when it comes in (76 bytes with the UDP header)",
        "MUST",
        _DISCARD,
        "a datagram whose checksum is wrong is discarded in silence",
        probe=udp(size=68).with_checksum("bad"),
    ),
    ProbeCase(
        "checksum.bad-77",
        "a wrong checksum in the smallest datagram that Linux checks when it is read (77 bytes with the UDP header)",
        "MUST",
        _DISCARD,
        "what is queued and then not there is no error, and not the end",
        probe=udp(size=69).with_checksum("bad"),
    ),
    ProbeCase(
        "checksum.bad-large",
        "a large datagram with a wrong checksum",
        "MUST",
        _DISCARD,
        "the socket is readable and then gives nothing (select(2), BUGS)",
        probe=udp(size=1400).with_checksum("bad"),
    ),
    ProbeCase(
        "checksum.bad-burst",
        "32 large datagrams with a wrong checksum",
        "MUST",
        _DISCARD,
        "however many there are, what comes after them is delivered",
        probe=udp(size=1000).with_checksum("bad").repeated(32),
    ),
    ProbeCase(
        "checksum.bad-after-good",
        "a wrong checksum in a datagram that is otherwise like the one before",
        "MUST",
        _DISCARD,
        "each datagram is judged by itself",
        before=(udp(size=1200),),
        probe=udp(size=1200).with_checksum("bad"),
    ),
    ProbeCase(
        "checksum.bad-in-fragments",
        "fragments of a datagram with a wrong checksum",
        "MUST",
        _DISCARD,
        "the checksum is that of the whole, looked at when it is put together",
        probe=udp(size=512).fragmented(200).with_checksum("bad"),
    ),
    ProbeCase(
        "checksum.one-bit",
        "a checksum that is wrong in its last bit",
        "MUST",
        _DISCARD,
        "almost right is wrong",
        probe=_sent_as(_RIGHT ^ 1),
    ),
    ProbeCase(
        "checksum.other-byte-order",
        "a checksum with its two bytes in the wrong order",
        "MUST",
        _DISCARD,
        _COMPUTED,
        probe=_sent_as(0x2B1A),
    ),
    ProbeCase(
        "checksum.not-complemented",
        "the sum in place of its complement",
        "MUST",
        _DISCARD,
        "the checksum is the complement of the sum",
        probe=_sent_as(_RIGHT ^ 0xFFFF),
    ),
    ProbeCase(
        "checksum.all-ones",
        "0xFFFF, where the checksum does not compute to 0",
        "MUST",
        _DISCARD,
        "0xFFFF is a checksum like any other, and does not say that there is none",
        probe=_sent_as(0xFFFF),
    ),
    ProbeCase(
        "checksum.pseudo-header-only",
        "the sum of the pseudo header, as a sender leaves it to its network card",
        "MUST",
        _DISCARD,
        "it is a checksum begun and not ended, which must not have got to the wire",
        probe=_pseudo_header_only,
    ),
    ProbeCase(
        "checksum.without-pseudo-header",
        "the checksum of the UDP datagram alone, without the pseudo header",
        "MUST",
        _DISCARD,
        "the checksum covers the addresses",
        probe=_without_pseudo_header,
    ),
    ProbeCase(
        "checksum.of-another-group",
        "the checksum of a datagram to another group",
        "MUST",
        _DISCARD,
        "the pseudo header protects against datagrams that went astray",
        probe=lambda right: _right_if(group=_another(right.group))(right),
    ),
    ProbeCase(
        "checksum.of-another-source",
        "the checksum of a datagram from another source, as translated addresses leave it",
        "MUST",
        _DISCARD,
        "the pseudo header protects against a source that is not the one",
        probe=lambda right: _right_if(source=_another(right.source))(right),
    ),
    ProbeCase(
        "checksum.of-another-port",
        "the checksum of a datagram to port 1",
        "MUST",
        _DISCARD,
        "the checksum covers the ports",
        probe=_right_if(port=1),
    ),
    ProbeCase(
        "checksum.of-another-protocol",
        "a checksum whose pseudo header has the number of the extension header in place of that of UDP",
        "MUST",
        "RFC 8200 section 8.1, RFC 1122 section 4.1.3.4",
        "the pseudo header names UDP, whatever follows the IPv6 header",
        families=("ipv6",),
        probe=_of_other_protocol,
    ),
    ProbeCase(
        "checksum.none",
        "no checksum (0)",
        "kernel",
        f"{_NONE}; udp4_csum_init",
        "0 says that the sender has computed none; an application may have that refused, and nobody has asked for it",
        families=("ipv4",),
        probe=udp().with_checksum(0),
        expect=deliver(),
    ),
    ProbeCase(
        "checksum.none-empty",
        "no checksum (0), and no payload",
        "kernel",
        f"{_NONE}; udp4_csum_init",
        "there is nothing to be checked",
        families=("ipv4",),
        needs=("payload", "source_port"),
        probe=udp(size=0).with_checksum(0),
        expect=deliver(),
    ),
    ProbeCase(
        "checksum.none-large",
        "a large datagram without a checksum (0)",
        "kernel",
        f"{_NONE}; udp4_csum_init",
        "0 says that the sender has computed none, whatever the size",
        families=("ipv4",),
        probe=udp(size=1400).with_checksum(0),
        expect=deliver(),
    ),
    ProbeCase(
        "checksum.none-in-fragments",
        "fragments of a datagram without a checksum (0)",
        "kernel",
        f"{_NONE}; udp4_csum_init",
        "0 says that the sender has computed none, for the whole",
        families=("ipv4",),
        probe=udp(size=512).fragmented(200).with_checksum(0),
        expect=deliver(),
    ),
    ProbeCase(
        "checksum.zero-ipv6",
        "no checksum (0), in IPv6",
        "MUST",
        "RFC 8200 section 8.1",
        "a checksum is not optional there, unless a receiver asks for what tunnels may send (RFC 6935)",
        families=("ipv6",),
        probe=udp().with_checksum(0),
    ),
    ProbeCase(
        "checksum.zero-ipv6-empty",
        "no checksum (0) and no payload, in IPv6",
        "MUST",
        "RFC 8200 section 8.1",
        "a checksum is not optional there, nor is there a size that needs none",
        families=("ipv6",),
        needs=("payload", "source_port"),
        probe=udp(size=0).with_checksum(0),
    ),
    ProbeCase(
        "checksum.zero-ipv6-large",
        "a large datagram without a checksum (0), in IPv6",
        "MUST",
        "RFC 8200 section 8.1",
        "a checksum is not optional there",
        families=("ipv6",),
        probe=udp(size=1400).with_checksum(0),
    ),
    ProbeCase(
        "checksum.zero-ipv6-in-fragments",
        "fragments of a datagram without a checksum (0), in IPv6",
        "MUST",
        "RFC 8200 section 8.1",
        "a checksum is not optional there",
        families=("ipv6",),
        probe=udp(size=512).fragmented(200).with_checksum(0),
    ),
    ProbeCase(
        "checksum.zero-ipv6-computes-to-zero",
        "a checksum that computes to 0 and is sent as 0, in IPv6",
        "MUST",
        "RFC 8200 section 8.1",
        "what computes to 0 must be sent as 0xFFFF, and 0 is no checksum",
        families=("ipv6",),
        probe=lambda right: from_port_with(0xFFFF, right).with_checksum(0),
    ),
)
