"""The three systems that this project grew from, with its fixtures: both ends on one host of a network of their own.

Their groups and ports are fixed, as in the originals; they are nobody else's, because the network is not.
"""

from __future__ import annotations

import socket
import struct

import pytest

from pytest_mcast import Channel, Context, Host, LabView, NotReceived


class TestListenerAndResponder:
    """A tutorial in Rust: a listener in a thread replies to the sender; a guard always stops it."""

    @pytest.mark.parametrize("group", ["224.0.0.123", "ff02::123"])
    def test_the_sender_gets_the_reply(self, mcast_lab: LabView, group: str) -> None:
        host = mcast_lab.host()
        channel = Channel(group, 7645)
        listener = host.echo(channel, payload=b"Hello from server!")
        client = host.sender(channel)
        client.send(b"Hello from client!")
        reply = client.recv()
        assert reply.payload == b"Hello from server!"
        assert reply.source == (host.source(channel.family), 7645)
        listener.close()
        assert not listener.running

    @pytest.mark.parametrize("group", ["224.0.0.123", "ff02::123"])
    def test_reading_has_a_time_out(self, mcast_lab: LabView, group: str) -> None:
        host = mcast_lab.host()
        client = host.sender(Channel(group, 7645), timeout=0.01)
        client.send(b"is anybody there?")
        with pytest.raises(NotReceived, match=r"no reply to .* within 0\.01 s after sending to .*7645"):
            client.recv()

    def test_the_guard_stops_the_listener_although_the_test_fails(self, mcast_lab: LabView) -> None:
        host = mcast_lab.host()
        with pytest.raises(ZeroDivisionError), host.echo(Channel("224.0.0.123", 7645)) as listener:
            raise ZeroDivisionError
        assert not listener.running


def _udp(source: str, group: str, source_port: int, port: int, payload: bytes) -> bytes:
    """Build an IPv4 packet by hand; the kernel fills in checksum, length and id (raw(7))."""
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 1, 17, 0, socket.inet_aton(source), socket.inet_aton(group))
    return header + struct.pack("!HHHH", source_port, port, 8 + len(payload), 0) + payload


def test_a_datagram_that_cannot_be_answered_does_not_stop_the_responder(mcast_lab: LabView) -> None:
    host, stranger = mcast_lab.hosts(2)
    server = host.echo(mcast_lab.channel())
    group, port = server.channel.group, server.channel.port
    with stranger, socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0\0")
        raw.sendto(_udp(stranger.source("ipv4"), group, 0, port, b"from port 0"), (group, 0))
    client = stranger.sender(server.channel)
    client.send(b"can be answered")
    assert client.recv().payload == b"can be answered"
    assert server.replies == 1


class TestEchoServerAndClient:
    """A server and a client in Python: buffer sizes, TTL, loopback, port 0, leaving on exit."""

    GROUP = "224.3.29.71"

    def test_echo(self, mcast_lab: LabView) -> None:
        host = mcast_lab.host()
        channel = Channel(self.GROUP, 9999)
        server = host.echo(channel, receive_buffer=65536)
        client = host.sender(channel, ttl=2, send_buffer=32768)
        client.send(b"very important data")
        assert client.recv().payload == b"very important data"
        assert server.replies == 1

    def test_options_are_read_back(self, mcast_lab: LabView) -> None:
        host = mcast_lab.host()
        channel = Channel(self.GROUP, 9999)
        receiver = host.receiver(channel, receive_buffer=65536)
        client = host.sender(channel, ttl=7, loopback=False, send_buffer=32768)
        assert (receiver.receive_buffer, client.send_buffer) == (65536, 32768)
        assert (client.ttl, client.loopback) == (7, False)

    def test_without_loopback_only_other_hosts_hear_it(self, mcast_lab: LabView) -> None:
        host, other = mcast_lab.hosts(2)
        channel = Channel(self.GROUP, 9999)
        here, there = host.receiver(channel), other.receiver(channel)
        host.sender(channel, loopback=False).send(b"out")
        host.sender(channel, loopback=True).send(b"both")
        assert [datagram.payload for datagram in there.expect(2)] == [b"out", b"both"]
        assert here.recv().payload == b"both"

    def test_port_0_lets_the_system_pick(self, mcast_lab: LabView) -> None:
        host = mcast_lab.host()
        server = host.echo(Channel(self.GROUP, 0))
        assert server.channel.port != 0
        client = host.sender(server.channel)
        client.send(b"found you")
        assert client.recv().payload == b"found you"

    def test_it_leaves_on_exit(self, mcast_lab: LabView) -> None:
        host = mcast_lab.host()
        with host.receiver(Channel(self.GROUP, 9999)):
            assert self._is_member(host)
        assert not self._is_member(host)

    def test_an_empty_datagram_stops_the_server(self, mcast_lab: LabView) -> None:
        host = mcast_lab.host()
        server = host.echo(Channel(self.GROUP, 9999), stop_on_empty=True)
        host.sender(server.channel).send(b"")
        server.wait()
        assert server.replies == 0

    def _is_member(self, host: Host) -> bool:
        with host.inside(), open("/proc/thread-self/net/igmp", encoding="ascii") as file:
            return socket.inet_aton(self.GROUP)[::-1].hex().upper() in file.read()


class TestReceiveCore:
    """A receive core in Rust: contexts of subscriptions, a socket of the caller's, SSM on one host."""

    def test_quick_start(self, mcast_lab: LabView) -> None:
        host = mcast_lab.host()
        with host.inside(), Context() as context:
            subscription = context.add(Channel("239.1.2.3", 5000), "eth0")
            assert subscription.state == "bound"
            subscription.join()
            assert subscription.state == "joined"
            host.sender(subscription.channel).send(b"hello multicast")
            received = context.receive(timeout=5)
            assert received is not None
            assert received[0] is subscription
            assert received[1].payload == b"hello multicast"
            subscription.leave()
            context.remove(subscription)
            assert len(context) == 0

    def test_a_socket_of_the_callers(self, mcast_lab: LabView) -> None:
        host = mcast_lab.host()
        channel = Channel("239.1.2.3", 5000)
        with host.inside(), Context() as context:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind(("", 5000))
            subscription = context.add(channel, "eth0", sock=sock)
            subscription.join()
            other = host.receiver(Channel("239.1.2.4", 0))  # its membership lets its group into the wildcard socket
            host.sender(Channel("239.1.2.4", 5000)).send(b"another group")
            host.sender(channel).send(b"mine")
            received = context.receive(timeout=5)
            assert received is not None
            assert received[1].payload == b"mine"
            assert subscription.statistics().rejected == {"group": 1}
            other.close()

    def test_ipv6_ssm_on_one_host(self, mcast_lab: LabView) -> None:
        host = mcast_lab.host()
        channel = Channel("ff31::8000:1234", 5000, source="::1")
        receiver = host.receiver(channel, interface="lo")
        sent = host.sender(channel, interface="lo").send(b"within the host")
        datagram = receiver.recv()
        assert (datagram.payload, datagram.source) == (b"within the host", sent.source)
