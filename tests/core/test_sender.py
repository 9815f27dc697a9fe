"""Senders: where from, with which options, and the replies."""

from __future__ import annotations

import dataclasses
import errno
import os
import selectors
import socket
import unittest
from typing import Any
from unittest import mock

from pytest_mcast.core import (
    CappedBufferWarning,
    ChannelError,
    Datagram,
    EchoResponder,
    InterfaceError,
    NotReceived,
    Sender,
    Sent,
    system,
)

from . import support


class Sending(support.LoopbackTestCase):
    @support.each_kind
    def test_what_was_sent_from_where_is_returned(self, family: str, mode: str) -> None:
        channel = self.channel(family, mode)
        sender = self.sender(channel, ttl=7)
        self.assertEqual(sender.send(b"x"), Sent(b"x", sender.source, channel, self.lo.name, 7))

    @support.each_kind
    def test_what_was_sent_arrives_from_there(self, family: str, mode: str) -> None:
        receiver = self.receiver(self.channel(family, mode))
        sent = self.sender(receiver.channel).send(b"x")
        datagram = receiver.recv()
        self.assertEqual((datagram.payload, datagram.source), (sent.payload, sent.source))

    def test_what_was_sent_is_kept_although_its_buffer_changes(self) -> None:
        payload: Any = bytearray(b"abc")
        sent = self.sender(self.channel()).send(payload)
        payload[:] = b"xyz"
        self.assertEqual(sent.payload, b"abc")

    @support.each_family
    def test_what_is_too_large_is_an_error(self, family: str) -> None:
        sender = self.sender(self.channel(family))
        with self.assertRaises(OSError) as caught:
            sender.send(bytes(70_000))
        self.assertEqual(caught.exception.errno, errno.EMSGSIZE)

    def test_a_full_send_buffer_is_waited_for(self) -> None:
        receiver = self.receiver(self.channel())
        sender: Any = self.sender(receiver.channel)
        sender.socket = mock.Mock(wraps=sender.socket)
        sender.socket.sendto.side_effect = [BlockingIOError, mock.DEFAULT]
        sender.send(b"x")
        self.assertEqual(support.payloads(receiver, 1), [b"x"])

    def test_a_send_buffer_that_stays_full_is_an_error(self) -> None:
        sender: Any = self.sender(self.channel())
        sender.socket = mock.Mock(wraps=sender.socket)
        sender.socket.sendto.side_effect = BlockingIOError
        with mock.patch.object(Sender, "_wait", return_value=False), self.assertRaises(BlockingIOError):
            sender.send(b"x")

    def test_it_prints_its_channel_and_interface(self) -> None:
        channel = self.channel()
        self.assertEqual(repr(self.sender(channel)), f"<Sender to {channel} on {self.lo}>")


class Options(support.LoopbackTestCase):
    def in_kernel(self, sender: Sender, ipv4: int, ipv6: int) -> int:
        """Ask the kernel, by a descriptor of the test's own."""
        with socket.socket(fileno=os.dup(sender.fileno())) as sock:
            if sock.family == socket.AF_INET6:
                return sock.getsockopt(socket.IPPROTO_IPV6, ipv6)
            return sock.getsockopt(socket.IPPROTO_IP, ipv4)

    @support.each_family
    def test_the_defaults_stay_on_the_link(self, family: str) -> None:
        sender = self.sender(self.channel(family))
        self.assertEqual((sender.ttl, sender.loopback, sender.dscp), (1, True, 0))

    @support.each_family
    def test_the_ttl_is_set(self, family: str) -> None:
        for ttl in (0, 1, 255):
            with self.subTest(ttl):
                sender = self.sender(self.channel(family), ttl=ttl)
                kernel = self.in_kernel(sender, socket.IP_MULTICAST_TTL, socket.IPV6_MULTICAST_HOPS)
                self.assertEqual((sender.ttl, kernel), (ttl, ttl))

    @support.each_family
    def test_loopback_is_set(self, family: str) -> None:
        for loopback in (True, False):
            with self.subTest(loopback):
                sender = self.sender(self.channel(family), loopback=loopback)
                kernel = self.in_kernel(sender, socket.IP_MULTICAST_LOOP, socket.IPV6_MULTICAST_LOOP)
                self.assertEqual((sender.loopback, kernel), (loopback, int(loopback)))

    @support.each_family
    def test_the_dscp_is_set(self, family: str) -> None:
        for dscp in (0, 46, 63):
            with self.subTest(dscp):
                sender = self.sender(self.channel(family), dscp=dscp)
                kernel = self.in_kernel(sender, socket.IP_TOS, getattr(socket, "IPV6_TCLASS", 67))
                self.assertEqual((sender.dscp, kernel), (dscp, dscp << 2))

    def test_the_ipv6_interface_is_set(self) -> None:
        sender = self.sender(self.channel("ipv6"))
        self.assertEqual(self.in_kernel(sender, 0, socket.IPV6_MULTICAST_IF), self.lo.index)

    @support.each_family
    def test_what_is_read_back_is_what_the_kernel_has(self, family: str) -> None:
        sender = self.sender(self.channel(family))
        with socket.socket(fileno=os.dup(sender.fileno())) as sock:
            level = socket.IPPROTO_IPV6 if family == "ipv6" else socket.IPPROTO_IP
            for option, value in zip(system.sender_options(family), (9, 0, 10 << 2)):
                sock.setsockopt(level, option, value)
        self.assertEqual((sender.ttl, sender.loopback, sender.dscp), (9, False, 10))

    def test_a_ttl_out_of_range_is_refused(self) -> None:
        channel = self.channel()
        for ttl in (-1, 256):
            with self.subTest(ttl), self.refused(ValueError, f"ttl {ttl} is not from 0 to 255"):
                self.sender(channel, ttl=ttl)

    def test_a_dscp_out_of_range_is_refused(self) -> None:
        channel = self.channel()
        for dscp in (-1, 64):
            with self.subTest(dscp), self.refused(ValueError, f"dscp {dscp} is not from 0 to 63 (RFC 2474)"):
                self.sender(channel, dscp=dscp)

    def test_the_send_buffer_is_read_back(self) -> None:
        sender = self.sender(self.channel(), send_buffer=65536)
        with socket.socket(fileno=os.dup(sender.fileno())) as sock:
            kernel = sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        self.assertEqual((sender.send_buffer, kernel), (65536, 131072 if support.LINUX else 65536))

    @unittest.skipUnless(support.LINUX, "the limit of Linux")
    def test_a_capped_send_buffer_warns(self) -> None:
        with self.assertWarnsRegex(CappedBufferWarning, "granted a send buffer of [0-9]+ bytes instead of 2147483647"):
            self.sender(self.channel(), send_buffer=2**31 - 1)

    @unittest.skipUnless(support.LINUX, "the limit of Linux")
    def test_the_warning_points_at_the_callers_line(self) -> None:
        with self.assertWarns(CappedBufferWarning) as caught:
            self.opened(Sender(self.channel(), self.lo, send_buffer=2**31 - 1))
        self.assertEqual(caught.filename, __file__)


class From(support.LoopbackTestCase):
    @support.each_family
    def test_it_sends_from_the_address_of_its_interface(self, family: str) -> None:
        self.assertEqual(self.sender(self.channel(family)).source[0], support.SOURCES[family])

    def test_it_sends_from_the_source_of_its_channel(self) -> None:
        self.assertEqual(self.sender(self.channel(mode="ssm", source="127.0.0.2")).source[0], "127.0.0.2")

    @support.each_family
    def test_it_sends_from_its_own_address_when_the_source_is_another_host(self, family: str) -> None:
        source = "192.0.2.1" if family == "ipv4" else "2001:db8::1"
        sender = self.sender(self.channel(family, "ssm", source=source))
        self.assertEqual(sender.source[0], support.SOURCES[family])

    def test_it_sends_from_the_source_it_is_told(self) -> None:
        sender = self.sender(self.channel(mode="ssm"), source="127.0.0.3")
        self.assertEqual(sender.source[0], "127.0.0.3")

    @support.each_family
    def test_a_source_that_its_interface_has_not_is_refused(self, family: str) -> None:
        channel = self.channel(family)
        source = "192.0.2.1" if family == "ipv4" else "2001:db8::1"
        text = f"interface {self.lo} has no {family} address {source}, only {support.SOURCES[family]}"
        with self.refused(InterfaceError, text):
            self.sender(channel, source=source)

    def test_a_source_of_the_other_family_is_refused(self) -> None:
        channel = self.channel()
        with self.refused(InterfaceError, f"interface {self.lo} has no ipv4 address ::1, only 127.0.0.1"):
            self.sender(channel, source="::1")

    @support.each_family
    def test_the_system_picks_the_source_port(self, family: str) -> None:
        channel = self.channel(family)
        self.assertNotEqual(self.sender(channel).source[1], self.sender(channel).source[1])

    @support.each_family
    def test_it_sends_from_the_port_it_is_told(self, family: str) -> None:
        receiver = self.receiver(self.channel(family))
        port = self.channel(family).port
        self.sender(receiver.channel, source_port=port).send(b"x")
        self.assertEqual(receiver.recv().source[1], port)

    def test_a_source_port_that_is_taken_is_refused(self) -> None:
        channel = self.channel()
        with self.assertRaises(OSError) as caught:
            self.sender(channel, source_port=self.sender(channel).source[1])
        self.assertEqual(caught.exception.errno, errno.EADDRINUSE)

    def test_without_an_interface_the_best_one_is_taken(self) -> None:
        channel = self.channel()
        with mock.patch.object(system, "interface_table", return_value=[self.lo]):
            self.assertEqual(self.opened(Sender(channel)).interface, self.lo)

    def test_an_unknown_interface_is_refused(self) -> None:
        with self.refused(InterfaceError, "no interface is named 'nowhere'; there are: "):
            Sender(self.channel(), "nowhere")

    def test_port_0_is_refused(self) -> None:
        channel = dataclasses.replace(self.channel(), port=0)
        with self.refused(ChannelError, f"{channel} has port 0, which only a receiver can leave to the system"):
            self.sender(channel)

    def test_a_refused_sender_leaves_no_socket(self) -> None:
        channel = self.channel()
        port = self.sender(channel).source[1]
        refusals: tuple[dict[str, Any], ...] = ({"source_port": port}, {"ttl": 256}, {"source": "192.0.2.1"})
        for options in refusals:
            refused = self.assertRaises((OSError, ValueError, LookupError))
            with self.subTest(options), self.leaving_nothing_open(), refused:
                self.sender(channel, **options)


class Replies(support.LoopbackTestCase):
    @support.each_kind
    def test_a_reply_is_received(self, family: str, mode: str) -> None:
        channel = self.channel(family, mode)
        self.opened(EchoResponder(channel, self.lo))
        sender = self.sender(channel)
        sender.send(b"question")
        self.assertEqual(sender.recv().payload, b"question")

    @support.each_family
    def test_a_reply_says_where_it_came_from_and_went_to(self, family: str) -> None:
        sender = self.sender(self.channel(family))
        with support.udp_socket(family) as sock:
            sock.sendto(b"reply", sender.source)
            port = sock.getsockname()[1]
        reply = sender.recv()
        home = support.SOURCES[family]
        self.assertEqual((reply.source, reply.destination, reply.port), ((home, port), home, sender.source[1]))

    @support.each_family
    def test_a_reply_says_where_it_came_in_and_how(self, family: str) -> None:
        sender = self.sender(self.channel(family))
        with support.udp_socket(family) as sock:
            if family == "ipv6":
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 33)
            else:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 33)
            sock.sendto(b"reply", sender.source)
        reply = sender.recv()
        self.assertIsInstance(reply, Datagram)
        self.assertEqual((reply.interface_index, reply.ttl, reply.traffic_class), (self.lo.index, 33, 0))

    @support.each_family
    def test_no_reply_in_time_says_where_it_waited(self, family: str) -> None:
        sender = self.sender(self.channel(family))
        address, port = sender.source
        text = f"no reply to {address} port {port} within 0 s after sending to {sender.channel}"
        with self.refused(NotReceived, text):
            sender.recv(timeout=0)

    def test_the_senders_time_out_is_the_default(self) -> None:
        with self.refused(NotReceived, "within 0.01 s"):
            self.sender(self.channel(), timeout=0.01).recv()

    def test_what_is_no_duration_is_refused(self) -> None:
        channel = self.channel()
        with self.refused(ValueError, "a time-out is a number of seconds, 0 or more, or None, not -1"):
            self.sender(channel, timeout=-1)
        with self.refused(ValueError, "a time-out is a number of seconds, 0 or more, or None, not -1"):
            self.sender(channel).recv(timeout=-1)

    def test_its_descriptor_is_readable_when_a_reply_is_there(self) -> None:
        sender = self.sender(self.channel())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"reply", sender.source)
        with selectors.DefaultSelector() as selector:
            selector.register(sender, selectors.EVENT_READ)
            self.assertTrue(selector.select(5))


class Closing(support.LoopbackTestCase):
    def test_it_says_that_it_is_closed(self) -> None:
        sender = self.sender(self.channel())
        closed = [sender.closed]
        sender.close()
        self.assertEqual((closed, sender.closed, sender.fileno()), ([False], True, -1))

    def test_closing_again_is_no_error(self) -> None:
        sender = self.sender(self.channel())
        sender.close()
        sender.close()

    def test_it_is_closed_at_the_end_of_a_with_block(self) -> None:
        with Sender(self.channel(), self.lo) as sender:
            pass
        self.assertTrue(sender.closed)

    def test_sending_after_close_is_an_error(self) -> None:
        sender = self.sender(self.channel())
        sender.close()
        with self.assertRaises((OSError, RuntimeError)):
            sender.send(b"x")
