"""The receivers and senders in examples/cores: templates for other languages, so they must be right."""

from __future__ import annotations

import itertools
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from pytest_mcast import Channel, Datagram, LabView, Membership, NotReceived, Prober, VirtualHost
from pytest_mcast.lab.programs import Program, ProgramError

from ..support.programs import program

EXAMPLES = Path(__file__).parents[2] / "examples" / "cores"
RECEIVERS: dict[str, Callable[[], list[str]]] = {
    "go": lambda: [program("mcast_go_recv")],
    "node": lambda: [program("node"), str(EXAMPLES / "node" / "receive.js")],
}
SENDERS: dict[str, Callable[[], list[str]]] = {
    "go": lambda: [program("mcast_go_send")],
    "node": lambda: [program("node"), str(EXAMPLES / "node" / "send.js")],
}
LANGUAGES = pytest.mark.parametrize("language", ["go", "node"])
KINDS = pytest.mark.parametrize(("family", "mode"), list(itertools.product(["ipv4", "ipv6"], ["asm", "ssm"])))
FAMILIES = pytest.mark.parametrize("family", ["ipv4", "ipv6"])
LINE = re.compile(r"datagram (.*)")


@dataclass
class Reading:
    """What a receiver prints, as a proof wants to read it."""

    channel: Channel
    program: Program
    fields: ClassVar[frozenset[str]] = frozenset({"source", "source_port", "length", "payload"})

    def told(self, timeout: float) -> dict[str, str]:
        """Return the fields of the next line about a datagram."""
        line = self.program.expect(LINE, timeout).group(1)
        return dict(word.split("=", 1) for word in line.split(" "))

    def recv(self, timeout: float | None = None) -> Datagram:
        """Return the next datagram."""
        try:
            told = self.told(10.0 if timeout is None else timeout)
        except ProgramError as error:
            raise NotReceived(str(error)) from None
        source = (told["source"], int(told["source_port"]))
        return Datagram(bytes.fromhex(told["payload"]), source, None, self.channel.port, None, None, None, None)


def _channel(lab: LabView, family: str, mode: str, source: VirtualHost, scope: str | None = None) -> Channel:
    if mode == "asm":
        return lab.channel(family, scope=scope)
    return lab.channel(family, source=source.source(family, scope or "link-local"), scope=scope)


def _receive(language: str, channel: Channel, host: VirtualHost, interface: str = "eth0") -> Reading:
    words = [channel.group, str(channel.port), "--interface", interface]
    words += ["--source", channel.source] if channel.source else []
    return Reading(channel, host.popen([*RECEIVERS[language](), *words], ready="^ready$"))


def _send(language: str, channel: Channel, host: VirtualHost, *options: str, interface: str = "eth0") -> Program:
    words = [channel.group, str(channel.port), "--interface", interface, *options]
    words += ["--source", channel.source] if channel.source else []
    return host.popen([*SENDERS[language](), *words])


@LANGUAGES
@KINDS
def test_a_receiver_joins_and_tells_of_each_datagram(mcast_lab: LabView, language: str, family: str, mode: str) -> None:
    rx, tx = mcast_lab.hosts(2)
    channel = _channel(mcast_lab, family, mode, tx)
    reading = _receive(language, channel, rx)
    sources = [channel.source] if channel.source else []
    assert rx.memberships(channel.group) == {Membership("eth0", channel.group, sources=sources)}
    sender = tx.sender(channel, ttl=3)
    for payload in (b"first\n\xff\0", b"", b"x" * 3000):
        sender.send(payload)
        told = reading.told(10)
        expected = {"source": sender.source[0], "source_port": str(sender.source[1])}
        if language == "go":
            expected |= {"group": channel.group, "port": str(channel.port)}
            expected |= {"index": str(rx.interface.index), "ttl": "3"}
        assert told == expected | {"length": str(len(payload)), "payload": payload.hex()}


@LANGUAGES
@pytest.mark.parametrize("mode", ["asm", "ssm"])
@pytest.mark.parametrize("scope", ["site-local", "global"])
def test_groups_of_wider_scopes_work(mcast_lab: LabView, language: str, mode: str, scope: str) -> None:
    rx, tx = mcast_lab.hosts(2)
    channel = _channel(mcast_lab, "ipv6", mode, tx, scope)
    reading = _receive(language, channel, rx)
    assert _send(language, channel, tx).wait() == 0
    assert reading.recv().source[0] == tx.source("ipv6", scope)


@LANGUAGES
@KINDS
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_receiver_leaves_and_ends_with_0_when_it_is_asked_to(
    mcast_lab: LabView, language: str, family: str, mode: str, number: signal.Signals
) -> None:
    rx, tx = mcast_lab.hosts(2)
    channel = _channel(mcast_lab, family, mode, tx)
    reading = _receive(language, channel, rx)
    reading.program._process.send_signal(number)
    assert reading.program.wait() == 0
    assert reading.program.stderr == []
    assert rx.memberships(channel.group) == set()


@LANGUAGES
@FAMILIES
def test_a_receiver_does_not_tell_of_what_another_source_has_sent(
    mcast_lab: LabView, language: str, family: str
) -> None:
    rx, tx, other = mcast_lab.hosts(3)
    reading = _receive(language, _channel(mcast_lab, family, "ssm", tx), rx)
    prober = Prober(reading, tx, rx)
    assert not prober(source=other.source(family)).delivered
    assert prober().delivered
    prober.close()


@LANGUAGES
@KINDS
def test_a_receiver_does_not_tell_of_another_group_that_is_joined_beside_it(
    mcast_lab: LabView, language: str, family: str, mode: str
) -> None:
    rx, tx = mcast_lab.hosts(2)
    prober = Prober(_receive(language, _channel(mcast_lab, family, mode, tx), rx), tx, rx)
    assert not prober("group.other", neighbour=True).delivered
    prober.close()


@LANGUAGES
@KINDS
def test_receivers_that_share_a_port_get_their_own(mcast_lab: LabView, language: str, family: str, mode: str) -> None:
    rx, tx = mcast_lab.hosts(2)
    first = _channel(mcast_lab, family, mode, tx)
    second = Channel(_channel(mcast_lab, family, mode, tx).group, first.port, first.source)
    readings = [_receive(language, channel, rx) for channel in (first, second)]
    flows = []
    for _ in range(24):
        for reading in readings:
            with tx.sender(reading.channel) as sender:
                flows.append((reading, sender.send(reading.channel.group.encode())))
    for reading, sent in flows:
        datagram = reading.recv()
        assert (datagram.payload, datagram.source[1]) == (sent.payload, sent.source[1])


@LANGUAGES
@KINDS
def test_two_receivers_of_a_channel_both_get_it(mcast_lab: LabView, language: str, family: str, mode: str) -> None:
    rx, tx = mcast_lab.hosts(2)
    channel = _channel(mcast_lab, family, mode, tx)
    readings = [_receive(language, channel, rx) for _ in range(2)]
    tx.sender(channel).send(b"both")
    assert [reading.recv().payload for reading in readings] == [b"both"] * 2


@LANGUAGES
@FAMILIES
def test_a_receiver_does_not_tell_of_unicast(mcast_lab: LabView, language: str, family: str) -> None:
    rx, tx = mcast_lab.hosts(2)
    channel = mcast_lab.channel(family)
    reading = _receive(language, channel, rx)
    sender = tx.sender(channel)
    sender.socket.sendto(b"unicast", sender._zoned(rx.source(family), channel.port))
    sender.send(b"fence")
    assert reading.recv().payload == b"fence"


@FAMILIES
def test_a_receiver_in_go_does_not_tell_of_what_came_in_by_another_interface(mcast_lab: LabView, family: str) -> None:
    rx = mcast_lab.host(interfaces={"eth0": "one", "eth1": "two"})
    tx = mcast_lab.host(interfaces={"eth0": "one", "eth1": "two"})
    channel = mcast_lab.channel(family, scope="organization-local")
    reading = _receive("go", channel, rx, "eth1")
    other = rx.receiver(channel, interface="eth0")
    tx.sender(channel, interface="eth0").send(b"other interface")
    assert other.recv().payload == b"other interface"
    tx.sender(channel, interface="eth1").send(b"fence")
    assert reading.recv().payload == b"fence"


@LANGUAGES
@KINDS
def test_a_sender_uses_source_ttl_payload_and_count(mcast_lab: LabView, language: str, family: str, mode: str) -> None:
    rx, tx = mcast_lab.hosts(2)
    channel = _channel(mcast_lab, family, mode, tx)
    receiver = rx.receiver(channel)
    text = '--it\'s {x} "$y" %s, \\n'
    sender = _send(language, channel, tx, f"--payload={text}", "--ttl", "9", "--count", "3")
    assert (sender.wait(), sender.stderr) == (0, [])
    datagrams = receiver.expect(3)
    assert {(each.payload.decode(), each.source[0], each.ttl) for each in datagrams} == {(text, tx.source(family), 9)}
    assert len({each.source[1] for each in datagrams}) == 1


@LANGUAGES
@KINDS
def test_both_use_the_interface_that_is_named(mcast_lab: LabView, language: str, family: str, mode: str) -> None:
    rx = mcast_lab.host(interfaces={"eth0": "one", "eth1": "two"})
    tx = mcast_lab.host(interfaces={"eth0": "one", "eth1": "two"})
    source = tx.find("eth1").address(family, "link-local")
    channel = mcast_lab.channel(family, source=source if mode == "ssm" else None)
    reading = _receive(language, channel, rx, "eth1")
    assert {membership.interface for membership in rx.memberships(channel.group)} == {"eth1"}
    assert _send(language, channel, tx, interface="eth1").wait() == 0
    assert reading.recv().source[0] == source


@LANGUAGES
@pytest.mark.parametrize("programs", [RECEIVERS, SENDERS], ids=["receiver", "sender"])
@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["239.1.2.3", "5000", "--interface", "eth7"], "error: .*eth7"),
        (["10.0.0.1.2", "5000", "--interface", "eth0"], "error: .*10.0.0.1.2"),
        (["239.1.2.3", "5000", "--interface", "eth0", "--source", "nobody"], "error: .*nobody"),
        (["239.1.2.3", "5000", "--interface", "eth0", "--colour", "red"], "error: .*colour"),
        (["239.1.2.3"], "error: usage: .* GROUP PORT --interface NAME"),
    ],
    ids=["interface", "group", "source", "option", "usage"],
)
def test_wrong_input_is_an_error(
    mcast_lab: LabView,
    language: str,
    programs: dict[str, Callable[[], list[str]]],
    words: list[str],
    error: str,
) -> None:
    result = mcast_lab.host().popen([*programs[language](), *words])
    assert result.wait() == 1
    assert any(re.match(error, line) for line in result.stderr), result.stderr


@LANGUAGES
def test_the_version_is_told(mcast_lab: LabView, language: str) -> None:
    for programs in (RECEIVERS, SENDERS):
        result = mcast_lab.host().popen([*programs[language](), "--version"])
        assert result.wait() == 0
        assert re.search(r"(go|v)\d+\.\d+", result.stdout[0])
