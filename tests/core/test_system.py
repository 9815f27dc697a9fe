"""Option numbers, structures and control messages: real on Linux, from their documentation elsewhere."""

from __future__ import annotations

import ctypes
import importlib.util
import socket
import struct
import sys
import unittest
from typing import TYPE_CHECKING
from unittest import mock

from pytest_mcast.core import CappedBufferWarning, system

from . import support

if TYPE_CHECKING:
    from types import ModuleType

POINTER = ctypes.sizeof(ctypes.c_void_p)
NANOSECONDS = 1_700_000_000_123_456_789


def system_of(platform: str) -> ModuleType:
    """The module as another platform would load it."""
    name = f"pytest_mcast.core._system_{platform}"
    spec = importlib.util.spec_from_file_location(name, system.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with mock.patch.object(sys, "platform", platform), mock.patch.dict(sys.modules, {name: module}):
        spec.loader.exec_module(module)
    return module


class GroupReq(ctypes.Structure):
    """``struct group_req`` as the C compiler of this machine lays it out (RFC 3678 section 5.1)."""

    # sockaddr_storage has 128 bytes and the alignment of a long.
    _fields_ = [("interface", ctypes.c_uint32), ("group", ctypes.c_ulong * (128 // ctypes.sizeof(ctypes.c_long)))]


class GroupSourceReq(ctypes.Structure):
    """``struct group_source_req``."""

    _fields_ = [*GroupReq._fields_, ("source", ctypes.c_ulong * (128 // ctypes.sizeof(ctypes.c_long)))]


@unittest.skipUnless(support.LINUX, "the layout of Linux")
class GroupRequests(support.CoreTestCase):
    def test_the_size_without_source_is_that_of_the_structure(self) -> None:
        self.assertEqual(len(system.group_request(3, "239.1.2.3")), ctypes.sizeof(GroupReq))

    def test_the_size_with_source_is_that_of_the_structure(self) -> None:
        self.assertEqual(len(system.group_request(3, "239.1.2.3", "10.0.0.1")), ctypes.sizeof(GroupSourceReq))

    def test_the_index_comes_first(self) -> None:
        self.assertEqual(GroupReq.from_buffer_copy(system.group_request(3, "239.1.2.3")).interface, 3)

    def test_an_ipv4_group_is_a_sockaddr_in(self) -> None:
        packed = system.group_request(3, "239.1.2.3")[GroupReq.group.offset :]
        self.assertEqual(packed[:8], struct.pack("=HH", socket.AF_INET, 0) + bytes([239, 1, 2, 3]))

    def test_an_ipv6_group_is_a_sockaddr_in6(self) -> None:
        packed = system.group_request(3, "ff15::1")[GroupReq.group.offset :]
        expected = struct.pack("=HHI", socket.AF_INET6, 0, 0) + socket.inet_pton(socket.AF_INET6, "ff15::1")
        self.assertEqual(packed[:24], expected)

    def test_the_source_comes_last(self) -> None:
        packed = system.group_request(3, "232.1.2.3", "10.0.0.1")[GroupSourceReq.source.offset :]
        self.assertEqual(packed[4:8], bytes([10, 0, 0, 1]))


@unittest.skipUnless(support.LINUX, "the layout of Linux")
class ControlMessages(support.CoreTestCase):
    def test_ipv4_control_messages_are_read(self) -> None:
        messages = [
            (socket.IPPROTO_IP, 8, struct.pack("=I4s4s", 3, bytes([10, 0, 0, 1]), bytes([239, 1, 2, 3]))),
            (socket.IPPROTO_IP, 2, struct.pack("=i", 64)),
            (socket.IPPROTO_IP, 1, b"\xb8"),
        ]
        self.assertEqual(system.arrival(messages), system.Arrival("239.1.2.3", 3, 64, 0xB8))

    def test_ipv6_control_messages_are_read(self) -> None:
        messages = [
            (socket.IPPROTO_IPV6, 50, socket.inet_pton(socket.AF_INET6, "ff15::1") + struct.pack("=I", 3)),
            (socket.IPPROTO_IPV6, 52, struct.pack("=i", 64)),
            (socket.IPPROTO_IPV6, 67, struct.pack("=i", 0xB8)),
        ]
        self.assertEqual(system.arrival(messages), system.Arrival("ff15::1", 3, 64, 0xB8))

    def test_the_timestamp_is_a_timespec(self) -> None:
        message = (socket.SOL_SOCKET, 35, struct.pack("@ll", *divmod(NANOSECONDS, 1_000_000_000)))
        self.assertEqual(system.arrival([message]).timestamp_ns, NANOSECONDS)

    def test_unknown_control_messages_are_passed_over(self) -> None:
        self.assertEqual(system.arrival([(socket.IPPROTO_IP, 99, b"\1"), (99, 8, bytes(12))]), system.Arrival())

    def test_packet_information_that_was_cut_off_is_passed_over(self) -> None:
        messages = [(socket.IPPROTO_IP, 8, bytes(8)), (socket.IPPROTO_IPV6, 50, bytes(16))]
        self.assertEqual(system.arrival(messages), system.Arrival())


class Options(support.CoreTestCase):
    @unittest.skipUnless(support.LINUX, "SO_REUSEPORT misroutes on Linux")
    def test_a_port_is_never_shared_by_reuseport_on_linux(self) -> None:
        self.assertEqual([option.option for option in system.reuse_options()], [socket.SO_REUSEADDR])

    @unittest.skipUnless(support.LINUX, "struct ip_mreqn of Linux")
    def test_the_outgoing_ipv4_interface_is_its_address_and_its_index(self) -> None:
        packed = system.interface_option("ipv4", 3, "10.0.0.1").value
        self.assertEqual(packed, bytes(4) + bytes([10, 0, 0, 1]) + struct.pack("=i", 3))

    @unittest.skipUnless(support.LINUX, "SO_BINDTODEVICE is of Linux")
    def test_a_socket_is_bound_to_its_device(self) -> None:
        lo = support.loopback()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for option in system.strict_options("ipv4", lo.name, lo.index):
                system.set_option(sock, option)
            device = sock.getsockopt(socket.SOL_SOCKET, 25, 16)
        self.assertEqual(device, lo.name.encode() + b"\0")

    def test_a_refused_option_is_an_error(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, self.assertRaises(OSError):
            system.set_option(sock, system.SocketOption(socket.IPPROTO_IP, 9999, b"\0\0\0\0"))

    def test_a_refused_optional_option_is_none(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            system.set_option(sock, system.SocketOption(socket.IPPROTO_IP, 9999, b"\0\0\0\0", optional=True))

    def test_a_socket_that_has_dropped_nothing_says_so(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            self.assertEqual(system.kernel_drops(sock), 0 if support.LINUX else None)


class Buffers(support.CoreTestCase):
    def setUp(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(self.socket.close)

    def test_the_granted_size_is_what_was_asked_for(self) -> None:
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            with self.subTest(option):
                self.assertEqual(system.set_buffer(self.socket, option, 65536), 65536)

    def test_no_size_leaves_the_buffer_as_it_is(self) -> None:
        before = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        system.set_buffer(self.socket, socket.SO_RCVBUF, None)
        self.assertEqual(self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF), before)

    @unittest.skipUnless(support.LINUX, "the limits of Linux")
    def test_a_capped_buffer_warns_with_the_cure(self) -> None:
        for option, which, limit in (
            (socket.SO_RCVBUF, "receive", "net.core.rmem_max"),
            (socket.SO_SNDBUF, "send", "net.core.wmem_max"),
        ):
            with self.subTest(which), self.assertWarns(CappedBufferWarning) as caught:
                granted = system.set_buffer(self.socket, option, 2**31 - 1)
            self.assertEqual(
                str(caught.warning),
                f"the system granted a {which} buffer of {granted} bytes instead of {2**31 - 1}; raise {limit}",
            )


class MacOS(support.CoreTestCase):
    """``netinet/in.h`` and ``netinet6/in6.h`` of macOS; layouts only, nothing of this has run there."""

    system = system_of("darwin")

    def test_membership_structures_are_packed_to_four_bytes(self) -> None:
        sizes = [len(self.system.group_request(3, "232.1.2.3", source)) for source in (None, "10.0.0.1")]
        self.assertEqual(sizes, [4 + 128, 4 + 128 + 128])

    def test_a_socket_address_begins_with_its_length(self) -> None:
        packed = self.system.group_request(3, "239.1.2.3")
        self.assertEqual(packed[4:12], bytes([16, socket.AF_INET, 0, 0, 239, 1, 2, 3]))

    def test_membership_options_have_their_own_numbers(self) -> None:
        option = self.system.membership_option("join-source", "ipv4", 3, "232.1.2.3", "10.0.0.1")
        self.assertEqual((option.level, option.option), (socket.IPPROTO_IP, 82))

    def test_sharing_a_port_takes_reuseport(self) -> None:
        self.assertIn(0x0200, [option.option for option in self.system.reuse_options()])

    def test_a_socket_is_bound_to_its_interface(self) -> None:
        options = [self.system.strict_options(family, "en0", 3) for family in ("ipv4", "ipv6")]
        self.assertEqual(
            [[(o.option, o.value) for o in each] for each in options],
            [
                [(25, struct.pack("=I", 3))],
                [(125, struct.pack("=I", 3))],
            ],
        )

    def test_metadata_is_asked_for(self) -> None:
        options = [self.system.metadata_options(family) for family in ("ipv4", "ipv6")]
        numbers = [[option.option for option in each] for each in options]
        self.assertEqual(numbers, [[26, 24, 27, 0x0400], [61, 37, 35, 0x0400]])

    def test_ipv4_control_messages_are_read(self) -> None:
        messages = [
            (socket.IPPROTO_IP, 26, struct.pack("=I4s4s", 3, bytes(4), bytes([239, 1, 2, 3]))),
            (socket.IPPROTO_IP, 24, b"\x40"),
            (socket.IPPROTO_IP, 27, b"\xb8"),
        ]
        self.assertEqual(tuple(self.system.arrival(messages)), ("239.1.2.3", 3, 64, 0xB8, None, None))

    def test_ipv6_control_messages_are_read(self) -> None:
        messages = [
            (socket.IPPROTO_IPV6, 46, socket.inet_pton(socket.AF_INET6, "ff15::1") + struct.pack("=I", 3)),
            (socket.IPPROTO_IPV6, 47, struct.pack("=i", 64)),
            (socket.IPPROTO_IPV6, 36, struct.pack("=i", 0xB8)),
        ]
        self.assertEqual(tuple(self.system.arrival(messages)), ("ff15::1", 3, 64, 0xB8, None, None))

    def test_the_timestamp_is_a_timeval(self) -> None:
        seconds, nanoseconds = divmod(NANOSECONDS, 1_000_000_000)
        message = (socket.SOL_SOCKET, 2, struct.pack("@li4x", seconds, nanoseconds // 1000))
        self.assertEqual(self.system.arrival([message]).timestamp_ns, NANOSECONDS // 1000 * 1000)

    def test_kernel_drops_are_unknown(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            self.assertIsNone(self.system.kernel_drops(sock))


class Windows(support.CoreTestCase):
    """``ws2ipdef.h``; numbers and layouts only, nothing of this has run there."""

    system = system_of("win32")

    def test_membership_structures_are_aligned_to_eight_bytes(self) -> None:
        sizes = [len(self.system.group_request(3, "232.1.2.3", source)) for source in (None, "10.0.0.1")]
        self.assertEqual(sizes, [POINTER + 128, POINTER + 128 + 128])

    def test_membership_options_have_their_own_numbers(self) -> None:
        option = self.system.membership_option("join-source", "ipv6", 3, "ff3e::1", "2001:db8::1")
        self.assertEqual((option.level, option.option), (socket.IPPROTO_IPV6, 45))

    def test_receivers_bind_to_the_wildcard_address(self) -> None:
        bound = [self.system.bind_address(*to, 5000, 3) for to in (("ipv4", "239.1.2.3"), ("ipv6", "ff15::1"))]
        self.assertEqual(bound, [("0.0.0.0", 5000), ("::", 5000, 0, 3)])

    def test_no_metadata_is_asked_for(self) -> None:
        self.assertEqual(self.system.metadata_options("ipv4") + self.system.metadata_options("ipv6"), [])

    def test_nothing_keeps_other_groups_away(self) -> None:
        self.assertEqual(self.system.strict_options("ipv4", "Ethernet", 3), [])

    def test_the_ipv6_traffic_class_has_its_own_number(self) -> None:
        self.assertEqual(self.system.sender_options("ipv6")[2], 39)

    def test_the_outgoing_ipv4_interface_is_its_address(self) -> None:
        self.assertEqual(self.system.interface_option("ipv4", 3, "10.0.0.1").value, bytes([10, 0, 0, 1]))
