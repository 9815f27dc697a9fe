"""``--mcast-iface`` receives from the interface it names, and from no other, in all four kinds of channel."""

from __future__ import annotations

import os

import pytest

from pytest_mcast import LabView
from pytest_mcast.lab import netlink

# Runs in a host with two interfaces; the peer has two as well, on the same links and named alike.
INNER = """
    import os
    import socket
    import struct

    import pytest
    from pytest_mcast import Host, Interface
    from pytest_mcast.lab import Namespace

    class Peer(Host):
        def __init__(self, near):
            super().__init__("peer")
            self.namespace = Namespace(os.open(os.environ["PEER"], os.O_RDONLY))
            self.near = near

        def inside(self):
            return self.namespace

        @property
        def interface(self):
            with self.namespace:
                return Interface.find(self.near)

        def send_from(self, name, source, channel, payload):
            '''Send by hand: a Sender refuses a source address that is another interface's.'''
            ipv6 = channel.family == "ipv6"
            with self.namespace:
                index = socket.if_nametoindex(name)
                sock = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
            with sock:
                if ipv6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
                else:
                    request = struct.pack("=4s4si", bytes(4), bytes(4), index)
                    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
                sock.bind((source, 0))
                sock.sendto(payload, (channel.group, channel.port))

    @pytest.fixture(scope="session")
    def mcast_sender_host(mcast_iface):
        return Peer(mcast_iface.name)

    @pytest.mark.mcast(scope="realm-local")
    def test_only_that_interface(mcast_iface, mcast_channel, mcast_receiver, mcast_sender, mcast_sender_host,
                                 mcast_receiver_host):
        other = {"nic0": "nic1", "nic1": "nic0"}[mcast_iface.name]
        assert mcast_iface.name == os.environ["EXPECTED"]
        with mcast_receiver_host.receiver(mcast_channel, interface=other) as control:
            mcast_sender_host.send_from(other, mcast_sender.source[0], mcast_channel, b"other interface")
            assert control.recv().payload == b"other interface"  # the same channel has come to this host
            mcast_sender.send(b"this interface")
            datagram = mcast_receiver.recv()
            assert datagram.payload == b"this interface"
            assert datagram.interface_index == mcast_iface.index
            with pytest.raises(AssertionError):
                control.recv(timeout=0)
"""


@pytest.mark.parametrize("expected", ["nic0", "nic1"])
@pytest.mark.parametrize("how", ["name", "index", "ipv4", "zone"])
def test_iface_is_the_only_one(
    pytester: pytest.Pytester, mcast_lab: LabView, monkeypatch: pytest.MonkeyPatch, expected: str, how: str
) -> None:
    links = {"nic0": "left", "nic1": "right"}
    host = mcast_lab.host("host", interfaces=links)
    peer = mcast_lab.host("peer", interfaces=links)
    for name in links:  # one address on both interfaces, as fe80 ones may be: only the zone tells them apart
        host.configure(netlink.address(host.find(name).index, "fe80::aa:0", 64))
    interface = host.find(expected)
    what = {
        "name": expected,
        "index": str(interface.index),
        "ipv4": interface.ipv4[0],
        "zone": f"fe80::aa:0%{expected}",
    }[how]
    pytester.makepyfile(INNER)
    monkeypatch.setenv("PEER", f"/proc/{os.getpid()}/fd/{peer.namespace.descriptor}")
    monkeypatch.setenv("EXPECTED", expected)
    with host:
        result = pytester.runpytest_subprocess(f"--mcast-iface={what}", "--mcast-require=all")
        ambiguous = pytester.runpytest_subprocess("--mcast-iface=fe80::aa:0") if how == "zone" else None
    result.assert_outcomes(passed=4)
    if ambiguous is not None:
        assert ambiguous.ret == pytest.ExitCode.USAGE_ERROR
        ambiguous.stderr.fnmatch_lines(
            ["*several interfaces have the address fe80::aa:0; say which: fe80::aa:0%nic0, fe80::aa:0%nic1"]
        )
