"""The frame that a datagram comes in: Ethernet addresses, VLAN tags, encapsulation, padding."""

from __future__ import annotations

import secrets
from dataclasses import replace

from pytest_mcast.packets import Packet, Raw, deliver, drop, either, frames_of, raw, udp

from .case import Difference, register
from .probing import ProbeCase
from .setup import sysctl

__all__: list[str] = []

_ADDRESSES = 12  # bytes, the two of a frame
_SNAP = bytes.fromhex("aaaa03000000")  # RFC 1042
_DROP_UNICAST = {
    "ipv4": "ipv4/conf/{}/drop_unicast_in_l2_multicast",
    "ipv6": "ipv6/conf/{}/drop_unicast_in_l2_multicast",
}
_TAGS = "vlan_do_receive(), IEEE 802.1Q"


def _snap(right: Packet) -> Raw:
    """Return one in a frame with a length and an LLC and SNAP header in place of an Ethernet type (RFC 1042)."""
    payload = b"SNAP " + secrets.token_hex(16).encode()
    frame = frames_of(replace(right, payload=payload))[0]
    body = _SNAP + frame[_ADDRESSES:]
    return raw(frame[:_ADDRESSES] + len(body).to_bytes(2, "big") + body, payload=payload, name="in LLC and SNAP")


register(
    ProbeCase(
        "link.own-unicast-mac",
        "to the group, in a frame to the receiver's own Ethernet address",
        "kernel",
        "ip_rcv_core(), ip6_rcv_core(), RFC 6085",
        "IP goes by its own destination; switches and access points send groups like this to those who want them",
        probe=udp().as_frame(mac="receiver"),
        expect=deliver(),
    ),
    ProbeCase(
        "link.broadcast-mac",
        "to the group, in a frame to ff:ff:ff:ff:ff:ff",
        "kernel",
        "ip_rcv_core(), ip6_rcv_core(), RFC 1112 section 6.4",
        "IP goes by its own destination; networks without multicast broadcast it",
        probe=udp().as_frame(mac="broadcast"),
        expect=deliver(),
    ),
    ProbeCase(
        "link.another-group-mac",
        "to the group, in a frame to the Ethernet address of another group",
        "kernel",
        "ip_rcv_core(), ip6_rcv_core()",
        "where the interface lets it in, IP goes by its own destination",
        probe=udp().as_frame(mac="01:00:5e:01:02:03"),
        expect=deliver(),
    ),
    ProbeCase(
        "link.other-family-mac",
        "to the group, in a frame to an address of the other family's groups, 33:33:... or 01:00:5e:...",
        "kernel",
        "ip_rcv_core(), ip6_rcv_core()",
        "where the interface lets it in, IP goes by its own destination",
        probe=lambda right: udp().as_frame(mac="33:33:00:01:02:03" if right.family == "ipv4" else "01:00:5e:01:02:03"),
        expect=deliver(),
    ),
    ProbeCase(
        "link.another-host-mac",
        "to the group, in a frame to the Ethernet address of another host",
        "kernel",
        "ip_rcv_core() and ip6_rcv_core(), PACKET_OTHERHOST",
        "only an interface in promiscuous mode gets it in, and it is not for this host",
        probe=udp().as_frame(mac="other"),
        expect=drop(),
    ),
    ProbeCase(
        "link.unicast-in-broadcast-mac",
        "to the receiver's own address and the channel's port, in a broadcast frame",
        "SHOULD",
        "RFC 1122 section 3.3.6",
        "what was broadcast on the link and is not for a group or a broadcast address is somebody's mistake",
        families=("ipv4",),
        probe=udp(group="receiver").as_frame(mac="broadcast"),
        expect=drop(),
    ),
    ProbeCase(
        "link.unicast-in-group-mac",
        "to the receiver's own address and the channel's port, in a frame for the group",
        "kernel",
        "ip_rcv_finish_core(), ip-sysctl drop_unicast_in_l2_multicast",
        "Linux gives it to a socket that is bound to the wildcard address, unless it is told otherwise",
        probe=udp(group="receiver").as_frame(mac="group"),
        expect=either(),
    ),
    *(
        ProbeCase(
            f"link.unicast-in-{name}-mac-dropped",
            f"to the receiver's own address and the channel's port, in {title}; drop_unicast_in_l2_multicast 1",
            "kernel",
            "ip_rcv_finish_core(), ip6_rcv_core(), ip-sysctl drop_unicast_in_l2_multicast",
            "the host is told to drop it",
            setup=tuple(sysctl(path, 1) for path in _DROP_UNICAST.values()),
            probe=udp(group="receiver").as_frame(mac=name),
            expect=drop(),
        )
        for name, title in (("group", "a frame for the group"), ("broadcast", "a broadcast frame"))
    ),
    ProbeCase(
        "link.group-in-group-mac-kept",
        "to the group, in a frame for it; drop_unicast_in_l2_multicast 1",
        "kernel",
        "ip-sysctl drop_unicast_in_l2_multicast",
        "the setting is about unicast datagrams only",
        setup=tuple(sysctl(path, 1) for path in _DROP_UNICAST.values()),
        probe=udp(),
        expect=deliver(),
    ),
    *(
        ProbeCase(
            f"link.{name}",
            title,
            "kernel",
            reference,
            reason,
            direct=True,
            probe=probe,
            expect=expect,
        )
        for name, title, reference, reason, probe, expect in (
            (
                "priority-tag",
                "with a priority tag, VID 0",
                _TAGS,
                "the tag says a priority and no VLAN: as good as untagged",
                udp().as_frame(vlan=0),
                deliver(),
            ),
            (
                "priority-tag-highest",
                "with a priority tag, VID 0, of priority 7 and eligible to be dropped",
                _TAGS,
                "the tag says a priority and no VLAN: as good as untagged",
                udp().as_frame(vlan=0xF000),
                deliver(),
            ),
            (
                "priority-tag-twice",
                "with two priority tags, VID 0",
                _TAGS,
                "each is as good as none",
                udp().as_frame(vlan=(0, 0)),
                deliver(),
            ),
            (
                "vlan-1",
                "with a tag of VLAN 1, which the host is not in",
                _TAGS,
                "it is of another network",
                udp().as_frame(vlan=1),
                drop(),
            ),
            (
                "vlan-100",
                "with a tag of VLAN 100, which the host is not in",
                _TAGS,
                "it is of another network",
                udp().as_frame(vlan=100),
                drop(),
            ),
            (
                "vlan-reserved",
                "with a tag of VID 4095, which is reserved",
                _TAGS,
                "there is no such VLAN",
                udp().as_frame(vlan=4095),
                drop(),
            ),
            (
                "priority-tag-in-vlan",
                "with a tag of VLAN 100, and a priority tag in it",
                _TAGS,
                "the outer tag decides: it is of another network",
                udp().as_frame(vlan=(100, 0)),
                drop(),
            ),
            (
                "vlan-in-priority-tag",
                "with a priority tag, and a tag of VLAN 100 in it",
                _TAGS,
                "what the priority tag is around is of another network",
                udp().as_frame(vlan=(0, 100)),
                drop(),
            ),
            (
                "service-tag",
                "with a service tag of VLAN 100",
                "vlan_do_receive(), IEEE 802.1ad",
                "it is of a provider's network, and not for hosts",
                udp().as_frame(vlan=100, tag_type=0x88A8),
                drop(),
            ),
            (
                "unknown-ethertype",
                "in a frame of the type for local experiments, 0x88B5",
                "__netif_receive_skb_core()",
                "only what says that it is IP is",
                udp().as_frame(ethertype=0x88B5),
                drop(),
            ),
            (
                "other-family-ethertype",
                "in a frame of the other family's type",
                "ip6_rcv_core() and ip_rcv_core()",
                "the version is not that of the type",
                lambda right: udp().as_frame(ethertype=0x86DD if right.family == "ipv4" else 0x0800),
                drop(),
            ),
            (
                "multicast-source-mac",
                "in a frame from a group's Ethernet address",
                "eth_type_trans(), IEEE 802.3",
                "no station may have such an address; bridges drop it, and the host does not look",
                udp().as_frame(source_mac="01:00:5e:01:02:03"),
                deliver(),
            ),
            (
                "zero-source-mac",
                "in a frame from 00:00:00:00:00:00",
                "eth_type_trans(), IEEE 802.3",
                "no station has that address; bridges drop it, and the host does not look",
                udp().as_frame(source_mac="00:00:00:00:00:00"),
                deliver(),
            ),
            (
                "own-source-mac",
                "in a frame from the receiver's own Ethernet address",
                "eth_type_trans()",
                "the host does not look at it, as long as the IP source is another's",
                udp().as_frame(source_mac="receiver"),
                deliver(),
            ),
            (
                "header-only",
                "a frame that ends with its Ethernet header",
                "ip_rcv_core(), ip6_rcv_core()",
                "there is no datagram in it",
                udp().as_frame(cut=14),
                drop(),
            ),
        )
    ),
    ProbeCase(
        "link.snap",
        "in an IEEE 802.3 frame with LLC and SNAP headers",
        "SHOULD",
        "RFC 1122 section 2.3.3, RFC 1042",
        "a host on Ethernet should be able to receive both encapsulations",
        families=("ipv4",),
        direct=True,
        probe=_snap,
        expect=deliver(),
        differences={"linux": Difference(either(), "snap_rcv(): IPv4 is registered for no SNAP protocol")},
    ),
    *(
        ProbeCase(
            f"link.{name}",
            title,
            "MUST",
            "RFC 894, RFC 1042, RFC 791 section 3.1, RFC 8200 section 3",
            "the length in the IP header says where the datagram ends: padding is none of it",
            direct=True,
            probe=probe,
            expect=deliver(),
        )
        for name, title, probe in (
            (
                "padding",
                "2 bytes, in a frame padded to 60 with bytes that are not 0",
                udp(size=2).as_frame(padding=b"\xa5" * 16),
            ),
            (
                "padding-empty",
                "no payload, in a frame padded with bytes that are not 0",
                udp(size=0).as_frame(padding=b"\xa5" * 18),
            ),
            ("trailer", "64 bytes, and after the datagram 32 more in the frame", udp().as_frame(padding=b"\xa5" * 32)),
            (
                "trailer-odd",
                "63 bytes, and after the datagram one more in the frame",
                udp(size=63).as_frame(padding=b"\xa5"),
            ),
        )
    ),
)
