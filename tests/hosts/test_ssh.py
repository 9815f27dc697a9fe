"""Remote hosts by a real OpenSSH server in virtual hosts, with the oldest Python there, where nothing can be written."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_mcast import Channel, HostError, Lab, LabView, RemoteHost, VirtualHost
from pytest_mcast.core import FAMILIES, MODES

from ..support.sshd import PORT, SSHD, Server, serve
from .support import Process, oldest, under_way

pytestmark = pytest.mark.skipif(
    SSHD is None and not os.environ.get("CI"), reason="there is no sshd: install openssh-server"
)


@dataclass(frozen=True)
class Place:
    """A desk at which we sit, and two hosts with servers, and with what stands for them here."""

    lab: Lab
    desk: VirtualHost
    servers: tuple[Server, Server]
    hosts: tuple[RemoteHost, RemoteHost]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with ExitStack() as stack:
        lab = stack.enter_context(Lab())
        desk = lab.host("desk")
        one, two = (serve(lab.host(name), tmp_path_factory.mktemp(name)) for name in ("one", "two"))
        hosts = []
        for server in (one, two):
            host = stack.enter_context(closing(RemoteHost(server.host.name, server.specification(oldest()), "eth0")))
            with desk.inside():
                host.connect()
            hosts.append(host)
        yield Place(lab, desk, (one, two), (hosts[0], hosts[1]))


@contextmanager
def connected(desk: VirtualHost, server: Server, **options: float) -> Iterator[RemoteHost]:
    with closing(RemoteHost("far", server.specification(oldest()), "eth0", **options)) as host, desk.inside():
        host.connect()
        yield host


@pytest.fixture
def server(mcast_lab: LabView, tmp_path: Path) -> Server:
    """A server of the test's own, which it may break."""
    return serve(mcast_lab.host("far"), tmp_path)


@pytest.fixture
def desk(mcast_lab: LabView) -> VirtualHost:
    return mcast_lab.host("desk")


def far_end(server: Server, pid: str) -> Process:
    return Process(pid, server.program.pid)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("family", FAMILIES)
def test_datagrams_get_from_one_remote_host_to_another(place: Place, family: str, mode: str) -> None:
    one, two = place.hosts
    channel = two.pick(family, source=one.source(family) if mode == "ssm" else None)
    with two.receiver(channel) as receiver, one.sender(receiver.channel) as sender:
        assert place.servers[1].host.memberships(receiver.channel.group) == two.memberships(receiver.channel.group)
        sent = sender.send(b"hello")
        datagram = receiver.recv()
    assert (datagram.payload, datagram.source, sent.source[0]) == (b"hello", sender.source, one.source(family))
    assert not place.servers[1].host.memberships(receiver.channel.group)


def test_they_are_the_machines_that_were_named(place: Place) -> None:
    for server, host in zip(place.servers, place.hosts, strict=True):
        assert host.identities >= {server.host.source("ipv4"), server.host.source("ipv6")}
        assert host.facts()["executable"] == place.hosts[0].facts()["executable"]
        assert host.protocol_version("ipv4") == 3


def test_a_connection_serves_many_cells(place: Place) -> None:
    one, two = place.hosts
    before = one.facts()["pid"], two.facts()["pid"]
    for family in FAMILIES:
        with two.receiver(two.pick(family)) as receiver, one.sender(receiver.channel) as sender:
            sender.send(b"x")
            receiver.recv()
    assert (one.facts()["pid"], two.facts()["pid"]) == before


def test_nothing_is_left_on_a_disk(place: Place) -> None:
    """It would be refused, and nothing has been; nor is there a file that is open."""
    server, host = place.servers[0], place.hosts[0]
    assert list(server.home.iterdir()) == []
    connection = host._connection
    assert connection is not None
    with pytest.raises(OSError, match="Read-only file system"):
        connection.call("function", "os:mkdir", f"{server.home}/new")
    numbers = connection.call("function", "os:listdir", "/proc/self/fd")
    opened = set()
    for number in numbers:
        try:
            opened.add(connection.call("function", "os:readlink", f"/proc/self/fd/{number}"))
        except FileNotFoundError:  # the one by which they were listed
            continue
    assert {name for name in opened if name.startswith("/")} <= {"/dev/null"}
    assert not connection._said  # warnings of what was refused, for one


def refused(desk: VirtualHost, specification: str) -> str:
    with (
        closing(RemoteHost("far", specification)) as host,
        desk.inside(),
        pytest.raises(HostError) as caught,
    ):
        host.connect()
    assert caught.value.remedy.startswith("see that this works, and asks for nothing: ssh -F ")
    return caught.value.reason


def test_a_python_that_is_not_there_is_named(place: Place) -> None:
    reason = refused(place.desk, place.servers[0].specification("/nonexistent/python3"))
    assert "has no program '/nonexistent/python3'" in reason


def test_a_key_that_is_not_taken_is_named(place: Place) -> None:
    reason = refused(place.desk, place.servers[0].specification(config="wrong_key_config"))
    assert "Permission denied (publickey)" in reason


def test_a_host_that_nobody_knows_is_named(place: Place) -> None:
    reason = refused(place.desk, place.servers[0].specification(config="unknown_host_config"))
    assert "Host key verification failed" in reason


def test_a_host_without_a_server_is_named(place: Place) -> None:
    server = place.servers[0]
    text = server.specification().replace(server.host.source("ipv4"), place.desk.source("ipv4"))
    assert f"port {PORT}: Connection refused" in refused(place.desk, text)


def test_a_host_that_is_down_is_given_up_in_time_and_remembered(desk: VirtualHost, server: Server) -> None:
    host = RemoteHost("far", server.specification(oldest()), connect_timeout=0.3)
    desk.plugged[desk.interface.index].down()
    for _ in range(2):  # the second one is not tried
        with desk.inside(), pytest.raises(HostError, match=r"no connection"):
            host.connect()
    desk.plugged[desk.interface.index].up()
    with desk.inside(), pytest.raises(HostError, match=r"no connection"):
        host.connect()


def test_a_server_that_ends_is_told_at_once(desk: VirtualHost, server: Server) -> None:
    with connected(desk, server) as host, closing(far_end(server, host.facts()["pid"])) as process:
        receiver = host.receiver(Channel("239.255.1.2", 0))
        with under_way(host, lambda: receiver.recv(60)) as waiting:
            server.host.popen(["kill", "-9", str(host._connection.call("function", "os:getppid"))])  # type: ignore[union-attr]
            with pytest.raises(HostError, match=r"the connection was lost: ssh ended with exit code 255"):
                waiting.result(10)
        assert process.ended()  # as it sees the end of its input
        assert not server.host.memberships("239.255.1.2")
        assert host.receiver(Channel("239.255.1.2", 0)).subscription.state == "joined"  # by a new connection


def test_a_cable_that_is_pulled_ends_both_ends(desk: VirtualHost, server: Server) -> None:
    """Nobody is told of that: not a packet comes any more."""
    with connected(desk, server, silence=4) as host, closing(far_end(server, host.facts()["pid"])) as process:
        receiver = host.receiver(Channel("239.255.1.2", 0))
        port = server.host.plugged[server.host.interface.index]
        with under_way(host, lambda: receiver.recv(60)) as waiting:
            port.down()
            with pytest.raises(HostError, match=r"no answer for 4 s|not responding"):  # ours, or ssh's
                waiting.result(20)
        assert process.ended()
        assert not server.host.memberships("239.255.1.2")
        port.up()
        assert host.receiver(Channel("239.255.1.2", 0)).subscription.state == "joined"


CONTROLLER = """
import sys
from pytest_mcast import Channel, RemoteHost

host = RemoteHost("far", sys.argv[1], "eth0")
host.receiver(Channel("239.255.1.2", 0))
print("joined", host.facts()["pid"], flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, None])
def test_nothing_goes_on_after_us(place: Place, number: signal.Signals | None) -> None:
    server = place.servers[0]
    command = [sys.executable, "-c", CONTROLLER, server.specification(oldest())]
    program = place.desk.popen(command, ready="joined", stdin=True)
    assert server.host.memberships("239.255.1.2")
    with closing(far_end(server, program.stdout[-1].split()[1])) as process:
        if number is None:
            program._process.stdin.close()  # type: ignore[union-attr]
            assert program.wait() == 0
        else:
            program.stop(number=number)
        assert process.ended()
    assert not server.host.memberships("239.255.1.2")
    assert program.stderr == []
