"""Interfaces: finding the one that is meant, and its address that fits."""

from __future__ import annotations

import dataclasses
import socket
from unittest import mock

from pytest_mcast.core import Interface, InterfaceError, system

from . import support

LO = Interface("lo", 1, ("127.0.0.1", "::1"), 65536, up=True, multicast=False, loopback=True)
ETH0 = Interface("eth0", 2, ("10.0.0.1", "2001:db8::1", "fe80::1"), 1500, up=True, multicast=True, loopback=False)
ETH1 = Interface("eth1", 3, ("10.0.1.1", "fd00::1", "fe80::1"), 1500, up=True, multicast=True, loopback=False)
NUMBER = Interface("3", 7, ("10.0.2.1",), 1500, up=True, multicast=True, loopback=False)
BARE = Interface("bare", 9, (), 1500, up=True, multicast=True, loopback=False)


class FakeTable(support.CoreTestCase):
    """Interfaces of the test's own choice."""

    def have(self, *interfaces: Interface) -> None:
        table = [
            system.RawInterface(i.name, i.index, i.up, i.multicast, i.loopback, i.mtu, list(i.addresses))
            for i in interfaces
        ]
        patch = mock.patch.object(system, "interface_table", return_value=table)
        patch.start()
        self.addCleanup(patch.stop)


class Find(FakeTable):
    def setUp(self) -> None:
        self.have(LO, ETH0, ETH1, BARE)

    def test_by_name(self) -> None:
        self.assertEqual(Interface.find("eth1"), ETH1)

    def test_by_index(self) -> None:
        self.assertEqual(Interface.find(3), ETH1)

    def test_by_digits(self) -> None:
        self.assertEqual(Interface.find("3"), ETH1)

    def test_by_ipv4_address(self) -> None:
        self.assertEqual(Interface.find("10.0.1.1"), ETH1)

    def test_by_ipv6_address(self) -> None:
        self.assertEqual(Interface.find("fd00::1"), ETH1)

    def test_by_ipv6_address_in_another_form(self) -> None:
        self.assertEqual(Interface.find("FD00:0:0::0001"), ETH1)

    def test_by_address_with_the_name_as_zone(self) -> None:
        self.assertEqual(Interface.find("fe80::1%eth1"), ETH1)

    def test_by_address_with_the_index_as_zone(self) -> None:
        self.assertEqual(Interface.find("fe80::1%3"), ETH1)

    def test_an_interface_is_taken_as_it_is(self) -> None:
        self.assertIs(Interface.find(NUMBER), NUMBER)

    def test_a_name_wins_over_an_index(self) -> None:
        self.have(LO, ETH0, ETH1, NUMBER)
        self.assertEqual(Interface.find("3"), NUMBER)


class NotFound(FakeTable):
    LISTING = (
        "there are: lo (index 1, 127.0.0.1, ::1); eth0 (index 2, 10.0.0.1, 2001:db8::1, fe80::1); "
        "eth1 (index 3, 10.0.1.1, fd00::1, fe80::1); bare (index 9, no address)"
    )

    def setUp(self) -> None:
        self.have(LO, ETH0, ETH1, BARE)

    def test_an_unknown_name_is_refused_with_what_there_is(self) -> None:
        with self.refused(InterfaceError, f"no interface is named 'eth7'; {self.LISTING}"):
            Interface.find("eth7")

    def test_an_unknown_index_is_refused_with_what_there_is(self) -> None:
        for index in (7, "7", 0):
            with (
                self.subTest(index),
                self.refused(InterfaceError, f"no interface has the index {index}; {self.LISTING}"),
            ):
                Interface.find(index)

    def test_an_unknown_address_is_refused_with_what_there_is(self) -> None:
        for address in ("10.9.9.9", "fd00::9"):
            text = f"no interface has the address {address}; {self.LISTING}"
            with self.subTest(address), self.refused(InterfaceError, text):
                Interface.find(address)

    def test_an_address_in_the_wrong_zone_is_refused(self) -> None:
        for zone in ("eth0", "2", "eth7"):
            text = f"no interface has the address fd00::1%{zone}; there are: "
            with self.subTest(zone), self.refused(InterfaceError, text):
                Interface.find(f"fd00::1%{zone}")

    def test_an_address_of_several_interfaces_needs_a_zone(self) -> None:
        text = "several interfaces have the address fe80::1; say which: fe80::1%eth0, fe80::1%eth1"
        with self.refused(InterfaceError, text):
            Interface.find("fe80::1")

    def test_a_machine_without_interfaces_says_so(self) -> None:
        self.have()
        with self.refused(InterfaceError, "no interface is named 'eth0'; there are none"):
            Interface.find("eth0")

    def test_a_refusal_is_a_lookup_error(self) -> None:
        with self.assertRaises(LookupError):
            Interface.find("eth7")


class Best(FakeTable):
    def best(self, *interfaces: Interface) -> str:
        self.have(*interfaces)
        return Interface.best().name

    def test_loopback_is_the_last_resort(self) -> None:
        self.assertEqual(self.best(LO, ETH0), "eth0")

    def test_loopback_is_taken_when_there_is_nothing_else(self) -> None:
        self.assertEqual(self.best(LO), "lo")

    def test_both_families_win_over_one(self) -> None:
        self.assertEqual(self.best(dataclasses.replace(ETH0, addresses=("10.0.0.1",)), ETH1), "eth1")

    def test_the_lowest_index_wins_between_equals(self) -> None:
        self.assertEqual(self.best(ETH1, ETH0), "eth0")

    def test_what_is_down_is_passed_over(self) -> None:
        self.assertEqual(self.best(dataclasses.replace(ETH0, up=False), ETH1), "eth1")

    def test_what_cannot_multicast_is_passed_over(self) -> None:
        self.assertEqual(self.best(dataclasses.replace(ETH0, multicast=False), ETH1), "eth1")

    def test_what_has_no_address_is_passed_over(self) -> None:
        self.assertEqual(self.best(dataclasses.replace(ETH0, addresses=()), NUMBER), "3")

    def test_ipv6_alone_will_do(self) -> None:
        self.assertEqual(self.best(LO, dataclasses.replace(ETH0, addresses=("fe80::1",))), "eth0")

    def test_the_family_must_be_there(self) -> None:
        self.have(LO, NUMBER)
        self.assertEqual([Interface.best("ipv4").name, Interface.best("ipv6").name], ["3", "lo"])

    def test_nothing_fit_is_refused_with_what_there_is(self) -> None:
        self.have(BARE)
        text = "no interface is up, able to multicast and has an address; there are: bare (index 9, no address)"
        with self.refused(InterfaceError, text):
            Interface.best()


class Addresses(support.CoreTestCase):
    def test_the_families_are_told_apart(self) -> None:
        self.assertEqual((ETH0.ipv4, ETH0.ipv6), (("10.0.0.1",), ("2001:db8::1", "fe80::1")))

    def test_ipv4_knows_no_scopes(self) -> None:
        self.assertEqual({ETH0.address("ipv4", scope) for scope in ("link-local", "global")}, {"10.0.0.1"})

    def test_a_narrow_group_is_sent_to_from_the_link_local_address(self) -> None:
        for scope in ("interface-local", "link-local"):
            with self.subTest(scope):
                self.assertEqual(ETH0.address("ipv6", scope), "fe80::1")

    def test_a_wider_group_is_sent_to_from_a_wider_address(self) -> None:
        for scope in ("realm-local", "admin-local", "site-local", "organization-local", "global"):
            with self.subTest(scope):
                self.assertEqual(ETH0.address("ipv6", scope), "2001:db8::1")

    def test_a_unique_local_address_is_a_wider_one(self) -> None:
        self.assertEqual(ETH1.address("ipv6", "site-local"), "fd00::1")

    def test_the_only_address_has_to_do(self) -> None:
        only = dataclasses.replace(ETH0, addresses=("fe80::1",))
        self.assertEqual(only.address("ipv6", "global"), "fe80::1")

    def test_loopback_has_one_address_for_all(self) -> None:
        self.assertEqual({LO.address("ipv6", scope) for scope in ("link-local", "global")}, {"::1"})

    def test_a_family_that_is_not_there_is_refused_with_what_is(self) -> None:
        with self.refused(InterfaceError, "interface 3 has no ipv6 address, only 10.0.2.1"):
            NUMBER.address("ipv6")


class ThisMachine(support.CoreTestCase):
    def test_every_interface_is_there_in_the_order_of_its_index(self) -> None:
        found = [(interface.index, interface.name) for interface in Interface.all()]
        self.assertEqual(found, sorted(socket.if_nameindex()))

    def test_loopback_has_its_address_and_flag(self) -> None:
        if not support.loopback().up:
            self.skipTest("loopback is down: ip link set lo up")
        lo = Interface.find("127.0.0.1")
        self.assertTrue(lo.loopback and lo.up)

    def test_loopback_takes_datagrams_of_the_size_that_ipv6_demands(self) -> None:
        self.assertGreaterEqual(support.loopback().mtu, 1280)

    def test_an_interface_prints_as_its_name(self) -> None:
        self.assertEqual(str(ETH0), "eth0")
