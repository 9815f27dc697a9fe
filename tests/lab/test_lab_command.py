"""``pytest-mcast lab``."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..conftest import Runner
from ..support.terminal import Terminal, enter
from .test_nothing_left import Canaries

LAB = [sys.executable, "-m", "pytest_mcast", "lab"]
READY = "Ctrl-C ends it."

RECEIVE = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.bind(("239.1.2.3", 5000))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("239.1.2.3") + bytes(4))
    print("ready", flush=True)
    sock.settimeout(30)
    print(sock.recv(100).decode())
"""
SEND = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.sendto(b"from host to host", ("239.1.2.3", 5000))
"""


@contextmanager
def _lab(run: Runner, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start it, and give it with what it has printed; see that it ends."""
    with subprocess.Popen([*run.prefix, *LAB, *arguments], cwd=run.home, text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            shown = ""
            for line in process.stdout:
                shown += line
                if line.startswith(READY):
                    break
            yield process, shown
            assert process.wait(30) == 0
        finally:
            process.kill()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_its_hosts_hear_each_other_and_end_with_a_signal(run: Runner, ending: signal.Signals) -> None:
    canaries = Canaries()
    with _lab(run) as (process, shown):
        one, two = (enter(shown, name) for name in ("host1", "host2"))
        with subprocess.Popen(
            [*run.prefix, *two, sys.executable, "-c", RECEIVE], text=True, stdout=subprocess.PIPE
        ) as receiver:
            assert receiver.stdout is not None
            assert receiver.stdout.readline() == "ready\n"
            assert run([*one, sys.executable, "-c", SEND]).returncode == 0
            assert receiver.stdout.readline() == "from host to host\n"
        for words in (one, two):
            canaries.put(words[-1].partition("=")[2])
        process.send_signal(ending)
    canaries.wait_until_gone()
    canaries.close()


def test_the_hosts_of_a_file(run: Runner) -> None:
    hosts = "hosts: {left: virtual, right: virtual, alone: {virtual: {interface: lo}}, here: local}\n"
    run.write(f"{hosts}matrix: {{sender: [left], receiver: [right]}}", "it.mcast.yaml")
    with _lab(run, "it.mcast.yaml") as (process, shown):
        assert [line for line in shown.splitlines() if line.endswith(":")] == ["left:", "right:", "alone:"]
        for host, interface in (("left", "eth0"), ("right", "eth0"), ("alone", "lo")):
            result = run([*enter(shown, host), "ip", "-brief", "link"])
            names = [line.split()[0].partition("@")[0] for line in result.stdout.splitlines()]
            assert names == list(dict.fromkeys(["lo", interface]))
        process.terminate()


def test_the_network_of_a_file_is_drawn(tmp_path: Path) -> None:
    run = Runner(tmp_path)
    links = "links: {near: {}, far: {mtu: 1400}}\nrouters: {hop: {interfaces: {eth0: near, eth1: far}}}\n"
    hosts = "hosts: {a: {virtual: {interfaces: {eth0: near}}}, b: {virtual: {interfaces: {eth0: far}}}}\n"
    run.write(f"{links}{hosts}matrix: {{sender: [a], receiver: [b]}}", "it.mcast.yaml")
    with _lab(run, "it.mcast.yaml") as (process, shown):
        drawn = [line.split("10.")[0].rstrip() for line in shown.splitlines()]
        assert drawn[:6] == [
            *("near: a flat switch, MTU 1500", "├── hop (router) eth0", "└── a            eth0"),
            *("far: a flat switch, MTU 1400", "├── hop (router) eth1", "└── b            eth0"),
        ]
        assert drawn[6] == "hop:"
        assert "mtu 1400" in run([*enter(shown, "b"), "ip", "link", "show", "eth0"]).stdout
        process.terminate()


def test_a_count_of_hosts(run: Runner) -> None:
    with _lab(run, "--hosts", "3") as (process, shown):
        assert [line for line in shown.splitlines() if line.endswith(":")] == ["host1:", "host2:", "host3:"]
        process.terminate()


def test_ctrl_c_ends_it(tmp_path: Path) -> None:
    with Terminal(LAB, tmp_path) as terminal:
        terminal.expect(READY)
        terminal.write("\x03")
    assert terminal.process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.mcast.yaml"], "missing.mcast.yaml"),
        (["bad.mcast.yaml"], "bad.mcast.yaml:1:"),
        (
            ["sysctl.mcast.yaml"],
            "sysctl.mcast.yaml: host one: cannot set net.no.such to '1': No such file or directory",
        ),
        (["local.mcast.yaml"], "local.mcast.yaml: no virtual host in it: here is local"),
        (["--hosts", "0"], "argument --hosts: '0' is not a number of hosts from 1 to 1000"),
        (["--hosts", "two"], "argument --hosts: 'two' is not a number of hosts from 1 to 1000"),
        (["--hosts", "2", "local.mcast.yaml"], "not allowed with argument --hosts"),
    ],
)
def test_refusals(tmp_path: Path, arguments: list[str], message: str) -> None:
    run = Runner(tmp_path)
    run.write("hosts: {one: virtuel}", "bad.mcast.yaml")
    run.write("hosts: {here: local}", "local.mcast.yaml")
    run.write("hosts: {one: {virtual: {sysctl: {net.no.such: 1}}}}", "sysctl.mcast.yaml")
    result = run([*LAB, *arguments])
    assert (result.returncode, result.stdout) == (2, "")
    assert "pytest-mcast lab: " in result.stderr
    assert message in result.stderr
