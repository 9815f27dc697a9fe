"""What not every core can do, and what those that can make of it."""

from __future__ import annotations

import socket
from typing import Any, cast

import pytest

from pytest_mcast import LabView, NotReceived, ReceiveError
from pytest_mcast.core.datagrams import Datagram
from pytest_mcast.cores import AsyncCore, BuiltInCore, Capabilities, CoreFailure, CountsDrops, Filters, ReceiveCore
from pytest_mcast.cores.asynchronous import LoopReceiver
from pytest_mcast.cores.behaviours import Bench, Unsupported
from pytest_mcast.cores.behaviours.bench import Flows
from pytest_mcast.cores.records import ReportedDatagram

FILTERING = pytest.mark.parametrize("core", [BuiltInCore(), AsyncCore()], ids=lambda core: core.name)


@FILTERING
def test_a_source_is_blocked_and_let_in_again(mcast_lab: LabView, core: ReceiveCore) -> None:
    rx, other = mcast_lab.hosts(2)
    channel = mcast_lab.channel()
    with core.open(channel, rx) as opened:
        receiver, source = cast("Filters", opened), other.source("ipv4")
        receiver.block(source)
        assert [membership.blocked for membership in rx.memberships(channel.group)] == [{source}]
        other.sender(channel).send(b"blocked")
        receiver.unblock(source)
        other.sender(channel).send(b"let in")
        assert receiver.recv().payload == b"let in"


@FILTERING
def test_a_source_is_joined_and_left(mcast_lab: LabView, core: ReceiveCore) -> None:
    rx, tx, other = mcast_lab.hosts(3)
    channel = mcast_lab.channel(source=tx)
    with core.open(channel, rx) as opened:
        receiver, source = cast("Filters", opened), other.source("ipv4")
        receiver.join_source(source)
        other.sender(channel).send(b"joined")
        assert receiver.recv().payload == b"joined"
        receiver.leave_source(source)
        assert [membership.sources for membership in rx.memberships(channel.group)] == [{channel.source}]
        with pytest.raises(OSError, match="cannot join"):
            receiver.join_source(channel.source or "")


def test_after_an_error_of_its_socket_the_asyncio_form_can_leave_and_be_closed(mcast_lab: LabView) -> None:
    (rx,) = mcast_lab.hosts(1)
    channel = mcast_lab.channel()
    with rx:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("", channel.port))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
            nobody.bind(("127.0.0.1", 0))
            address = nobody.getsockname()
        source = rx.receiver(channel, sock=sock)
        with LoopReceiver(source, 5.0) as receiver:
            sock.connect(address)
            sock.send(b"x")
            with pytest.raises(ReceiveError, match="ECONNREFUSED"):
                receiver.recv()
            receiver.leave()
            assert not rx.memberships(channel.group)
        assert receiver.closed


def test_the_built_in_core_sets_its_buffer_and_counts_what_is_lost(mcast_lab: LabView) -> None:
    rx, tx = mcast_lab.hosts(2)
    channel = mcast_lab.channel()
    with BuiltInCore().open(channel, rx, receive_buffer=4096) as receiver:
        sender = tx.sender(channel)
        for _ in range(50):
            sender.send(b"too much")
        dropped = cast("CountsDrops", receiver).drops()
        assert 0 < dropped < 50
        for _ in range(50 - dropped):
            receiver.recv(0)
        with pytest.raises(NotReceived):
            receiver.recv(0)


@pytest.mark.parametrize("capability", ["rejoins", "filters", "idle", "receive_buffer", "counts_drops"])
def test_who_cannot_is_unsupported(mcast_lab: LabView, capability: str) -> None:
    core: Any = BuiltInCore()
    Bench(core, mcast_lab, "ipv4", "asm").can(capability)
    core.capabilities = Capabilities()
    with pytest.raises(Unsupported, match=r"^its? "):
        Bench(core, mcast_lab, "ipv4", "asm").can(capability)


class Tells:
    """A receiver that tells the beginning of a payload, and its length."""

    def __init__(self, receiver: Any, length: int) -> None:
        self._receiver = receiver
        self._length = length
        self.channel, self.interface = receiver.channel, receiver.interface

    def recv(self, timeout: float | None = None) -> Datagram:
        datagram: Datagram = self._receiver.recv(timeout)
        payload = datagram.payload
        if payload.startswith(b"fence"):
            return datagram
        told = {**vars(datagram), "payload": payload[:40], "truncated": True}
        return ReportedDatagram(**told, length=len(payload) + self._length)


@pytest.mark.parametrize("wrong", [0, 1])
def test_the_beginning_of_a_payload_is_compared_with_what_was_sent(mcast_lab: LabView, wrong: int) -> None:
    rx, tx = mcast_lab.hosts(2)
    channel = mcast_lab.channel()
    with Bench(BuiltInCore(), mcast_lab, "ipv4", "asm") as bench:
        receiver: Any = Tells(bench.open(channel, rx), wrong)
        flows: Flows = bench.flows(channel, tx)
        flows.send("cut", 1000)
        if wrong:
            with pytest.raises(CoreFailure, match="were lost"):
                bench.expect_exactly({receiver: flows}, rx)
        else:
            bench.expect_exactly({receiver: flows}, rx)
