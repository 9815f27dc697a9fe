"""unittest classes: fixtures come through an autouse fixture method, and the marker chooses the kind of channel."""

from __future__ import annotations

import asyncio
import unittest

import pytest
from pytest_mcast import Channel, Host, Receiver, Sender

from downstream.announcer import Announcer, AsyncListener, Listener, Service, group_socket

SERVICE = Service("printer", 631)


class DefaultKind(unittest.TestCase):
    """Without a marker it is IPv4 ASM: unittest knows no parametrisation."""

    @pytest.fixture(autouse=True)
    def _network(self, mcast_channel: Channel) -> None:
        self.channel = mcast_channel

    def test_kind(self) -> None:
        self.assertEqual((self.channel.family, self.channel.mode), ("ipv4", "asm"))


class AnnouncerTests:
    """Tests for one kind of channel, which the subclasses choose."""

    @pytest.fixture(autouse=True)
    def _network(
        self, mcast_receiver: Receiver, mcast_sender: Sender, mcast_sender_host: Host, mcast_receiver_host: Host
    ) -> None:
        self.receiver = mcast_receiver
        self.sender = mcast_sender
        self.channel = mcast_receiver.channel
        self.sender_host = mcast_sender_host
        self.receiver_host = mcast_receiver_host

    def test_announcement(self) -> None:
        channel, index = self.channel, self.sender_host.interface.index
        with self.sender_host, Announcer(channel.group, channel.port, index, channel.source) as announcer:
            announcer.announce(SERVICE)
        assert Service.decode(self.receiver.recv().payload) == SERVICE

    def test_listener(self) -> None:
        channel, index = self.channel, self.receiver_host.interface.index
        with self.receiver_host, Listener(channel.group, channel.port, index, channel.source) as listener:
            sent = self.sender.send(SERVICE.encode())
            assert listener.hear(timeout=5) == (SERVICE, sent.source[0])


@pytest.mark.mcast(family="ipv4", mode="asm")
class AnnouncerIPv4Asm(AnnouncerTests, unittest.TestCase):
    pass


@pytest.mark.mcast(family="ipv4", mode="ssm")
class AnnouncerIPv4Ssm(AnnouncerTests, unittest.TestCase):
    pass


@pytest.mark.mcast(family="ipv6", mode="asm")
class AnnouncerIPv6Asm(AnnouncerTests, unittest.TestCase):
    pass


@pytest.mark.mcast(family="ipv6", mode="ssm")
class AnnouncerIPv6Ssm(AnnouncerTests, unittest.TestCase):
    pass


@pytest.mark.mcast(family="ipv4", mode="ssm")
class AsyncListenerIPv4Ssm(unittest.IsolatedAsyncioTestCase):
    @pytest.fixture(autouse=True)
    def _network(self, mcast_channel: Channel, mcast_sender: Sender, mcast_receiver_host: Host) -> None:
        self.channel = mcast_channel
        self.sender = mcast_sender
        self.host = mcast_receiver_host

    async def asyncSetUp(self) -> None:
        channel = self.channel
        with self.host:  # no await in here: the thread is elsewhere
            sock = group_socket(channel.group, channel.port, self.host.interface.index, channel.source)
        self.listener = await AsyncListener.open(sock, own=SERVICE)
        self.addAsyncCleanup(self.listener.close)

    async def test_hears_an_announcement(self) -> None:
        sent = self.sender.send(SERVICE.encode())
        async with asyncio.timeout(5):
            self.assertEqual(await self.listener.hear(), (SERVICE, sent.source[0]))

    async def test_answers_a_question(self) -> None:
        self.sender.send(b"who is there?")
        reply = await asyncio.to_thread(self.sender.recv)
        self.assertEqual(Service.decode(reply.payload), SERVICE)
