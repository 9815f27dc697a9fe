"""recv, send and echo as commands of ``pytest-mcast``, between virtual hosts; and their document."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_mcast import Channel, LabView, VirtualHost
from pytest_mcast.core import FAMILIES, MODES
from pytest_mcast.lab.programs import Program
from pytest_mcast.lab.sysctls import write_sysctl
from pytest_mcast.packets import Packet, Template
from pytest_mcast.packets.marks import new_mark

DOCUMENT = Path(__file__).parents[2] / "docs" / "commands.md"
MAIN = [sys.executable, "-m", "pytest_mcast"]
CORE = [sys.executable, "-m", "pytest_mcast.core"]

each_family = pytest.mark.parametrize("family", FAMILIES)
each_mode = pytest.mark.parametrize("mode", MODES)


def _start(host: VirtualHost, name: str, channel: Channel, *options: str, main: list[str] = MAIN) -> Program:
    """Start a command in a host, and wait until it is ready."""
    source = [] if channel.source is None else ["--source", channel.source]
    command = [*main, name, channel.group, str(channel.port), "--interface", "eth0", *source, *options]
    return host.popen(command, ready="^ready " if "--json" not in options else '"ready"')


def _channel(lab: LabView, family: str, mode: str, source: VirtualHost) -> Channel:
    return lab.channel(family, source=source if mode == "ssm" else None)


def _hex(payload: bytes) -> str:
    return f" payload={payload.hex()}$"


@each_family
@each_mode
@pytest.mark.parametrize("main", [MAIN, CORE], ids=["whole", "core"])
def test_from_host_to_host(mcast_lab: LabView, family: str, mode: str, main: list[str]) -> None:
    rx, tx = mcast_lab.hosts(2)
    channel = _channel(mcast_lab, family, mode, tx)
    receiver = _start(rx, "recv", channel, "--count", "3", main=main)
    sender = _start(tx, "send", channel, "--count", "3", "--interval", "0", "--hex", "00ff0a", main=main)
    for _ in range(3):
        sent = sender.expect("^sent (source=.* group=.* port=[0-9]+) .*" + _hex(b"\x00\xff\n"))
        received = receiver.expect("^datagram (source=.* group=.* port=[0-9]+) .*" + _hex(b"\x00\xff\n"))
        assert received.group(1) == sent.group(1)
    assert (sender.wait(), receiver.wait()) == (0, 0)
    assert (sender.stderr, receiver.stderr) == ([], [])


@each_family
@each_mode
def test_an_echo_comes_back(mcast_lab: LabView, family: str, mode: str) -> None:
    rx, tx = mcast_lab.hosts(2)
    channel = _channel(mcast_lab, family, mode, tx)
    responder = _start(rx, "echo", channel)
    sender = tx.sender(channel)
    sender.send(b"question")
    reply = sender.recv()
    assert (reply.payload, reply.source[1]) == (b"question", channel.port)
    responder.expect(f"^reply source={sender.source[0]} source_port={sender.source[1]} .* reply={b'question'.hex()}$")
    responder.stop()
    assert responder.returncode == 0


@each_family
def test_a_wrong_source_is_not_printed(mcast_lab: LabView, family: str) -> None:
    rx, good, bad = mcast_lab.hosts(3)
    channel = mcast_lab.channel(family, source=good)
    program = _start(rx, "recv", channel)
    control = rx.receiver(Channel.unchecked(channel.group, channel.port))
    bad.sender(channel).send(b"spoof")
    assert control.recv().payload == b"spoof"
    good.sender(channel).send(b"fence")
    program.expect("^datagram .*" + _hex(b"fence"))
    assert program.stop() == 0
    assert len([line for line in program.stdout if line.startswith("datagram")]) == 1
    assert re.match("summary ended=SIGTERM received=1 ", program.stdout[-1])


@each_family
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_a_summary(mcast_lab: LabView, family: str, number: signal.Signals) -> None:
    program = _start(mcast_lab.host(), "recv", mcast_lab.channel(family), "--json")
    os.kill(program.pid, number)
    assert program.wait() == 0
    assert f'"ended": "{number.name}"' in program.stdout[-1]


def test_without_loopback_only_others_get_it(mcast_lab: LabView) -> None:
    rx, tx = mcast_lab.hosts(2)
    channel = mcast_lab.channel()
    own, other = tx.receiver(channel), rx.receiver(channel)
    assert _start(tx, "send", channel, "--no-loopback").wait() == 0
    assert other.recv().payload == b"hello"
    tx.sender(channel).send(b"fence")
    assert own.recv().payload == b"fence"


def test_a_refused_join_is_an_exit_code(mcast_lab: LabView) -> None:
    host = mcast_lab.host("limited", interfaces={"eth0": "lan"})  # one of its own, for its sysctl
    with host:
        write_sysctl("/proc/sys/net/ipv4/igmp_max_memberships", "0", required=True)
    channel = mcast_lab.channel()
    program = host.popen([*MAIN, "recv", channel.group, str(channel.port), "--json"])
    assert program.wait() == 3
    text = f"cannot join {channel.group} on eth0: ENOBUFS"
    assert program.stderr[0].startswith(f"pytest-mcast recv: {text}")
    assert program.stdout[0].startswith(f'{{"event": "error", "message": "{text}')
    assert len(program.stdout) == 1


@pytest.mark.parametrize("name", ["recv", "send", "echo"])
def test_an_interface_that_goes_is_an_exit_code(mcast_lab: LabView, name: str) -> None:
    host = mcast_lab.host("losing", interfaces={"eth0": "lan"})
    count = ["--count", "0", "--interval", "1000"] if name == "send" else []
    program = _start(host, name, mcast_lab.channel(), *count)
    remove = host.popen(["ip", "link", "delete", "eth0"])
    assert remove.wait() == 0, remove.stderr
    assert program.wait() == 3
    assert re.search(r"pytest-mcast \w+: .* interface eth0 \(index \d+\) is gone$", program.stderr[0])
    assert program.stdout[-1].startswith("summary ended=error ")


def test_who_cannot_be_answered_does_not_stop_it(mcast_lab: LabView) -> None:
    rx, tx = mcast_lab.hosts(2)
    channel = mcast_lab.channel()
    program = _start(rx, "echo", channel)
    nobody = Packet(
        source=tx.source("ipv4"), source_port=0, group=channel.group, port=channel.port, source_mac=tx.injector().mac
    )
    tx.inject(*Template(nobody).frames(new_mark(1, 1), 1))
    program.expect(f"^unanswered source={tx.source('ipv4')} source_port=0 .* reason=EINVAL$")
    sender = tx.sender(channel)
    sender.send(b"question")
    assert sender.recv().payload == b"question"
    assert program.stop() == 0
    assert "replies=1 unanswered=1" in program.stdout[-1]


def test_head_ends_it(mcast_lab: LabView) -> None:
    channel = mcast_lab.channel()
    script = '"$@" | head -1; echo "${PIPESTATUS[0]}"'
    command = [*MAIN, "recv", channel.group, str(channel.port)]
    program = mcast_lab.host().popen(["bash", "-c", script, "bash", *command])
    assert program.wait() == 0
    assert program.stdout[0].startswith("ready ")
    assert program.stdout[1:] == ["141"]
    assert program.stderr == []


@pytest.mark.parametrize("name", ["recv", "send", "echo"])
def test_there_is_one_implementation(name: str) -> None:
    helps = [
        subprocess.run([*main, name, "--help"], capture_output=True, text=True, check=True).stdout
        for main in (MAIN, CORE)
    ]
    assert helps[0] == helps[1]
    assert helps[0].startswith(f"usage: pytest-mcast {name} ")


def test_the_document_has_the_exit_codes_of_the_help() -> None:
    text = subprocess.run([*CORE, "recv", "--help"], capture_output=True, text=True, check=True).stdout
    codes = re.findall(r"^  (\d+) +(\S.*)$", text[text.index("exit codes:") :], re.MULTILINE)
    assert len(codes) == 5
    assert codes == re.findall(r"^\| (\d+) \| (.*) \|$", DOCUMENT.read_text().replace("`", ""), re.MULTILINE)


def test_the_document_has_the_options_of_the_help() -> None:
    table = DOCUMENT.read_text().partition("## Lines")[0]
    documented = set(re.findall(r"--[a-z-]+", table))
    for name in ("recv", "send", "echo"):
        text = subprocess.run([*CORE, name, "--help"], capture_output=True, text=True, check=True).stdout
        assert set(re.findall(r"--[a-z-]+", text)) - {"--help"} <= documented


def test_the_document_has_the_keys_of_the_lines(mcast_lab: LabView) -> None:
    shown = [
        (line.split()[0], re.findall(r"(\w+)=", line))
        for line in re.findall(r"^(?:ready|datagram|sent|reply|summary) .*$", DOCUMENT.read_text(), re.MULTILINE)
    ]
    rx, tx = mcast_lab.hosts(2)
    channel = mcast_lab.channel()
    receiver, responder = (_start(rx, name, channel, "--count", "1") for name in ("recv", "echo"))
    sender = _start(tx, "send", channel)
    written = []
    for program in (receiver, sender, responder):
        assert program.wait() == 0
        written += [(line.split()[0], re.findall(r"(\w+)=", line)) for line in program.stdout]
    assert shown == written
