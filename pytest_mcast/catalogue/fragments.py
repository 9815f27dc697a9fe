"""Fragments of IPv4 and IPv6: in any order, incomplete, overlapping, contradictory, and of more than one datagram.

Most are of a datagram of 512 bytes, which every host must be able to put together (RFC 1122 section 3.3.2: 576 bytes with
the header of IPv4; RFC 8200 section 5: 1500 bytes), in fragments of 200, 200 and 120 bytes.
"""

from __future__ import annotations

from pytest_mcast.packets import Fragment, Packet, deliver, drop, udp
from pytest_mcast.packets.words import neighbour_address

from .case import Difference, register
from .probing import ProbeCase

__all__: list[str] = []

_WHOLE = udp(size=512)
_FIRST, _MIDDLE, _LAST = (0, 200), (200, 400), (400, None)
_ID = 0x2A2A  # where two datagrams are to have the same; nobody else sends to the group
_TEXT = bytes(0x30 + number % 10 for number in range(512))  # among which other data can be known
_OTHER = b"X" * 200
_BETWEEN = tuple(Fragment(8 * number, 8 * number + 8, more=True, strange=True) for number in range(64))

_REASSEMBLY = "RFC 791 section 3.2, RFC 1122 section 3.3.2, RFC 8200 section 4.5"
_KEY = "RFC 791 section 3.2, RFC 8200 section 4.5"
_SAME = "source, destination and identification say what belongs together"
_PART = "a part of a datagram is never delivered"
_DUPLICATE = "RFC 791 section 3.2, RFC 8200 section 4.5; inet_frag_queue_insert (IPFRAG_DUP)"
_AGAIN = "the network may duplicate a fragment, which changes nothing"
_OVERLAP = "RFC 791 section 3.2, RFC 1858; inet_frag_queue_insert (IPFRAG_OVERLAP)"
_OVERLAP_IPV6 = "RFC 8200 section 4.5, RFC 5722"
_LAST_COPY = "RFC 791 would take what came last; Linux takes an overlap for an attack, and gives the whole up"
_ABANDON = "who overlaps fragments tries to get something past a filter: the whole is given up"
_CONTAINED = "RFC 791 section 3.2; inet_frag_queue_insert (IPFRAG_DUP)"
_IS_CONTAINED = "what is there already is a duplicate, whatever it says, and the first one stays"
_KEPT = Difference(
    deliver(), "inet_frag_queue_insert: a fragment within what is there is IPFRAG_DUP, and dropped alone"
)
_ENDS = "RFC 791 section 3.2; ip_frag_queue and ip6_frag_queue"
_ONE_END = "a datagram has one end: who contradicts himself is not believed"
_OVERLAPS: tuple[tuple[str, str, list[Fragment | tuple[int, int | None]]], ...] = (
    ("overlap-same-data", "fragments that overlap in 8 bytes and agree on them", [_FIRST, (192, 400), _LAST]),
    (
        "overlap-other-data",
        "fragments that overlap in 8 bytes and do not agree on them",
        [_FIRST, Fragment(192, 400, data=b"X" * 8 + _TEXT[192:392]), _LAST],
    ),
    ("overlap-at-the-end", "a last fragment that overlaps the one before", [_FIRST, (200, 408), _LAST]),
    ("overlap-of-the-header", "a first fragment that comes late and overlaps", [_MIDDLE, (0, 208), _LAST]),
    ("overlap-around", "a fragment around one that is there", [(104, 200), (0, 400), _LAST]),
)
_ECN = "RFC 3168 section 5.3; ip_frag_ecn_table"


def _middle_from_another(right: Packet) -> Packet:
    return _WHOLE.fragmented([_FIRST, Fragment(*_MIDDLE, source=neighbour_address(right.source or "", ())), _LAST])


def _middle_to_another(right: Packet) -> Packet:
    return _WHOLE.fragmented([_FIRST, Fragment(*_MIDDLE, group=neighbour_address(right.group or "", ())), _LAST])


register(
    ProbeCase(
        "fragment.in-order",
        "three fragments in order",
        "MUST",
        _REASSEMBLY,
        "every host puts fragments together",
        probe=_WHOLE.fragmented(200),
        expect=deliver(),
    ),
    ProbeCase(
        "fragment.reversed",
        "three fragments, the last one first",
        "MUST",
        _REASSEMBLY,
        "fragments may come in any order",
        probe=_WHOLE.fragmented(200, order="reversed"),
        expect=deliver(),
    ),
    ProbeCase(
        "fragment.any-order",
        "thirteen fragments, shuffled",
        "MUST",
        _REASSEMBLY,
        "fragments may come in any order",
        probe=_WHOLE.fragmented(40, order=(7, 2, 12, 0, 9, 4, 11, 1, 6, 10, 3, 8, 5)),
        expect=deliver(),
    ),
    ProbeCase(
        "fragment.unequal",
        "fragments of 8, 400, 16 and 96 bytes",
        "MUST",
        _REASSEMBLY,
        "only the offset says where a fragment belongs",
        probe=_WHOLE.fragmented([(0, 8), (8, 408), (408, 424), (424, None)]),
        expect=deliver(),
    ),
    ProbeCase(
        "fragment.last-of-one-byte",
        "a last fragment of one byte",
        "MUST",
        _REASSEMBLY,
        "the last one may be of any size",
        probe=udp(size=505).fragmented(256),
        expect=deliver(),
    ),
    ProbeCase(
        "fragment.header-alone",
        "a first fragment with the UDP header and nothing else",
        "MUST",
        f"{_REASSEMBLY}, RFC 7112 section 5",
        "it is small, not wrong",
        probe=_WHOLE.fragmented(200, first=8),
        expect=deliver(),
    ),
    ProbeCase(
        "fragment.eight-bytes-each",
        "65 fragments of 8 bytes",
        "MUST",
        _REASSEMBLY,
        "8 bytes are the unit in which offsets are counted",
        probe=_WHOLE.fragmented(8),
        expect=deliver(),
    ),
    ProbeCase(
        "fragment.identification-zero",
        "fragments with the identification 0",
        "MUST",
        _KEY,
        "0 is an identification like any other",
        probe=udp(size=512, identification=0).fragmented(200),
        expect=deliver(),
    ),
    ProbeCase(
        "fragment.do-not-fragment",
        "fragments with the flag that forbids to fragment them further",
        "kernel",
        "RFC 791 section 3.1, RFC 6864 section 4; ip_frag_queue",
        "the flag is for routers",
        families=("ipv4",),
        probe=udp(size=512, dont_fragment=True).fragmented(200),
        expect=deliver(),
    ),
    ProbeCase(
        "fragment.none",
        "a whole datagram with an identification, and no fragment",
        "MUST",
        "RFC 791 section 3.2, RFC 6864 section 4.1",
        "an offset of 0 and no more to come is all there is",
        families=("ipv4",),
        probe=udp(size=500, identification=_ID),
        expect=deliver(),
    ),
    *(
        ProbeCase(
            f"fragment.{name}-missing",
            f"three fragments without the {name} one",
            "MUST",
            _REASSEMBLY,
            _PART,
            probe=_WHOLE.fragmented(200, order=order),
        )
        for name, order in {"first": (1, 2), "middle": (0, 2), "last": (0, 1)}.items()
    ),
    ProbeCase(
        "fragment.hole",
        "fragments between which 8 bytes are missing",
        "MUST",
        _REASSEMBLY,
        _PART,
        probe=_WHOLE.fragmented([_FIRST, (208, 400), _LAST]),
    ),
    ProbeCase(
        "fragment.more-to-come",
        "a fragment with the whole datagram in it, and with the flag that more is to come",
        "MUST",
        _REASSEMBLY,
        "what follows has not come, so it is not whole",
        probe=udp(size=64).fragmented([Fragment(0, None, more=True)]),
    ),
    ProbeCase(
        "fragment.first-twice",
        "the first fragment twice, and the last one",
        "MUST",
        _REASSEMBLY,
        "three of three is not enough, when two are the same",
        probe=_WHOLE.fragmented(200, order=(0, 0, 2)),
    ),
    *(
        ProbeCase(
            f"fragment.duplicate-{name}",
            f"the {name} fragment twice, while others are missing",
            "kernel",
            _DUPLICATE,
            _AGAIN,
            probe=_WHOLE.fragmented(200, order=order),
            expect=deliver(),
        )
        for name, order in {"first": (0, 0, 1, 2), "middle": (0, 1, 1, 2), "last": (2, 2, 0, 1)}.items()
    ),
    ProbeCase(
        "fragment.duplicate-each",
        "each fragment twice, one after the other",
        "kernel",
        _DUPLICATE,
        "what is left over is half of a datagram that is never delivered",
        probe=_WHOLE.fragmented(200, order=(0, 0, 1, 1, 2, 2)),
        expect=deliver(),
    ),
    ProbeCase(
        "fragment.duplicate-after-the-end",
        "the last fragment again, when the datagram was whole",
        "MUST",
        _REASSEMBLY,
        "it is delivered once, and what comes then is the part of another one",
        probe=_WHOLE.fragmented(200, order=(0, 1, 2, 2)),
        expect=deliver(),
    ),
    ProbeCase(
        "fragment.all-twice",
        "all fragments, and then all again",
        "kernel",
        "RFC 768, RFC 6864 section 4; inet_frag_find",
        "UDP does not protect against duplicates: what was whole twice is delivered twice",
        probe=_WHOLE.fragmented(200, order=(0, 1, 2, 0, 1, 2)),
        expect=deliver(2),
    ),
    ProbeCase(
        "fragment.interleaved",
        "the fragments of two datagrams, in turns",
        "MUST",
        _KEY,
        _SAME,
        probe=_WHOLE.fragmented(
            [
                Fragment(start, end, strange=strange)
                for start, end in (_FIRST, _MIDDLE, _LAST)
                for strange in (False, True)
            ]
        ),
        expect=deliver(2),
    ),
    ProbeCase(
        "fragment.interleaved-incomplete",
        "the fragments of two datagrams in turns, of one of which the middle one is missing",
        "MUST",
        _KEY,
        _SAME,
        probe=_WHOLE.fragmented(
            [
                Fragment(*_FIRST, strange=True),
                Fragment(*_FIRST),
                Fragment(*_MIDDLE),
                Fragment(*_LAST, strange=True),
                Fragment(*_LAST),
            ]
        ),
        expect=deliver(),
    ),
    ProbeCase(
        "fragment.after-incomplete",
        "three fragments, when parts of an earlier datagram still wait",
        "MUST",
        _KEY,
        "each datagram is put together by itself",
        before=(_WHOLE.fragmented(200, order=(0, 1)), _WHOLE.fragmented(200, order=(1, 2))),
        probe=_WHOLE.fragmented(200),
        expect=deliver(),
    ),
    ProbeCase(
        "fragment.identification-again",
        "fragments with the identification of a datagram that was whole before",
        "kernel",
        "RFC 6864 section 4, RFC 4963; inet_frag_find",
        "16 bits come round again within seconds",
        before=(udp(size=512, identification=_ID).fragmented(200),),
        probe=udp(size=512, identification=_ID).fragmented(200),
        expect=deliver(),
    ),
    ProbeCase(
        "fragment.other-identification",
        "three fragments, the middle one with another identification",
        "MUST",
        _KEY,
        _SAME,
        probe=_WHOLE.fragmented([_FIRST, Fragment(*_MIDDLE, strange=True), _LAST]),
    ),
    ProbeCase(
        "fragment.other-source",
        "three fragments, the middle one from another source",
        "MUST",
        _KEY,
        _SAME,
        probe=_middle_from_another,
    ),
    ProbeCase(
        "fragment.other-group",
        "three fragments, the middle one to another group",
        "MUST",
        _KEY,
        _SAME,
        probe=_middle_to_another,
    ),
    ProbeCase(
        "fragment.other-protocol",
        "three fragments, the middle one of TCP",
        "MUST",
        "RFC 791 section 3.2, RFC 1122 section 3.3.2",
        "in IPv4 the protocol says what belongs together as well",
        families=("ipv4",),
        probe=_WHOLE.fragmented([_FIRST, Fragment(*_MIDDLE, protocol=6), _LAST]),
    ),
    ProbeCase(
        "fragment.other-ttl",
        "three fragments with other TTLs, as by other ways",
        "MUST",
        _KEY,
        "the first fragment has the header that counts",
        probe=_WHOLE.fragmented([_FIRST, Fragment(*_MIDDLE, ttl=9), Fragment(*_LAST, ttl=255)]),
        expect=deliver(),
    ),
    ProbeCase(
        "fragment.other-ttl-reversed",
        "three fragments with other TTLs, the first one last",
        "MUST",
        _KEY,
        "the first fragment has the header that counts, whenever it comes",
        probe=_WHOLE.fragmented([Fragment(*_LAST, ttl=255), Fragment(*_MIDDLE, ttl=9), _FIRST]),
        expect=deliver(),
    ),
    ProbeCase(
        "fragment.other-dscp",
        "three fragments, the middle one of another class (DSCP)",
        "MUST",
        _KEY,
        "the class says how fast, and not what belongs together",
        probe=_WHOLE.fragmented([_FIRST, Fragment(*_MIDDLE, traffic_class=0xB8), _LAST]),
        expect=deliver(),
    ),
    ProbeCase(
        "fragment.congestion",
        "three fragments of a flow that knows congestion marks, the middle one with the mark (ECT(0), CE)",
        "kernel",
        _ECN,
        "the whole is marked, and delivered",
        probe=_WHOLE.fragmented(
            [Fragment(*_FIRST, traffic_class=2), Fragment(*_MIDDLE, traffic_class=3), Fragment(*_LAST, traffic_class=2)]
        ),
        expect=deliver(),
    ),
    ProbeCase(
        "fragment.congestion-all",
        "three fragments with the mark of congestion (CE)",
        "kernel",
        _ECN,
        "the whole is marked, and delivered",
        probe=udp(size=512, traffic_class=3).fragmented(200),
        expect=deliver(),
    ),
    ProbeCase(
        "fragment.congestion-unknown",
        "three fragments of a flow that knows no congestion marks, the middle one with the mark (Not-ECT, CE)",
        "MUST",
        _ECN,
        "the mark must neither be lost nor given to a flow that does not know it",
        probe=_WHOLE.fragmented([_FIRST, Fragment(*_MIDDLE, traffic_class=3), _LAST]),
    ),
    ProbeCase(
        "fragment.congestion-two-kinds",
        "three fragments, the middle one with the other codepoint of those who know congestion marks (ECT(0), ECT(1))",
        "kernel",
        _ECN,
        "both say the same",
        probe=_WHOLE.fragmented(
            [Fragment(*_FIRST, traffic_class=2), Fragment(*_MIDDLE, traffic_class=1), Fragment(*_LAST, traffic_class=2)]
        ),
        expect=deliver(),
    ),
    ProbeCase(
        "fragment.congestion-mixed",
        "three fragments, of which the middle one only knows congestion marks (Not-ECT, ECT(0))",
        "kernel",
        _ECN,
        "no datagram has been both",
        probe=_WHOLE.fragmented([_FIRST, Fragment(*_MIDDLE, traffic_class=2), _LAST]),
    ),
    *(
        ProbeCase(
            f"fragment.{name}{suffix}",
            title,
            level,
            reference,
            reason,
            families=(family,),
            needs=("payload", "source_port"),
            probe=udp(payload=_TEXT).fragmented(fragments),
        )
        for family, suffix, level, reference, reason in (
            ("ipv4", "", "kernel", _OVERLAP, _LAST_COPY),
            ("ipv6", "-ipv6", "MUST", _OVERLAP_IPV6, _ABANDON),
        )
        for name, title, fragments in _OVERLAPS
    ),
    ProbeCase(
        "fragment.after-overlap",
        "all fragments again, when two of them have overlapped",
        "kernel",
        "RFC 8200 section 4.5; inet_frag_kill",
        "what was given up does not count any more",
        probe=_WHOLE.fragmented([_FIRST, (192, 400), _FIRST, _MIDDLE, _LAST]),
        expect=deliver(),
    ),
    *(
        ProbeCase(
            f"fragment.{name}{suffix}",
            title,
            level,
            reference,
            reason,
            families=(family,),
            probe=_WHOLE.fragmented([_FIRST, _MIDDLE, contained, _LAST]),
            expect=expect,
            differences=differences,
        )
        for family, suffix, level, reference, reason, expect, differences in (
            ("ipv4", "", "kernel", _CONTAINED, _IS_CONTAINED, deliver(), {}),
            ("ipv6", "-ipv6", "MUST", _OVERLAP_IPV6, _ABANDON, drop(), {"linux": _KEPT}),
        )
        for name, title, contained in (
            ("contained", "a fragment within an earlier one", Fragment(208, 216)),
            ("contained-other-data", "other data within an earlier fragment", Fragment(208, 216, data=b"X" * 8)),
            ("contained-in-two", "a fragment within two earlier ones", Fragment(104, 304)),
            ("other-data-late", "the middle fragment again, with other data", Fragment(200, 400, data=_OTHER)),
        )
    ),
    *(
        ProbeCase(
            f"fragment.stale{suffix}",
            "fragments with the identification of an earlier datagram, of which a part still waits",
            level,
            reference,
            reason,
            families=(family,),
            before=(udp(payload=b"A" * 512, identification=_ID).fragmented(200, order=(1,)),),
            probe=udp(size=512, identification=_ID).fragmented(200),
        )
        for family, suffix, level, reference, reason in (
            (
                "ipv4",
                "",
                "kernel",
                "RFC 4963, RFC 6864 section 5.2; inet_frag_queue_insert (IPFRAG_DUP)",
                "the old part stays where it is, and the checksum finds it out",
            ),
            ("ipv6", "-ipv6", "MUST", _OVERLAP_IPV6, "they overlap, and are no exact duplicates"),
        )
    ),
    ProbeCase(
        "fragment.stale-without-checksum",
        "fragments without a checksum, with the identification of an earlier datagram, of which a part still waits",
        "kernel",
        "RFC 4963 section 3; inet_frag_queue_insert (IPFRAG_DUP)",
        "nothing finds out that it is mixed of two datagrams",
        families=("ipv4",),
        needs=("payload", "source_port"),
        probe=udp(payload=_TEXT).with_checksum(0).fragmented([Fragment(200, 400, data=_OTHER), _FIRST, _MIDDLE, _LAST]),
        expect=deliver(payload=_TEXT[:192] + _OTHER + _TEXT[392:]),
    ),
    ProbeCase(
        "fragment.end-early",
        "a middle fragment that says it is the last one, and then the last one",
        "kernel",
        f"{_ENDS}; short_packet in __udp4_lib_rcv and __udp6_lib_rcv",
        "it is whole too early, and shorter than UDP says",
        probe=_WHOLE.fragmented([_FIRST, Fragment(*_MIDDLE, more=False), _LAST]),
    ),
    ProbeCase(
        "fragment.two-ends",
        "the last fragment, and then one before it that says it is the last one",
        "kernel",
        _ENDS,
        _ONE_END,
        probe=_WHOLE.fragmented([_LAST, Fragment(*_MIDDLE, more=False), _FIRST]),
    ),
    ProbeCase(
        "fragment.second-end-behind",
        "a last fragment, and then another one that begins where it ends",
        "kernel",
        _ENDS,
        _ONE_END,
        probe=_WHOLE.fragmented([Fragment(*_MIDDLE, more=False), _LAST, _FIRST]),
    ),
    ProbeCase(
        "fragment.more-behind-the-end",
        "a fragment behind the last one",
        "kernel",
        _ENDS,
        _ONE_END,
        probe=_WHOLE.fragmented([_LAST, Fragment(520, 600, data=bytes(80), more=True), _FIRST, _MIDDLE]),
    ),
    ProbeCase(
        "fragment.empty",
        "a fragment of no bytes among the others",
        "kernel",
        "RFC 791 section 3.2; ip_frag_queue and ip6_frag_queue (end == offset)",
        "Linux gives the whole up, though RFC 791 has nothing against it",
        probe=_WHOLE.fragmented([_FIRST, Fragment(200, 200, more=True), _MIDDLE, _LAST]),
    ),
    ProbeCase(
        "fragment.empty-last",
        "a last fragment of no bytes",
        "kernel",
        "RFC 791 section 3.2; ip_frag_queue and ip6_frag_queue (end == offset)",
        "Linux gives the whole up, though RFC 791 has nothing against it",
        probe=_WHOLE.fragmented([_FIRST, _MIDDLE, Fragment(400, 520, more=True), Fragment(520, 520, more=False)]),
    ),
    ProbeCase(
        "fragment.not-a-multiple-of-8",
        "a first fragment of 203 bytes, and the next one from 200 on",
        "kernel",
        "RFC 791 section 3.2; ip_frag_queue (end &= ~7)",
        "3 bytes too many are cut off, and it is whole",
        families=("ipv4",),
        probe=_WHOLE.fragmented([Fragment(0, 203), _MIDDLE, _LAST]),
        expect=deliver(),
    ),
    ProbeCase(
        "fragment.beyond-65535",
        "a last fragment that ends at 65,600",
        "MUST",
        _REASSEMBLY,
        "no datagram is that long",
        probe=_WHOLE.fragmented([_FIRST, _MIDDLE, Fragment(65528, 65600, data=bytes(72), more=False)]),
    ),
    ProbeCase(
        "fragment.beyond-65535-whole",
        "a last fragment that ends at 65,600, among all fragments of a datagram",
        "kernel",
        "RFC 791 section 3.2; ip_frag_queue",
        _ONE_END,
        families=("ipv4",),
        probe=_WHOLE.fragmented([_FIRST, Fragment(65528, 65600, data=bytes(72), more=False), _MIDDLE, _LAST]),
    ),
    ProbeCase(
        "fragment.near",
        "63 fragments of another datagram between the first fragment and the others",
        "MUST",
        _REASSEMBLY,
        "they belong together all the same",
        probe=_WHOLE.fragmented([_FIRST, *_BETWEEN[:63], _MIDDLE, _LAST]),
        expect=deliver(),
    ),
    ProbeCase(
        "fragment.far",
        "64 fragments of another datagram from the same source between the first fragment and the others",
        "kernel",
        "RFC 4963; ipfrag_max_dist in ip-sysctl, ip_frag_too_far",
        "the identification may have come round, and what was first is thought to be of another datagram",
        families=("ipv4",),
        probe=_WHOLE.fragmented([_FIRST, *_BETWEEN, _MIDDLE, _LAST]),
    ),
    ProbeCase(
        "fragment.wrong-source",
        "three fragments from another source than the channel's",
        "MUST",
        "RFC 4607 section 4.2, RFC 3376 section 3.2",
        "a source-specific receiver gets its source only, in one piece or in three",
        modes=("ssm",),
        probe=udp(source="other", size=512).fragmented(200),
    ),
    ProbeCase(
        "fragment.wrong-source-with-neighbour",
        "three fragments from another source, which another receiver of the host wants",
        "MUST",
        "RFC 4607 section 4.2, RFC 3376 section 3.2",
        "what others want is nothing to this receiver, in one piece or in three",
        modes=("ssm",),
        probe=udp(source="other", size=512).fragmented(200),
        neighbour=True,
    ),
    ProbeCase(
        "fragment.other-group-with-neighbour",
        "three fragments to another group on the same port, which another receiver of the host has joined",
        "MUST",
        "RFC 1112 section 7.2, RFC 4291 section 2.7",
        "only what is sent to the group is delivered, in one piece or in three",
        probe=udp(group="other", size=512).fragmented(200),
        neighbour=True,
    ),
    ProbeCase(
        "fragment.other-port-with-neighbour",
        "three fragments to another port of the group, which another receiver of the host has bound",
        "MUST",
        "RFC 768, RFC 1122 section 4.1.3.1",
        "the port is in the first fragment, and counts for all",
        probe=udp(port="other", size=512).fragmented(200),
        neighbour=True,
    ),
)
