"""Extension headers of IPv6 before the datagram: known and unknown, in any order and number, right and wrong."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from pytest_mcast.packets import (
    Expectation,
    ExtensionHeader,
    deliver,
    destination_options,
    drop,
    either,
    fragment_header,
    hop_by_hop,
    ipv6_option,
    routing,
    udp,
)

from .case import Difference, register
from .probing import ProbeCase

__all__: list[str] = []

_OPTIONS = "RFC 8200 section 4.2"
_ORDER = "RFC 8200 section 4.1"
_KINDS: dict[str, tuple[str, Callable[..., ExtensionHeader]]] = {
    "hbh": ("hop-by-hop options", hop_by_hop),
    "dst": ("destination options", destination_options),
}
# What the two highest bits of an unknown option ask for (RFC 8200 section 4.2).
_ACTIONS = (
    (0x1E, "00", "skip it", deliver()),
    (0x5E, "01", "discard the packet", drop()),
    (0x9E, "10", "discard the packet and report it", drop()),
    (0xDE, "11", "discard the packet and report it unless it is to a group", drop()),
)
_ALERT = ipv6_option("router-alert", bytes(2))
_PADDING = ipv6_option("padn", bytes(4))
_UNKNOWN = ipv6_option(0x1E, bytes(4))


def _case(
    name: str,
    title: str,
    reference: str,
    reason: str,
    *headers: ExtensionHeader,
    level: str = "MUST",
    expect: Expectation = deliver(),  # noqa: B008 - a frozen value
    **more: Any,
) -> ProbeCase:
    probe = udp().with_options(*headers)
    if "length" in more:
        probe = probe.with_length(ip=more.pop("length"))
    return ProbeCase(
        f"exthdr.{name}",
        title,
        level,
        reference,
        reason,
        families=("ipv6",),
        probe=probe,
        expect=expect,
        **more,
    )


def _jumbo(length: int) -> ExtensionHeader:
    return hop_by_hop(ipv6_option("jumbo", struct.pack(">I", length)))


def _header(number: int, body: bytes = b"\0" + bytes(6)) -> ExtensionHeader:
    """Return a header of 8 octets, the length field included, or with another body."""
    return ExtensionHeader(number, body)


_GROUPS_ARE_NOT_ROUTED = {
    "linux": Difference(either(), "ipv6_rthdr_rcv drops every routing header of a packet to a group")
}

register(
    *(
        case
        for key, (what, make) in _KINDS.items()
        for case in (
            *(
                _case(
                    f"{key}-unknown-{bits}",
                    f"{what} with an unknown option of action {bits}: {action}",
                    _OPTIONS,
                    "the two highest bits say what is to be done by those who do not know it",
                    make(ipv6_option(kind, bytes(4))),
                    expect=expect,
                )
                for kind, bits, action, expect in _ACTIONS
            ),
            _case(
                f"{key}-padn",
                f"{what} with padding of 6 octets",
                _OPTIONS,
                "padding says nothing",
                make(_PADDING),
            ),
            _case(
                f"{key}-pad1",
                f"{what} with padding of single octets",
                _OPTIONS,
                "padding says nothing",
                make(*[ipv6_option("pad1")] * 6),
            ),
            _case(
                f"{key}-padding-not-zero",
                f"{what} with padding that is not made of zeroes",
                f"{_OPTIONS}, Linux ip6_parse_tlv",
                "the sender sets it to zero; the kernel takes it for a hidden channel (RFC 4942 section 2.1.9.5)",
                make(ipv6_option("padn", b"\0\0\1\0")),
                level="kernel",
                expect=either(),
                differences={"linux": Difference(drop(), "ip6_parse_tlv: padding with data is dropped")},
            ),
            _case(
                f"{key}-much-padding",
                f"{what} with padding of 14 octets",
                "RFC 4942 section 2.1.9.5, Linux ip6_parse_tlv",
                "nothing needs more than 7 octets of padding, and the kernel drops it",
                make(ipv6_option("padn", bytes(12))),
                level="kernel",
                expect=either(),
                differences={"linux": Difference(drop(), "ip6_parse_tlv: padlen of more than 7 is dropped")},
            ),
            _case(
                f"{key}-option-overrun",
                f"{what} with an option that ends beyond the header",
                f"{_OPTIONS}, Linux ip6_parse_tlv",
                "the header cannot be read to its end",
                make(ipv6_option(0x1E, bytes(4), length=40)),
                level="kernel",
                expect=drop(),
                direct=True,
            ),
            _case(
                f"{key}-header-overrun",
                f"{what} that end beyond the packet",
                f"{_OPTIONS}, Linux ipv6_parse_hopopts, ipv6_destopt_rcv",
                "the header cannot be read to its end",
                make(_PADDING, length=255),
                level="kernel",
                expect=drop(),
                direct=True,
            ),
            _case(
                f"{key}-eight-options",
                f"{what} with eight unknown options that are to be skipped",
                f"RFC 8504 section 5.3, ip-sysctl max_{key}_opts_number",
                "a host may limit their number, and eight are let in",
                make(*[_UNKNOWN] * 8),
                level="kernel",
            ),
            _case(
                f"{key}-nine-options",
                f"{what} with nine unknown options that are to be skipped",
                f"RFC 8504 section 5.3, ip-sysctl max_{key}_opts_number",
                "a host may limit their number, to 8 on Linux",
                make(*[_UNKNOWN] * 9),
                level="kernel",
                expect=either(),
                differences={"linux": Difference(drop(), f"max_{key}_opts_number is 8")},
            ),
            _case(
                f"{key}-zero-length-option",
                f"{what} with an unknown option without data that is to be skipped",
                _OPTIONS,
                "an option may be no more than its type and length",
                make(ipv6_option(0x1E)),
            ),
            _case(
                f"{key}-long",
                f"{what} of 264 octets, with an unknown option that is to be skipped",
                f"{_OPTIONS}, RFC 8504 section 5.3",
                "the length field allows 2048",
                make(ipv6_option(0x1E, bytes(255))),
                level="kernel",
            ),
        )
    ),
    _case(
        "router-alert",
        "hop-by-hop options with a router alert",
        "RFC 2711 section 2.1",
        "it is a matter of routers; to the host the datagram is as any",
        hop_by_hop(_ALERT),
    ),
    _case(
        "router-alert-unknown-value",
        "hop-by-hop options with a router alert of an unassigned value",
        "RFC 2711 section 2.1",
        "unknown values are ignored",
        hop_by_hop(ipv6_option("router-alert", b"\xff\xfe")),
    ),
    _case(
        "router-alert-wrong-length",
        "hop-by-hop options with a router alert of 4 octets",
        "RFC 2711 section 2.1, Linux ipv6_hop_ra",
        "the option has 2 octets",
        hop_by_hop(ipv6_option("router-alert", bytes(4))),
        level="kernel",
        expect=drop(),
    ),
    _case(
        "router-alert-destination",
        "destination options with a router alert, which is 00: skip it",
        f"{_OPTIONS}, RFC 2711 section 2.1",
        "as a destination option it is unknown",
        destination_options(_ALERT),
    ),
    _case(
        "skip-then-discard",
        "hop-by-hop options with an unknown one to be skipped and one that discards",
        _OPTIONS,
        "options are processed in the order in which they are",
        hop_by_hop(_UNKNOWN, ipv6_option(0x5E, bytes(4))),
        expect=drop(),
    ),
    _case(
        "jumbo-with-length",
        "a jumbo option, and a payload length that is not 0",
        "RFC 2675 section 3",
        "the packet is discarded",
        _jumbo(100),
        expect=drop(),
        direct=True,
    ),
    _case(
        "jumbo-too-small",
        "a jumbo option with a length below 65536, and a payload length of 0",
        "RFC 2675 section 3",
        "the packet is discarded",
        _jumbo(80),
        length=0,
        expect=drop(),
        direct=True,
    ),
    _case(
        "jumbo-beyond-the-frame",
        "a jumbo option with a length of 70000 in a small frame",
        "RFC 2675 section 3, Linux ipv6_hop_jumbo",
        "most of the packet is missing",
        _jumbo(70000),
        length=0,
        level="kernel",
        expect=drop(),
        direct=True,
    ),
    _case(
        "jumbo-as-destination-option",
        "destination options with a jumbo option, which is 11: discard",
        f"{_OPTIONS}, RFC 2675 section 2",
        "as a destination option it is unknown",
        destination_options(ipv6_option("jumbo", struct.pack(">I", 70000))),
        expect=drop(),
    ),
    _case(
        "hbh-not-first",
        "destination options, then hop-by-hop options",
        f"{_ORDER}, RFC 8200 section 4.3",
        "hop-by-hop options come directly after the header: elsewhere they are an unrecognised next header",
        destination_options(),
        hop_by_hop(),
        expect=drop(),
    ),
    _case(
        "hbh-twice",
        "hop-by-hop options twice",
        f"{_ORDER}, RFC 8200 section 4",
        "the second ones are not directly after the header",
        hop_by_hop(),
        hop_by_hop(),
        expect=drop(),
    ),
    _case(
        "hbh-then-dst",
        "hop-by-hop options, then destination options",
        _ORDER,
        "that is the order of the RFC",
        hop_by_hop(),
        destination_options(),
    ),
    _case(
        "dst-twice",
        "destination options twice",
        _ORDER,
        "a node must try to process headers in any order and number",
        destination_options(),
        destination_options(_UNKNOWN),
    ),
    _case(
        "dst-eight-times",
        "destination options eight times",
        _ORDER,
        "a node must try to process headers in any order and number",
        *[destination_options()] * 8,
    ),
    _case(
        "dst-fifty-times",
        "destination options fifty times",
        _ORDER,
        "a node must try to process headers in any order and number",
        *[destination_options()] * 50,
    ),
    _case(
        "discard-at-the-end",
        "destination options eight times, the last ones with an option that discards",
        f"{_ORDER}, {_OPTIONS}",
        "no number of headers hides what a later one asks for",
        *[destination_options()] * 7,
        destination_options(ipv6_option(0x5E, bytes(4))),
        expect=drop(),
    ),
    _case(
        "atomic-fragment",
        "a fragment header although it is whole",
        "RFC 6946 section 4, RFC 8200 section 4.5",
        "it is processed by itself",
        fragment_header(identification=0x6D63),
    ),
    _case(
        "dst-before-fragment",
        "destination options, then a fragment header of a whole packet",
        f"{_ORDER}, RFC 8200 section 4.5",
        "a node must try to process headers in any order and number",
        destination_options(),
        fragment_header(identification=0x6D64),
    ),
    _case(
        "dst-after-fragment",
        "a fragment header of a whole packet, then destination options",
        f"{_ORDER}, RFC 8200 section 4.5",
        "those are for the destination, after it is put together",
        fragment_header(identification=0x6D65),
        destination_options(),
    ),
    _case(
        "two-atomic-fragments",
        "two fragment headers of a whole packet",
        f"{_ORDER}, Linux ipv6_frag_rcv",
        "each should occur at most once, but a node must try",
        fragment_header(identification=0x6D66),
        fragment_header(identification=0x6D67),
        level="kernel",
        expect=either(),
        differences={"linux": Difference(drop(), "ipv6_frag_rcv has seen one (IP6SKB_FRAGMENTED)")},
    ),
    *(
        _case(
            f"routing-{kind}-done",
            f"a routing header of type {kind} ({what}) with 0 segments left",
            "RFC 8200 section 4.4" + reference,
            "with no segments left it is ignored; Linux drops it, for it has been sent to a group",
            routing(kind),
            differences=_GROUPS_ARE_NOT_ROUTED,
        )
        for kind, what, reference in (
            (0, "deprecated", ", RFC 5095 section 3"),
            (2, "of Mobile IPv6", ", RFC 6275 section 6.4"),
            (3, "of RPL", ", RFC 6554 section 3"),
            (4, "of segment routing", ", RFC 8754 section 2"),
            (200, "unknown", ""),
        )
    ),
    *(
        _case(
            f"routing-{kind}-left",
            f"a routing header of type {kind} ({what}) with 1 segment left",
            "RFC 8200 section 4.4" + reference,
            "the packet is discarded by those who do not process the type",
            routing(kind, 1),
            expect=drop(),
        )
        for kind, what, reference in ((0, "deprecated", ", RFC 5095 section 3"), (200, "unknown", ""))
    ),
    *(
        _case(
            f"routing-{kind}-left",
            f"a routing header of type {kind} ({what}) with 1 segment left",
            f"{reference}, Linux ipv6_rthdr_rcv",
            "groups are not routed by it",
            routing(kind, 1),
            level="kernel",
            expect=drop(),
        )
        for kind, what, reference in (
            (2, "of Mobile IPv6", "RFC 6275 section 6.4"),
            (4, "of segment routing", "RFC 8754 section 4.3"),
        )
    ),
    _case(
        "authentication",
        "an authentication header of an association that nobody has",
        "RFC 4302 section 3.4.2",
        "without an association the packet is discarded",
        _header(51, bytes([4]) + bytes(22)),
        expect=drop(),
    ),
    _case(
        "encryption",
        "an ESP header of an association that nobody has",
        "RFC 4303 section 3.4.2",
        "without an association the packet is discarded",
        _header(50, bytes(7)),
        expect=drop(),
    ),
    *(
        _case(
            name,
            f"a header of {what} (protocol {number})",
            "RFC 8200 section 4, RFC 4443 section 3.4",
            "a node discards what it does not know, and does not look behind it",
            _header(number),
            expect=drop(),
            level="kernel",
        )
        for name, number, what in (
            ("mobility", 135, "Mobile IPv6"),
            ("host-identity", 139, "the Host Identity Protocol"),
            ("shim6", 140, "Shim6"),
            ("experiment", 254, "experiments"),
        )
    ),
    _case(
        "no-next-header",
        "destination options that say that nothing follows",
        "RFC 8200 section 4.7",
        "what comes after is ignored",
        destination_options(),
        _header(59),
        expect=drop(),
    ),
)
