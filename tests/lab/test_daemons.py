"""Multicast routing daemons in routers: SMCRoute, pimd and FRR, real ones."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pytest_mcast import InterfaceError, LabView, VirtualHost
from pytest_mcast.core import Channel, Deadline, MissingCapability, NotReceived
from pytest_mcast.core.errors import ProgramError
from pytest_mcast.lab import Router, RouteTimeout, RoutingDaemon, StaticRoute
from pytest_mcast.lab.daemon import find

from ..conftest import AS_USER
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
    if daemon == "smcroute":
        with pytest.raises(ValueError, match="smcrouted goes by static routes, and not by memberships"):
            started.wait_for_member(channel)
    else:
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
    for _ in range(2):
        started.close()
    assert router.entries(family) == ()
    assert not started.program.wait_for_output(sys.maxsize, Deadline(5))
    assert started.program.ended  # and so zebra, too, which has the same output


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
    # Each report before that took the entry away, until the next packet: there is to be one that loses its interface.
    started.program.expect("Remove source")
    sender.send(b"while it asks who else wants it")
    started.wait_for_route(channel.group, "eth1", source=tx)
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
    [
        ("smcroute", "mroute from eth9 group 239.1.2.3 to eth1"),
        ("pimd", "phyint eth9 igmpv2"),
        ("frr", "no such line"),
        ("frr", "interface"),  # of which there is more
    ],
)
def test_a_daemon_that_does_not_understand_is_not_ready(mcast_lab: LabView, daemon: str, line: str) -> None:
    router = mcast_lab.router("router", interfaces={"eth0": "left", "eth1": "right"})
    _require(daemon)
    start = {"smcroute": router.smcroute, "pimd": router.pimd, "frr": router.frr}[daemon]
    with pytest.raises(
        ProgramError, match=r"the daemon in router goes on without a part of its configuration: .*(line|eth9)"
    ):
        start(extra=[line])  # type: ignore[operator] # what they have in common
    assert router.daemons == []


@pytest.mark.parametrize("daemon", ["smcroute", "pimd", "frr"])
def test_what_no_daemon_can_be_told(mcast_lab: LabView, daemon: str) -> None:
    router = mcast_lab.router("router", interfaces={"eth0": "left", "eth1": "right"})
    _require(daemon)
    start: Any = getattr(router, daemon)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"extra": "a line"}, r"extra 'a line' is a text, where a list of lines belongs: \['a line'\]")
    ]
    if daemon != "smcroute":
        wrong += [
            ({"query_interval": 0}, "query_interval 0 is not a whole number of seconds from 1"),
            ({"rp": "mine"}, "rp 'mine' is neither a host nor the ipv4 address of one"),
        ]
    for options, text in wrong:
        with pytest.raises(ValueError, match=text):
            start(**options)
    with pytest.raises(InterfaceError, match="alone has no interface: a routing daemon has nothing to do there"):
        getattr(mcast_lab.router("alone", interfaces={}), daemon)()
    with pytest.raises(ValueError, match=r"outgoing 'eth1' is one name"):
        StaticRoute("239.1.2.3", "eth0", "eth1").line()


def test_what_is_not_there_is_told_with_entries_and_log(mcast_lab: LabView) -> None:
    router = mcast_lab.router("router", interfaces={"eth0": "left", "eth1": "right"})
    channel = mcast_lab.channel(scope="organization-local")
    started = _start(router, "frr", rp=router)
    with pytest.raises(ProgramError, match=rf"^router has heard of no membership for {channel} in 0.01 s\n"):
        started.wait_for_member(channel, timeout=0.01)
    with pytest.raises(
        RouteTimeout, match=rf"(?s)^router: no entry forwards \(\*, {channel.group}\) to .* kernel:\n  none\n"
    ):
        started.wait_for_route(channel.group, timeout=0.01)
    receiver = mcast_lab.host("rx", interfaces={"eth0": "right"}).receiver(channel)
    started.wait_for_member(channel)
    assert started.wait_for_route(channel.group, "eth1").source is None
    with pytest.raises(RouteTimeout) as caught:
        started.wait_for_route(channel.group, "eth1", source="10.1.2.3", timeout=0.01)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"router: no entry forwards (10.1.2.3, {channel.group}) to eth1 after 0.01 s"
    assert lines[1] == "entries of the kernel:"
    assert lines[2].startswith(f"  (*, {channel.group}) from ")
    assert lines[-2].lstrip() in started.log
    with pytest.raises(RouteTimeout, match=rf"^router: \(\*, {channel.group}\) still goes to eth1 after 0.01 s\n"):
        started.wait_until_pruned(channel.group, "eth1", timeout=0.01)
    receiver.close()
    started.wait_until_pruned(channel.group, "eth1", timeout=10)


def test_an_entry_for_register_messages_is_not_one_for_packets(mcast_lab: LabView) -> None:
    router = mcast_lab.router("router", interfaces={"eth0": "left", "eth1": "right"})
    group, source = "239.1.2.3", "10.1.2.3"
    waiting = RoutingDaemon(router, router.popen(["cat"]))
    with router, socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP) as forwarding:
        interfaces = [
            (0, 4, 0),
            *((number, 8, socket.if_nametoindex(name)) for number, name in ((1, "eth0"), (2, "eth1"))),
        ]
        # MRT_INIT; then MRT_ADD_VIF, with VIFF_REGISTER, VIFF_USE_IFINDEX
        forwarding.setsockopt(socket.IPPROTO_IP, 200, 1)
        for number, flag, index in interfaces:
            forwarding.setsockopt(socket.IPPROTO_IP, 202, struct.pack("=HBBIiI", number, flag, 1, 0, index, 0))

        def add(incoming: int) -> None:  # MRT_ADD_MFC
            head = socket.inet_aton(source) + socket.inet_aton(group) + struct.pack("=H", incoming)
            forwarding.setsockopt(socket.IPPROTO_IP, 204, head + bytes((0, 0, 1)) + bytes(29 + 18))

        add(0)
        with pytest.raises(RouteTimeout, match=rf"no entry forwards \({source}, {group}\) to eth1 after"):
            waiting.wait_for_route(group, "eth1", source=source, timeout=0.01)
        assert waiting.wait_for_route(group, "eth1", incoming="pimreg").incoming == "pimreg"
        add(1)
        assert waiting.wait_for_route(group, "eth1", source=source).incoming == "eth0"
        with pytest.raises(RouteTimeout, match=rf"no entry forwards \(\*, {group}\) from pimreg to eth1 after"):
            waiting.wait_for_route(group, "eth1", incoming="pimreg", timeout=0.01)


def test_a_member_is_one_for_whom_there_is_an_entry(mcast_lab: LabView) -> None:
    router = mcast_lab.router("router", interfaces={"eth0": "left", "eth1": "right"})
    channel = mcast_lab.channel()
    heard = router.popen(["sh", "-c", f"echo 'heard of *,{channel.group}'; exec cat"])
    waiting = RoutingDaemon(router, heard, "heard of {channel}", at_once=True)
    router.route(channel.group, "eth0", [])
    heard.expect("heard")
    with pytest.raises(RouteTimeout, match=rf"no entry forwards {channel} to anywhere, for the .*, after 0.01 s"):
        waiting.wait_for_member(channel, timeout=0.01)
    router.route(channel.group, "eth0", ["eth1"])
    waiting.wait_for_member(channel)


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
    first.reach(mcast_lab.link("b"), through=second)  # again
    with pytest.raises(LookupError, match="first is on link a itself, and reaches it without second"):
        first.reach(mcast_lab.link("a"), through=second)


def test_a_daemon_that_is_not_there_is_told_with_its_package() -> None:
    with pytest.raises(MissingCapability) as caught:
        find("no-such-daemon", "a-package", places=["/opt/here"])
    where = "on PATH, nor in /opt/here, /usr/sbin, /usr/local/sbin, /sbin"
    told = f"programs: there is no program 'no-such-daemon' {where}; run: apt-get install a-package"
    assert str(caught.value) == told


def test_two_daemons_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    frr, other = tmp_path / "frr", tmp_path / "other"
    for path in (frr / "zebra", frr / "my-pimd", other / "my-pimd"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    places = [str(other), str(frr)]
    assert find("my-pimd", "", places=places, beside="zebra") == str(frr / "my-pimd")
    assert find("my-pimd", "", places=places[::-1], not_beside="zebra") == str(other / "my-pimd")


def test_an_ordinary_user_is_told_which_daemons_want_root() -> None:
    code = "from pytest_mcast.lab.daemon import needs_root; needs_root('pimd')"
    command = [sys.executable, str(AS_USER), sys.executable, "-c", code]
    result = subprocess.run(command, text=True, capture_output=True, check=False)
    assert "routing: pimd starts for the user 0 only, and this is user " in result.stderr
    assert result.stderr.endswith("; run as root, or use FRR, which has no such rule\n")


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
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "--mcast-lab", "test_it.py"]
    with (
        closing(Canaries()) as canaries,
        subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run,
    ):
        assert run.stdout is not None
        line = next((line for line in run.stdout if "started" in line), "")
        canaries.put(f"/proc/{run.pid}/fd/{int(line.split()[-1])}")
        run.kill()
        canaries.wait_until_gone()  # no process is in the namespace any more


def test_a_failure_shows_the_log(mcast_lab: LabView, tmp_path: Path) -> None:
    mcast_lab.host()  # or the test is skipped
    _require("frr")
    suite = _SUITE.replace("sys.stdin.read()", "assert False")
    (tmp_path / "test_it.py").write_text(textwrap.dedent(suite))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--mcast-lab", "test_it.py"]
    output = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, check=False).stdout
    assert "mcast log of a daemon in router1" in output
    assert "pimd 8" in output or "PIM INTERFACE UP: on interface eth1" in output
