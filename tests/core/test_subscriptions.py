"""Subscriptions: membership and its states, exactly one channel, metadata, sockets of the caller's own."""

from __future__ import annotations

import dataclasses
import errno
import socket
import time
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

from pytest_mcast.core import (
    CappedBufferWarning,
    Channel,
    ChannelError,
    Deadline,
    InterfaceError,
    MembershipError,
    Subscription,
    SubscriptionError,
    system,
)

from . import support

IGMP_MAX_MEMBERSHIPS = Path("/proc/sys/net/ipv4/igmp_max_memberships")
IGMP_MAX_MSF = Path("/proc/sys/net/ipv4/igmp_max_msf")


class States(support.LoopbackTestCase):
    @support.each_kind
    def test_it_is_bound_then_joined_then_bound_then_closed(self, family: str, mode: str) -> None:
        subscription = self.subscription(self.channel(family, mode))
        states = [subscription.state]
        for step in (subscription.join, subscription.leave, subscription.join, subscription.close):
            step()
            states.append(subscription.state)
        self.assertEqual(states, ["bound", "joined", "bound", "joined", "closed"])

    @support.each_kind
    def test_the_kernel_is_a_member_while_it_is_joined(self, family: str, mode: str) -> None:
        if not support.LINUX:
            self.skipTest("Linux lists its memberships")
        channel = self.channel(family, mode)
        subscription = self.subscription(channel)
        member = [channel.group in support.kernel_groups()]
        for step in (subscription.join, subscription.leave, subscription.join, subscription.close):
            step()
            member.append(channel.group in support.kernel_groups())
        self.assertEqual(member, [False, True, False, True, False])

    @support.each_kind
    def test_it_gets_nothing_before_it_joins(self, family: str, mode: str) -> None:
        channel = self.channel(family, mode)
        receiver = self.receiver(channel)
        receiver.subscription.leave()
        control, sender = self.control(channel), self.sender(channel)
        sender.send(b"probe")
        control.recv()
        receiver.subscription.join()
        sender.send(b"fence")
        self.assertEqual((support.payloads(receiver, 1), receiver.statistics().rejected), ([b"fence"], {}))

    @support.each_kind
    def test_what_was_queued_before_it_left_is_stale_when_it_joins_again(self, family: str, mode: str) -> None:
        channel = self.channel(family, mode)
        receiver, control, sender = self.receiver(channel), self.control(channel), self.sender(channel)
        sender.send(b"stale")
        control.recv()
        receiver.subscription.leave()
        receiver.subscription.join()
        sender.send(b"fresh")
        self.assertEqual((support.payloads(receiver, 1), receiver.statistics().rejected), ([b"fresh"], {"time": 1}))

    @support.each_kind
    def test_leaving_its_only_source_or_group_keeps_the_socket(self, family: str, mode: str) -> None:
        channel = self.channel(family, mode)
        receiver = self.receiver(channel)
        before = receiver.fileno()
        receiver.subscription.leave()
        self.assertEqual(receiver.fileno(), before)

    def test_closing_again_is_no_error(self) -> None:
        subscription = self.subscription(self.channel())
        subscription.close()
        subscription.close()

    def test_a_closed_one_has_no_descriptor(self) -> None:
        subscription = self.subscription(self.channel())
        subscription.close()
        self.assertEqual(subscription.fileno(), -1)

    def test_it_is_closed_at_the_end_of_a_with_block(self) -> None:
        with Subscription(self.channel(), self.lo) as subscription:
            subscription.join()
        self.assertEqual(subscription.state, "closed")

    def test_it_prints_its_channel_interface_and_state(self) -> None:
        channel = self.channel()
        self.assertEqual(repr(self.subscription(channel, id=7)), f"<Subscription 7 {channel} on {self.lo}: bound>")


class RefusedCalls(support.LoopbackTestCase):
    def test_joining_twice_is_refused(self) -> None:
        subscription = self.subscription(self.channel())
        subscription.join()
        with self.refused(SubscriptionError, f"cannot join: {subscription.channel} on {self.lo} is joined"):
            subscription.join()

    def test_what_needs_a_membership_is_refused_without(self) -> None:
        subscription = self.subscription(self.channel(mode="ssm"))
        calls: tuple[tuple[str, Any], ...] = (
            ("leave", subscription.leave),
            ("join a source", lambda: subscription.join_source("127.0.0.2")),
            ("leave a source", lambda: subscription.leave_source("127.0.0.1")),
            ("block a source", lambda: subscription.block("127.0.0.2")),
            ("unblock a source", lambda: subscription.unblock("127.0.0.2")),
        )
        for action, call in calls:
            text = f"cannot {action}: {subscription.channel} on {self.lo} is bound"
            with self.subTest(action), self.refused(SubscriptionError, text):
                call()

    def test_joining_after_close_is_refused(self) -> None:
        subscription = self.subscription(self.channel())
        subscription.close()
        with self.refused(SubscriptionError, f"cannot join: {subscription.channel} on {self.lo} is closed"):
            subscription.join()

    def test_leaving_after_close_is_refused(self) -> None:
        subscription = self.subscription(self.channel())
        subscription.join()
        subscription.close()
        with self.refused(SubscriptionError, f"cannot leave: {subscription.channel} on {self.lo} is closed"):
            subscription.leave()

    def test_statistics_after_close_are_refused(self) -> None:
        subscription = self.subscription(self.channel())
        subscription.close()
        with self.refused(SubscriptionError, f"{subscription.channel} is closed; take its statistics before"):
            subscription.statistics()

    def test_joining_a_source_of_an_any_source_membership_is_refused(self) -> None:
        subscription = self.subscription(self.channel())
        subscription.join()
        text = f"{subscription.channel} accepts any source already; use block() to keep one out"
        with self.refused(SubscriptionError, text):
            subscription.join_source("127.0.0.2")

    def test_leaving_a_source_that_was_not_joined_is_refused(self) -> None:
        subscription = self.subscription(self.channel(mode="ssm"))
        subscription.join()
        text = f"127.0.0.2 is not a source of {subscription.channel}; ['127.0.0.1'] are"
        with self.refused(SubscriptionError, text):
            subscription.leave_source("127.0.0.2")

    def test_blocking_a_source_of_a_source_specific_membership_is_refused(self) -> None:
        subscription = self.subscription(self.channel(mode="ssm"))
        subscription.join()
        text = f"{subscription.channel} names its sources; use leave_source() to give one up"
        with self.refused(SubscriptionError, text):
            subscription.block("127.0.0.2")

    def test_unblocking_a_source_that_is_not_blocked_is_refused(self) -> None:
        subscription = self.subscription(self.channel())
        subscription.join()
        with self.refused(SubscriptionError, f"127.0.0.2 is not blocked on {subscription.channel}; [] are"):
            subscription.unblock("127.0.0.2")

    def test_what_cannot_be_a_source_is_refused(self) -> None:
        asm, ssm = self.subscription(self.channel()), self.subscription(self.channel(mode="ssm"))
        asm.join()
        ssm.join()
        for call in (ssm.join_source, ssm.leave_source, asm.block, asm.unblock):
            with self.subTest(call.__name__), self.refused(ChannelError, "source 239.1.2.3 is a group"):
                call("239.1.2.3")

    def test_an_unknown_interface_is_refused(self) -> None:
        with self.refused(InterfaceError, "no interface is named 'nowhere'; there are: "):
            Subscription(self.channel(), "nowhere")

    def test_a_port_that_is_not_shared_is_refused(self) -> None:
        channel = self.channel()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
            holder.bind(("", channel.port))
            with self.assertRaises(OSError) as caught:
                self.subscription(channel)
        self.assertEqual(caught.exception.errno, errno.EADDRINUSE)

    def test_a_refused_subscription_leaves_no_socket(self) -> None:
        channel = self.channel()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
            holder.bind(("", channel.port))
            before = support.open_files()
            with self.assertRaises(OSError):
                self.subscription(channel)
            self.assertEqual(support.open_files(), before)


class RefusedMemberships(support.LoopbackTestCase):
    def joined(self, family: str, mode: str) -> Subscription:
        subscription = self.subscription(self.channel(family, mode))
        subscription.join()
        return subscription

    @support.each_family
    def test_joining_a_source_twice(self, family: str) -> None:
        subscription, source = self.joined(family, "ssm"), support.SOURCES[family]
        what = f"cannot join {source}@{subscription.channel.group} on {self.lo}: EADDRNOTAVAIL"
        with self.refused(MembershipError, what, "that source is there already"):
            subscription.join_source(source)

    @support.each_family
    def test_blocking_a_source_twice(self, family: str) -> None:
        subscription, source = self.joined(family, "asm"), support.SOURCES[family]
        subscription.block(source)
        what = f"cannot block {source}@{subscription.channel.group} on {self.lo}: EADDRNOTAVAIL"
        with self.refused(MembershipError, what, "that source is there already"):
            subscription.block(source)

    @support.each_family
    def test_joining_a_group_twice_on_one_socket(self, family: str) -> None:
        channel = self.channel(family)
        sock = self.wildcard_socket(channel)
        first, second = self.subscription(channel, sock=sock), self.subscription(channel, sock=sock)
        first.join()
        what = f"cannot join {channel.group} on {self.lo}: EADDRINUSE"
        with self.refused(MembershipError, what, "this socket has already joined the group"):
            second.join()

    @support.each_family
    def test_joining_on_an_interface_that_is_gone(self, family: str) -> None:
        channel = self.channel(family)
        gone = dataclasses.replace(self.lo, name="gone", index=self.lo.index + 100_000)
        with mock.patch.object(system, "interface_table", return_value=[gone]):
            subscription = self.opened(Subscription(channel, "gone", sock=self.wildcard_socket(channel)))
        with self.refused(MembershipError, f"cannot join {channel.group} on gone: ENODEV", "the interface is gone"):
            subscription.join()

    def test_the_errno_is_that_of_the_kernel(self) -> None:
        subscription = self.joined("ipv4", "ssm")
        with self.assertRaises(MembershipError) as caught:
            subscription.join_source("127.0.0.1")
        self.assertEqual(caught.exception.errno, errno.EADDRNOTAVAIL)

    def test_a_refused_join_leaves_it_bound(self) -> None:
        channel = self.channel()
        sock = self.wildcard_socket(channel)
        first, second = self.subscription(channel, sock=sock), self.subscription(channel, sock=sock)
        first.join()
        with self.assertRaises(MembershipError):
            second.join()
        self.assertEqual(second.state, "bound")

    @unittest.skipUnless(IGMP_MAX_MEMBERSHIPS.exists(), "the limit of Linux")
    def test_one_group_too_many_for_a_socket(self) -> None:
        limit = int(IGMP_MAX_MEMBERSHIPS.read_text())
        sock = self.wildcard_socket(self.channel())
        subscriptions = [
            self.subscription(dataclasses.replace(self.channel(), port=sock.getsockname()[1]), sock=sock)
            for _ in range(limit + 1)
        ]
        for subscription in subscriptions[:limit]:
            subscription.join()
        hint = "a limit is reached: net.ipv4.igmp_max_memberships groups for one socket"
        with self.refused(MembershipError, "ENOBUFS", hint):
            subscriptions[limit].join()

    @unittest.skipUnless(IGMP_MAX_MSF.exists(), "the limit of Linux")
    def test_one_source_too_many_for_a_group(self) -> None:
        limit = int(IGMP_MAX_MSF.read_text())
        subscription = self.joined("ipv4", "ssm")
        for number in range(2, limit + 1):
            subscription.join_source(f"127.0.1.{number}")
        with self.refused(MembershipError, "ENOBUFS", "net.ipv4.igmp_max_msf"):
            subscription.join_source("127.0.2.1")
        self.assertEqual(len(subscription.sources), limit)

    @unittest.skipUnless(support.LINUX, "the limit of Linux")
    def test_one_ipv6_source_too_many_for_a_group(self) -> None:
        subscription = self.joined("ipv6", "ssm")
        with self.refused(MembershipError, "ENOBUFS", "net.ipv6.mld_max_msf"):
            for number in range(2, 1000):  # what the limit is, another network namespace does not see
                subscription.join_source(f"2001:db8::{number:x}")


class Sources(support.LoopbackTestCase):
    @support.each_family
    def test_another_source_is_not_delivered(self, family: str) -> None:
        wanted, source = support.OTHER_SOURCES[family], support.SOURCES[family]
        receiver = self.receiver(self.channel(family, "ssm", source=wanted))
        control, sender = self.control(receiver.channel), self.sender(receiver.channel, source=source)
        sender.send(b"probe")
        control.recv()
        receiver.subscription.join_source(source)
        sender.send(b"fence")
        self.assertEqual(support.payloads(receiver, 1), [b"fence"])

    def test_several_sources_are_delivered(self) -> None:
        receiver = self.receiver(self.channel(mode="ssm"))
        receiver.subscription.join_source("127.0.0.2")
        for source in ("127.0.0.1", "127.0.0.2"):
            self.sender(receiver.channel, source=source).send(source.encode())
        self.assertEqual(support.payloads(receiver, 2), [b"127.0.0.1", b"127.0.0.2"])

    @support.each_family
    def test_the_sources_are_told(self, family: str) -> None:
        subscription = self.subscription(self.channel(family, "ssm"))
        first, second = support.SOURCES[family], support.OTHER_SOURCES[family]
        told = [subscription.sources]
        for call, arguments in (
            (subscription.join, ()),
            (subscription.join_source, (second,)),
            (subscription.leave_source, (first,)),
            (subscription.leave, ()),
        ):
            call(*arguments)
            told.append(subscription.sources)
        self.assertEqual(told, [set(), {first}, {first, second}, {second}, set()])

    def test_the_sources_of_any_are_none(self) -> None:
        subscription = self.subscription(self.channel())
        subscription.join()
        self.assertEqual(subscription.sources, frozenset())

    def test_a_source_in_another_form_is_the_same(self) -> None:
        subscription = self.subscription(self.channel("ipv6", "ssm"))
        subscription.join()
        subscription.join_source("2001:DB8:0::0002")
        subscription.leave_source("2001:db8::2")
        self.assertEqual(subscription.sources, {"::1"})

    def test_a_source_that_was_left_is_not_delivered(self) -> None:
        receiver = self.receiver(self.channel(mode="ssm"))
        receiver.subscription.join_source("127.0.0.2")
        control = self.control(receiver.channel)
        receiver.subscription.leave_source("127.0.0.2")
        self.sender(receiver.channel, source="127.0.0.2").send(b"probe")
        control.recv()
        self.sender(receiver.channel, source="127.0.0.1").send(b"fence")
        self.assertEqual(support.payloads(receiver, 1), [b"fence"])

    def test_what_a_source_sent_before_it_was_left_is_rejected(self) -> None:
        receiver = self.receiver(self.channel(mode="ssm"))
        receiver.subscription.join_source("127.0.0.2")
        control = self.control(receiver.channel)
        self.sender(receiver.channel, source="127.0.0.2").send(b"probe")
        control.recv()
        receiver.subscription.leave_source("127.0.0.2")
        self.sender(receiver.channel, source="127.0.0.1").send(b"fence")
        self.assertEqual((support.payloads(receiver, 1), receiver.statistics().rejected), ([b"fence"], {"source": 1}))

    def test_leaving_the_last_source_is_leaving(self) -> None:
        subscription = self.subscription(self.channel(mode="ssm"))
        subscription.join()
        subscription.leave_source("127.0.0.1")
        self.assertEqual(subscription.state, "bound")

    def test_it_joins_again_after_its_last_source_was_left(self) -> None:
        receiver = self.receiver(self.channel(mode="ssm"))
        receiver.subscription.leave_source("127.0.0.1")
        receiver.subscription.join()
        self.sender(receiver.channel).send(b"fresh")
        self.assertEqual(support.payloads(receiver, 1), [b"fresh"])


class Blocks(support.LoopbackTestCase):
    @support.each_family
    def test_a_blocked_source_is_not_delivered_until_it_is_unblocked(self, family: str) -> None:
        source = support.SOURCES[family]
        receiver = self.receiver(self.channel(family))
        control, sender = self.control(receiver.channel), self.sender(receiver.channel)
        receiver.subscription.block(source)
        sender.send(b"probe")
        control.recv()
        receiver.subscription.unblock(source)
        sender.send(b"fence")
        self.assertEqual((support.payloads(receiver, 1), receiver.statistics().rejected), ([b"fence"], {}))

    def test_other_sources_are_delivered(self) -> None:
        receiver = self.receiver(self.channel())
        receiver.subscription.block("127.0.0.2")
        self.sender(receiver.channel, source="127.0.0.3").send(b"other")
        self.assertEqual(support.payloads(receiver, 1), [b"other"])

    @support.each_family
    def test_what_a_source_sent_before_it_was_blocked_is_rejected(self, family: str) -> None:
        source = support.SOURCES[family]
        receiver = self.receiver(self.channel(family))
        control, sender = self.control(receiver.channel), self.sender(receiver.channel)
        sender.send(b"probe")
        control.recv()
        receiver.subscription.block(source)
        self.assertIsNone(receiver.subscription.receive())
        self.assertEqual(receiver.statistics().rejected, {"source": 1})

    @support.each_family
    def test_the_blocked_sources_are_told(self, family: str) -> None:
        source = support.SOURCES[family]
        subscription = self.subscription(self.channel(family))
        subscription.join()
        subscription.block(source)
        blocked = [subscription.blocked]
        subscription.unblock(source)
        blocked.append(subscription.blocked)
        self.assertEqual(blocked, [{source}, set()])

    @support.each_family
    def test_leaving_ends_every_block(self, family: str) -> None:
        receiver = self.receiver(self.channel(family))
        receiver.subscription.block(support.SOURCES[family])
        receiver.subscription.leave()
        receiver.subscription.join()
        self.sender(receiver.channel).send(b"fresh")
        self.assertEqual((support.payloads(receiver, 1), receiver.subscription.blocked), ([b"fresh"], set()))


class Metadata(support.LoopbackTestCase):
    @support.each_kind
    def test_a_datagram_says_where_it_came_from_and_went_to(self, family: str, mode: str) -> None:
        receiver = self.receiver(self.channel(family, mode))
        sender = self.sender(receiver.channel)
        sender.send(b"x")
        datagram = receiver.recv()
        self.assertEqual((datagram.payload, datagram.source), (b"x", sender.source))
        self.assertEqual((datagram.destination, datagram.port), (receiver.channel.group, receiver.channel.port))

    @support.each_kind
    def test_a_datagram_says_where_it_came_in(self, family: str, mode: str) -> None:
        receiver = self.receiver(self.channel(family, mode))
        self.sender(receiver.channel).send(b"x")
        self.assertEqual(receiver.recv().interface_index, self.lo.index)

    @support.each_kind
    def test_a_datagram_has_the_ttl_of_its_sender(self, family: str, mode: str) -> None:
        receiver = self.receiver(self.channel(family, mode))
        for ttl in (1, 64, 255):
            self.sender(receiver.channel, ttl=ttl).send(b"x")
        self.assertEqual([datagram.ttl for datagram in receiver.expect(3)], [1, 64, 255])

    @support.each_kind
    def test_a_datagram_has_the_traffic_class_of_its_sender(self, family: str, mode: str) -> None:
        receiver = self.receiver(self.channel(family, mode))
        for dscp in (0, 46, 63):
            self.sender(receiver.channel, dscp=dscp).send(b"x")
        self.assertEqual([datagram.traffic_class for datagram in receiver.expect(3)], [0, 46 << 2, 63 << 2])

    @support.each_kind
    def test_a_datagram_has_the_time_of_its_arrival(self, family: str, mode: str) -> None:
        receiver = self.receiver(self.channel(family, mode))
        before = time.time_ns()
        self.sender(receiver.channel).send(b"x")
        arrived = receiver.recv().timestamp_ns
        self.assertTrue(arrived is not None and before <= arrived <= time.time_ns())

    @support.each_kind
    def test_a_datagram_without_payload_is_delivered(self, family: str, mode: str) -> None:
        receiver = self.receiver(self.channel(family, mode))
        sender = self.sender(receiver.channel)
        sender.send(b"")
        sender.send(b"x")
        self.assertEqual(support.payloads(receiver, 2), [b"", b"x"])

    @support.each_kind
    def test_a_datagram_that_is_too_large_is_truncated(self, family: str, mode: str) -> None:
        receiver = self.receiver(self.channel(family, mode), max_size=4)
        self.sender(receiver.channel).send(b"12345")
        datagram = receiver.recv()
        self.assertEqual((datagram.payload, datagram.truncated), (b"1234", True))

    @support.each_kind
    def test_a_datagram_that_just_fits_is_whole(self, family: str, mode: str) -> None:
        receiver = self.receiver(self.channel(family, mode), max_size=4)
        self.sender(receiver.channel).send(b"1234")
        datagram = receiver.recv()
        self.assertEqual((datagram.payload, datagram.truncated), (b"1234", False))

    @support.each_family
    def test_the_largest_datagram_is_taken_whole(self, family: str) -> None:
        receiver = self.receiver(self.channel(family))
        payload = bytes(65507 if family == "ipv4" else 65527)
        self.sender(receiver.channel).send(payload)
        datagram = receiver.recv()
        self.assertEqual((len(datagram.payload), datagram.truncated), (len(payload), False))


class Strictness(support.LoopbackTestCase):
    """Sockets of the caller's own let in what others on this machine have joined."""

    @support.each_family
    def test_another_group_is_rejected(self, family: str) -> None:
        channel = self.channel(family)
        receiver = self.receiver(channel, sock=self.wildcard_socket(channel))
        other = Channel(self.channel(family).group, channel.port)
        control = self.receiver(other)
        self.sender(other).send(b"probe")
        control.recv()
        self.sender(channel).send(b"fence")
        self.assertEqual((support.payloads(receiver, 1), receiver.statistics().rejected), ([b"fence"], {"group": 1}))

    @support.each_family
    def test_a_unicast_datagram_is_rejected(self, family: str) -> None:
        channel = self.channel(family)
        receiver = self.receiver(channel, sock=self.wildcard_socket(channel))
        with socket.socket(receiver.subscription.socket.family, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"probe", (support.SOURCES[family], channel.port))
        self.sender(channel).send(b"fence")
        self.assertEqual((support.payloads(receiver, 1), receiver.statistics().rejected), ([b"fence"], {"group": 1}))

    @support.each_family
    def test_another_interface_is_rejected(self, family: str) -> None:
        channel = self.channel(family)
        elsewhere = dataclasses.replace(self.lo, name="elsewhere", index=self.lo.index + 100_000)
        with mock.patch.object(system, "interface_table", return_value=[elsewhere]):
            subscription = self.opened(Subscription(channel, "elsewhere", sock=self.wildcard_socket(channel)))
        control = self.receiver(channel)
        self.sender(channel).send(b"probe")
        control.recv()
        self.assertIsNone(subscription.receive())
        self.assertEqual(subscription.statistics().rejected, {"interface": 1})

    @support.each_family
    def test_a_socket_of_our_own_does_not_even_see_another_group(self, family: str) -> None:
        receiver = self.receiver(self.channel(family))
        other = Channel(self.channel(family).group, receiver.channel.port)
        control = self.receiver(other)
        self.sender(other).send(b"probe")
        control.recv()
        self.sender(receiver.channel).send(b"fence")
        self.assertEqual((support.payloads(receiver, 1), receiver.statistics().rejected), ([b"fence"], {}))

    @support.each_family
    def test_any_number_of_foreign_datagrams_is_passed_over(self, family: str) -> None:
        channel = self.channel(family)
        receiver = self.receiver(channel, sock=self.wildcard_socket(channel))
        other = Channel(self.channel(family).group, channel.port)
        control, sender = self.receiver(other), self.sender(other)
        for _ in range(100):
            sender.send(b"probe")
        control.expect(100)
        self.sender(channel).send(b"fence")
        self.assertEqual((support.payloads(receiver, 1), receiver.statistics().rejected), ([b"fence"], {"group": 100}))

    def test_foreign_datagrams_are_passed_over_until_the_deadline_only(self) -> None:
        channel = self.channel()
        receiver = self.receiver(channel, sock=self.wildcard_socket(channel))
        other = Channel(self.channel().group, channel.port)
        control, sender = self.receiver(other), self.sender(other)
        for _ in range(3):
            sender.send(b"probe")
        control.expect(3)
        self.assertIsNone(receiver.subscription.receive(Deadline(0)))
        self.assertEqual(receiver.statistics().rejected, {"group": 1})

    def test_what_was_rejected_is_not_counted_as_received(self) -> None:
        receiver = self.receiver(self.channel())
        control, sender = self.control(receiver.channel), self.sender(receiver.channel)
        sender.send(b"one")
        sender.send(b"two")
        control.expect(2)
        receiver.recv()
        receiver.subscription.block("127.0.0.1")
        receiver.subscription.receive()
        statistics = receiver.statistics()
        self.assertEqual((statistics.received, statistics.rejected), (1, {"source": 1}))


class Sockets(support.LoopbackTestCase):
    @support.each_kind
    def test_several_receivers_of_one_channel_all_get_it(self, family: str, mode: str) -> None:
        channel = self.channel(family, mode)
        receivers = [self.receiver(channel) for _ in range(3)]
        self.sender(channel).send(b"x")
        self.assertEqual([support.payloads(receiver, 1) for receiver in receivers], [[b"x"]] * 3)

    @support.each_kind
    def test_with_port_0_the_system_picks_one(self, family: str, mode: str) -> None:
        receiver = self.receiver(dataclasses.replace(self.channel(family, mode), port=0))
        self.assertGreater(receiver.channel.port, 0)
        self.sender(receiver.channel).send(b"x")
        self.assertEqual(receiver.recv().port, receiver.channel.port)

    def test_a_port_of_the_systems_choice_is_nobody_elses(self) -> None:
        receiver = self.receiver(dataclasses.replace(self.channel(), port=0))
        with self.assertRaises(OSError) as caught:
            self.subscription(receiver.channel)
        self.assertEqual(caught.exception.errno, errno.EADDRINUSE)

    def test_without_an_interface_the_best_one_is_taken(self) -> None:
        channel = self.channel()
        with mock.patch.object(system, "interface_table", return_value=[self.lo]):
            self.assertEqual(self.opened(Subscription(channel)).interface, self.lo)

    def test_nothing_queued_is_none(self) -> None:
        subscription = self.subscription(self.channel())
        subscription.join()
        self.assertIsNone(subscription.receive())

    def test_the_receive_buffer_is_read_back(self) -> None:
        subscription = self.subscription(self.channel(), receive_buffer=65536)
        kernel = subscription.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        self.assertEqual((subscription.receive_buffer, kernel), (65536, 131072 if support.LINUX else 65536))

    def test_the_receive_buffer_is_read_back_when_it_was_left_alone(self) -> None:
        subscription = self.subscription(self.channel())
        kernel = subscription.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        self.assertEqual(subscription.receive_buffer, kernel // 2 if support.LINUX else kernel)

    @unittest.skipUnless(support.LINUX, "the limit of Linux")
    def test_a_capped_receive_buffer_warns(self) -> None:
        with self.assertWarnsRegex(CappedBufferWarning, "granted a receive buffer of [0-9]+ bytes instead of 2147483647"):
            self.subscription(self.channel(), receive_buffer=2**31 - 1)

    @unittest.skipUnless(support.LINUX, "drops are told by Linux only")
    @support.each_family
    def test_datagrams_that_the_buffer_cannot_hold_are_counted(self, family: str) -> None:
        receiver = self.receiver(self.channel(family), receive_buffer=4096)
        control, sender = self.control(receiver.channel), self.sender(receiver.channel)
        for _ in range(100):
            sender.send(bytes(100))
            control.recv()
        while receiver.subscription.receive() is not None:
            pass
        statistics = receiver.statistics()
        self.assertGreater(statistics.kernel_drops or 0, 0)
        self.assertEqual(statistics.received + (statistics.kernel_drops or 0), 100)


class CallersSockets(support.LoopbackTestCase):
    @support.each_kind
    def test_a_socket_of_the_callers_serves_the_channel(self, family: str, mode: str) -> None:
        channel = self.channel(family, mode)
        receiver = self.receiver(channel, sock=self.wildcard_socket(channel))
        self.sender(channel).send(b"x")
        datagram = receiver.recv()
        self.assertEqual((datagram.payload, datagram.destination), (b"x", channel.group))

    def test_it_is_the_callers_socket_that_is_used(self) -> None:
        channel = self.channel()
        sock = self.wildcard_socket(channel)
        self.assertIs(self.subscription(channel, sock=sock).socket, sock)

    def test_its_port_is_taken_for_port_0(self) -> None:
        channel = self.channel()
        sock = self.wildcard_socket(channel)
        subscription = self.subscription(dataclasses.replace(channel, port=0), sock=sock)
        self.assertEqual(subscription.channel, channel)

    def test_it_no_longer_blocks(self) -> None:
        channel = self.channel()
        sock = self.wildcard_socket(channel)
        self.subscription(channel, sock=sock)
        self.assertFalse(sock.getblocking())

    def test_it_is_closed_with_the_subscription(self) -> None:
        channel = self.channel()
        sock = self.wildcard_socket(channel)
        self.subscription(channel, sock=sock).close()
        self.assertEqual(sock.fileno(), -1)

    def test_another_kind_of_socket_is_refused(self) -> None:
        sock = self.opened(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        with self.refused(SubscriptionError, f"{sock!r} is not a UDP socket"):
            self.subscription(self.channel(), sock=sock)

    def test_a_socket_of_the_other_family_is_refused(self) -> None:
        channel, sock = self.channel("ipv4"), self.wildcard_socket(self.channel("ipv6"))
        with self.refused(SubscriptionError, f"{sock!r} is not an ipv4 socket, as {channel} needs"):
            self.subscription(channel, sock=sock)

    def test_an_unbound_socket_is_refused(self) -> None:
        channel, sock = self.channel(), self.opened(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        with self.refused(SubscriptionError, f"{sock!r} is not bound; bind it to the port of {channel} first"):
            self.subscription(channel, sock=sock)

    def test_a_socket_at_another_port_is_refused(self) -> None:
        channel = self.channel()
        sock = self.wildcard_socket(dataclasses.replace(channel, port=0))
        port = sock.getsockname()[1]
        with self.refused(SubscriptionError, f"is bound to port {port}, not to the port of {channel}"):
            self.subscription(channel, sock=sock)

    def test_a_refused_socket_stays_open(self) -> None:
        sock = self.opened(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        with self.assertRaises(SubscriptionError):
            self.subscription(self.channel(), sock=sock)
        self.assertGreaterEqual(sock.fileno(), 0)
