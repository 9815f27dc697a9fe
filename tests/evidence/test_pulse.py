"""The pulse: what counts in one namespace, read from anywhere, at a price that does not depend on what others do."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import ExitStack

import pytest

from pytest_mcast import LabView, VirtualHost
from pytest_mcast.doctor.counters import changes_between
from pytest_mcast.evidence import Pulse


@pytest.fixture
def host(mcast_lab: LabView) -> VirtualHost:
    return mcast_lab.host()


def test_what_is_counted_between_two_readings_has_a_name(host: VirtualHost, mcast_lab: LabView) -> None:
    sender = mcast_lab.host().sender(mcast_lab.channel())
    with host.inside():
        pulse = Pulse()
    with pulse, host.receiver(sender.channel) as receiver:
        before = pulse.read()
        for _ in range(7):
            sender.send(bytes(100))
            receiver.recv()
        changes = changes_between(before, pulse.read())
    assert changes["Udp.InDatagrams"] == 7
    assert changes["IpExt.InMcastPkts"] >= 7  # reports of others too
    assert changes["eth0.rx_packets"] >= 7
    assert "Udp.RcvbufErrors" not in changes


def test_a_full_buffer_counts_without_the_sockets_being_read(host: VirtualHost) -> None:
    with host.inside(), Pulse() as pulse, ExitStack() as stack:
        full, other = (stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2))
        full.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        full.bind(("127.0.0.1", 0))
        before = pulse.read()
        for _ in range(20):
            other.sendto(bytes(1000), full.getsockname())
        changes = changes_between(before, pulse.read())
        assert changes["Udp.RcvbufErrors"] == changes["Udp.InErrors"] > 0
        assert changes["lo.rx_packets"] == 20
        assert not {"proc/udp", "proc/udp6"} & set(before)


def test_the_sockets_are_read_if_they_are_wanted(host: VirtualHost) -> None:
    with host.inside(), Pulse(sockets=True) as pulse, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        inode = os.fstat(sock.fileno()).st_ino
        assert f" {inode} " in pulse.read()["proc/udp"]


def test_a_pulse_is_of_where_it_was_made_whoever_reads_it(host: VirtualHost) -> None:
    with host.inside():
        pulse = Pulse()
    read: list[dict[str, str]] = []
    with pulse:
        thread = threading.Thread(target=lambda: read.append(pulse.read()))
        thread.start()
        thread.join()
        with host.inside():
            interfaces = {name for _, name in socket.if_nameindex()}
    listed = {line.partition(":")[0].strip() for line in read[0]["proc/dev"].splitlines()[2:]}
    assert listed == interfaces


def test_a_closed_pulse_holds_no_file(host: VirtualHost) -> None:
    before = set(os.listdir("/proc/self/fd"))
    with host.inside():
        pulse = Pulse()
    names = ("snmp", "netstat", "snmp6", "dev", "softnet_stat", "xfrm_stat")  # the last where there is IPsec
    there = [name for name in names if os.path.exists(f"/proc/self/net/{name}")]
    assert len(set(os.listdir("/proc/self/fd")) - before) == len(there)
    pulse.close()
    pulse.close()
    assert set(os.listdir("/proc/self/fd")) == before
    assert pulse.read() == {}


def test_input_queues_count_in_hexadecimal_for_all_processors() -> None:
    line = "{:08x} {:08x} {:08x} 00000000"
    before = {"proc/softnet_stat": "\n".join((line.format(100, 1, 2), line.format(100, 16, 0)))}
    now = {"proc/softnet_stat": "\n".join((line.format(200, 3, 2), line.format(100, 32, 0)))}
    assert changes_between(before, now) == {"softnet.dropped": 18}
