"""What proofs rely on is so in every host of a lab: nothing is late, nothing is overtaken, nothing is filtered."""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
import sys
from pathlib import Path

import pytest

from pytest_mcast import LabView, VirtualHost
from pytest_mcast.lab import Link

# A program, since /sys shows the interfaces of the network in which it was mounted.
LOOK = """
import os, sys
for name in sys.argv[1:]:
    for path in ("queues", "threaded"):
        top = f"/sys/class/net/{name}/{path}"
        if path == "threaded":
            print(name, "threaded", open(top).read().strip())
        else:
            for queue in sorted(os.listdir(top)):
                if queue.startswith("rx-"):
                    print(name, queue, open(f"{top}/{queue}/rps_cpus").read().strip())
print("done")
"""

# linux/ethtool.h, linux/sockios.h
_SIOCETHTOOL = 0x8946
_GGRO, _GGSO, _GFLAGS, _GRXCSUM = 0x2B, 0x23, 0x25, 0x14
_FLAG_LRO = 1 << 15


def _ethtool(host: VirtualHost, interface: str, command: int) -> int:
    """Ask the driver of an interface (ethtool(8) may be missing)."""
    with host.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        value = bytearray(struct.pack("=II", command, 0))
        buffer = (memoryview(value), value)[1]
        # struct ifreq: the name, and a pointer to the value.
        import ctypes

        place = (ctypes.c_char * len(buffer)).from_buffer(buffer)
        request = struct.pack("16sP16x", interface.encode(), ctypes.addressof(place))
        fcntl.ioctl(sock, _SIOCETHTOOL, request)
        del place
        return int(struct.unpack("=II", value)[1])


def _sysctl(host: VirtualHost, path: str) -> str:
    with host.inside():
        return Path("/proc/sys/net", path).read_text().strip()


@pytest.fixture
def host(mcast_lab: LabView) -> VirtualHost:
    return mcast_lab.host(interfaces={"nic0": "left", "nic1": "right"})


def test_frames_are_processed_where_and_when_they_are_sent(host: VirtualHost) -> None:
    """Neither receive packet steering nor threaded NAPI: else they would wait for another CPU or thread."""
    program = host.popen([sys.executable, "-c", LOOK, "nic0", "nic1", "lo"], ready="done")
    values = [line.split() for line in program.stdout if line != "done"]
    steering = [(name, mask) for name, what, mask in values if what.startswith("rx-")]
    threaded = [(name, value) for name, what, value in values if what == "threaded"]
    assert {name for name, _ in steering} == {"nic0", "nic1", "lo"}
    assert all(int(mask.replace(",", ""), 16) == 0 for _, mask in steering), steering
    assert threaded == [("nic0", "0"), ("nic1", "0"), ("lo", "0")]


def test_the_switch_processes_them_at_once_too(mcast_lab: LabView, host: VirtualHost) -> None:
    """The program has the /sys of the network that it was started in, which is how the ports are seen."""
    lab = mcast_lab._pool.lab
    ports = [f"port{number}" for number in host.ports]
    assert len(ports) >= 2
    switch = VirtualHost("switch", lab.switch_namespace, lab._switch)
    program = switch.popen([sys.executable, "-c", LOOK, *ports], ready="done")
    try:
        for line in program.stdout:
            if line != "done":
                name, what, value = line.split()
                assert int(value.replace(",", ""), 16) == 0, f"{name} {what} {value}"
    finally:
        assert switch._programs is not None
        switch._programs.close()


@pytest.mark.parametrize("name", ["nic0", "nic1"])
def test_datagrams_are_not_merged(host: VirtualHost, name: str) -> None:
    assert _ethtool(host, name, _GGRO) == 0
    assert _ethtool(host, name, _GFLAGS) & _FLAG_LRO == 0


def test_an_unknown_interface_has_no_driver(host: VirtualHost) -> None:
    with pytest.raises(OSError, check=lambda error: error.errno == errno.ENODEV):
        _ethtool(host, "nic9", _GGRO)


def test_no_reverse_path_filter_judges_sources(host: VirtualHost) -> None:
    for which in ("all", "default", "nic0", "nic1", "lo"):
        assert _sysctl(host, f"ipv4/conf/{which}/rp_filter") == "0"


def test_no_packet_filter_judges_what_is_switched(mcast_lab: LabView, host: VirtualHost) -> None:
    switch = mcast_lab._pool.lab.switch_namespace
    with switch:
        directory = Path("/proc/sys/net/bridge")
        values = {file.name: file.read_text().strip() for file in directory.glob("bridge-nf-call-*")}
    assert set(values.values()) <= {"0"}, values
    switches = VirtualHost("switch", switch, mcast_lab._pool.lab._switch)
    look = """
import glob
for path in sorted(glob.glob("/sys/class/net/switch*/bridge/")):
    for what in ("nf_call_iptables", "nf_call_ip6tables", "multicast_snooping", "stp_state"):
        print(path.split("/")[4], what, open(path + what).read().strip())
print("done")
"""
    program = switches.popen([sys.executable, "-c", look], ready="done")
    try:
        # Of the others some may snoop: those of tests before.
        flat = {f"switch{link.number}" for link in mcast_lab._pool.lab.links if type(link) is Link}
        lines = [line for line in program.stdout if line.split()[0] in flat]
        assert len(lines) >= 8
        assert {line.split()[2] for line in lines} == {"0"}, lines
    finally:
        assert switches._programs is not None
        switches._programs.close()


def test_a_datagram_is_there_when_the_call_that_sent_it_returns(mcast_lab: LabView) -> None:
    """What all of this is for."""
    tx, rx = mcast_lab.hosts(2)
    for family in ("ipv4", "ipv6"):
        receiver = rx.receiver(mcast_lab.channel(family))
        sender = tx.sender(receiver.channel)
        for number in range(500):
            sender.send(b"%d" % number)
            datagram = receiver.subscription.receive()
            assert datagram is not None
            assert datagram.payload == b"%d" % number
        sender.send(bytes(5000))  # in fragments
        assert receiver.subscription.receive() is not None
