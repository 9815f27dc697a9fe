"""Counts of subscriptions, contexts and the process; their changes, rates, and JSON lines."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from pytest_mcast.core import (
    Change,
    Channel,
    Context,
    ContextStatistics,
    MetricsLog,
    ProcessStatistics,
    Sampler,
    Statistics,
    Subscription,
)

from . import support


class StatisticsText(support.CoreTestCase):
    def test_nothing_rejected_and_drops_unknown(self) -> None:
        self.assertEqual(str(Statistics(3)), "received 3, rejected none, dropped by the kernel unknown")

    def test_reasons_are_listed_in_order(self) -> None:
        self.assertEqual(
            str(Statistics(3, {"source": 2, "group": 1}, 4)),
            "received 3, rejected 1 of another group, 2 of another source, dropped by the kernel 4",
        )


class CountingTestCase(support.LoopbackTestCase):
    def setUp(self) -> None:
        self.context = self.opened(Context())

    def joined(self, **options: Any) -> Subscription:
        subscription = self.context.add(self.channel(), self.lo, **options)
        subscription.join()
        return subscription

    def fence(self) -> None:
        """Return when everything that was sent before has been processed."""
        receiver = self.receiver(self.channel())
        self.sender(receiver.channel).send(b"fence")
        receiver.recv()

    def deliver(self, subscription: Subscription, *payloads: bytes) -> None:
        sender = self.sender(subscription.channel)
        for payload in payloads:
            sender.send(payload)
        self.fence()
        self.assertEqual(len(self.context.drain()), len(payloads))

    def break_down(self, subscription: Subscription) -> None:
        """Have the subscription, of a caller's socket, meet an error."""
        with support.udp_socket("ipv4") as nobody:
            nobody.bind(("127.0.0.1", 0))
            address = nobody.getsockname()
        subscription.socket.connect(address)
        subscription.socket.send(b"x")
        self.fence()
        with self.assertRaises(OSError):
            subscription.receive()


class OfASubscription(CountingTestCase):
    def test_datagrams_and_their_bytes(self) -> None:
        subscription = self.joined()
        self.deliver(subscription, b"", b"12", b"345")
        statistics = subscription.statistics()
        self.assertEqual((statistics.received, statistics.bytes_received), (3, 5))

    def test_looks_that_found_nothing(self) -> None:
        subscription = self.joined()
        for _ in range(3):
            subscription.receive()
        self.assertEqual(subscription.statistics().empty, 3)

    def test_errors(self) -> None:
        channel = self.channel()
        subscription = self.subscription(channel, sock=self.wildcard_socket(channel))
        self.break_down(subscription)
        self.assertEqual(subscription.statistics().errors, 1)

    def test_joins_and_leaves(self) -> None:
        subscription = self.context.add(self.channel(mode="ssm"), self.lo)
        subscription.join()
        subscription.join_source("127.0.0.2")
        subscription.leave()
        subscription.join()
        subscription.leave_source("127.0.0.1")
        subscription.join()
        self.assertEqual((subscription.statistics().joins, subscription.statistics().leaves), (3, 2))

    def test_rejected_datagrams_by_reason(self) -> None:
        channel = self.channel()
        subscription = self.context.add(channel, self.lo, sock=self.wildcard_socket(channel))
        subscription.join()
        other = Channel(self.channel().group, channel.port)
        control = self.receiver(other)
        self.sender(other).send(b"x")
        self.sender(channel, source="127.0.0.2").send(b"x")
        control.recv()
        self.fence()
        subscription.block("127.0.0.2")
        self.assertIsNone(subscription.receive())
        self.assertEqual(subscription.statistics().rejected, {"group": 1, "source": 1})

    def test_drops_of_the_kernel(self) -> None:
        subscription = self.joined(receive_buffer=4096)
        sender = self.sender(subscription.channel)
        for _ in range(100):
            sender.send(bytes(1000))
        self.fence()
        received = len(self.context.drain())
        self.assertLess(received, 100)
        self.assertEqual(subscription.statistics().kernel_drops, 100 - received)

    def test_the_last_datagram(self) -> None:
        subscription = self.joined()
        self.assertIsNone(subscription.statistics().last)
        self.deliver(subscription, b"one", b"two")
        last = subscription.statistics().last
        self.assertEqual(last and last.payload, b"two")

    def test_when_they_were_taken(self) -> None:
        subscription = self.joined()
        clocks = time.monotonic(), time.time_ns()
        statistics = subscription.statistics()
        self.assertTrue(clocks[0] <= statistics.taken_at <= time.monotonic())
        self.assertTrue(clocks[1] <= statistics.time_ns <= time.time_ns())


class OfAContext(CountingTestCase):
    def test_they_are_the_sum_of_its_subscriptions(self) -> None:
        first, second = self.joined(), self.joined()
        self.deliver(first, b"1", b"22")
        self.deliver(second, b"333")
        statistics, parts = self.context.statistics(), (first.statistics(), second.statistics())
        for name in ("received", "bytes_received", "empty", "errors", "joins", "leaves", "kernel_drops"):
            with self.subTest(name):
                self.assertEqual(getattr(statistics, name), sum(getattr(part, name) for part in parts))
        self.assertEqual((statistics.received, statistics.bytes_received), (3, 6))

    def test_what_is_there_now(self) -> None:
        first, second, third = self.joined(), self.joined(), self.joined()
        first.leave()
        second.close()
        self.opened(self.context.take(third))
        statistics = self.context.statistics()
        self.assertEqual((statistics.active, statistics.joined), (1, 0))
        self.assertEqual((statistics.added, statistics.removed), (3, 2))

    def test_they_do_not_fall_when_a_subscription_goes(self) -> None:
        channel = self.channel()
        subscription = self.context.add(channel, self.lo, sock=self.wildcard_socket(channel), receive_buffer=4096)
        subscription.join()
        other = Channel(self.channel().group, channel.port)
        control, foreign, own = self.receiver(other), self.sender(other), self.sender(channel)
        foreign.send(b"x")
        control.recv()
        for _ in range(100):
            own.send(bytes(1000))
        self.fence()
        self.context.drain()
        for go in (self.context.take, self.context.adopt, self.context.remove):
            before = self.context.statistics()
            go(subscription)
            with self.subTest(go.__name__):
                changes = self.context.statistics().since(before).counts
                changes = {name: count for name, count in changes.items() if count}
                self.assertLessEqual(set(changes), {"added", "removed"})
        self.assertEqual(before.rejected, {"group": 1})
        self.assertGreater(before.kernel_drops or 0, 0)
        self.assertGreater(before.received, 0)

    def test_what_is_counted_elsewhere_is_not_the_contexts(self) -> None:
        subscription = self.joined()
        self.deliver(subscription, b"1")
        self.opened(self.context.take(subscription))
        self.sender(subscription.channel).send(b"22")
        self.fence()
        subscription.receive()
        self.context.adopt(subscription)
        self.deliver(subscription, b"333")
        self.assertEqual((self.context.statistics().received, self.context.statistics().bytes_received), (2, 4))
        self.assertEqual(subscription.statistics().received, 3)

    def test_batches_and_what_they_returned(self) -> None:
        subscription = self.joined()
        sender = self.sender(subscription.channel)
        for _ in range(5):
            sender.send(b"x")
        self.fence()
        self.context.receive()
        self.context.receive_batch(2)
        self.context.drain()
        self.context.drain()
        statistics = self.context.statistics()
        self.assertEqual((statistics.batches, statistics.batched), (3, 4))

    def test_errors_are_counted_once(self) -> None:
        channel = self.channel()
        subscription = self.context.add(channel, self.lo, sock=self.wildcard_socket(channel))
        self.break_down(subscription)
        self.assertEqual(self.context.statistics().errors, 1)

    def test_they_are_there_when_it_is_closed(self) -> None:
        self.deliver(self.joined(), b"x")
        self.context.close()
        self.assertEqual((self.context.statistics().received, self.context.statistics().active), (1, 0))


class Changes(support.CoreTestCase):
    def test_counts_and_rates_of_an_interval(self) -> None:
        earlier = Statistics(received=1, bytes_received=10, rejected={"group": 1}, kernel_drops=2, taken_at=5.0)
        later = Statistics(
            received=5, bytes_received=50, rejected={"group": 1, "source": 3}, kernel_drops=2, joins=1, taken_at=7.0
        )
        change = later.since(earlier)
        self.assertEqual(change.seconds, 2.0)
        self.assertEqual(change.counts["received"], 4)
        self.assertEqual(change.counts["rejected"], {"source": 3})
        self.assertEqual(change.counts["kernel_drops"], 0)
        self.assertEqual(
            [change.per_second(name) for name in ("received", "bytes_received", "rejected", "joins", "leaves")],
            [2.0, 20.0, 1.5, 0.5, 0.0],
        )

    def test_gauges_have_no_change(self) -> None:
        change = ContextStatistics(active=1, added=3).since(ContextStatistics(active=2, added=2, taken_at=0))
        self.assertEqual((change.counts["added"], "active" in change.counts), (1, False))

    def test_what_is_unknown_stays_unknown(self) -> None:
        change = Statistics(kernel_drops=1).since(Statistics(taken_at=0))
        self.assertEqual((change.counts["kernel_drops"], change.per_second("kernel_drops")), (None, None))

    def test_no_time_at_all_has_no_rate(self) -> None:
        self.assertEqual(Change(0.0, {"received": 5}).per_second("received"), 0.0)

    def test_the_wrong_order_is_refused(self) -> None:
        with self.refused(ValueError, "wrong order"):
            Statistics(taken_at=1).since(Statistics(taken_at=2))

    def test_a_count_that_has_fallen_is_refused(self) -> None:
        for name, more, less in (
            ("received", 2, 1),
            ("rejected", {"group": 2}, {"group": 1}),
            ("rejected", {"a": 1}, {}),
        ):
            with self.subTest(name), self.refused(ValueError, "has fallen from", "not snapshots of the same thing"):
                Statistics(**{name: less}).since(Statistics(**{name: more, "taken_at": 0}))  # type: ignore[arg-type]

    def test_another_kind_is_refused(self) -> None:
        with self.refused(ValueError, "is not a ContextStatistics to compare with"):
            ContextStatistics().since(Statistics())


class Sampling(support.CoreTestCase):
    def test_each_sample_is_compared_with_the_one_before(self) -> None:
        snapshots = [Statistics(received=count, taken_at=count) for count in (1, 3, 7)]
        sampler = Sampler(iter(snapshots).__next__)
        self.assertIsNone(sampler.sample())
        changes = [sampler.sample() for _ in range(2)]
        self.assertEqual(
            [change and (change.seconds, change.counts["received"]) for change in changes], [(2, 2), (4, 4)]
        )
        self.assertEqual(sampler.previous, snapshots[-1])

    def test_after_a_reset_the_next_is_the_first(self) -> None:
        sampler = Sampler(Statistics)
        sampler.sample()
        sampler.reset()
        self.assertIsNone(sampler.previous)
        self.assertIsNone(sampler.sample())
        self.assertIsNotNone(sampler.sample())


class OfTheProcess(support.CoreTestCase):
    def test_time_and_files(self) -> None:
        before = ProcessStatistics.now()
        with open(os.devnull, "rb"):
            while time.process_time() < before.cpu_user + before.cpu_system + 0.02:
                sum(range(1000))
            after = ProcessStatistics.now()
        change = after.since(before)
        self.assertGreater(change.counts["cpu_user"] + change.counts["cpu_system"], 0)
        self.assertEqual((after.open_files or 0) - (before.open_files or 0), 1)
        self.assertGreaterEqual(after.threads, 1)
        self.assertTrue(after.memory is None or 0 < after.memory < (after.virtual_memory or 0))


class JsonLines(CountingTestCase):
    def setUp(self) -> None:
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name, "metrics.jsonl")

    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def test_a_header_and_a_row_for_each_sample(self) -> None:
        subscription = self.joined()
        with MetricsLog(self.path, self.context.statistics, {"host": "a"}) as log:
            for payloads in ((b"1", b"22"), (b"333",)):
                self.deliver(subscription, *payloads)
                log.write()
        header, first, second = self.lines()
        created = header.pop("created")
        self.assertEqual(header, {"format": "pytest-mcast metrics 1", "kind": "context", "about": {"host": "a"}})
        self.assertTrue(time.time() - 60 < created <= first["time"] <= second["time"] <= time.time())
        self.assertEqual([row["total"]["received"] for row in (first, second)], [2, 3])
        self.assertEqual([row["change"]["bytes_received"] for row in (first, second)], [3, 3])
        self.assertEqual((second["total"]["active"], second["total"]["joined"]), (1, 1))
        self.assertEqual(second["per_second"]["received"], 1 / second["seconds"])
        self.assertEqual(set(second), {"time", "total", "seconds", "change", "per_second"})

    def test_a_subscription_has_its_last_datagram_as_well(self) -> None:
        subscription = self.joined()
        with MetricsLog(self.path, subscription.statistics) as log:
            self.deliver(subscription, b"four")
            snapshot = log.write()
        header, row = self.lines()
        last = snapshot.last if isinstance(snapshot, Statistics) else None
        assert last is not None
        self.assertEqual((header["kind"], row["total"]), ("subscription", snapshot.counts()))
        self.assertEqual(row["last"].pop("time"), (last.timestamp_ns or 0) / 1e9)
        self.assertEqual(row["last"], {"source": "127.0.0.1", "port": last.source[1], "length": 4})

    def test_the_process_has_rows_too(self) -> None:
        with MetricsLog(self.path, ProcessStatistics.now) as log:
            log.write()
        self.assertEqual(
            (self.lines()[0]["kind"], set(self.lines()[1]["per_second"])), ("process", {"cpu_user", "cpu_system"})
        )

    def test_a_row_is_written_at_once(self) -> None:
        with MetricsLog(self.path, self.context.statistics) as log:
            self.assertEqual(len(self.lines()), 1)
            log.write()
            self.assertEqual(len(self.lines()), 2)

    def test_a_file_of_the_same_kind_is_continued(self) -> None:
        for _ in range(2):
            with MetricsLog(self.path, self.context.statistics, {"run": 1}) as log:
                log.write()
        self.assertEqual(["format" in line for line in self.lines()], [True, False, False])

    def test_another_header_is_refused_and_nothing_is_written(self) -> None:
        with MetricsLog(self.path, self.context.statistics, {"run": 1}):
            before = self.path.read_text()
        refusals: tuple[tuple[Any, ...], ...] = (
            (ProcessStatistics.now, {"run": 1}, f"{self.path} has kind 'context' in its header, not 'process'"),
            (
                self.context.statistics,
                {"run": 2},
                f"{self.path} has about {{'run': 1}} in its header, not {{'run': 2}}",
            ),
        )
        for take, about, text in refusals:
            with self.refused(ValueError, text):
                MetricsLog(self.path, take, about)
        self.path.write_text(before.replace("metrics 1", "metrics 2"))
        with self.refused(ValueError, f"{self.path} has format 'pytest-mcast metrics 2' in its header"):
            MetricsLog(self.path, self.context.statistics, {"run": 1})
        self.assertEqual(len(self.lines()), 1)

    def test_a_file_of_something_else_is_refused_and_left_alone(self) -> None:
        for text in ("a,b\n1,2\n", '{"time": 1}\n', "[]\n", "\n", "\xff"):
            with self.subTest(text), self.refused(ValueError, f"{self.path} does not begin with a header"):
                self.path.write_text(text)
                MetricsLog(self.path, self.context.statistics)
            self.assertEqual(self.path.read_text(), text)

    def test_a_row_that_was_torn_off_spoils_no_other(self) -> None:
        with MetricsLog(self.path, self.context.statistics) as log:
            log.write()
        whole = self.path.read_bytes()
        self.path.write_bytes(whole[:-10])
        with MetricsLog(self.path, self.context.statistics) as log:
            log.write()
        lines = self.path.read_bytes().splitlines()
        self.assertEqual((len(lines), lines[1]), (3, whole.splitlines()[1][:-9]))
        self.assertIn("total", json.loads(lines[2]))

    def test_a_second_writer_is_refused(self) -> None:
        with (
            MetricsLog(self.path, self.context.statistics),
            self.refused(BlockingIOError, f"somebody is writing to {self.path}"),
        ):
            MetricsLog(self.path, self.context.statistics)

    def test_nothing_stays_open(self) -> None:
        self.path.write_text("x")
        with self.leaving_nothing_open(), contextlib.suppress(ValueError):
            MetricsLog(self.path, self.context.statistics)
        self.path.unlink()
        with self.leaving_nothing_open():
            log = MetricsLog(self.path, self.context.statistics)
            log.close()
            log.close()
