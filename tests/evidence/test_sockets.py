"""UDP sockets: as ss(8) and /proc tell them, as they were set, and whose they are."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from pytest_mcast import LabView, VirtualHost
from pytest_mcast.evidence import socket_options
from pytest_mcast.evidence.programs import program_of, programs_of
from pytest_mcast.evidence.udp import by_diagnosis, by_proc, udp_sockets

from ..support.programs import needs
from .support import say, without_privilege

FAMILIES = pytest.mark.parametrize("family", ["ipv4", "ipv6"])
ANY = {"ipv4": "0.0.0.0", "ipv6": "::"}


@pytest.fixture
def host(mcast_lab: LabView) -> VirtualHost:
    return mcast_lab.host()


@pytest.fixture
def several(host: VirtualHost) -> Iterator[list[socket.socket]]:
    """Sockets of all kinds: of both families, connected, bound to an address or an interface, with datagrams and drops."""
    with ExitStack() as stack, host.inside():
        made = [
            stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            for family in (socket.AF_INET, socket.AF_INET, socket.AF_INET, socket.AF_INET6, socket.AF_INET6)
        ]
        plain, connected, full, both, six = made
        plain.bind(("239.1.2.3", 0))
        plain.setsockopt(socket.IPPROTO_IP, 49, 0)  # IP_MULTICAST_ALL
        connected.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        connected.connect(("127.0.0.1", 9))
        full.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        full.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        full.bind(("127.0.0.1", 0))
        for _ in range(20):
            connected_to_full = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            connected_to_full.sendto(bytes(1000), full.getsockname())
            connected_to_full.close()
        both.bind(("::", 0))
        six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        six.bind(("::1", 0))
        yield made


def by_ss(host: VirtualHost) -> dict[int, dict[str, Any]]:
    """Return what ss says, by inode."""
    found = {}
    for line in say(
        host, "ss --udp --all --numeric --extended --memory --inet-sockopt --oneline --no-header"
    ).splitlines():
        columns = line.split()
        address, _, port = columns[3].rpartition(":")
        memory = dict(re.findall(r"([a-z]+)(\d+)", re.search(r"skmem:\(([^)]*)\)", line)[1]))  # type: ignore[index]
        interface = address.rpartition("%")[2] if "%" in address else ""
        inode = int(re.search(r"ino:(\d+)", line)[1])  # type: ignore[index]
        words = re.search(r"inet-sockopt: \(([^)]*)\)", line)
        found[inode] = {
            "local": address.partition("%")[0].strip("[]").replace("*", "::"),
            "port": int(port),
            "interface": interface,
            "queued": int(columns[1]),
            "drops": int(memory["d"]),
            "receive_buffer": int(memory["rb"]),
            "options": set(words[1].split()) if words else set(),
        }
    return found


@needs("ss")
def test_sockets_are_as_ss_says(host: VirtualHost, several: list[socket.socket]) -> None:
    with host.inside():
        found = {each["inode"]: each for each in by_diagnosis()}
        names = dict(socket.if_nameindex()) | {0: ""}
    listed = by_ss(host)
    assert found.keys() == listed.keys() == {os.fstat(sock.fileno()).st_ino for sock in several}
    for inode, sock in found.items():
        other = listed[inode]
        for name in ("local", "port", "queued", "drops", "receive_buffer"):
            assert sock[name] == other[name], name
        assert names[sock["interface"]] == other["interface"]
        if sock["family"] == "ipv4":
            assert sock["multicast_all"] == ("mc_all" in other["options"])
            assert sock["multicast_loop"] == ("mc_loop" in other["options"])
        assert sock["uid"] == os.getuid()
    plain, connected, full, both, six = (found[os.fstat(sock.fileno()).st_ino] for sock in several)
    assert (plain["multicast_all"], plain["multicast_loop"]) == (False, True)
    assert (connected["multicast_all"], connected["multicast_loop"]) == (True, False)
    assert (connected["peer"], connected["peer_port"]) == ("127.0.0.1", 9)
    assert full["drops"] > 0
    assert full["queued"] > 0
    assert (both["v6only"], six["v6only"]) == (False, True)
    assert "multicast_all" not in both


def test_sockets_by_proc_are_those_by_diagnosis(host: VirtualHost, several: list[socket.socket]) -> None:
    with host.inside():
        full, short = by_diagnosis(), by_proc()
        assert udp_sockets() == full
    names = ("family", "local", "port", "peer", "peer_port", "inode", "uid", "queued", "drops")
    key = lambda each: each["inode"]  # noqa: E731 - of this comparison only
    bare = [{name: each[name] for name in names} for each in full]
    assert sorted(bare, key=key) == sorted(({name: each[name] for name in names} for each in short), key=key)
    assert len(short) == len(several)
    assert {each["interface"] for each in short} == {None}


def test_sockets_are_told_without_privilege(host: VirtualHost, several: list[socket.socket]) -> None:
    found = without_privilege(host, udp_sockets)
    assert [each["inode"] for each in found] == [each["inode"] for each in without_privilege(host, by_diagnosis)]
    assert len(found) == len(several)


@FAMILIES
def test_what_was_set_is_what_the_options_say(host: VirtualHost, family: str) -> None:
    ipv6 = family == "ipv6"
    level = socket.IPPROTO_IPV6 if ipv6 else socket.IPPROTO_IP
    with host.inside(), socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fresh = socket_options(sock)
        for option, value in ((18, 7), (19, 0), (29, 0)) if ipv6 else ((33, 7), (34, 0), (49, 0)):
            sock.setsockopt(level, option, value)  # TTL or hops, loopback, multicast_all
        for option, value in ((socket.SO_REUSEADDR, 1), (socket.SO_REUSEPORT, 1), (36, 5)):  # SO_MARK
            sock.setsockopt(socket.SOL_SOCKET, option, value)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 10000)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20000)
        sock.bind((ANY[family], 0))
        sock.connect(("::1" if ipv6 else "127.0.0.1", 9))
        found = socket_options(sock)
    before = {
        "multicast_ttl": 1,
        "multicast_loop": 1,
        "multicast_all": 1,
        "reuse_address": 0,
        "reuse_port": 0,
        "mark": 0,
    }
    after = {
        "multicast_ttl": 7,
        "multicast_loop": 0,
        "multicast_all": 0,
        "reuse_address": 1,
        "reuse_port": 1,
        "mark": 5,
    }
    assert {name: fresh[name] for name in before} == before
    assert {name: found[name] for name in after} == after
    assert (found["receive_buffer"], found["send_buffer"]) == (20000, 40000)
    assert found["peer"] == ["::1" if ipv6 else "127.0.0.1", 9]
    assert "peer" not in fresh
    assert (found["family"], found["local"][0]) == (family, "::1" if ipv6 else "127.0.0.1")


def test_a_closed_socket_has_nothing_to_say() -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.close()
    assert socket_options(sock) == {"family": "ipv4"}


def test_the_program_of_a_socket_is_found() -> None:
    code = (
        "import os, socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
        "print(os.fstat(s.fileno()).st_ino, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        found = program_of(int(process.stdout.readline()))
    assert found["pid"] == process.pid
    assert found["name"].startswith("python")
    assert found["command"].startswith(f"{sys.executable} -c import os, socket, sys;")


def test_of_several_programs_the_first_is_told() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        inode = os.fstat(sock.fileno()).st_ino
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[sock.fileno()]) as process:
            assert {each["pid"] for each in programs_of(inode)} == {os.getpid(), process.pid}
            assert program_of(inode)["pid"] == min(os.getpid(), process.pid)
            assert process.stdin is not None
            process.stdin.close()


def test_a_socket_of_nobody_is_not_found_or_not_for_us_to_see() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        inode = os.fstat(sock.fileno()).st_ino
    # Whether there are processes that we may not look at, is how it is here.
    with pytest.raises((LookupError, PermissionError)) as caught:
        program_of(inode)
    if isinstance(caught.value, PermissionError):
        assert str(caught.value).startswith("not for this user to see: the open files of ")
    else:
        assert str(caught.value) == f"no process holds the socket with inode {inode}"
