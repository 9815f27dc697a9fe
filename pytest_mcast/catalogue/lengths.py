"""The length that UDP says, against what there is."""

from __future__ import annotations

from pytest_mcast.packets import Packet, deliver, either, udp

from .case import Difference, register
from .checksums import from_port_with
from .probing import ProbeCase

__all__: list[str] = []

_PADDING = bytes(range(0x61, 0x61 + 18))  # not zero, so that it shows where it is taken for a payload
_RIGHT = 0x1A2B
_TRIMMED = "RFC 768; pskb_trim_rcsum in __udp4_lib_rcv and __udp6_lib_rcv"
_SHORT = "RFC 768; short_packet in __udp4_lib_rcv and __udp6_lib_rcv"
_PORT = ("payload", "source_port")
_IS_CUT = "the length is that of the datagram: what follows it is not part of it"
_NOT_THERE = "what is not there cannot be delivered"
_AT_LEAST = "the header is 8 bytes long, and is counted"


def _checksum_of_all(right: Packet) -> Packet:
    """Return one that is shorter than what is there, with the checksum of what is there."""
    return from_port_with(_RIGHT, right).with_length("-5").with_checksum(_RIGHT)


register(
    ProbeCase(
        "length.shorter",
        "UDP length 5 less than is there, and the checksum right for it",
        "kernel",
        _TRIMMED,
        _IS_CUT,
        probe=udp().with_length("-5"),
        expect=deliver(size=59),
    ),
    ProbeCase(
        "length.one-shorter",
        "UDP length one less than is there",
        "kernel",
        _TRIMMED,
        _IS_CUT,
        probe=udp().with_length("-1"),
        expect=deliver(size=63),
    ),
    ProbeCase(
        "length.much-shorter",
        "UDP length 72 where 1408 bytes are there, as options of UDP after the payload would be",
        "kernel",
        f"{_TRIMMED}; RFC 9868",
        "the surplus is for those who know its options, and for nobody else",
        probe=udp(size=1400).with_length(72),
        expect=deliver(size=64),
    ),
    ProbeCase(
        "length.shorter-without-checksum",
        "UDP length 5 less than is there, and no checksum",
        "kernel",
        _TRIMMED,
        _IS_CUT,
        families=("ipv4",),
        probe=udp().with_length("-5").with_checksum(0),
        expect=deliver(size=59),
    ),
    ProbeCase(
        "length.shorter-in-fragments",
        "fragments of more than the UDP length says",
        "kernel",
        _TRIMMED,
        _IS_CUT,
        probe=udp(size=512).with_length("-100").fragmented(200),
        expect=deliver(size=412),
    ),
    ProbeCase(
        "length.shorter-bad-checksum",
        "UDP length 5 less than is there, and a wrong checksum",
        "MUST",
        "RFC 1122 section 4.1.3.4, RFC 8200 section 8.1",
        "the checksum is looked at all the same",
        probe=udp().with_length("-5").with_checksum("bad"),
    ),
    ProbeCase(
        "length.shorter-checksum-of-all",
        "UDP length 5 less than is there, and the checksum that was right before it was changed",
        "MUST",
        "RFC 1122 section 4.1.3.4, RFC 8200 section 8.1",
        "the checksum is that of as many bytes as the length says, and covers the length",
        probe=_checksum_of_all,
    ),
    ProbeCase(
        "length.eight",
        "UDP length 8 with 64 bytes after the header",
        "kernel",
        _TRIMMED,
        "it is a datagram without a payload",
        needs=_PORT,
        probe=udp().with_length(8),
        expect=deliver(size=0),
    ),
    ProbeCase(
        "length.eight-without-checksum",
        "UDP length 8 with 64 bytes after the header, and no checksum",
        "kernel",
        _TRIMMED,
        "it is a datagram without a payload",
        families=("ipv4",),
        needs=_PORT,
        probe=udp().with_length(8).with_checksum(0),
        expect=deliver(size=0),
    ),
    ProbeCase(
        "length.nine",
        "UDP length 9 with 64 bytes after the header",
        "kernel",
        _TRIMMED,
        "it is a datagram of one byte",
        needs=_PORT,
        probe=udp().with_length(9),
        expect=deliver(size=1),
    ),
    ProbeCase(
        "length.seven",
        "UDP length 7 with 64 bytes after the header",
        "kernel",
        _SHORT,
        _AT_LEAST,
        probe=udp().with_length(7),
    ),
    ProbeCase(
        "length.seven-empty",
        "UDP length 7, and nothing after the header",
        "kernel",
        _SHORT,
        _AT_LEAST,
        needs=_PORT,
        probe=udp(size=0).with_length(7),
    ),
    ProbeCase(
        "length.one",
        "UDP length 1 with 64 bytes after the header",
        "kernel",
        _SHORT,
        _AT_LEAST,
        probe=udp().with_length(1),
    ),
    ProbeCase(
        "length.zero",
        "UDP length 0 with 64 bytes after the header",
        "kernel",
        "RFC 768; short_packet in __udp4_lib_rcv",
        _AT_LEAST,
        families=("ipv4",),
        probe=udp().with_length(0),
    ),
    ProbeCase(
        "length.zero-without-checksum",
        "UDP length 0 with 64 bytes after the header, and no checksum",
        "kernel",
        "RFC 768; short_packet in __udp4_lib_rcv",
        _AT_LEAST,
        families=("ipv4",),
        probe=udp().with_length(0).with_checksum(0),
    ),
    ProbeCase(
        "length.zero-empty",
        "UDP length 0, and nothing after the header",
        "kernel",
        "RFC 768; short_packet in __udp4_lib_rcv",
        _AT_LEAST,
        families=("ipv4",),
        needs=_PORT,
        probe=udp(size=0).with_length(0),
    ),
    ProbeCase(
        "length.zero-ipv6",
        "UDP length 0 with 64 bytes after the header, as in a jumbogram, and it is none",
        "kernel",
        "RFC 2675 section 4; __udp6_lib_rcv",
        "a receiver may take the length of IPv6 instead, which only a jumbogram needs",
        families=("ipv6",),
        probe=udp().with_length(0),
        expect=either(),
        differences={"linux": Difference(deliver(), "__udp6_lib_rcv: if (ulen == 0) ulen = skb->len")},
    ),
    ProbeCase(
        "length.zero-ipv6-bad-checksum",
        "UDP length 0 with 64 bytes after the header, as in a jumbogram, and a wrong checksum",
        "MUST",
        "RFC 8200 section 8.1, RFC 1122 section 4.1.3.4",
        "the checksum is looked at all the same",
        families=("ipv6",),
        probe=udp().with_length(0).with_checksum("bad"),
    ),
    ProbeCase(
        "length.one-longer",
        "UDP length one more than is there",
        "kernel",
        _SHORT,
        _NOT_THERE,
        probe=udp().with_length("+1"),
    ),
    ProbeCase(
        "length.longer",
        "UDP length 4 more than is there",
        "kernel",
        _SHORT,
        _NOT_THERE,
        probe=udp().with_length("+4"),
    ),
    ProbeCase(
        "length.longest",
        "UDP length 65535 where 72 bytes are there",
        "kernel",
        _SHORT,
        _NOT_THERE,
        probe=udp().with_length(0xFFFF),
    ),
    ProbeCase(
        "length.longer-without-checksum",
        "UDP length 4 more than is there, and no checksum",
        "kernel",
        "RFC 768; short_packet in __udp4_lib_rcv",
        "what is not there cannot be delivered, and needs no checksum to be missed",
        families=("ipv4",),
        probe=udp().with_length("+4").with_checksum(0),
    ),
    ProbeCase(
        "length.longer-in-fragments",
        "fragments of 8 bytes less than the UDP length says",
        "kernel",
        _SHORT,
        _NOT_THERE,
        probe=udp(size=512).with_length("+8").fragmented(200),
    ),
    ProbeCase(
        "length.longer-empty",
        "UDP length 9, and nothing after the header",
        "kernel",
        _SHORT,
        _NOT_THERE,
        needs=_PORT,
        probe=udp(size=0).with_length(9),
    ),
    ProbeCase(
        "length.longer-with-padding",
        "UDP length 4 more than IP says, and 18 bytes of padding in the frame",
        "kernel",
        _SHORT,
        "the padding of Ethernet is not part of the packet",
        direct=True,
        probe=udp().with_length("+4").as_frame(padding=_PADDING),
    ),
    ProbeCase(
        "length.padding",
        "18 bytes of padding in the frame after the packet",
        "MUST",
        "RFC 894, RFC 1122 section 2.3.3, RFC 2464 section 3",
        "the padding of Ethernet is not part of the packet, whatever is in it",
        probe=udp().as_frame(padding=_PADDING),
        expect=deliver(),
    ),
    ProbeCase(
        "length.padding-empty",
        "18 bytes of padding in the frame after a datagram without a payload",
        "MUST",
        "RFC 894, RFC 1122 section 2.3.3, RFC 2464 section 3",
        "the padding of Ethernet is not part of the packet, whatever is in it",
        needs=_PORT,
        probe=udp(size=0).as_frame(padding=_PADDING),
        expect=deliver(),
    ),
    ProbeCase(
        "length.half-a-header",
        "4 bytes of a UDP header, and then nothing that IP knows of",
        "kernel",
        "RFC 768; pskb_may_pull in __udp4_lib_rcv and __udp6_lib_rcv",
        "it takes 8 bytes to say where a datagram goes",
        direct=True,
        probe=udp().with_length(ip="-68"),
    ),
    ProbeCase(
        "length.beyond-ip",
        "an IP length 4 less than UDP says, and all the bytes in the frame",
        "kernel",
        _SHORT,
        "what IP does not count is padding",
        direct=True,
        probe=udp().with_length(ip="-4"),
    ),
)
