"""What was sent, and what arrived, as values."""

from __future__ import annotations

import dataclasses
from typing import Any

from pytest_mcast.core import Channel, Datagram, Sent, Statistics

from . import support

DATAGRAM = Datagram(b"x", ("10.0.0.1", 40000), "239.1.2.3", 5000, 2, 1, 0xBB, 1_700_000_000_000_000_000)


class Datagrams(support.CoreTestCase):
    def test_dscp_is_the_upper_six_bits_of_the_traffic_class(self) -> None:
        self.assertEqual(DATAGRAM.dscp, 46)

    def test_dscp_is_unknown_with_the_traffic_class(self) -> None:
        self.assertIsNone(dataclasses.replace(DATAGRAM, traffic_class=None).dscp)

    def test_a_datagram_is_whole_unless_said(self) -> None:
        self.assertFalse(DATAGRAM.truncated)

    def test_values_cannot_be_changed(self) -> None:
        value: Any
        for value in (DATAGRAM, Sent(b"x", ("10.0.0.1", 1), Channel("239.1.2.3", 5000), "eth0", 1), Statistics(1)):
            first = dataclasses.fields(value)[0].name
            with self.subTest(type(value).__name__), self.assertRaises(dataclasses.FrozenInstanceError):
                setattr(value, first, None)
