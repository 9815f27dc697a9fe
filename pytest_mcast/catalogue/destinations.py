"""Where a datagram is sent to: other groups, other ports, and what is for no group at all."""

from __future__ import annotations

import ipaddress
import selectors
import socket
from typing import TYPE_CHECKING

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.errors import Delivered, NoVerdict
from pytest_mcast.packets import Packet, Prober, deliver, drop, either, udp
from pytest_mcast.packets.template import load_scapy

from .case import Situation, register
from .probing import ProbeCase
from .setup import sysctl

if TYPE_CHECKING:
    from pytest_mcast.cores.behaviours import Bench
    from pytest_mcast.lab import VirtualHost

__all__: list[str] = []

_JOINED = "RFC 1112 section 7.2, RFC 4291 section 2.7"
_SOCKET = "RFC 4607 section 4.2, RFC 3376 section 3.2, RFC 3810 section 4.2, ip(7) IP_MULTICAST_ALL"
_PORT = "RFC 768, RFC 1122 section 4.1.3.1"
_NOT_OURS = "RFC 1122 section 3.2.1.3"
_BINDING = "ip(7) INADDR_ANY, __udp_is_mcast_sock()"
_UNREACHABLE = {"ipv4": 3, "ipv6": 1}  # RFC 792, RFC 4443 section 3.1


def _other_prefix(right: Packet) -> Packet:
    """Return one to a group with the same Ethernet address, whose first octet is another (RFC 1112 section 6.4)."""
    return udp(group=str(ipaddress.IPv4Address(int(ipaddress.IPv4Address(right.group)) ^ 0x0300_0000)))


def _other_last_octet(right: Packet) -> Packet:
    """Return one to the next group, or the one before."""
    group = ipaddress.ip_address(right.group or "")
    return udp(group=str(type(group)(int(group) ^ 1)))


def _subnet_broadcast(right: Packet) -> Packet:
    group = ipaddress.IPv4Network(f"{right.source}/16", strict=False).broadcast_address
    return udp(group=str(group)).as_frame(mac="broadcast")


def _all_hosts(right: Packet) -> Packet:
    return udp(group="224.0.0.1" if right.family == "ipv4" else "ff02::1")


def _to_somebody_else(right: Packet) -> Packet:
    """Return one to an address of the link that nobody has, in a frame for the receiver."""
    address = ipaddress.ip_address(right.source or "")
    return udp(group=str(type(address)(int(address) ^ 0x2A00))).as_frame(mac="receiver")


def _no_icmp_error(bench: Bench) -> None:
    """Send to a port that nobody has: of the group, and then of the host, which must be told of that."""
    rx, tx = bench.lab.hosts(2)
    for path in ("ipv4/icmp_ratelimit", "ipv6/icmp/ratelimit"):  # it may have complained before
        sysctl(path, 0)(bench, rx, tx)
    receiver = bench.open(bench.channel(tx), rx)
    with tx.inside():
        ipv4 = bench.family == "ipv4"
        sock = socket.socket(
            socket.AF_INET if ipv4 else socket.AF_INET6,
            socket.SOCK_RAW,
            socket.IPPROTO_ICMP if ipv4 else socket.IPPROTO_ICMPV6,
        )
    with sock, Prober(receiver, tx, rx, timeout=bench.timeout, drops=bench.drops) as probe:
        sock.setblocking(False)
        tx.inject(_introduction(probe.legitimate, rx))
        probe().expect(deliver())
        probe(port="other").expect(drop())
        probe(port="other", group="receiver").expect(drop())
        group = ipaddress.ip_address(receiver.channel.group).packed
        host = ipaddress.ip_address(rx.interface.address(bench.family, receiver.channel.scope)).packed
        errors = _errors_up_to(sock, bench.family, host, Deadline(bench.timeout))
    if any(group in error for error in errors):
        raise Delivered(f"an ICMP error came for what was sent to {receiver.channel.group}")
    bench.evidence.append("an ICMP error came for what was sent to the host after it, and none for the group")


def _introduction(right: Packet, rx: VirtualHost) -> bytes:
    """Return a frame that tells a host the sender's Ethernet address (RFC 826, RFC 4861 section 7.2.3).

    The host could ask, but on a busy machine the sender joins the group in which it is asked late, and the next time is a
    second away.
    """
    ether = load_scapy().Ether(src=right.source_mac, dst=rx.injector().mac)
    if right.family == "ipv4":
        from scapy.layers.l2 import ARP

        address = rx.interface.address("ipv4")
        return bytes(ether / ARP(hwsrc=right.source_mac, psrc=right.source, pdst=address))
    from scapy.layers.inet6 import ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr, IPv6

    address = rx.interface.address("ipv6", Channel.unchecked(right.group or "", 0).scope)
    question = ICMPv6ND_NS(tgt=address) / ICMPv6NDOptSrcLLAddr(lladdr=right.source_mac)
    return bytes(ether / IPv6(src=right.source, dst=address, hlim=255) / question)


def _errors_up_to(sock: socket.socket, family: str, about: bytes, deadline: Deadline) -> list[bytes]:
    """Return what ICMP says of a packet to that address, and all errors before it."""
    errors: list[bytes] = []
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        while selector.select(deadline.remaining()):
            message = sock.recv(65535)
            message = message[4 * (message[0] & 0x0F) :] if family == "ipv4" else message  # raw(7): IPv4 has its header
            if message[0] != _UNREACHABLE[family]:
                continue
            errors.append(message[8:])
            if about in message[8:48]:
                return errors
    raise NoVerdict(f"no ICMP error came within {deadline.seconds:g} s, not even for a datagram to the host itself")


register(
    ProbeCase(
        "destination.group",
        "to the group and the port of the channel",
        "MUST",
        _JOINED,
        "this is what a receiver is for",
        probe=udp(),
        expect=deliver(),
    ),
    ProbeCase(
        "destination.not-joined",
        "to a group that nobody on the host has joined",
        "MUST",
        _JOINED,
        "the host is no member",
        probe=udp(group="other"),
        expect=drop(),
    ),
    ProbeCase(
        "destination.neighbour-group",
        "to another group on the same port, which another receiver of the host has joined",
        "MUST",
        _SOCKET,
        "what a socket gets depends on what it has joined itself",
        probe=udp(group="other"),
        neighbour=True,
        expect=drop(),
    ),
    ProbeCase(
        "destination.next-group",
        "to the group whose address differs in the last bit, which another receiver of the host has joined",
        "MUST",
        _SOCKET,
        "all bits of a group count",
        probe=_other_last_octet,
        neighbour=True,
        expect=drop(),
    ),
    ProbeCase(
        "destination.same-mac",
        "to a group that nobody has joined, whose Ethernet address is the same",
        "MUST",
        f"RFC 1112 section 6.4, RFC 2464 section 7, {_JOINED}",
        "the interface lets it in, IP must not: 32 IPv4 groups share an Ethernet address",
        probe=udp(group="same-mac"),
        expect=drop(),
    ),
    ProbeCase(
        "destination.same-mac-neighbour",
        "to a group whose Ethernet address is the same, which another receiver of the host has joined on that port",
        "MUST",
        f"RFC 1112 section 6.4, RFC 2464 section 7, {_SOCKET}",
        "what a socket gets depends on what it has joined itself",
        probe=udp(group="same-mac"),
        neighbour=True,
        expect=drop(),
    ),
    ProbeCase(
        "destination.same-mac-other-prefix",
        "to a group that nobody has joined, with another first octet and the same Ethernet address",
        "MUST",
        "RFC 1112 sections 6.4 and 7.2",
        "5 of 28 bits of the group are not in the Ethernet address",
        families=("ipv4",),
        probe=_other_prefix,
        expect=drop(),
    ),
    ProbeCase(
        "destination.other-port",
        "to another port of the group, which nobody has",
        "MUST",
        _PORT,
        "the port is part of where it is sent to",
        probe=udp(port="other"),
        expect=drop(),
    ),
    ProbeCase(
        "destination.neighbour-port",
        "to another port of the group, at which another receiver of the host listens",
        "MUST",
        _PORT,
        "what others want is nothing to this receiver",
        probe=udp(port="other"),
        neighbour=True,
        expect=drop(),
    ),
    ProbeCase(
        "destination.port-zero",
        "to port 0 of the group",
        "kernel",
        "__udp4_lib_mcast_deliver(), __udp6_lib_mcast_deliver()",
        "no socket has that port: bind() gives another one for it",
        probe=udp(port=0),
        expect=drop(),
    ),
    Situation(
        "destination.no-icmp-error",
        "to a port of the group that nobody has, and then to the same port of the host itself",
        "MUST",
        "RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e.3)",
        "all members of a group would answer at once",
        run=_no_icmp_error,
        outcome="neither is delivered; an ICMP error is sent for the second only",
    ),
    ProbeCase(
        "destination.unicast",
        "to the receiver's own address, and the channel's port",
        "kernel",
        _BINDING,
        "a socket bound to the wildcard address takes it, one bound to the group does not; who delivers it must not say "
        "that it was sent to the group",
        probe=udp(group="receiver"),
        expect=either(),
    ),
    ProbeCase(
        "destination.limited-broadcast",
        "to 255.255.255.255, and the channel's port",
        "kernel",
        _BINDING,
        "a socket bound to the wildcard address takes it, even without SO_BROADCAST; one bound to the group does not",
        families=("ipv4",),
        modes=("asm",),
        probe=udp(group="255.255.255.255").as_frame(mac="broadcast"),
        expect=either(),
    ),
    ProbeCase(
        "destination.subnet-broadcast",
        "to the broadcast address of the receiver's subnet, and the channel's port",
        "kernel",
        _BINDING,
        "a socket bound to the wildcard address takes it, one bound to the group does not",
        families=("ipv4",),
        modes=("asm",),
        probe=_subnet_broadcast,
        expect=either(),
    ),
    ProbeCase(
        "destination.all-hosts",
        "to the group of all hosts, 224.0.0.1 or ff02::1, which the receiver has not joined, and the channel's port",
        "MUST",
        _SOCKET,
        "the host is always a member, this receiver is not",
        probe=_all_hosts,
        expect=drop(),
    ),
    ProbeCase(
        "destination.base-address",
        "to 224.0.0.0",
        "MUST",
        "RFC 1112 sections 4 and 7.2",
        "it is assigned to no group, and nobody has joined it",
        families=("ipv4",),
        modes=("asm",),
        probe=udp(group="224.0.0.0"),
        expect=drop(),
    ),
    ProbeCase(
        "destination.somebody-else",
        "to the unicast address of another host, in a frame for the receiver",
        "MUST",
        f"{_NOT_OURS}, RFC 8200 section 2",
        "it is not destined for the host, which is no router",
        probe=_to_somebody_else,
        expect=drop(),
    ),
    ProbeCase(
        "destination.loopback",
        "to 127.0.0.1, in a frame for the group",
        "MUST",
        f"{_NOT_OURS} (g)",
        "such an address is never seen outside a host",
        families=("ipv4",),
        modes=("asm",),
        probe=udp(group="127.0.0.1").as_frame(mac="group"),
        expect=drop(),
    ),
    ProbeCase(
        "destination.unspecified",
        "to 0.0.0.0, in a frame for the group",
        "MUST",
        f"{_NOT_OURS} (a)",
        "it is no destination",
        families=("ipv4",),
        modes=("asm",),
        probe=udp(group="0.0.0.0").as_frame(mac="group"),  # noqa: S104 - it is sent, nothing is bound to it
        expect=drop(),
    ),
    ProbeCase(
        "destination.class-e",
        "to 240.0.0.1, in a frame for the group",
        "MUST",
        _NOT_OURS,
        "it is not destined for the host",
        families=("ipv4",),
        modes=("asm",),
        probe=udp(group="240.0.0.1").as_frame(mac="group"),
        expect=drop(),
    ),
    ProbeCase(
        "destination.twice",
        "the same datagram twice, with the same identification",
        "kernel",
        "udp_queue_rcv_skb(), RFC 768",
        "UDP knows no duplicates: each one that arrives is delivered",
        probe=udp().repeated(2),
        expect=deliver(2),
    ),
    ProbeCase(
        "destination.ten-times",
        "the same datagram ten times",
        "kernel",
        "udp_queue_rcv_skb(), RFC 768",
        "UDP knows no duplicates: each one that arrives is delivered",
        probe=udp().repeated(10),
        expect=deliver(10),
    ),
)
