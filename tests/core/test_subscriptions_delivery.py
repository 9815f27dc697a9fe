"""Subscriptions: what they deliver of a channel and with which metadata, and their sockets."""

from __future__ import annotations

import dataclasses
import errno
import socket
import time
import unittest
from unittest import mock

from pytest_mcast.core import (
    CappedBufferWarning,
    Channel,
    Deadline,
    Subscription,
    SubscriptionError,
    system,
)

from . import support


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
        with support.udp_socket(family) as sock:
            sock.sendto(b"probe", (support.SOURCES[family], channel.port))
        self.sender(channel).send(b"fence")
        self.assertEqual((support.payloads(receiver, 1), receiver.statistics().rejected), ([b"fence"], {"group": 1}))

    @support.each_family
    def test_another_interface_is_rejected(self, family: str) -> None:
        channel = self.channel(family)
        receiver, control = self.receiver(channel, sock=self.wildcard_socket(channel)), self.control(channel)
        receiver.subscription.interface = dataclasses.replace(self.lo, name="elsewhere", index=self.lo.index + 100_000)
        self.sender(channel).send(b"probe")
        control.recv()
        self.assertIsNone(receiver.subscription.receive())
        self.assertEqual(receiver.statistics().rejected, {"interface": 1})

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

    def test_foreign_datagrams_hide_none_that_is_there_at_the_deadline(self) -> None:
        channel = self.channel()
        receiver = self.receiver(channel, sock=self.wildcard_socket(channel))
        other = Channel(self.channel().group, channel.port)
        control, sender = self.receiver(channel), self.sender(other)
        for _ in range(3):
            sender.send(b"probe")
        self.sender(channel).send(b"fence")
        control.recv()
        datagram = receiver.subscription.receive(Deadline(0))
        self.assertEqual(datagram and datagram.payload, b"fence")

    def test_a_flood_of_foreign_datagrams_is_given_up_at_the_deadline(self) -> None:
        subscription = self.subscription(self.channel())
        subscription.join()
        foreign = b"", system.Arrival(group="224.0.0.1"), False, ("127.0.0.1", 1)
        with mock.patch.object(system, "receive", return_value=foreign):
            self.assertIsNone(subscription.receive(Deadline(0)))

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

    def test_with_port_0_an_unchecked_channel_stays_unchecked(self) -> None:
        group = self.channel(mode="ssm").group
        subscription = self.subscription(Channel.unchecked(group, 0))
        self.assertEqual(subscription.channel, Channel.unchecked(group, subscription.socket.getsockname()[1]))

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
        with self.assertWarnsRegex(
            CappedBufferWarning, "granted a receive buffer of [0-9]+ bytes instead of 2147483647"
        ):
            self.subscription(self.channel(), receive_buffer=2**31 - 1)

    @unittest.skipUnless(support.LINUX, "the limit of Linux")
    def test_the_warning_points_at_the_callers_line(self) -> None:
        with self.assertWarns(CappedBufferWarning) as caught:
            self.opened(Subscription(self.channel(), self.lo, receive_buffer=2**31 - 1))
        self.assertEqual(caught.filename, __file__)

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

    def test_a_socket_of_no_ip_family_is_refused(self) -> None:
        sock = self.opened(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
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

    def test_a_closed_socket_is_refused(self) -> None:
        channel = self.channel()
        sock = self.wildcard_socket(channel)
        sock.close()
        with self.refused(SubscriptionError, f"{sock!r} is closed"):
            self.subscription(channel, sock=sock)

    @support.each_family
    @unittest.skipUnless(support.LINUX, "elsewhere a socket is bound to the interface's address")
    def test_a_socket_that_is_bound_to_another_address_is_refused(self, family: str) -> None:
        channel = self.channel(family)
        sock = self.opened(support.udp_socket(family))
        sock.bind((support.SOURCES[family], channel.port))
        with self.refused(
            SubscriptionError, f"is bound to {support.SOURCES[family]}: bind it to the group of {channel}"
        ):
            self.subscription(channel, sock=sock)

    @support.each_family
    def test_a_socket_that_is_bound_to_the_group_is_taken(self, family: str) -> None:
        channel = self.channel(family)
        sock = self.opened(support.udp_socket(family))
        sock.bind(system.bind_address(family, channel.group, channel.port, self.lo.index))
        receiver = self.receiver(channel, sock=sock)
        self.sender(channel).send(b"x")
        self.assertEqual(receiver.recv().payload, b"x")

    @support.each_kind
    def test_after_leaving_what_others_have_joined_is_rejected(self, family: str, mode: str) -> None:
        channel = self.channel(family, mode)
        receiver, control = self.receiver(channel, sock=self.wildcard_socket(channel)), self.control(channel)
        receiver.subscription.leave()
        self.sender(channel).send(b"probe")
        control.recv()
        self.assertIsNone(receiver.subscription.receive())
        self.assertEqual(receiver.statistics().rejected, {"membership": 1})

    def test_a_refused_socket_stays_open(self) -> None:
        sock = self.opened(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        with self.assertRaises(SubscriptionError):
            self.subscription(self.channel(), sock=sock)
        self.assertGreaterEqual(sock.fileno(), 0)
