"""Fragments as only IPv6 has them: atomic ones, those that it discards alone, and headers before and after."""

from __future__ import annotations

import struct

from pytest_mcast.packets import (
    ExtensionHeader,
    Fragment,
    deliver,
    destination_options,
    drop,
    fragment_header,
    hop_by_hop,
    ipv6_option,
    udp,
)
from pytest_mcast.packets.headers import FRAGMENT

from .case import register
from .probing import ProbeCase

__all__: list[str] = []

_WHOLE = udp(size=512)
_FIRST, _MIDDLE, _LAST = (0, 200), (200, 400), (400, None)
_ATOMIC = Fragment(0, None)
_ID = 0x2A2A2A2A
_PAD = ipv6_option("padn", bytes(4))
_RESERVED = ExtensionHeader(FRAGMENT, struct.pack(">BHI", 0xFF, 0b110, _ID))

_ALONE = "RFC 6946 section 4, RFC 8200 section 4.5"
_NO_FRAGMENT = "it is whole, and has nothing to wait for"
_DISCARDED = "RFC 8200 section 4.5"
_FIRST_COUNTS = "what the first fragment says counts for the whole"
_CHAIN = "RFC 7112 section 5, RFC 8200 section 4.5"
_CHAIN_FIRST = "the first fragment must say what it is about, or filters are blind"

register(
    *(
        ProbeCase(id, title, level, reference, reason, families=("ipv6",), probe=probe, expect=expect)
        for id, title, level, reference, reason, probe, expect in (  # noqa: A001 - the field's word
            (
                "fragment.atomic",
                "a fragment header on a whole datagram",
                "MUST",
                _ALONE,
                _NO_FRAGMENT,
                udp().fragmented([_ATOMIC]),
                deliver(),
            ),
            (
                "fragment.atomic-twice",
                "a fragment header on a whole datagram, sent twice with the same identification",
                "MUST",
                _ALONE,
                "each is whole, and has nothing to do with the other",
                udp().fragmented([_ATOMIC, _ATOMIC]),
                deliver(2),
            ),
            (
                "fragment.atomic-among-fragments",
                "a fragment header on a whole datagram, among fragments with the same identification",
                "MUST",
                _ALONE,
                "it is processed alone, and the others neither lose nor win by it",
                _WHOLE.fragmented([_FIRST, _MIDDLE, _ATOMIC, _LAST]),
                deliver(2),
            ),
            (
                "fragment.atomic-after-a-part",
                "a fragment header on a whole datagram, when a fragment with the same identification waits",
                "MUST",
                _ALONE,
                "it is processed alone, and does not overlap what waits",
                _WHOLE.fragmented([_MIDDLE, _ATOMIC]),
                deliver(),
            ),
            (
                "fragment.atomic-reserved-bits",
                "a fragment header on a whole datagram, with all its reserved bits set",
                "MUST",
                _DISCARDED,
                "reserved bits are ignored",
                udp(size=128).with_options(_RESERVED),
                deliver(),
            ),
            (
                "fragment.atomic-behind-hop-by-hop",
                "a hop-by-hop header, and a fragment header on a whole datagram",
                "MUST",
                _ALONE,
                _NO_FRAGMENT,
                udp(size=128).with_options(hop_by_hop(_PAD)).fragmented([_ATOMIC]),
                deliver(),
            ),
            (
                "fragment.atomic-bad-checksum",
                "a fragment header on a whole datagram with a wrong checksum",
                "MUST",
                "RFC 8200 section 8.1, RFC 1122 section 4.1.3.4",
                "the checksum is looked at all the same",
                udp(size=128).fragmented([_ATOMIC]).with_checksum("bad"),
                drop(),
            ),
            (
                "fragment.nested",
                "a fragment header within a fragment header, both on a whole datagram",
                "kernel",
                "RFC 8200 section 4.5; ipv6_frag_rcv (IP6SKB_FRAGMENTED)",
                "one fragment header is enough for everybody",
                udp(size=128).with_options(fragment_header(identification=_ID)).fragmented([_ATOMIC]),
                drop(),
            ),
            (
                "fragment.nested-in-fragments",
                "three fragments of a datagram with a fragment header within",
                "kernel",
                "RFC 8200 section 4.5; ipv6_frag_rcv (IP6SKB_FRAGMENTED)",
                "one fragment header is enough for everybody",
                _WHOLE.with_options(fragment_header(identification=_ID)).fragmented(200),
                drop(),
            ),
            (
                "fragment.other-next-header",
                "three fragments, the middle one with TCP as next header",
                "MUST",
                _DISCARDED,
                _FIRST_COUNTS,
                _WHOLE.fragmented([_FIRST, Fragment(*_MIDDLE, protocol=6), _LAST]),
                deliver(),
            ),
            (
                "fragment.other-next-header-first-last",
                "three fragments, the last one with TCP as next header and sent first",
                "MUST",
                _DISCARDED,
                _FIRST_COUNTS,
                _WHOLE.fragmented([Fragment(*_LAST, protocol=6), _MIDDLE, _FIRST]),
                deliver(),
            ),
            (
                "fragment.first-of-another-protocol",
                "three fragments, the first one with TCP as next header",
                "MUST",
                _DISCARDED,
                _FIRST_COUNTS,
                _WHOLE.fragmented([Fragment(*_FIRST, protocol=6), _MIDDLE, _LAST]),
                drop(),
            ),
            (
                "fragment.behind-hop-by-hop",
                "three fragments with a hop-by-hop header each",
                "MUST",
                "RFC 8200 section 4.5",
                "what each router must see is in each fragment, and no part of the whole",
                _WHOLE.with_options(hop_by_hop(_PAD)).fragmented(200),
                deliver(),
            ),
            (
                "fragment.of-options",
                "three fragments of a datagram with a destination options header",
                "MUST",
                "RFC 8200 sections 4.1 and 4.5",
                "what only the destination must see is fragmented",
                _WHOLE.with_options(destination_options(_PAD)).fragmented(200),
                deliver(),
            ),
            (
                "fragment.headers-alone",
                "a first fragment with destination options and the UDP header, and nothing else",
                "MUST",
                _CHAIN,
                "all headers are in the first fragment, which is all that is asked",
                _WHOLE.with_options(destination_options(_PAD)).fragmented(200, first=16),
                deliver(),
            ),
            (
                "fragment.chain-cut",
                "a first fragment that ends before the UDP header",
                "SHOULD",
                _CHAIN,
                _CHAIN_FIRST,
                _WHOLE.with_options(destination_options(_PAD)).fragmented(200, first=8),
                drop(),
            ),
            (
                "fragment.chain-cut-in-options",
                "a first fragment that ends within its destination options",
                "SHOULD",
                _CHAIN,
                _CHAIN_FIRST,
                _WHOLE.with_options(destination_options(ipv6_option("padn", bytes(12)))).fragmented(200, first=8),
                drop(),
            ),
            (
                "fragment.not-a-multiple-of-8-ipv6",
                "a first fragment of 203 bytes, and the next one from 200 on",
                "MUST",
                _DISCARDED,
                "such a fragment is discarded, so the whole is not whole",
                _WHOLE.fragmented([Fragment(0, 203), _MIDDLE, _LAST]),
                drop(),
            ),
            (
                "fragment.not-a-multiple-of-8-and-right",
                "a first fragment of 203 bytes, and then all that are right",
                "MUST",
                _DISCARDED,
                "that fragment is discarded, and no other",
                _WHOLE.fragmented([Fragment(0, 203), _FIRST, _MIDDLE, _LAST]),
                deliver(),
            ),
            (
                "fragment.beyond-65535-and-right",
                "a fragment that ends at 65,600, among all fragments of a datagram",
                "MUST",
                _DISCARDED,
                "that fragment is discarded, and no other",
                _WHOLE.fragmented([_FIRST, Fragment(65528, 65600, data=bytes(72), more=False), _MIDDLE, _LAST]),
                deliver(),
            ),
            (
                "fragment.far-ipv6",
                "64 fragments of another datagram from the same source between the first fragment and the others",
                "MUST",
                _DISCARDED,
                "32 bits of identification do not come round within seconds",
                _WHOLE.fragmented(
                    [_FIRST, *(Fragment(8 * one, 8 * one + 8, strange=True) for one in range(64)), _MIDDLE, _LAST]
                ),
                deliver(),
            ),
        )
    ),
)
