"""Code under test that opens its own sockets: ``with host:`` they are born in that host, and stay there."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
from pytest_mcast import Channel, EchoResponder, Host, Receiver, Sender

from downstream.announcer import Announcer, AsyncListener, Listener, Service, group_socket

SERVICE = Service("scanner", 9100)


def test_listener_hears_the_sender(mcast_channel: Channel, mcast_receiver_host: Host, mcast_sender: Sender) -> None:
    index = mcast_receiver_host.interface.index
    with mcast_receiver_host:
        listener = Listener(mcast_channel.group, mcast_channel.port, index, mcast_channel.source)
    with listener:  # it can be used from anywhere
        sent = mcast_sender.send(SERVICE.encode())
        assert listener.hear(timeout=5) == (SERVICE, sent.source[0])


def test_receiver_gets_the_announcement(
    mcast_channel: Channel, mcast_sender_host: Host, mcast_receiver: Receiver
) -> None:
    index = mcast_sender_host.interface.index
    with mcast_sender_host:
        announcer = Announcer(mcast_channel.group, mcast_channel.port, index, mcast_channel.source)
    with announcer:
        announcer.announce(SERVICE)
    assert Service.decode(mcast_receiver.recv().payload) == SERVICE


def test_announcer_gets_the_answer(
    mcast_channel: Channel, mcast_sender_host: Host, mcast_echo_factory: Callable[..., EchoResponder]
) -> None:
    mcast_echo_factory(payload=SERVICE.encode())
    index = mcast_sender_host.interface.index
    with mcast_sender_host:
        announcer = Announcer(mcast_channel.group, mcast_channel.port, index, mcast_channel.source)
    with announcer:
        assert announcer.ask(timeout=5) == SERVICE


@pytest.mark.mcast(mode="ssm")
def test_both_ends_are_ours(mcast_channel: Channel, mcast_sender_host: Host, mcast_receiver_host: Host) -> None:
    group, port, source = mcast_channel.group, mcast_channel.port, mcast_channel.source
    with mcast_receiver_host:
        listener = Listener(group, port, mcast_receiver_host.interface.index, source)
    with mcast_sender_host:
        announcer = Announcer(group, port, mcast_sender_host.interface.index, source)
    with listener, announcer:
        announcer.announce(SERVICE)
        assert listener.hear(timeout=5) == (SERVICE, source)


def test_coroutine_with_a_loop_of_its_own(
    mcast_channel: Channel, mcast_receiver_host: Host, mcast_sender: Sender
) -> None:
    index, ready = mcast_receiver_host.interface.index, threading.Event()

    async def hear_one() -> Service:
        sock = group_socket(mcast_channel.group, mcast_channel.port, index, mcast_channel.source)
        listener = await AsyncListener.open(sock)
        ready.set()
        async with asyncio.timeout(5):
            service, _ = await listener.hear()
        await listener.close()
        return service

    hearing = mcast_receiver_host.start(hear_one)
    assert ready.wait(5)
    mcast_sender.send(SERVICE.encode())
    assert hearing.result() == SERVICE
