"""A datagram is followed to where it stops: each hop is broken once, and nothing that the user has is taken away."""

from __future__ import annotations

import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from pytest_mcast import LabView, MissingCapability, VirtualHost
from pytest_mcast.core import FAMILIES, Channel
from pytest_mcast.core.views import WithFences
from pytest_mcast.doctor import Party, Trace
from pytest_mcast.doctor.hops import Seen, came_in, ip_took_it, left
from pytest_mcast.doctor.trace import MARK, trace
from pytest_mcast.evidence import Watch
from pytest_mcast.lab import Link, netlink
from pytest_mcast.wire import DropReasons

from .shell import sh

_SHORT = 0.05  # seconds that a datagram is waited for that does not come


@dataclass
class Place:
    """Two hosts on a link of the test's own; a break changes it, or puts sockets of a user's there."""

    lab: LabView
    link: Link
    tx: VirtualHost
    rx: VirtualHost
    channel: Channel
    sender_sockets: list[socket.socket] = field(default_factory=list)
    receiver_sockets: list[socket.socket] = field(default_factory=list)
    join: bool = True

    def trace(self, **options: object) -> Trace:
        sender, receiver = Party(self.tx, self.sender_sockets), Party(self.rx, self.receiver_sockets)
        options = {"join": self.join, "timeout": _SHORT, **options}
        return trace(self.channel, sender, receiver, **options)  # type: ignore[arg-type]

    def sh(self, host: VirtualHost, command: str) -> None:
        sh(host, command)

    def switch(self, *command: str) -> None:
        with self.link.namespace:
            subprocess.run(command, check=True, timeout=10)

    def member(self, *, source: str | None = None, join: bool = True, port: int | None = None) -> socket.socket:
        """Open a socket as users do, on the receiver."""
        with self.rx.inside():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("", self.channel.port if port is None else port))
        group, interface = socket.inet_aton(self.channel.group), socket.inet_aton(self.rx.source("ipv4"))
        if source is not None:  # IP_ADD_SOURCE_MEMBERSHIP
            sock.setsockopt(socket.IPPROTO_IP, 39, group + interface + socket.inet_aton(source))
        elif join:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group + interface)
        self.receiver_sockets.append(sock)
        return sock

    def close(self) -> None:
        for sock in (*self.sender_sockets, *self.receiver_sockets):
            sock.close()


@contextmanager
def placed(lab: LabView, family: str = "ipv4") -> Iterator[Place]:
    link = lab.link("traced")
    tx, rx = (lab.host(name, interfaces={"eth0": link}) for name in ("tx", "rx"))
    place = Place(lab, link, tx, rx, lab.channel(family))
    try:
        yield place
    finally:
        place.close()


def names(found: Trace) -> list[str]:
    return [hop.name for hop in found.hops]


def told(found: Trace) -> str:
    return "\n".join(f"{hop.name}: {hop.reached} ({hop.evidence})" for hop in found.hops)


EVERY_HOP = [
    "sender's socket",
    "tx: eth0",
    "traced: port of tx",
    "traced: port of rx",
    "rx: eth0",
    "rx: IP",
    "rx: UDP",
    "receiver's socket",
]


@pytest.mark.parametrize("size", [64, 5000])
@pytest.mark.parametrize("family", FAMILIES)
def test_what_arrives_has_been_seen_at_every_hop(mcast_lab: LabView, family: str, size: int) -> None:
    with placed(mcast_lab, family) as place:
        found = place.trace(size=size, timeout=5.0)
    assert names(found) == EVERY_HOP
    assert all(hop.reached for hop in found.hops), told(found)
    assert found.delivered
    assert found.stopped_at is None
    assert found.receiver_changes["Udp.InDatagrams" if family == "ipv4" else "Udp6InDatagrams"] == 1


def test_by_a_route_of_type_local_nothing_counts_as_multicast(mcast_lab: LabView) -> None:
    """As users make it for loopback."""
    host = mcast_lab.host("tx")
    host.configure(netlink.route("ff00::/8", index=1, kind="local", table=255))
    end = Party(host, interface="lo")
    found = trace(mcast_lab.channel("ipv6"), end, end)
    assert all(hop.reached for hop in found.hops), told(found)


def test_between_two_ends_of_a_cable_there_is_no_switch(mcast_lab: LabView) -> None:
    tx, rx = mcast_lab.direct("tx", "rx")
    found = trace(mcast_lab.channel("ipv6"), Party(tx), Party(rx))
    assert names(found) == [name for name in EVERY_HOP if "port of" not in name]
    assert all(hop.reached for hop in found.hops), told(found)


@pytest.mark.parametrize("interface", ["lo", "eth0"])
def test_within_a_host_there_is_at_most_loopback(mcast_lab: LabView, interface: str) -> None:
    host = mcast_lab.host("tx")
    end = Party(host, interface=interface)
    found = trace(mcast_lab.channel("ipv4"), end, end)
    between = ["tx: lo"] if interface == "lo" else []
    assert names(found) == ["sender's socket", *between, "tx: IP", "tx: UDP", "receiver's socket"]
    assert all(hop.reached for hop in found.hops), told(found)


@pytest.mark.parametrize("ttl", [1, 2])
def test_a_router_is_on_the_way(mcast_lab: LabView, ttl: int) -> None:
    tx = mcast_lab.host("tx", interfaces={"eth0": "left"})
    rx = mcast_lab.host("rx", interfaces={"eth0": "right"})
    router = mcast_lab.router("router", interfaces={"eth0": "left", "eth1": "right"})
    channel = mcast_lab.channel("ipv4", scope="organization-local")
    router.route(channel.group, "eth0", ["eth1"], source=tx)
    with tx.sender(channel, ttl=ttl) as sender:
        found = trace(channel, Party(tx, [sender.socket]), Party(rx), timeout=_SHORT if ttl == 1 else 5.0)
    between = ["left: port of tx", "left: port of router", "right: port of router", "right: port of rx"]
    assert names(found)[2:6] == between
    assert (found.stopped_at and found.stopped_at.name) == (None if ttl == 2 else "right: port of router"), told(found)


def _no_route(place: Place) -> None:
    place.sh(place.tx, "ip route flush table main")
    with place.tx.inside():
        place.sender_sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC))


def _other_interface(place: Place) -> None:
    place.tx = place.lab.host("two", interfaces={"eth0": place.link, "eth1": "beside"})
    place.sh(place.tx, "ip route add 224.0.0.0/4 dev eth1")
    with place.tx.inside():
        place.sender_sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC))


def _firewall(place: Place, host: VirtualHost, hook: str) -> None:
    table = (
        f"table inet t {{ chain c {{ type filter hook {hook} priority 0; udp dport {place.channel.port} drop; }}; }}"
    )
    place.sh(host, f"nft '{table}'")


def _reverse_path(place: Place) -> None:
    place.sh(
        place.rx, "sysctl -qw net.ipv4.conf.eth0.rp_filter=1; ip route add 10.0.0.0/8 dev lo; ip route del default"
    )
    network = place.tx.source("ipv4").rpartition(".")[0]
    place.sh(place.rx, f"ip route add {network}.0/24 dev lo")


def _wrong_source(place: Place) -> None:
    place.member(source="192.0.2.7")
    place.member(port=0)  # else IP would not take it


def _no_room(place: Place) -> None:
    sock = place.member()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    with place.tx.sender(place.channel) as sender:
        for _ in range(64):
            sender.send(b"x" * 100)


def _not_joined(place: Place) -> None:
    place.member(join=False)


def _other_port(place: Place) -> None:
    place.member(port=0)


def _isolated(place: Place) -> None:
    for host in (place.tx, place.rx):
        place.switch("bridge", "link", "set", "dev", place.link.port(host).device, "isolated", "on")


# What breaks it, the hop that is not reached, words of the evidence there; of the kernel's reason, which takes root.
BREAKS: dict[str, tuple[Callable[[Place], object], str, str, str]] = {
    "no route": (_no_route, "sender's socket", "Network is unreachable", ""),
    "output firewall": (
        lambda place: _firewall(place, place.tx, "output"), "sender's socket", "Operation not permitted", "",
    ),
    "sender's cable": (lambda place: place.link.down("tx"), "tx: eth0", "nothing go out", "QDISC_DROP"),
    "other interface": (_other_interface, "two: eth0", "go out of eth1 instead", ""),
    "isolated port": (_isolated, "traced: port of rx", "the switch has not sent it out of port", ""),
    "no flood": (
        lambda place: setattr(place.link.port("rx"), "flood", False), "traced: port of rx", "has not sent it", "",
    ),
    "receiver's cable": (lambda place: place.link.down("rx"), "traced: port of rx", "has not sent it", ""),
    "input firewall": (
        lambda place: _firewall(place, place.rx, "input"), "rx: IP", "delivered to UDP: 0", "NETFILTER_DROP",
    ),
    "reverse path": (_reverse_path, "rx: IP", "IPReversePathFilter +1", "IP_RPFILTER"),
    "not joined": (_not_joined, "rx: IP", "IpExt.InMcastPkts +0", ""),
    "other port": (_other_port, "rx: UDP", "no socket for it: Udp.IgnoredMulti +1", ""),
    "wrong source": (_wrong_source, "rx: UDP", "Udp.IgnoredMulti +1", ""),
    "no room": (_no_room, "receiver's socket", "the socket dropped it", "SOCKET_RCVBUFF"),
}  # fmt: skip


@pytest.fixture(scope="module")
def kernel_tells() -> Iterator[bool]:
    """Whether there are reasons of drops; kept open, because the last one takes 0.1 s to close."""
    try:
        drops = DropReasons()
    except MissingCapability:
        yield False
    else:
        with drops:
            yield True


@pytest.mark.parametrize("what", BREAKS)
def test_it_stops_where_it_is_broken(mcast_lab: LabView, kernel_tells: bool, what: str) -> None:
    breaks, hop, evidence, reason = BREAKS[what]
    with placed(mcast_lab) as place:
        assert place.trace(timeout=5.0).delivered
        breaks(place)
        found = place.trace()
    stopped = found.stopped_at
    assert stopped is not None, told(found)
    assert stopped.name == hop, told(found)
    assert evidence in stopped.evidence, told(found)
    assert reason in stopped.evidence or not kernel_tells, told(found)
    assert not found.delivered
    before = found.hops[: found.hops.index(stopped)]
    assert all(each.reached for each in before), told(found)


def test_what_a_users_socket_has_queued_stays_and_ours_comes_last(mcast_lab: LabView) -> None:
    with placed(mcast_lab) as place:
        sock = place.member()
        with place.tx.sender(place.channel) as sender:
            for payload in (b"one", b"two"):
                sender.send(payload)
        found = place.trace(size=32)
        assert found.hops[-1].reached, told(found)
        assert "the queue of the socket grew from" in found.hops[-1].evidence
        sock.setblocking(False)
        assert [sock.recv(100) for _ in range(2)] == [b"one", b"two"]
        assert sock.recv(100).startswith(MARK)
        with pytest.raises(BlockingIOError):  # of a trace that arrives there is one
            sock.recv(100)


def test_on_a_channel_of_its_own_a_users_socket_gets_nothing(mcast_lab: LabView) -> None:
    with placed(mcast_lab) as place:
        sock = place.member()
        found = trace(place.lab.channel("ipv4"), Party(place.tx), Party(place.rx))
        assert found.delivered, told(found)
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(100)


def test_a_users_sender_is_used_as_it_is_set(mcast_lab: LabView) -> None:
    """With its own TTL and port, connected or not."""
    with placed(mcast_lab) as place:
        for connected in (False, True):
            with place.tx.inside():
                sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 7)
            sock.bind(("", 0))
            if connected:
                sock.connect((place.channel.group, place.channel.port))
            place.sender_sockets[:] = [sock]
            with place.rx.receiver(place.channel) as receiver, sock:
                found = trace(place.channel, Party(place.tx, [sock]), Party(place.rx, [receiver.subscription.socket]))
                assert found.delivered, told(found)
                datagram = WithFences(receiver).recv()
                assert (datagram.ttl, datagram.source[1]) == (7, sock.getsockname()[1])


def test_foreign_traffic_on_the_channel_is_not_taken_for_it(mcast_lab: LabView) -> None:
    with placed(mcast_lab) as place:
        other = place.lab.host("other", interfaces={"eth0": place.link})
        place.link.down("tx")
        with other.sender(place.channel) as sender, place.rx.receiver(place.channel) as receiver:
            sock = place.tx.sender(place.channel)

            class Beside:
                def send(self, payload: bytes) -> object:
                    sender.send(b"foreign")
                    return sock.send(payload)

            found = place.trace(through=Beside(), into=receiver, reasons=False)
    assert found.stopped_at is not None
    assert found.stopped_at.name == "tx: eth0"
    assert [hop.reached for hop in found.hops if "port of" in hop.name or hop.name == "rx: eth0"] == [False] * 3
    assert found.hops[-1].reached is False


def test_without_packet_sockets_the_counters_tell_and_that_is_said(mcast_lab: LabView) -> None:
    channel = mcast_lab.channel("ipv4")
    tx, rx = mcast_lab.hosts(2, link="own")  # new ones: others may still report what a test before has left
    with rx.receiver(channel), tx.sender(channel) as sender:
        watches = []
        for host in (tx, rx):
            with host.inside(), no_packet_sockets():
                watches.append(Watch(channel.group, b"x"))
        sender.send(b"x")
        seen = [Seen.of("a", watch.read()) for watch in watches]
        for watch in watches:
            watch.close()
    for hop in (left(seen[0], "eth0", "ipv4"), came_in(seen[1], "eth0", "ipv4")):
        assert hop.reached
        assert "McastPkts +1" in hop.evidence
        assert "no packet socket: Operation not permitted" in hop.evidence
    assert ip_took_it(seen[1], "ipv4").reached
    assert not came_in(seen[0], "eth0", "ipv4").reached


@contextmanager
def no_packet_sockets() -> Iterator[None]:
    """Have the calling thread without CAP_NET_RAW, as an ordinary user is (capset(2))."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    header, data = struct.pack("=Ii", 0x20080522, 0), ctypes.create_string_buffer(24)
    assert libc.capget(header, data) == 0
    before = data.raw
    effective, *others = struct.unpack("=6I", before)
    assert libc.capset(header, struct.pack("=6I", effective & ~(1 << 13), *others)) == 0
    try:
        yield
    finally:
        assert libc.capset(header, before) == 0
