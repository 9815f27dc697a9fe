"""Subscriptions: membership and its states, sources and blocks, and every call that is refused."""

from __future__ import annotations

import dataclasses
import errno
import socket
import unittest
from pathlib import Path
from typing import Any

from pytest_mcast.core import (
    ChannelError,
    InterfaceError,
    MembershipError,
    Subscription,
    SubscriptionError,
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
        self.assertEqual(
            (support.payloads(receiver, 1), receiver.statistics().rejected), ([b"fresh"], {"membership": 1})
        )

    @support.each_kind
    def test_what_was_queued_before_it_left_is_kept_when_asked_for(self, family: str, mode: str) -> None:
        channel = self.channel(family, mode)
        receiver, control, sender = self.receiver(channel), self.control(channel), self.sender(channel)
        sender.send(b"queued")
        control.recv()
        receiver.subscription.leave()
        receiver.subscription.join(keep_queued=True)
        sender.send(b"fresh")
        self.assertEqual((support.payloads(receiver, 2), receiver.statistics().rejected), ([b"queued", b"fresh"], {}))

    @support.each_kind
    def test_what_was_queued_before_it_joined_is_stale(self, family: str, mode: str) -> None:
        channel = self.channel(family, mode)
        subscription, control = self.subscription(channel, sock=self.wildcard_socket(channel)), self.control(channel)
        self.sender(channel).send(b"stale")
        control.recv()
        subscription.join()
        self.assertIsNone(subscription.receive())
        self.assertEqual(subscription.statistics().rejected, {"membership": 1})

    def test_who_watches_is_told_of_each_new_state(self) -> None:
        subscription = self.subscription(self.channel(mode="ssm"))
        seen: list[object] = []
        subscription.watch(lambda who, state: seen.append((who, state, subscription.fileno() >= 0)))
        subscription.join()
        subscription.leave()
        subscription.join()
        subscription.leave_source("127.0.0.1")
        subscription.close()
        subscription.close()
        states = ("joined", "bound", "joined", "bound", "closed")
        self.assertEqual(seen, [(subscription, state, True) for state in states])  # closed: not yet

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
            with self.leaving_nothing_open(), self.assertRaises(OSError):
                self.subscription(channel)


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
        subscription = self.opened(Subscription(channel, gone, sock=self.wildcard_socket(channel)))
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
