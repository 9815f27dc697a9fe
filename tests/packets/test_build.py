"""Crafted datagrams on a direct link: scapy and Wireshark read them back, and a receiver says what it makes of them."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from scapy.compat import raw as octets
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.l2 import LLC, SNAP, Dot1Q, Dot3, Ether

from pytest_mcast import LabView, Receiver
from pytest_mcast.core.channels import group_mac
from pytest_mcast.packets import (
    Fragment,
    Packet,
    Prober,
    deliver,
    destination_options,
    drop,
    fragment_header,
    frames_of,
    hop_by_hop,
    ipv4_option,
    ipv6_option,
    raw,
    routing,
    udp,
)

from ..support.wireshark import fields

families = pytest.mark.parametrize("family", ["ipv4", "ipv6"])
BOTH = ("ipv4", "ipv6")
SIZE = 64
REPORTS = tuple(bytes.fromhex(mac) for mac in ("01005e000016", "333300000016"))  # RFC 3376, RFC 3810: to their groups
UNFRAGMENTED = 8 + SIZE


@contextmanager
def probed(lab: LabView, family: str) -> Iterator[tuple[Prober, Callable[[], list[bytes]]]]:
    """Give a prober of a receiver on a direct link, and a function that gives the frames that came in there, no fences."""
    tx, rx = lab.direct("tx", "rx")
    receiver: Receiver = rx.receiver(lab.channel(family, source=tx))
    with rx.capture() as capture, Prober(receiver, tx, rx) as probe:
        seen = 0

        def came_in() -> list[bytes]:
            nonlocal seen
            mine = bytes.fromhex(str(probe.legitimate.source_mac).replace(":", ""))
            frames = [frame.data for frame in capture.frames()]
            frames = [frame for frame in frames if frame[6:12] == mine and frame[:6] not in REPORTS]
            frames, seen = frames[seen:], len(frames)
            return frames

        yield probe, came_in


def _sent(probe: Prober, came_in: Callable[[], list[bytes]], packet: Any, expect: Any) -> list[Any]:
    """Send it, check the verdict, and return what scapy reads in the frames that came in before the fence."""
    came_in()
    verdict = probe(packet, expect=expect).check()
    return [Ether(frame) for frame in came_in()[: len(verdict.shot.frames)]]


def _network(frame: Any) -> Any:
    return frame[IP] if IP in frame else frame[IPv6]


# What is built, for which families, what a correct receiver (Linux) does, and what scapy must read in the first frame.
ONE: dict[str, tuple[Packet, tuple[str, ...], Any, Callable[[Any], object], object]] = {
    "ttl": (udp(ttl=255), BOTH, deliver(), lambda f: _network(f).ttl if IP in f else _network(f).hlim, 255),
    "traffic class": (
        udp(traffic_class=0xB8), BOTH, deliver(), lambda f: _network(f).tos if IP in f else _network(f).tc, 0xB8
    ),
    "flow label": (udp(flow_label=0xABCDE), ("ipv6",), deliver(), lambda f: f[IPv6].fl, 0xABCDE),
    "identification": (udp(identification=0x1234), ("ipv4",), deliver(), lambda f: f[IP].id, 0x1234),
    "do not fragment": (udp(dont_fragment=True), ("ipv4",), deliver(), lambda f: str(f[IP].flags), "DF"),
    "source port 0": (udp(source_port=0), BOTH, deliver(), lambda f: f[UDP].sport, 0),
    "payload": (udp(payload=b"hello"), BOTH, deliver(), lambda f: f[UDP].payload.load[:5], b"hello"),
    "empty": (udp(size=0), BOTH, deliver(), lambda f: f[UDP].len, 8),
    "one byte": (udp(size=1), BOTH, deliver(), lambda f: f[UDP].len, 9),
    "27 bytes": (udp(size=27), BOTH, deliver(), lambda f: f[UDP].len, 35),
    "28 bytes": (udp(size=28), BOTH, deliver(), lambda f: f[UDP].len, 36),
    "43 bytes": (udp(size=43), BOTH, deliver(), lambda f: f[UDP].len, 51),
    "the MTU, IPv4": (udp(size=1472), ("ipv4",), deliver(), lambda f: f[IP].len, 1500),
    "the MTU, IPv6": (udp(size=1452), ("ipv6",), deliver(), lambda f: f[IPv6].plen, 1460),
    "source, other": (udp(source="other"), BOTH, drop(), lambda f: _network(f).src.count("."), None),
    "source, receiver": (udp(source="receiver"), BOTH, drop(), lambda f: _network(f).src.count("."), None),
    "source, multicast": (udp(source="group"), BOTH, drop(), lambda f: _network(f).src == _network(f).dst, True),
    "source, loopback": (udp(source="127.0.0.1"), ("ipv4",), drop(), lambda f: f[IP].src, "127.0.0.1"),
    "source, IPv4-mapped": (udp(source="::ffff:10.9.0.1"), ("ipv6",), drop(), lambda f: f[IPv6].src, "::ffff:10.9.0.1"),
    "source, none": (udp(source="::"), ("ipv6",), drop(), lambda f: f[IPv6].src, "::"),
    "checksum, bad": (udp().with_checksum("bad"), BOTH, drop(), lambda f: f[UDP].chksum != 0, True),
    "checksum, none": (udp().with_checksum(0), ("ipv4",), deliver(), lambda f: f[UDP].chksum, 0),
    "checksum, none in IPv6": (udp().with_checksum(0), ("ipv6",), drop(), lambda f: f[UDP].chksum, 0),
    "checksum, a number": (udp().with_checksum(1), BOTH, drop(), lambda f: f[UDP].chksum, 1),
    "checksum of IP, bad": (udp().with_checksum(ip="bad"), ("ipv4",), drop(), lambda f: _right(f[IP]), False),
    "checksum of IP, a number": (udp().with_checksum(ip=7), ("ipv4",), drop(), lambda f: f[IP].chksum, 7),
    "UDP length, less": (udp().with_length("-5"), BOTH, deliver(), lambda f: f[UDP].len, UNFRAGMENTED - 5),
    "UDP length, much less": (udp().with_length(8 + 3), BOTH, deliver(), lambda f: f[UDP].len, 11),
    "UDP length, header only": (udp().with_length(8), BOTH, deliver(), lambda f: f[UDP].len, 8),
    "UDP length, more": (udp().with_length("+4"), BOTH, drop(), lambda f: f[UDP].len, UNFRAGMENTED + 4),
    "UDP length, 7": (udp().with_length(7), BOTH, drop(), lambda f: f[UDP].len, 7),
    "UDP length, 0": (udp().with_length(0), ("ipv4",), drop(), lambda f: f[UDP].len, 0),
    "UDP length, 0 in IPv6": (udp().with_length(0), ("ipv6",), deliver(), lambda f: f[UDP].len, 0),
    "IP length, more": (udp().with_length(ip="+100"), ("ipv4",), drop(), lambda f: f[IP].len, 20 + UNFRAGMENTED + 100),
    "IP length, less": (udp().with_length(ip=24), ("ipv4",), drop(), lambda f: f[IP].len, 24),
    "IPv6 length, less": (udp().with_length(ip=4), ("ipv6",), drop(), lambda f: f[IPv6].plen, 4),
    "version": (udp().with_ip(version=5), ("ipv4",), drop(), lambda f: f.load[0] >> 4 if IP not in f else f[IP].version, 5),
    "header length": (udp().with_ip(ihl=4), ("ipv4",), drop(), lambda f: f[IP].ihl, 4),
    "reserved flag": (udp().with_ip(flags="evil"), ("ipv4",), deliver(), lambda f: str(f[IP].flags), "evil"),
    "protocol": (udp().with_ip(proto=253), ("ipv4",), drop(), lambda f: f[IP].proto, 253),
    "next header": (udp().with_ip(nh=59), ("ipv6",), drop(), lambda f: f[IPv6].nh, 59),
    "router alert": (
        udp().with_options(ipv4_option("router-alert", b"\0\0")), ("ipv4",), deliver(), lambda f: f[IP].options[0].option, 20
    ),
    "router alert of scapy": (
        udp().with_options(IPOption_Router_Alert()), ("ipv4",), deliver(), lambda f: f[IP].options[0].option, 20
    ),
    "record route and end": (
        udp().with_options(ipv4_option("record-route", b"\x04" + bytes(4)), ipv4_option("end")),
        ("ipv4",), deliver(), lambda f: (f[IP].ihl, f[IP].options[0].option), (7, 7)
    ),
    "source route": (
        udp().with_options(ipv4_option("lsrr", b"\x04" + bytes(4))), ("ipv4",), drop(), lambda f: f[IP].options[0].option, 3
    ),
    "option of length 0": (
        udp().with_options(ipv4_option("record-route", b"\0\0", length=0)), ("ipv4",), drop(), lambda f: octets(f)[35], 0
    ),
    "hop by hop": (
        udp().with_options(hop_by_hop(ipv6_option("router-alert", b"\0\0"))),
        ("ipv6",), deliver(), lambda f: (f[IPv6].nh, f[IPv6ExtHdrHopByHop].nh, f[IPv6ExtHdrHopByHop].options[0].otype), (0, 17, 5)
    ),
    "hop by hop of scapy": (
        udp().with_options(IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(4))])),
        ("ipv6",), deliver(), lambda f: (f[IPv6].nh, f[IPv6ExtHdrHopByHop].nh), (0, 17)
    ),
    "unknown option": (
        udp().with_options(destination_options(ipv6_option(0x5E))),
        ("ipv6",), drop(), lambda f: f[IPv6ExtHdrDestOpt].options[0].otype, 0x5E
    ),
    "two headers": (
        udp().with_options(hop_by_hop(), destination_options(ipv6_option("padn", bytes(1)))),
        ("ipv6",), deliver(), lambda f: (f[IPv6].nh, f[IPv6ExtHdrHopByHop].nh, f[IPv6ExtHdrDestOpt].nh), (0, 60, 17)
    ),
    "routing": (udp().with_options(routing(200, 1)), ("ipv6",), drop(), lambda f: f[IPv6ExtHdrRouting].segleft, 1),
    "atomic fragment": (
        udp().with_options(fragment_header(identification=77)),
        ("ipv6",), deliver(), lambda f: (f[IPv6ExtHdrFragment].id, f[IPv6ExtHdrFragment].nh), (77, 17)
    ),
    "unicast MAC": (udp().as_frame(mac="receiver"), BOTH, deliver(), lambda f: f.dst.startswith("02:"), True),
    "broadcast MAC": (udp().as_frame(mac="broadcast"), BOTH, deliver(), lambda f: f.dst, "ff:ff:ff:ff:ff:ff"),
    "MAC of nobody": (udp().as_frame(mac="other"), BOTH, drop(), lambda f: f.dst, "02:6d:63:ff:ff:fe"),
    "ethertype": (udp().as_frame(ethertype=0x88B5), BOTH, drop(), lambda f: f.type, 0x88B5),
    "cut off": (udp().as_frame(cut=14 + 10), BOTH, drop(), len, 24),
    "group, solicited-node": (
        udp(group="solicited-node"), ("ipv6",), drop(), lambda f: f[IPv6].dst.startswith("ff02::1:ff"), True
    ),
    "group, unicast": (udp(group="receiver"), BOTH, drop(), lambda f: f.dst.startswith("02:"), True),
    "port, other": (udp(port="other"), BOTH, drop(), lambda f: f[UDP].len, UNFRAGMENTED),
    "priority tag": (udp().as_frame(vlan=5 << 13), BOTH, deliver(), lambda f: (f[Dot1Q].vlan, f[Dot1Q].prio), (0, 5)),
    "VLAN": (udp().as_frame(vlan=100), BOTH, drop(), lambda f: f[Dot1Q].vlan, 100),
    "two VLANs": (
        udp().as_frame(vlan=(100, 7), tag_type=0x88A8), BOTH, drop(), lambda f: (f.type, octets(f)[14:20]),
        (0x88A8, struct.pack(">HHH", 100, 0x8100, 7))
    ),
}  # fmt: skip
PAIRS = [(family, name) for name, (_, where, *_) in ONE.items() for family in where]


def _right(header: Any) -> bool:
    """Say whether the checksum of an IPv4 header is what scapy calculates."""
    right = header.copy()
    right.chksum = None
    return bool(IP(octets(right)).chksum == header.chksum)


@pytest.mark.parametrize(("family", "name"), PAIRS, ids=str)
def test_what_is_built_is_on_the_wire_and_judged(mcast_lab: LabView, family: str, name: str) -> None:
    packet, _, expect, read, wanted = ONE[name]
    with probed(mcast_lab, family) as (probe, came_in):
        for _ in range(2):  # from scratch, and from what is kept
            (frame,) = _sent(probe, came_in, packet, expect)
            assert wanted is None or read(frame) == wanted


@families
def test_another_group_may_have_the_same_mac(mcast_lab: LabView, family: str) -> None:
    with probed(mcast_lab, family) as (probe, came_in):
        (frame,) = _sent(probe, came_in, udp(group="same-mac"), drop())
        assert _network(frame).dst != probe.legitimate.group
        assert frame.dst == group_mac(str(probe.legitimate.group))


@families
def test_padding_is_no_payload(mcast_lab: LabView, family: str) -> None:
    with probed(mcast_lab, family) as (probe, came_in):
        (frame,) = _sent(probe, came_in, udp(payload=b"ab").as_frame(padding=b"rubbish"), deliver())
        assert octets(frame).endswith(b"abrubbish")


@families
def test_a_source_mac_is_any(mcast_lab: LabView, family: str) -> None:
    tx, rx = mcast_lab.direct()
    with rx.capture(family) as capture, Prober(rx.receiver(mcast_lab.channel(family)), tx, rx) as probe:
        probe(udp().as_frame(source_mac="01:00:5e:00:00:01")).expect_delivered()
        probe(udp().as_frame(source_mac="receiver")).expect_delivered()
        sources = {frame.data[6:12].hex(":") for frame in capture.frames()}
    assert {"01:00:5e:00:00:01", rx.injector().mac} <= sources


class TestFragments:
    """All of a datagram of 1008 bytes, its UDP header included."""

    @families
    @pytest.mark.parametrize(
        ("pieces", "options", "expect", "wanted"),
        [
            (400, {}, deliver(), [(0, 400, 1), (400, 400, 1), (800, 208, 0)]),
            (400, {"order": "reversed"}, deliver(), [(800, 208, 0), (400, 400, 1), (0, 400, 1)]),
            (400, {"order": (0, 2)}, drop(), [(0, 400, 1), (800, 208, 0)]),
            (400, {"order": (1, 2)}, drop(), [(400, 400, 1), (800, 208, 0)]),
            (400, {"order": (0, 1, 1, -1)}, deliver(), [(0, 400, 1), (400, 400, 1), (400, 400, 1), (800, 208, 0)]),
            (400, {"order": (0, 1, 2, 0, 1, 2)}, deliver(2), [(0, 400, 1), (400, 400, 1), (800, 208, 0)] * 2),
            (800, {"first": 8}, deliver(), [(0, 8, 1), (8, 800, 1), (808, 200, 0)]),
            ([(0, 504), (400, None)], {}, drop(), [(0, 504, 1), (400, 608, 0)]),
            ([(0, 504), (104, 208), (504, None)], {}, deliver(), [(0, 504, 1), (104, 104, 1), (504, 504, 0)]),
            ([(0, 504), (504, 504), (504, None)], {}, drop(), [(0, 504, 1), (504, 0, 1), (504, 504, 0)]),
            ([Fragment(0, None, more=True)], {}, drop(), [(0, 1008, 1)]),
            ([(0, 504), Fragment(504, strange=True)], {}, drop(), [(0, 504, 1), (504, 504, 0)]),
            ([(0, 504), Fragment(65528, data=bytes(16))], {}, drop(), [(0, 504, 1), (65528, 16, 0)]),
        ],
        ids=lambda value: str(value) if isinstance(value, (int, dict)) else None,
    )
    def test_they_are_as_they_were_asked_for(
        self,
        mcast_lab: LabView,
        family: str,
        pieces: Any,
        options: Any,
        expect: Any,
        wanted: list[tuple[int, int, int]],
    ) -> None:
        with probed(mcast_lab, family) as (probe, came_in):
            packet = udp(size=1000).fragmented(pieces, **options)
            frames = _sent(probe, came_in, packet, expect)
            assert [_fragment(frame)[:3] for frame in frames] == wanted
            same = {_fragment(frame)[3] for frame in frames}
            assert len(same) == (2 if "strange=True" in str(packet.fragment) else 1)
            again = {_fragment(frame)[3] for frame in _sent(probe, came_in, packet, expect)}
            assert not again & same  # so that none of this one completes the next

    @families
    def test_every_octet_is_in_one_of_8(self, mcast_lab: LabView, family: str) -> None:
        with probed(mcast_lab, family) as (probe, came_in):
            frames = _sent(probe, came_in, udp(size=200).fragmented(8), deliver())
            assert [_fragment(frame)[:2] for frame in frames] == [(start, 8) for start in range(0, 208, 8)]

    @families
    def test_other_data_is_another_payload(self, mcast_lab: LabView, family: str) -> None:
        with probed(mcast_lab, family) as (probe, came_in):
            mixed = udp(size=100).fragmented([(0, 64), Fragment(64, data=b"x" * 44, more=False)])
            frames = _sent(probe, came_in, mixed, drop())
            assert octets(frames[1]).endswith(b"x" * 44)
            if family == "ipv4":
                mixed = mixed.with_checksum(0)
                assert re.match(r"payload b'x+' instead of b", probe(mixed).faults()[0])

    @families
    def test_source_group_and_traffic_class_of_one_are_other_ones(self, mcast_lab: LabView, family: str) -> None:
        with probed(mcast_lab, family) as (probe, came_in):
            source, group = ("10.9.9.9", "239.9.9.9") if family == "ipv4" else ("fe80::9", "ff12::9")
            for change in ({"source": source}, {"group": group}, {"traffic_class": 3}):
                packet = udp(size=200).fragmented([(0, 104), Fragment(104, **change)])
                first, second = _sent(probe, came_in, packet, drop())
                network = _network(second)
                class_of = "tos" if family == "ipv4" else "tc"
                assert (network.src == source) == ("source" in change)
                assert (network.dst == group) == ("group" in change)
                assert (getattr(network, class_of) == 3) == ("traffic_class" in change)
                assert getattr(_network(first), class_of) == 0

    @families
    def test_ttl_and_protocol_of_one_are_other_ones(self, mcast_lab: LabView, family: str) -> None:
        with probed(mcast_lab, family) as (probe, came_in):
            packet = udp(size=200).fragmented([(0, 104), Fragment(104, ttl=9, protocol=6)])
            frames = _sent(probe, came_in, packet, drop() if family == "ipv4" else deliver())
            if family == "ipv4":
                assert [(_network(frame).ttl, _network(frame).proto) for frame in frames] == [(1, 17), (9, 6)]
            else:
                found = [(_network(frame).hlim, frame[IPv6ExtHdrFragment].nh) for frame in frames]
                assert found == [(1, 17), (9, 6)]

    @pytest.mark.parametrize("name", ["ttl", "protocol", "traffic_class"])
    def test_of_one_octet_is_no_more(self, name: str) -> None:
        values: dict[str, Any] = {name: 256}
        with pytest.raises(ValueError, match=f"{name}=256 of a fragment is not from 0 to 255"):
            Fragment(0, **values)

    def test_what_each_fragment_has_and_what_is_fragmented(self, mcast_lab: LabView) -> None:
        """RFC 8200 section 4.5: hop-by-hop options are in each, destination options behind the fragment header."""
        with probed(mcast_lab, "ipv6") as (probe, came_in):
            packet = udp(size=300).with_options(hop_by_hop(), destination_options()).fragmented(104)
            frames = _sent(probe, came_in, packet, deliver())
            for frame in frames:
                assert (frame[IPv6].nh, frame[IPv6ExtHdrHopByHop].nh, frame[IPv6ExtHdrFragment].nh) == (0, 44, 60)

    @families
    def test_the_largest_there_is(self, mcast_lab: LabView, family: str) -> None:
        with probed(mcast_lab, family) as (probe, came_in):
            size = 65507 if family == "ipv4" else 65527
            _sent(probe, came_in, udp(size=size), deliver())
            _sent(probe, came_in, udp(size=size).fragmented(1400, order="reversed"), deliver())
            if family == "ipv4":
                _sent(probe, came_in, udp(size=65508).fragmented(1400), drop())


def _fragment(frame: Any) -> tuple[int, int, int, int]:
    """Return where a fragment starts, how long it is, whether more follow, and its identification."""
    if IP in frame:
        network = frame[IP]
        return network.frag * 8, network.len - 20, int(network.flags.MF), network.id
    header = frame[IPv6ExtHdrFragment]
    return header.offset * 8, frame[IPv6].plen - 8, header.m, header.id


class TestRaw:
    @families
    def test_scapy_and_bytes(self, mcast_lab: LabView, family: str) -> None:
        with probed(mcast_lab, family) as (probe, came_in):
            right = probe.legitimate
            ip = IP if family == "ipv4" else IPv6
            datagram = ip(src=right.source, dst=right.group) / UDP(sport=7, dport=right.port) / b"mine"
            (frame,) = _sent(probe, came_in, datagram, deliver())
            assert (frame.src, frame.dst) == (right.source_mac, group_mac(str(right.group)))
            _sent(probe, came_in, Ether(octets(frame)), deliver())
            _sent(probe, came_in, octets(frame), deliver())
            _sent(probe, came_in, raw(datagram, datagram, name="twice"), deliver(2))
            assert probe(raw(datagram, payload=b"mine")).datagrams[0].payload == b"mine"
            datagram[UDP].dport ^= 1
            _sent(probe, came_in, datagram, drop())

    @families
    def test_a_function_of_the_legitimate_one(self, mcast_lab: LabView, family: str) -> None:
        with probed(mcast_lab, family) as (probe, came_in):
            ip = IP if family == "ipv4" else IPv6
            (frame,) = _sent(
                probe, came_in, lambda right: ip(src=right.source, dst=right.group) / TCP(flags="S"), drop()
            )
            assert TCP in frame
            assert probe(lambda _: udp(ttl=0)).expect_delivered().datagrams[0].ttl == 0

    def test_what_has_no_udp_in_it(self, mcast_lab: LabView) -> None:
        with probed(mcast_lab, "ipv4") as (probe, came_in):
            (frame,) = _sent(probe, came_in, lambda right: IP(src=right.source, dst=right.group) / ICMP(), drop())
            assert ICMP in frame
            right = probe.legitimate
            inside = IP(src=right.source, dst=right.group) / UDP(sport=7, dport=right.port) / b"snap"
            _sent(
                probe,
                came_in,
                Dot3(dst=group_mac(str(right.group)), src=right.source_mac) / LLC() / SNAP(code=0x800) / inside,
                drop(),
            )
            _sent(
                probe, came_in, bytes.fromhex("ffffffffffff" + str(right.source_mac).replace(":", "") + "0800"), drop()
            )

    def test_the_frames_of_one_can_be_sent_among_others(self, mcast_lab: LabView) -> None:
        """Two trains, one between the other: what no packet says by itself."""
        with probed(mcast_lab, "ipv4") as (probe, _):

            def interleaved(right: Packet) -> Any:
                trains = [
                    frames_of(udp(payload=bytes([n]) * 200, source_port=9).over(right).fragmented(104)) for n in (1, 2)
                ]
                return raw(*(frame for pair in zip(*trains, strict=True) for frame in pair), payload=bytes([2]) * 200)

            verdict = probe(interleaved, expect=deliver(1))
            assert [one.payload[0] for one in verdict.check().datagrams] == [2]

    @pytest.mark.parametrize("what", [17, 2.5, ["frame"]])
    def test_what_is_neither(self, mcast_lab: LabView, what: Any) -> None:
        with (
            probed(mcast_lab, "ipv4") as (probe, _),
            pytest.raises(ValueError, match=re.escape(f"{what!r} is neither bytes nor")),
        ):
            probe(what)

    def test_it_has_nothing_to_change(self, mcast_lab: LabView) -> None:
        with (
            probed(mcast_lab, "ipv4") as (probe, _),
            pytest.raises(ValueError, match="is sent as it is: it has no fields"),
        ):
            probe(b"frame" * 10, ttl=3)


def test_wireshark_reads_the_same(mcast_lab: LabView, tmp_path: Path) -> None:
    tx, rx = mcast_lab.direct()
    with rx.capture() as capture, Prober(rx.receiver(mcast_lab.channel()), tx, rx) as probe:
        probe(udp(traffic_class=0xB8, ttl=9).as_frame(vlan=3 << 13)).expect_delivered()
        probe(udp().with_options(ipv4_option("router-alert", b"\0\0"))).expect_delivered()
        probe(udp().with_length("-5")).expect_delivered()
        probe(udp().with_checksum("bad")).expect_not_delivered()
        probe(udp().with_checksum(ip="bad")).expect_not_delivered()
        path = capture.save(tmp_path / "frames.pcapng")
    names = ("vlan.priority", "ip.dsfield.dscp", "ip.ttl", "ip.opt.type", "udp.length")
    rows = [row for row in fields(path, *names) if row[-1]][::2]  # each second one is a fence
    assert rows == [
        ("3", "46", "9", "", "72"),
        ("", "0", "1", "148", "72"),
        ("", "0", "1", "", "67"),
        ("", "0", "1", "", "72"),
        ("", "0", "1", "", "72"),
    ]


class TestValues:
    def test_a_datagram_is_a_value(self) -> None:
        first = udp(ttl=3)
        assert first.fragmented(64) != first == udp(ttl=3)
        assert hash(first.with_options(b"\x01")) == hash(udp(ttl=3).with_options(b"\x01"))
        assert first.fragment is None
        with pytest.raises(AttributeError):
            first.ttl = 4  # type: ignore[misc]

    def test_a_channel_says_where_to(self, mcast_lab: LabView) -> None:
        channel = mcast_lab.channel(source=mcast_lab.host())
        packet = udp(channel, b"payload")
        assert (packet.source, packet.group, packet.port, packet.size) == (
            channel.source,
            channel.group,
            channel.port,
            7,
        )
        assert udp(channel, source="10.0.0.9", port=9) == udp(source="10.0.0.9", group=channel.group, port=9)

    def test_it_says_what_it_is(self) -> None:
        packet = udp(ttl=3).with_length("+4", ip=20).fragmented(64, first=8, order=(0, 2)).as_frame(vlan=1)
        assert str(packet) == (
            "64 bytes, TTL 3, UDP length +4, IP length 20, fragments of 64 bytes after one of 8, order (0, 2), vlan (1,)"
        )
        assert str(udp().fragmented([(0, 64), (32, None)])).endswith("fragments 0-64, 32-")

    @pytest.mark.parametrize(
        ("make", "text"),
        [
            (lambda: udp().fragmented([(4, 8)]), "a fragment cannot start at 4, which is not a multiple of 8"),
            (lambda: udp().fragmented([(8, 0)]), "a fragment cannot end at 0, before it starts at 8"),
            (lambda: udp(group="group"), "group='group' says nothing; there is another source, mac"),
            (lambda: udp(port="same-mac"), "port='same-mac' says nothing; there is another group"),
            (lambda: udp().repeated(0), "copies=0 is not 1 or more"),
            (lambda: ipv4_option("nop2"), "there is no option 'nop2'; name one of end, nop, record-route"),
            (lambda: ipv6_option(256), "option 256 is not a number from 0 to 255"),
            (lambda: routing(0, 0, b"123"), "the data of a routing header is 4, 12, 20... bytes long, not 3"),
            (lambda: udp().with_options("nop"), "'nop' is neither bytes, nor an extension header, nor one of scapy's"),
            (raw, "raw() needs a frame as bytes, or a packet of scapy's"),
        ],
    )
    def test_what_cannot_be_is_a_value_error(self, make: Callable[[], object], text: str) -> None:
        with pytest.raises(ValueError, match=re.escape(text)):
            make()
