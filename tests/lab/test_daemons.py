"""Multicast routing daemons in routers: SMCRoute, pimd and FRR, real ones."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import pytest

from pytest_mcast import LabView, VirtualHost
from pytest_mcast.core import Channel, Deadline, MissingCapability, NotReceived
from pytest_mcast.core.errors import ProgramError
from pytest_mcast.lab import Router, RouteTimeout, RoutingDaemon, StaticRoute

from ..support.programs import program
from .test_nothing_left import Canaries

_FRR = ("/usr/lib/frr", "/usr/libexec/frr")


def _require(daemon: str) -> None:
    """Skip the test where there is no such daemon, or not for this user."""
    if daemon == "frr":
        program("zebra", places=_FRR)
        return
    program("smcrouted" if daemon == "smcroute" else daemon)
    if os.geteuid() != 0:
        pytest.skip(f"{daemon} starts for the user 0 only")


def _start(router: Router, daemon: str, channel: Channel | None = None, rp: VirtualHost | None = None) -> RoutingDaemon:
    """Start a daemon, SMCRoute with a route for the channel from eth0 to eth1; skip the test where it cannot be."""
    _require(daemon)
    if daemon == "smcroute":
        routes = [] if channel is None else [StaticRoute(channel.group, "eth0", ["eth1"], channel.source)]
        return router.smcroute(*routes)
    return router.pimd(rp=rp) if daemon == "pimd" else router.frr(rp=rp)


@pytest.mark.parametrize(
    ("daemon", "family", "mode"),
    [
        ("smcroute", "ipv4", "asm"),
        ("smcroute", "ipv4", "ssm"),
        ("smcroute", "ipv6", "asm"),
        ("smcroute", "ipv6", "ssm"),
        ("pimd", "ipv4", "asm"),
        ("frr", "ipv4", "asm"),
        ("frr", "ipv4", "ssm"),
    ],
)
def test_a_group_crosses_a_router(mcast_lab: LabView, daemon: str, family: str, mode: str) -> None:
    tx = mcast_lab.host("tx", interfaces={"eth0": "left"})
    router = mcast_lab.router("router", interfaces={"eth0": "left", "eth1": "right", "eth2": "empty"})
    rx = mcast_lab.host("rx", interfaces={"eth0": "right"})
    scope = "site-local" if family == "ipv6" else "organization-local"
    source = tx.source(family, scope)
    channel = (
        mcast_lab.channel(family, scope=scope)
        if mode == "asm"
        else mcast_lab.channel(source=source, scope=scope if family == "ipv6" else None)
    )
    started = _start(router, daemon, channel, rp=router if mode == "asm" else None)
    receiver = rx.receiver(channel)
    if daemon != "smcroute":
        started.wait_for_member(channel)
    with mcast_lab.link("empty").count(channel) as empty:
        tx.sender(channel, ttl=2, source=source).send(b"over the hill")
        entry = started.wait_for_route(channel.group, "eth1", source=source)
        datagram = receiver.recv()
        assert (datagram.payload, datagram.source[0], datagram.ttl) == (b"over the hill", source, 1)
        assert (entry.incoming, "eth2" in entry.outgoing) == ("eth0", False)
        assert empty.received(mcast_lab.link("empty").port(router)) == 0
    if daemon == "frr":
        receiver.close()
        started.wait_until_pruned(channel.group, "eth1", timeout=10)
    started.close()
    assert router.entries(family) == ()


def test_pimd_prunes_what_has_no_receiver_any_more(mcast_lab: LabView) -> None:
    tx = mcast_lab.host("tx", interfaces={"eth0": "left"})
    router = mcast_lab.router("router", interfaces={"eth0": "left", "eth1": "right"})
    rx = mcast_lab.host("rx", interfaces={"eth0": "right"})
    channel = mcast_lab.channel(source=tx)
    started = _start(router, "pimd")
    receiver = rx.receiver(channel)
    started.wait_for_member(channel)
    sender = tx.sender(channel, ttl=2)
    sender.send(b"wanted")
    assert receiver.recv().payload == b"wanted"
    receiver.close()
    started.program.expect("Remove source")  # each report before that replaces the entry, which is gone meanwhile
    started.wait_until_pruned(channel.group, "eth1", source=tx, timeout=20)  # its clock ticks every 5 s
    with mcast_lab.link("right").count(channel) as right:
        sender.send(b"not wanted")
        assert right.received(mcast_lab.link("right").port(router)) == 0


@pytest.mark.parametrize(("daemon", "mode"), [("pimd", "asm"), ("frr", "asm"), ("frr", "ssm")])
def test_two_routers_agree_by_pim(mcast_lab: LabView, daemon: str, mode: str) -> None:
    tx = mcast_lab.host("tx", interfaces={"eth0": "a"})
    first = mcast_lab.router("first", interfaces={"eth0": "a", "eth1": "b"})
    second = mcast_lab.router("second", interfaces={"eth0": "b", "eth1": "c"})
    rx = mcast_lab.host("rx", interfaces={"eth0": "c"})
    second.reach(mcast_lab.link("a"), through=first)
    first.reach(mcast_lab.link("c"), through=second)
    asm = mode == "asm"
    channel = mcast_lab.channel(scope="organization-local") if asm else mcast_lab.channel(source=tx)
    rp = second if asm else None  # so that the first has to register the source
    near, far = (_start(router, daemon, rp=rp) for router in (first, second))
    receiver = rx.receiver(channel)
    far.wait_for_member(channel)
    sender = tx.sender(channel, ttl=3)
    deadline, arrived = Deadline(20), None
    while arrived is None and not deadline.passed():
        sender.send(b"far")
        try:
            arrived = receiver.recv(timeout=0.1)
        except NotReceived:
            continue
    assert arrived is not None, near.program.transcript() + far.program.transcript()
    assert (arrived.payload, arrived.ttl) == (b"far", 1)
    for started, source in ((near, tx), (far, tx)):
        assert started.wait_for_route(channel.group, "eth1", source=source, timeout=10).incoming == "eth0"


@pytest.mark.parametrize("daemon", ["smcroute", "pimd", "frr"])
def test_one_program_at_a_time_has_the_forwarding(mcast_lab: LabView, daemon: str) -> None:
    router = mcast_lab.router("router", interfaces={"eth0": "left", "eth1": "right"})
    _require(daemon)
    router.forward("ipv4")
    with pytest.raises(MissingCapability, match=r"^routing: another program has ipv4 multicast routing here already; "):
        _start(router, daemon)
    other = mcast_lab.router("other", interfaces={"eth0": "left", "eth1": "right"})
    _start(other, daemon)
    with pytest.raises(MissingCapability, match=r"^routing: another program has ipv4 multicast routing here already; "):
        other.route("239.1.2.3", "eth0", ["eth1"])


@pytest.mark.parametrize(
    ("daemon", "line"),
    [("smcroute", "mroute from eth9 group 239.1.2.3 to eth1"), ("pimd", "phyint eth9 igmpv2"), ("frr", "no such line")],
)
def test_a_daemon_that_does_not_understand_is_not_ready(mcast_lab: LabView, daemon: str, line: str) -> None:
    router = mcast_lab.router("router", interfaces={"eth0": "left", "eth1": "right"})
    _require(daemon)
    start = {"smcroute": router.smcroute, "pimd": router.pimd, "frr": router.frr}[daemon]
    with pytest.raises(
        ProgramError, match=r"the daemon in router goes on without a part of its configuration: .*line|eth9"
    ):
        start(extra=[line])  # type: ignore[operator] # what they have in common
    assert router.daemons == []


def test_what_is_not_there_is_told_with_entries_and_log(mcast_lab: LabView) -> None:
    router = mcast_lab.router("router", interfaces={"eth0": "left", "eth1": "right"})
    group = mcast_lab.channel(scope="organization-local").group
    started = _start(router, "frr", rp=router)
    with pytest.raises(RouteTimeout) as caught:
        started.wait_for_route(group, "eth1", source="10.1.2.3", timeout=0.01)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"router: no entry forwards (10.1.2.3, {group}) to eth1 after 0.01 s"
    assert lines[1:3] == ["entries of the kernel:", "  none"]
    assert lines[-2].lstrip() == started.log[-1]
    with pytest.raises(ProgramError, match=rf"^router has heard of no membership for {group}:5000 in 0.01 s\n"):
        started.wait_for_member(Channel(group, 5000), timeout=0.01)


def test_entries_of_the_kernel(mcast_lab: LabView) -> None:
    tx = mcast_lab.host("tx", interfaces={"eth0": "left"})
    router = mcast_lab.router("router", interfaces={"eth0": "left", "eth1": "right"})
    channel = mcast_lab.channel(source=tx)
    router.route(channel.group, "eth0", {"eth1": 8}, source=tx)
    router.route("239.1.2.3", "eth1", ["eth0"])
    tx.sender(channel, ttl=9).send(b"counted")
    static, counted = sorted(router.entries(), key=lambda entry: entry.packets)
    assert str(static) == "(*, 239.1.2.3) from eth1 to eth0, eth1, 0 packets"  # an entry for any source has its own way
    assert (counted.source, counted.incoming, counted.outgoing) == (tx.source("ipv4"), "eth0", {"eth1": 8})
    assert (counted.packets, counted.bytes, counted.wrong_interface) == (1, 20 + 8 + len(b"counted"), 0)
    waiting = mcast_lab.channel(source=tx)
    tx.sender(waiting, ttl=9).send(b"waits")
    assert f"({tx.source('ipv4')}, {waiting.group}) waits for an entry" in map(str, router.entries())


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_the_way_to_a_link_leads_through_a_neighbour(mcast_lab: LabView, family: str) -> None:
    first = mcast_lab.router("first", interfaces={"eth0": "a"})
    second = mcast_lab.router("second", interfaces={"eth0": "a", "eth1": "b"})
    third = mcast_lab.router("third", interfaces={"eth0": "b"})
    first.reach(mcast_lab.link("b"), through=second)
    kind = socket.AF_INET6 if family == "ipv6" else socket.AF_INET
    address = third.source(family, "organization-local")
    with third:
        receiver = socket.socket(kind, socket.SOCK_DGRAM)
    with receiver:
        receiver.bind((address, 0))
        receiver.settimeout(5)
        with first, socket.socket(kind, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"by the second", receiver.getsockname())
        assert receiver.recv(100) == b"by the second"
    way = first.popen(["ip", "-o", "route", "get", address])  # the switch, which is a gateway, forwards as well
    way.wait()
    assert f" via {second.source(family, 'organization-local')} " in way.stdout[0]
    with pytest.raises(LookupError, match="first and third are on no link together"):
        first.reach(mcast_lab.link("b"), through=third)


_SUITE = """
    import sys

    def test_it(mcast_lab):
        router = mcast_lab.router(interfaces={"eth0": "left", "eth1": "right"})
        router.frr()
        print("started", router.namespace.descriptor, flush=True)
        sys.stdin.read()
"""


def test_nothing_is_left_of_a_daemon_after_kill_9(tmp_path: Path) -> None:
    _require("frr")
    (tmp_path / "test_it.py").write_text(textwrap.dedent(_SUITE))
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "test_it.py"]
    with (
        closing(Canaries()) as canaries,
        subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run,
    ):
        assert run.stdout is not None
        line = next((line for line in run.stdout if "started" in line), "")
        canaries.put(f"/proc/{run.pid}/fd/{int(line.split()[-1])}")
        run.kill()
        canaries.wait_until_gone()  # no process is in the namespace any more


def test_a_failure_shows_the_log(tmp_path: Path) -> None:
    _require("frr")
    suite = _SUITE.replace("sys.stdin.read()", "assert False")
    (tmp_path / "test_it.py").write_text(textwrap.dedent(suite))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
    output = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, check=False).stdout
    assert "mcast log of a daemon in router1" in output
    assert "pimd 8" in output or "PIM INTERFACE UP: on interface eth1" in output
