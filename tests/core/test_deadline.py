"""Deadlines on the monotonic clock."""

from __future__ import annotations

import math
from unittest import mock

from pytest_mcast.core import Deadline

from . import support


class Deadlines(support.CoreTestCase):
    def setUp(self) -> None:
        self.now = 1000.0
        clock = mock.patch("pytest_mcast.core.deadline.time", monotonic=lambda: self.now)
        clock.start()
        self.addCleanup(clock.stop)

    def test_what_remains_decreases_with_the_clock(self) -> None:
        deadline = Deadline(5)
        self.now += 2
        self.assertEqual(deadline.remaining(), 3)

    def test_what_remains_is_never_below_zero(self) -> None:
        deadline = Deadline(5)
        self.now += 6
        self.assertEqual(deadline.remaining(), 0)

    def test_it_has_not_passed_before_its_time(self) -> None:
        deadline = Deadline(5)
        self.now += 4.999
        self.assertFalse(deadline.passed())

    def test_it_has_passed_at_its_time(self) -> None:
        deadline = Deadline(5)
        self.now += 5
        self.assertTrue(deadline.passed())

    def test_zero_has_passed_at_once(self) -> None:
        self.assertTrue(Deadline(0).passed())

    def test_none_never_passes(self) -> None:
        deadline = Deadline(None)
        self.now += 1e9
        self.assertEqual((deadline.passed(), deadline.remaining(), deadline.seconds), (False, None, None))

    def test_infinity_is_no_end(self) -> None:
        self.assertIsNone(Deadline(math.inf).remaining())

    def test_the_seconds_are_kept(self) -> None:
        self.assertEqual(Deadline(2.5).seconds, 2.5)

    def test_what_is_no_duration_is_refused(self) -> None:
        for seconds in (-1, -0.001, math.nan, -math.inf):
            text = f"a time-out is a number of seconds, 0 or more, or None, not {seconds!r}"
            with self.subTest(seconds), self.refused(ValueError, text):
                Deadline(seconds)
