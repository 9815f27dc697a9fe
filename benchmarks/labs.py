"""Virtual networks: how soon they are there, and what many hosts cost."""

from __future__ import annotations

import shutil
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
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


def _private_run() -> None:
    """Give the calling thread a /run of its own."""
    unshare(CLONE_NEWNS)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)


def _network_by_ip() -> None:
    names = ["switch"]
    _ip("netns add switch")
    _ip("-n switch link add lan type bridge mcast_snooping 0")
    _ip("-n switch link set lan up")
    for number in range(1, 4):
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


def _ten_hosts(lab: Lab) -> float:
    """Return the seconds for one of ten more hosts."""
    start = perf_counter()
    lab.hosts(10)
    return (perf_counter() - start) / 10


def _close(lab: Lab) -> None:
    """Close a lab and wait until its hosts are gone: the kernel removes them later, which slows down what follows."""
    with lab.switch_namespace, socket.socket(_AF_NETLINK, socket.SOCK_RAW) as events:
        events.setsockopt(_SOL_NETLINK, _NO_ENOBUFS, 1)  # others follow an event that is lost
        events.bind((0, _RTMGRP_LINK))
        events.settimeout(60)
        lab.close()
        while len(socket.if_nameindex()) > 2:  # loopback and the switch
            events.recv(65536)
