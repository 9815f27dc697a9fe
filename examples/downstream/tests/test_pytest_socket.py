"""pytest-socket: sockets are forbidden, except to tests that use the fixtures. The recipe is in ``conftest.py``."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import pytest_socket
from pytest_mcast import Channel, EchoResponder, Host, Receiver, Sender

from downstream.announcer import Announcer

# pytest-socket warns before it raises, which filterwarnings = error would turn into another exception.
pytestmark = pytest.mark.filterwarnings("ignore:A test tried to use socket:UserWarning")


@pytest.mark.disable_socket
def test_without_our_fixtures_sockets_are_forbidden() -> None:
    with pytest.raises(pytest_socket.SocketBlockedError):
        socket.socket()


@pytest.mark.disable_socket
def test_with_our_fixtures_they_are_not(mcast_receiver: Receiver, mcast_sender: Sender) -> None:
    mcast_sender.send(b"hello")
    assert mcast_receiver.recv().payload == b"hello"


def test_what_is_open_goes_on_when_sockets_are_forbidden(
    mcast_channel: Channel, mcast_receiver: Receiver, mcast_sender: Sender, mcast_sender_host: Host
) -> None:
    index = mcast_sender_host.interface.index
    pytest_socket.disable_socket()  # until the end of the test
    mcast_sender.send(b"hello")
    assert mcast_receiver.recv().payload == b"hello"
    with pytest.raises(pytest_socket.SocketBlockedError), mcast_sender_host:
        Announcer(mcast_channel.group, mcast_channel.port, index)


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_multicast_only(mcast_sender: Sender, mcast_echo: EchoResponder) -> None:
    """Allowed hosts are a tighter recipe: sockets may be opened, but connected to these hosts only."""
    mcast_sender.send(b"hello")
    assert mcast_sender.recv().payload == b"hello"
    assert mcast_echo.running
    with socket.socket() as sock, pytest.raises(pytest_socket.SocketConnectBlockedError):
        sock.connect(("192.0.2.1", 80))


INNER_TEST = """
import pytest

def test_plain(mcast_receiver, mcast_sender):
    mcast_sender.send(b"hello")
    assert mcast_receiver.recv().payload == b"hello"

@pytest.mark.allow_hosts(["127.0.0.1"])
def test_allowed_hosts(mcast_receiver, mcast_sender):
    mcast_sender.send(b"hello")
    assert mcast_receiver.recv().payload == b"hello"
"""


@pytest.mark.parametrize("recipe", [False, True])
def test_option(pytester: pytest.Pytester, recipe: bool) -> None:  # noqa: FBT001
    """``--disable-socket``: the fixtures cannot be set up without the recipe, and work with it."""
    pytester.makepyfile(INNER_TEST)
    if recipe:
        pytester.makeconftest(Path(__file__).with_name("conftest.py").read_text())
    options = ("--disable-socket", "--mcast-iface", "lo", "-p", "no:randomly", "-p", "no:asyncio")
    result = pytester.runpytest_subprocess(*options, "-k", "ipv4" if recipe else "ipv4 and plain")
    if recipe:
        result.assert_outcomes(passed=4)
    else:
        result.assert_outcomes(errors=2)
        result.stdout.fnmatch_lines(["*SocketBlockedError: A test tried to use socket.socket."])
