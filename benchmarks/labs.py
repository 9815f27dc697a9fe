"""Virtual networks: how soon they are there, and what many hosts cost."""

from __future__ import annotations

import gc
import shutil
import socket
import subprocess
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from time import perf_counter

from pytest_mcast import Lab
from pytest_mcast.lab.namespace import CLONE_NEWNS, unshare

from .harness import PAIRS, Skip, Times, benchmark, interleave
from .places import need_namespaces

# linux/netlink.h and linux/rtnetlink.h; the socket module has some of them, and on Linux only.
_AF_NETLINK, _SOL_NETLINK, _NO_ENOBUFS, _RTMGRP_LINK = 16, 270, 5, 1


@benchmark("Network of a switch and 3 hosts, IPv4 and IPv6, and its end", beside="one `ip` command per step")
def network() -> Times:
    need_namespaces()
    if shutil.which("ip") is None:
        raise Skip("there is no program ip (iproute2)")

    def ours() -> None:
        with Lab() as lab:
            lab.hosts(3)

    # ip gives names to namespaces, which are files: nobody sees them, and they end with the thread.
    with ThreadPoolExecutor(1, initializer=_private_run) as thread:
        return thread.submit(interleave, ours, _network_by_ip).result()


@benchmark("Network of a switch and 100 hosts, without its end", beside="one `ip` command per step")
def large_network() -> Times:
    need_namespaces()
    if shutil.which("ip") is None:
        raise Skip("there is no program ip (iproute2)")
    times = Times()
    with ThreadPoolExecutor(1, initializer=_private_run) as thread:
        lab = Lab()
        start = perf_counter()
        lab.hosts(100)
        times.ours.append(perf_counter() - start)
        _close(lab)
        start = perf_counter()
        names = thread.submit(_build_by_ip, 100).result()
        times.beside.append(perf_counter() - start)
        thread.submit(_end_by_ip, names).result()
    return times


def _private_run() -> None:
    """Give the calling thread a /run of its own."""
    unshare(CLONE_NEWNS)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)


def _network_by_ip() -> None:
    _end_by_ip(_build_by_ip(3))


def _build_by_ip(hosts: int) -> list[str]:
    """Make a switch and hosts, and return the names of their namespaces."""
    names = ["switch"]
    _ip("netns add switch")
    _ip("-n switch link add lan type bridge mcast_snooping 0")
    _ip("-n switch link set lan up")
    for number in range(1, hosts + 1):
        name = f"host{number}"
        names.append(name)
        _ip(f"netns add {name}")
        _ip(f"-n {name} link set lo up")
        _ip(f"-n switch link add port{number} type veth peer name eth0 netns {name}")
        _ip(f"-n switch link set port{number} master lan")
        _ip(f"-n switch link set port{number} up")
        _ip(f"-n {name} address add 10.64.0.{number}/16 dev eth0")
        _ip(f"-n {name} address add fd6d:63:40::{number}/64 dev eth0 nodad")
        _ip(f"-n {name} link set eth0 up")
    return names


def _end_by_ip(names: list[str]) -> None:
    for name in names:
        _ip(f"netns delete {name}")


def _ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True)


@benchmark("Hosts 91 to 100 of a network, each", beside="hosts 1 to 10, each")
def hosts() -> Times:
    need_namespaces()
    times = Times()
    for _ in range(PAIRS):
        lab = Lab()
        lab.link()
        times.beside.append(_ten_hosts(lab))
        lab.hosts(80)
        times.ours.append(_ten_hosts(lab))
        _close(lab)
    return times


@benchmark("Memory of this process for hosts 51 to 100 of a network, each", beside="for hosts 1 to 50", unit="B")
def memory_of_hosts() -> Times:
    need_namespaces()
    times = Times()
    lab = Lab()
    lab.link()
    before = _memory()
    for samples in (times.beside, times.ours):
        lab.hosts(50)
        now = _memory()
        samples.append((now - before) / 50)
        before = now
    tracemalloc.stop()
    _close(lab)
    return times


def _memory() -> int:
    """Return what Python has allocated, in bytes."""
    gc.collect()
    if not tracemalloc.is_tracing():
        tracemalloc.start()
    return tracemalloc.get_traced_memory()[0]


@benchmark("Routers 21 to 30 of a tree, each with an entry", beside="routers 1 to 10")
def routers() -> Times:
    need_namespaces()
    times = Times()
    lab = Lab()
    channel = lab.channel(scope="organization-local")
    for first, samples in ((1, times.beside), (11, []), (21, times.ours)):
        start = perf_counter()
        for number in range(first, first + 10):
            below = [f"link{2 * number}", f"link{2 * number + 1}"]
            interfaces = {"up": f"link{number}", "left": below[0], "right": below[1]}
            lab.router(interfaces=interfaces).route(channel.group, "up", ["left", "right"])
        samples.append((perf_counter() - start) / 10)
    _close(lab)
    return times


@benchmark("Groups 901 to 1000 on a host, each received once", beside="groups 1 to 100")
def groups() -> Times:
    need_namespaces()
    times = Times()
    with Lab() as lab, ExitStack() as stack:
        tx, rx = lab.hosts(2)
        for first in range(0, 1000, 100):
            start = perf_counter()
            for _ in range(100):
                receiver = stack.enter_context(rx.receiver(lab.channel()))
                with tx.sender(receiver.channel) as sender:
                    sender.send(b"x")
                receiver.recv()
            seconds = (perf_counter() - start) / 100
            if first in (0, 900):
                (times.ours if first else times.beside).append(seconds)
    return times


def _ten_hosts(lab: Lab) -> float:
    """Return the seconds for one of ten more hosts."""
    start = perf_counter()
    lab.hosts(10)
    return (perf_counter() - start) / 10


def _close(lab: Lab) -> None:
    """Close a lab and wait until its hosts are gone: the kernel removes them later, which slows down what follows."""
    links = len(lab.links)
    with lab.switch_namespace, socket.socket(_AF_NETLINK, socket.SOCK_RAW) as events:
        events.setsockopt(_SOL_NETLINK, _NO_ENOBUFS, 1)  # others follow an event that is lost
        events.bind((0, _RTMGRP_LINK))
        events.settimeout(60)
        lab.close()
        while len(socket.if_nameindex()) > 1 + links:  # loopback and the switches
            events.recv(65536)
