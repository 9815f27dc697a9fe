"""Receivers and senders in other programs, on remote hosts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_mcast import Channel, ChannelPicker, MissingCapability, NotReceived, RemoteHost
from pytest_mcast.cores import CoreFailure, ExternalSender

from ..cores.support import core, described
from .support import oldest, remote

SEND = """
import sys
from pytest_mcast.core import Channel, Sender

group, port, index, payload, count = sys.argv[1:6]
with Sender(Channel(group, int(port)), int(index)) as sender:
    for _ in range(int(count)):
        sender.send(payload.encode())
"""


@pytest.fixture(scope="module")
def host() -> Iterator[RemoteHost]:
    with remote(f"popen//python={oldest()}") as host:
        yield host


@pytest.fixture
def channel() -> Channel:
    return ChannelPicker(b"cores").pick("ipv4")


def test_programs_receive_and_send_there(host: RemoteHost, channel: Channel, tmp_path: Path) -> None:
    (tmp_path / "send.py").write_text(SEND)
    command = [sys.executable, str(tmp_path / "send.py"), "{group}", "{port}", "{index}", "{payload}", "{count}"]
    sender = ExternalSender(described(tmp_path, kind="sender", command=command, ready=None, datagram=None))
    with core(tmp_path).open(channel, host) as receiver:
        sender.send(channel, host, payload="from there", count=2)
        assert [receiver.recv().payload for _ in range(2)] == [b"from there"] * 2
        with pytest.raises(NotReceived, match=r"small: no datagram .* within 0\.01 s"):
            receiver.recv(0.01)


def test_what_a_program_says_is_in_the_failure(host: RemoteHost, channel: Channel, tmp_path: Path) -> None:
    receiver = core(tmp_path, 'sys.exit("no licence")').open(channel, host)
    with pytest.raises(CoreFailure, match=r"(?s)ended before it was ready, with exit code 1.*no licence"):
        receiver.ready()
    receiver.close()


def test_a_program_that_is_not_there_is_a_missing_capability(
    host: RemoteHost, channel: Channel, tmp_path: Path
) -> None:
    missing = core(tmp_path, command=["no-such-program"], install="build it")
    with pytest.raises(MissingCapability, match="no program 'no-such-program' for small on PATH of far; build it"):
        missing.open(channel, host)


def test_readiness_is_not_guessed(host: RemoteHost, channel: Channel, tmp_path: Path) -> None:
    with pytest.raises(MissingCapability, match="small does not say when it is ready"):
        core(tmp_path, ready=None).open(channel, host)


def test_the_version_is_that_of_the_program_there(host: RemoteHost, tmp_path: Path) -> None:
    (tmp_path / "version").write_text("small 1.2\n")
    by_file = core(tmp_path, version={"file": "{directory}/version", "pattern": r"small (?P<version>\S+)"})
    assert by_file.version_on(host) == by_file.version == "1.2"
    command = [sys.executable, "--version"]
    by_command = core(tmp_path, version={"command": command, "pattern": r"Python (?P<version>\S+)"})
    assert by_command.version_on(host) == sys.version.split()[0]
    assert core(tmp_path).version_on(host) == "unknown"
