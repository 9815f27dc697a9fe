"""Channels: what is refused and why, text form, family, mode, scope and Ethernet address."""

from __future__ import annotations

import dataclasses
import ipaddress
from typing import Any

from pytest_mcast.core import FAMILIES, MODES, SCOPES, Channel, ChannelError, group_mac

from . import support

# RFC 2365 sections 6 and 8, RFC 5771, RFC 4607, RFC 7346 section 2: first and last of each range.
SCOPE_OF = {
    "224.0.0.0": "link-local",
    "224.0.0.255": "link-local",
    "224.0.1.0": "global",
    "233.252.0.1": "global",
    "238.255.255.255": "global",
    "239.0.0.0": "admin-local",
    "239.191.255.255": "admin-local",
    "239.192.0.0": "organization-local",
    "239.195.255.255": "organization-local",
    "239.196.0.0": "admin-local",
    "239.254.255.255": "admin-local",
    "239.255.0.0": "realm-local",
    "239.255.255.255": "realm-local",
    "ff01::1": "interface-local",
    "ff02::1": "link-local",
    "ff13::1": "realm-local",
    "ff14::1": "admin-local",
    "ff15::1": "site-local",
    "ff16::1": "unassigned-6",
    "ff18::1": "organization-local",
    "ff1d::1": "unassigned-d",
    "ff1e::1": "global",
    "ff7e::1": "global",
}

# RFC 1112 section 6.4 and RFC 2464 section 7.
MAC_OF = {
    "224.0.0.251": "01:00:5e:00:00:fb",
    "239.1.2.3": "01:00:5e:01:02:03",
    "239.129.2.3": "01:00:5e:01:02:03",
    "239.255.255.255": "01:00:5e:7f:ff:ff",
    "ff02::1:ff28:9c5a": "33:33:ff:28:9c:5a",
    "ff15:1:2:3:4:5:6:7": "33:33:00:06:00:07",
}

TEXTS = {
    "239.1.2.3:5000": Channel("239.1.2.3", 5000),
    "239.1.2.3:0": Channel("239.1.2.3", 0),
    "[ff15::1]:5000": Channel("ff15::1", 5000),
    "10.0.0.1@232.1.1.1:5000": Channel("232.1.1.1", 5000, "10.0.0.1"),
    "10.0.0.1@239.1.2.3:65535": Channel("239.1.2.3", 65535, "10.0.0.1"),
    "2001:db8::1@[ff3e::8000:1]:5000": Channel("ff3e::8000:1", 5000, "2001:db8::1"),
}


class Groups(support.CoreTestCase):
    def test_an_ipv6_unicast_address_that_looks_like_a_group_is_refused(self) -> None:
        with self.refused(ChannelError, "group face::fb is a unicast address; groups are in ff00::/8"):
            Channel("face::fb", 5000)

    def test_an_ipv4_unicast_address_is_refused(self) -> None:
        with self.refused(ChannelError, "group 192.0.2.1 is a unicast address; groups are in 224.0.0.0/4"):
            Channel("192.0.2.1", 5000)

    def test_the_neighbours_of_the_ipv4_range_are_refused(self) -> None:
        for address in ("223.255.255.255", "240.0.0.0"):
            with self.subTest(address), self.refused(ChannelError, "is a unicast address"):
                Channel(address, 5000)

    def test_what_is_no_address_is_refused(self) -> None:
        for text in ("", "localhost", "239.1.2", "239.1.2.3/8", "ff15::1::"):
            with self.subTest(text), self.refused(ChannelError, f"group {text!r} is not an IPv4 or IPv6 address"):
                Channel(text, 5000)

    def test_what_is_no_text_is_refused(self) -> None:
        value: Any
        for value in (None, 0xEF010203, b"239.1.2.3"):
            with self.subTest(value), self.refused(ChannelError, f"group {value!r} is not an address as text"):
                Channel(value, 5000)

    def test_a_zone_is_refused(self) -> None:
        with self.refused(ChannelError, "group 'ff12::1%eth0' has a zone: name the interface instead"):
            Channel("ff12::1%eth0", 5000)

    def test_the_reserved_ipv6_scopes_are_refused(self) -> None:
        for group, scope in (("ff10::1", "0"), ("ff1f::1", "f"), ("ff3f::1", "f")):
            text = f"group {group} has the reserved scope {scope} (RFC 7346 section 2); usable are 1 to e"
            with self.subTest(group), self.refused(ChannelError, text):
                Channel(group, 5000, "fe80::1")

    def test_the_source_specific_range_needs_a_source(self) -> None:
        ranges = {"232.1.1.1": "232.0.0.0/8", "ff32::1": "ff3x::/32", "ff3e::8000:1": "ff3x::/32"}
        for group, network in ranges.items():
            text = (
                f"group {group} is in the range of source-specific multicast ({network}, RFC 4607) and needs a source"
            )
            with self.subTest(group), self.refused(ChannelError, text, f"Channel('{group}', 5000, source=...)"):
                Channel(group, 5000)

    def test_groups_beside_the_source_specific_range_need_none(self) -> None:
        for group in ("231.255.255.255", "233.0.0.0", "ff1e::8000:1", "ff3e:40:2001:db8::1"):
            with self.subTest(group):
                self.assertEqual(Channel(group, 5000).mode, "asm")

    def test_an_address_object_is_taken(self) -> None:
        group: Any = ipaddress.IPv6Address("ff15::1")
        self.assertEqual(Channel(group, 5000), Channel("ff15::1", 5000))

    def test_addresses_are_kept_in_canonical_form(self) -> None:
        channel = Channel("FF3E:0:0:0:0:0:8000:0001", 5000, "2001:0DB8::0:1")
        self.assertEqual((channel.group, channel.source), ("ff3e::8000:1", "2001:db8::1"))

    def test_a_refusal_is_a_value_error(self) -> None:
        with self.assertRaises(ValueError):
            Channel("face::fb", 5000)


class Sources(support.CoreTestCase):
    def test_a_source_of_the_other_family_is_refused(self) -> None:
        text = "source 2001:db8::1 and group 232.1.1.1 are of different families: IPv6 and IPv4"
        with self.refused(ChannelError, text):
            Channel("232.1.1.1", 5000, "2001:db8::1")

    def test_a_group_as_source_is_refused(self) -> None:
        for group, source in (("232.1.1.1", "239.1.2.3"), ("ff3e::1", "ff02::1")):
            with (
                self.subTest(source),
                self.refused(ChannelError, f"source {source} is a group; a source is one host's"),
            ):
                Channel(group, 5000, source)

    def test_the_unspecified_source_is_refused(self) -> None:
        for group, source in (("232.1.1.1", "0.0.0.0"), ("ff3e::1", "::")):
            text = f"source {source} is the unspecified address; leave the source out to accept any"
            with self.subTest(source), self.refused(ChannelError, text):
                Channel(group, 5000, source)

    def test_the_broadcast_source_is_refused(self) -> None:
        with self.refused(ChannelError, "source 255.255.255.255 is the broadcast address"):
            Channel("232.1.1.1", 5000, "255.255.255.255")

    def test_an_ipv4_mapped_source_is_refused(self) -> None:
        with self.refused(ChannelError, "is an IPv4-mapped address, which is never on the wire (RFC 4291)"):
            Channel("ff3e::1", 5000, "::ffff:10.0.0.1")

    def test_a_zone_is_refused(self) -> None:
        with self.refused(ChannelError, "source 'fe80::1%eth0' has a zone: name the interface instead"):
            Channel("ff32::1", 5000, "fe80::1%eth0")

    def test_what_is_no_address_is_refused(self) -> None:
        with self.refused(ChannelError, "source 'router' is not an IPv4 or IPv6 address"):
            Channel("232.1.1.1", 5000, "router")

    def test_a_source_makes_any_group_source_specific(self) -> None:
        self.assertEqual(Channel("239.1.2.3", 5000, "10.0.0.1").mode, "ssm")


class Ports(support.CoreTestCase):
    def test_what_is_no_port_is_refused(self) -> None:
        port: Any
        for port in (-1, 65536, "5000", 5000.0, None, True, False):
            with self.subTest(port), self.refused(ChannelError, f"port {port!r} is not a whole number from 0 to 65535"):
                Channel("239.1.2.3", port)

    def test_the_whole_range_is_taken(self) -> None:
        for port in (0, 1, 65535):
            with self.subTest(port):
                self.assertEqual(Channel("239.1.2.3", port).port, port)


class Text(support.CoreTestCase):
    def test_text_is_parsed(self) -> None:
        for text, channel in TEXTS.items():
            with self.subTest(text):
                self.assertEqual(Channel.parse(text), channel)

    def test_a_channel_prints_as_what_is_parsed(self) -> None:
        for text, channel in TEXTS.items():
            with self.subTest(text):
                self.assertEqual(str(channel), text)

    def test_a_source_in_brackets_is_parsed(self) -> None:
        channel = Channel.parse("[2001:db8::1]@[ff3e::8000:1]:5000")
        self.assertEqual(channel, Channel("ff3e::8000:1", 5000, "2001:db8::1"))

    def test_other_forms_are_refused_with_the_right_ones(self) -> None:
        for text in (
            "",
            "239.1.2.3",
            "239.1.2.3:",
            "239.1.2.3:mdns",
            "239.1.2.3:-1",
            "239.1.2.3:+1",
            "239.1.2.3:500000",
            "239.1.2.3:5000 ",
            "239.1.2.3:5000\n",
            "ff15::1",
            "ff15::1:5000",
            "[ff15::1]",
            "[ff15::1:5000",
            "@239.1.2.3:5000",
            "10.0.0.1@10.0.0.2@232.1.1.1:5000",
        ):
            expected = f"{text!r} is not a channel: write GROUP:PORT, [GROUP]:PORT or SOURCE@GROUP:PORT, such as"
            with self.subTest(text), self.refused(ChannelError, expected):
                Channel.parse(text)

    def test_what_is_parsed_is_validated(self) -> None:
        for text, reason in (
            ("[face::fb]:5000", "is a unicast address"),
            ("232.1.1.1:5000", "needs a source"),
            ("239.1.2.3:65536", "port 65536 is not a whole number"),
            ("[fe80::1%eth0]@[ff32::1]:5000", "has a zone"),
        ):
            with self.subTest(text), self.refused(ChannelError, reason):
                Channel.parse(text)


class Properties(support.CoreTestCase):
    def test_the_family_is_that_of_the_group(self) -> None:
        self.assertEqual([Channel("239.1.2.3", 1).family, Channel("ff15::1", 1).family], list(FAMILIES))

    def test_the_mode_is_that_of_the_source(self) -> None:
        self.assertEqual([Channel("239.1.2.3", 1).mode, Channel("232.1.1.1", 1, "10.0.0.1").mode], list(MODES))

    def test_the_scope_is_that_of_the_group(self) -> None:
        for group, scope in SCOPE_OF.items():
            with self.subTest(group):
                self.assertEqual(Channel(group, 1).scope, scope)

    def test_the_source_specific_ipv4_range_is_global(self) -> None:
        self.assertEqual(Channel("232.1.1.1", 1, "10.0.0.1").scope, "global")

    def test_the_scopes_are_listed_from_the_narrowest(self) -> None:
        self.assertEqual(
            SCOPES,
            (
                "interface-local",
                "link-local",
                "realm-local",
                "admin-local",
                "site-local",
                "organization-local",
                "global",
            ),
        )

    def test_the_mac_is_that_of_the_group(self) -> None:
        for group, mac in MAC_OF.items():
            with self.subTest(group):
                self.assertEqual((group_mac(group), Channel(group, 1).mac), (mac, mac))


class Values(support.CoreTestCase):
    def test_a_channel_cannot_be_changed(self) -> None:
        channel: Any = Channel("239.1.2.3", 5000)
        with self.assertRaises(dataclasses.FrozenInstanceError):
            channel.port = 5001

    def test_equal_channels_have_one_hash(self) -> None:
        self.assertEqual(len({Channel("ff15::1", 5000), Channel("FF15::0:1", 5000)}), 1)

    def test_channels_differ_by_group_port_and_source(self) -> None:
        channels = {
            Channel("239.1.2.3", 5000),
            Channel("239.1.2.4", 5000),
            Channel("239.1.2.3", 5001),
            Channel("239.1.2.3", 5000, "10.0.0.1"),
        }
        self.assertEqual(len(channels), 4)

    def test_unchecked_takes_what_is_wrong(self) -> None:
        channel = Channel.unchecked("face::fb", -1, "ff02::1")
        self.assertEqual((channel.group, channel.port, channel.source), ("face::fb", -1, "ff02::1"))

    def test_an_unchecked_channel_equals_the_checked_one(self) -> None:
        self.assertEqual(Channel.unchecked("232.1.1.1", 5, "10.0.0.1"), Channel("232.1.1.1", 5, "10.0.0.1"))
