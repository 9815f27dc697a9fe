"""The picker of channels that nobody else uses."""

from __future__ import annotations

import hashlib
import ipaddress
from typing import Any
from unittest import mock

from pytest_mcast.core import Channel, ChannelError, ChannelPicker
from pytest_mcast.core import groups as groups_module

from . import support

IPV4_RANGES = {
    "realm-local": "239.255.0.0/16",
    "organization-local": "239.192.0.0/14",
    "admin-local": "239.128.0.0/10",
    "global": "233.252.0.0/24",
}
IPV6_SCOPES = (
    "interface-local",
    "link-local",
    "realm-local",
    "admin-local",
    "site-local",
    "organization-local",
    "global",
)


def hashes(*numbers: int) -> Any:
    """Let the hashes of a picker come out as these numbers, one after the other."""
    made = [mock.Mock(**{"digest.return_value": number.to_bytes(8, "big")}) for number in numbers]
    return mock.patch.object(hashlib, "blake2b", side_effect=made)


def picked(*numbers: int, family: str = "ipv4", scope: str | None = None, source: str | None = None) -> str:
    """The group that a picker takes when its hashes come out as these numbers."""
    with hashes(*numbers):
        return ChannelPicker(b"").pick(family, scope, source=source).group


def groups(family: str, *, seeds: int, source: str | None = None) -> set[str]:
    return {ChannelPicker(b"%d" % seed).pick(family, source=source).group for seed in range(seeds)}


class Uniqueness(support.CoreTestCase):
    def test_a_small_range_that_is_used_up_begins_again(self) -> None:
        picker = ChannelPicker(b"seed")
        with mock.patch("pytest_mcast.core.groups._TRIES", 100):
            channels = [picker.pick("ipv4", "global") for _ in range(300)]
        self.assertEqual(len({channel.group for channel in channels}), 256)

    def test_a_scope_that_does_not_exist_is_refused_for_any_kind(self) -> None:
        for source in (None, "192.0.2.1"):
            with self.assertRaisesRegex(ChannelError, "scope 'nearby' is not one of interface-local, link-local"):
                ChannelPicker(b"").pick("ipv4", "nearby", source=source)

    def test_ipv6_groups_of_many_seeds_differ(self) -> None:
        self.assertEqual(len(groups("ipv6", seeds=1000)), 1000)

    def test_ipv6_source_specific_groups_of_many_seeds_differ(self) -> None:
        self.assertEqual(len(groups("ipv6", seeds=1000, source="::1")), 1000)

    def test_ipv4_source_specific_groups_of_many_seeds_differ(self) -> None:
        self.assertEqual(len(groups("ipv4", seeds=1000, source="127.0.0.1")), 1000)

    def test_ipv4_groups_of_many_seeds_are_spread_over_their_range(self) -> None:
        self.assertGreater(len(groups("ipv4", seeds=1000)), 980)  # of 65536: about 8 are met twice

    def test_one_picker_picks_no_group_twice(self) -> None:
        picker = ChannelPicker(b"seed")
        with hashes(0x0102, 0x0102, 0x0103):
            self.assertEqual([picker.pick("ipv4").group for _ in range(2)], ["239.255.1.2", "239.255.1.3"])

    def test_one_picker_picks_no_port_twice(self) -> None:
        with mock.patch.object(groups_module, "_free_port", side_effect=[5000, 5000, 5001]):
            picker = ChannelPicker(b"seed")
            self.assertEqual([picker.pick("ipv4").port for _ in range(2)], [5000, 5001])

    def test_when_there_are_no_other_ports_they_are_given_again(self) -> None:
        with mock.patch.object(groups_module, "_free_port", return_value=5000):
            picker = ChannelPicker(b"seed")
            self.assertEqual([picker.pick("ipv4").port for _ in range(2)], [5000, 5000])

    def test_the_groups_depend_on_the_seed_only(self) -> None:
        first, second = ChannelPicker(b"seed"), ChannelPicker(b"seed")
        self.assertEqual([first.pick("ipv6").group for _ in range(5)], [second.pick("ipv6").group for _ in range(5)])


class Ranges(support.CoreTestCase):
    def test_ipv4_groups_are_in_the_range_of_their_scope(self) -> None:
        picker = ChannelPicker(b"seed")
        for scope, network in IPV4_RANGES.items():
            with self.subTest(scope):
                found = {ipaddress.ip_address(picker.pick("ipv4", scope).group) for _ in range(20)}
                self.assertEqual({group for group in found if group not in ipaddress.ip_network(network)}, set())

    def test_channels_have_the_scope_that_was_asked_for(self) -> None:
        picker = ChannelPicker(b"seed")
        for family, scopes in (("ipv4", tuple(IPV4_RANGES)), ("ipv6", IPV6_SCOPES)):
            for scope in scopes:
                with self.subTest(family=family, scope=scope):
                    self.assertEqual(picker.pick(family, scope).scope, scope)

    def test_source_specific_ipv6_channels_have_the_scope_that_was_asked_for(self) -> None:
        picker = ChannelPicker(b"seed")
        for scope in IPV6_SCOPES:
            with self.subTest(scope):
                self.assertEqual(picker.pick("ipv6", scope, source="2001:db8::1").scope, scope)

    def test_the_default_scopes_stay_near(self) -> None:
        picker = ChannelPicker(b"seed")
        self.assertEqual([picker.pick(family).scope for family in ("ipv4", "ipv6")], ["realm-local", "link-local"])

    def test_a_source_makes_the_channel_source_specific(self) -> None:
        picker = ChannelPicker(b"seed")
        for family, source, network in (("ipv4", "10.0.0.1", "232.0.0.0/8"), ("ipv6", "fe80::1", "ff32::/32")):
            with self.subTest(family):
                channel = picker.pick(family, source=source)
                self.assertEqual(channel.source, source)
                self.assertIn(ipaddress.ip_address(channel.group), ipaddress.ip_network(network))

    def test_ipv6_groups_are_transient_and_dynamic(self) -> None:
        # RFC 4291 section 2.7: the T flag; RFC 3307 section 4.3: group identifiers from 0x80000000.
        for source in (None, "fe80::1"):
            for number in (0, 1, 2**31, 2**64 - 1):
                with self.subTest(source=source, number=number):
                    packed = ipaddress.IPv6Address(picked(number, family="ipv6", source=source)).packed
                    self.assertEqual((packed[1] >> 4 & 1, packed[12] >> 7), (1, 1))

    def test_groups_that_are_taken_are_not_picked(self) -> None:
        picker = ChannelPicker(b"seed")
        groups = [picker.pick("ipv4").group for _ in range(3)]
        self.assertEqual(ChannelPicker(b"seed", taken=groups[:2]).pick("ipv4").group, groups[2])


class Reserved(support.CoreTestCase):
    def test_relative_addresses_of_the_local_scope_are_avoided(self) -> None:  # RFC 2365 section 9
        self.assertEqual(picked(0xFFFF, 0xFF00, 0x0102), "239.255.1.2")

    def test_relative_addresses_of_the_organization_scope_are_avoided(self) -> None:  # RFC 2365 section 9
        self.assertEqual(picked(0x3FFFF, 0x3FF00, 0x0102, scope="organization-local"), "239.192.1.2")

    def test_the_reserved_source_specific_groups_are_avoided(self) -> None:  # RFC 4607 section 4.4
        self.assertEqual(picked(0, 255, 256, source="10.0.0.1"), "232.0.1.0")

    def test_source_specific_groups_with_the_mac_of_a_control_group_are_avoided(self) -> None:
        self.assertEqual(picked(0x800000, 0x8000FF, 0x800100, source="10.0.0.1"), "232.128.1.0")

    def test_groups_with_the_mac_of_a_control_group_are_avoided(self) -> None:
        self.assertEqual(picked(0x000001, 0x0000FF, 0x000100, scope="admin-local"), "239.128.1.0")

    def test_no_group_of_many_has_the_mac_of_a_control_group(self) -> None:
        control = {Channel(f"224.0.0.{number}", 1).mac for number in range(256)}
        picker = ChannelPicker(b"seed")
        for scope in IPV4_RANGES:
            with self.subTest(scope):
                self.assertEqual({picker.pick("ipv4", scope).mac for _ in range(200)} & control, set())


class Refusals(support.CoreTestCase):
    def test_an_unknown_family_is_refused(self) -> None:
        with self.refused(ChannelError, "family 'inet' is not one of ipv4, ipv6"):
            ChannelPicker(b"").pick("inet")

    def test_an_unknown_ipv6_scope_is_refused(self) -> None:
        with self.refused(ChannelError, "scope 'lan' is not one of interface-local, link-local, realm-local"):
            ChannelPicker(b"").pick("ipv6", "lan")

    def test_an_ipv4_scope_without_free_groups_is_refused(self) -> None:
        for scope in ("interface-local", "link-local", "site-local"):
            text = f"IPv4 has no free groups of scope '{scope}', only of realm-local, organization-local, admin-local"
            with self.subTest(scope), self.refused(ChannelError, text, "ask for family ipv6"):
                ChannelPicker(b"").pick("ipv4", scope)

    def test_a_source_that_cannot_be_one_is_refused(self) -> None:
        with self.refused(ChannelError, "of different families"):
            ChannelPicker(b"").pick("ipv4", source="fe80::1")


class Ports(support.LoopbackTestCase):
    @support.each_kind
    def test_the_port_is_free(self, family: str, mode: str) -> None:
        channel = self.channel(family, mode)
        with support.udp_socket(family) as sock:
            sock.bind((channel.group, channel.port, *((0, self.lo.index) if family == "ipv6" else ())))

    def test_ports_are_given_out_by_the_system(self) -> None:
        self.assertGreater(len({ChannelPicker(b"seed").pick("ipv4").port for _ in range(20)}), 1)
