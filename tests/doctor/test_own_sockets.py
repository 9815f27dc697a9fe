"""The sockets of the code under test are found whatever happens meanwhile, and of several the newest is the one that is meant."""

from __future__ import annotations

import os
import socket
import struct
from collections import UserDict
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from pytest_mcast import LabView, NotReceived
from pytest_mcast.doctor import Observation, explain
from pytest_mcast.doctor.moment import fleeting
from pytest_mcast.doctor.own_sockets import own_sockets
from pytest_mcast.doctor.sends import Sent
from pytest_mcast.evidence import Reading
from pytest_mcast.hosts import Host

from .shell import sh

GROUP = "239.1.2.3"


def _inode(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


def test_the_newest_of_several_senders_is_meant(mcast_lab: LabView) -> None:
    tx, rx = mcast_lab.hosts(2)
    channel = mcast_lab.channel()
    to = channel.group, channel.port
    with Observation(tx, rx) as observation, rx.receiver(channel) as receiver, tx:
        observation.sends.start()
        with socket.socket(type=socket.SOCK_DGRAM) as old, socket.socket(type=socket.SOCK_DGRAM) as new:
            old.sendto(b"arrives", to)
            receiver.recv()
            new.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            new.sendto(b"does not", to)
            with pytest.raises(NotReceived) as caught:
                receiver.recv(0.05)
            (diagnosis,) = explain(caught.value, observation, [tx, rx])
            assert diagnosis.flow.sender is not None
            assert [each["inode"] for each in diagnosis.flow.sender.sockets] == [_inode(new)]
    assert diagnosis.findings[0].check == "sender.other-interface"


class Growing(UserDict[str, Any]):
    """Options, while whose reader looks at them another thread sends to one more group."""

    to: Mapping[tuple[str, int, int], None]

    def __iter__(self) -> Iterator[str]:
        self.to[f"239.1.3.{len(self.to)}", 5000, 0] = None  # type: ignore[index] # it is a dict
        return super().__iter__()


def test_another_thread_may_send_to_another_group_meanwhile(mcast_lab: LabView) -> None:
    host = mcast_lab.host()
    readings: dict[Host, dict[str, Reading]] = {host: fleeting(host)}
    options = Growing(inode=7, namespace=readings[host]["namespace"].value)
    sent = Sent(options, {(GROUP, 5000, 0): None, (GROUP, 5001, 0): None})
    options.to = sent.to
    found = own_sockets(readings, {}, (), {7: sent})
    assert [each.channel and each.channel.port for each in found] == [5000, 5001]
    assert len(sent.to) > 2


def test_an_interface_that_vanishes_hides_no_sockets(mcast_lab: LabView) -> None:
    host = mcast_lab.host()
    sh(host, "ip link add veth9 type veth peer name veth8; ip link set veth9 up")
    with host, socket.socket(type=socket.SOCK_DGRAM) as old, socket.socket(type=socket.SOCK_DGRAM) as new:
        for sock, interface in ((old, "eth0"), (new, "veth9"), (new, "eth0")):
            request = socket.inet_aton(GROUP) + struct.pack("=4xi", socket.if_nametoindex(interface))
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        kept = fleeting(host)

        def vanishing() -> Iterator[object]:
            yield from kept["memberships"].value
            sh(host, "ip link del veth9")

        readings = {**kept, "memberships": Reading(vanishing())}
        opened = {_inode(sock): sock.fileno() for sock in (old, new)}
        found = own_sockets({host: readings}, opened, ())
        assert [(each.role, each.options["inode"], each.interface) for each in found] == [
            (role, _inode(sock), "eth0") for sock in (old, new) for role in ("receiver", "sender")
        ]
