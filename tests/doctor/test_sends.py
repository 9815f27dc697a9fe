"""Where plain sockets send to is noted, of whatever kind they are; and the calls are what they are without that."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from pytest_mcast import LabView
from pytest_mcast.doctor.describing import MOST
from pytest_mcast.doctor.sends import Sends

GROUP = ("239.1.2.3", 5000)


@pytest.fixture
def sends(mcast_lab: LabView) -> Iterator[Sends]:
    found = Sends()
    found.start()
    with mcast_lab.host():  # nothing leaves the lab
        yield found
    found.stop()


def _inode(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


class Strange(socket.socket):
    """As of a library that has its own idea of sockets."""

    def fileno(self) -> int:
        return -1

    def getsockopt(self, *_: object) -> int:  # type: ignore[override] # strange it is
        raise RuntimeError


def test_what_was_sent_to_groups_is_known_when_the_socket_is_closed(sends: Sends) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 7)
        inode = _inode(sock)
        for _ in range(2):
            sock.sendto(b"", GROUP)
        sock.sendmsg([b""], [], 0, ("224.0.0.251", 5353))
        sock.sendto(b"", ("127.0.0.1", 9))
        with suppress(OSError):
            sock.sendto(b"", ("255.255.255.255", 9))
    (sent,) = [sends.found()[inode]]
    assert list(sent.to) == [(*GROUP, 0), ("224.0.0.251", 5353, 0)]
    assert (sent.options["multicast_ttl"], "local" in sent.options) == (7, False)


def test_scope_ids_threads_and_strange_classes(sends: Sends) -> None:
    ipv6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    strange = Strange(socket.AF_INET, socket.SOCK_DGRAM)
    index = socket.if_nametoindex("eth0")

    def work() -> None:
        strange.bind(("", 0))
        strange.sendto(b"", GROUP)

    ipv6.bind(("::", 0))
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    last = sends.last
    ipv6.sendto(b"", ("FF02:0::1234", 5000, 0, index))
    assert [list(each.to) for each in sends.found().values()] == [[(*GROUP, 0)], [("ff02::1234", 5000, index)]]
    assert last is not None
    assert (last.event, last.inode) == ("socket.bind", _inode(ipv6))  # of this thread
    ipv6.close()
    strange.close()


@pytest.mark.parametrize(
    "address", [None, "239.1.2.3", ("239.1.2.3",), (b"\xef", 1), ("239.1.2.3", "http"), ("", 70000)]
)
def test_a_call_that_fails_does_so_as_it_did(sends: Sends, address: object) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        raised: list[tuple[type, str]] = []
        for switch in (sends.stop, sends.start):
            switch()
            with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is: twice the same
                sock.sendto(b"", address)  # type: ignore[call-overload] # that is what is tried
            raised.append((caught.type, str(caught.value)))
    assert raised[0] == raised[1]
    assert sends.found() == {}


def test_another_socket_of_the_same_number_is_another_one(sends: Sends) -> None:
    numbers, inodes = [], []
    for _ in range(2):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"", GROUP)
            sock.sendto(b"", GROUP)
            numbers.append(sock.fileno())
            inodes.append(_inode(sock))
    assert numbers[0] == numbers[1]
    assert list(sends.found()) == inodes
    assert sends.last is not None
    assert sends.last.inode == inodes[1]


def _unicast(sock: socket.socket) -> None:
    sock.sendto(b"", ("127.0.0.1", 9))


def _to_a_path(_: socket.socket) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("")


def _of_a_closed_one(sock: socket.socket) -> None:
    sock.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        sock.sendto(b"", GROUP)


@pytest.mark.parametrize("call", [_unicast, _to_a_path, _of_a_closed_one])
def test_the_call_before_is_not_taken_for_one_that_is_not_noted(
    sends: Sends, call: Callable[[socket.socket], None]
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(2):
            sock.sendto(b"", GROUP)
            assert sends.last is not None
        call(sock)
    assert sends.last is None


@pytest.mark.parametrize("protocol", [socket.IPPROTO_IGMP, socket.IPPROTO_UDP])
def test_what_a_raw_socket_sends_is_nobody_s_port(sends: Sends, protocol: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol) as sock:
        sock.sendto(bytes(8), ("239.9.9.9", 0))
    assert sends.found() == {}
    assert sends.last is None


def test_the_family_is_the_socket_s(sends: Sends) -> None:
    families = []
    for family, any_address in ((socket.AF_INET, ""), (socket.AF_INET6, "::")):
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.bind((any_address, 0))
            assert sends.last is not None
            families.append((sends.last.family, sends.last.namespace is not None))
    assert families == [("ipv4", True), ("ipv6", True)]


def test_closed_sockets_and_many_of_them(sends: Sends) -> None:
    closed = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    closed.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        closed.sendto(b"", GROUP)
    inodes = []
    for _ in range(MOST + 5):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"", GROUP)
            inodes.append(_inode(sock))
    assert list(sends.found()) == inodes[5:]
    sends.stop()
    sends.clear()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"", GROUP)
    assert sends.found() == {}
