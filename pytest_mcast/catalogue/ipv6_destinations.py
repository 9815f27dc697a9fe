"""Where a datagram of IPv6 goes to: groups that were not asked for, unicast, and what the Ethernet frame says."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_mcast.core.channels import Channel, group_mac
from pytest_mcast.core.errors import NoVerdict
from pytest_mcast.packets import Expectation, Packet, Raw, deliver, drop, frames_of, raw, udp

from .case import Situation, register
from .probing import ProbeCase
from .setup import joined, sysctl

if TYPE_CHECKING:
    from pytest_mcast.cores.behaviours import Bench

__all__ = ["other_interface", "other_interface_alone"]

_STATE = "RFC 3810 section 4.2"  # what was asked for on a socket decides what is delivered there
_ELSEWHERE = "ff12::8765:4321"  # joined by nobody else in the hosts of a case
_IPV4_ELSEWHERE, _IPV4_SOURCE = "239.255.135.101", "198.51.100.9"


def _case(
    name: str,
    title: str,
    level: str,
    reference: str,
    reason: str,
    probe: Packet | Callable[[Packet], Packet | Raw],
    expect: Expectation = drop(),  # noqa: B008 - a frozen value
    **more: Any,
) -> ProbeCase:
    return ProbeCase(
        f"destination6.{name}",
        title,
        level,
        reference,
        reason,
        families=("ipv6",),
        probe=probe,
        expect=expect,
        **more,
    )


def _other_scope(right: Packet) -> Packet:
    """Return a datagram to the group of the same number with another scope."""
    head, _, tail = (right.group or "").partition(":")
    return udp(group=f"{head[:3]}{'5' if head[3] != '5' else '8'}:{tail}")


def _other_flags(right: Packet) -> Packet:
    """Return a datagram to the group of the same number and scope that is well known instead of transient."""
    head, _, tail = (right.group or "").partition(":")
    return udp(group=f"ff0{head[3]}:{tail}")


def _ipv4(destination: str, mac: str | None = None) -> Callable[[Packet], Raw]:
    """Return what makes a datagram of IPv4 to the same port."""

    def make(right: Packet) -> Raw:
        other = replace(right, source=_IPV4_SOURCE, group=destination, mac=mac, payload=b"a datagram of IPv4")
        return raw(*frames_of(other), name=f"a datagram of IPv4 to {destination}")

    return make


def _mapped(right: Packet) -> Raw:
    """Return a datagram of IPv6 whose addresses are those of IPv4, mapped."""
    source, group = f"::ffff:{right.source}", f"::ffff:{right.group}"
    other = replace(right, source=source, group=group, mac=group_mac(right.group or ""), payload=b"a datagram of IPv6")
    return raw(*frames_of(other), name="a datagram of IPv6 between mapped addresses")


register(
    _case(
        "not-joined",
        "to a group that nobody of the host has joined",
        "MUST",
        f"{_STATE}, RFC 4291 section 2.7",
        "it is not for this host",
        udp(group="other"),
    ),
    _case(
        "group-of-another-socket",
        "to another group on the same port, which another receiver of the host has joined",
        "MUST",
        f"{_STATE}, ipv6(7)",
        "what others have joined is nothing to this receiver",
        udp(group="other"),
        neighbour=True,
    ),
    _case(
        "group-of-another-port",
        "to this port of a group that another socket of the host has joined for a port of its own",
        "MUST",
        f"{_STATE}, ipv6(7)",
        "the host is a member, this receiver is not",
        udp(group=_ELSEWHERE),
        setup=(joined(_ELSEWHERE),),
    ),
    _case(
        "same-mac",
        "to a group with the same last 32 bits, and so the same Ethernet address",
        "MUST",
        f"RFC 2464 section 7, {_STATE}",
        "all 128 bits are the group, though a network card looks at 32 of them",
        udp(group="same-mac"),
    ),
    _case(
        "same-mac-of-another-socket",
        "to a group with the same Ethernet address, which another receiver of the host has joined",
        "MUST",
        f"RFC 2464 section 7, {_STATE}",
        "all 128 bits are the group",
        udp(group="same-mac"),
        neighbour=True,
    ),
    _case(
        "same-number-other-scope",
        "to the group of the same number in another scope, which another receiver of the host has joined",
        "MUST",
        f"RFC 4291 section 2.7, {_STATE}",
        "the scope is part of the group",
        _other_scope,
        neighbour=True,
    ),
    _case(
        "same-number-well-known",
        "to the well-known group of the same number, which another receiver of the host has joined",
        "MUST",
        f"RFC 4291 section 2.7, {_STATE}",
        "the flags are part of the group: a transient one has nothing to do with the well-known one",
        _other_flags,
        neighbour=True,
    ),
    _case(
        "all-nodes",
        "to this port of ff02::1, which nobody has asked for",
        "MUST",
        f"RFC 4291 section 2.8, {_STATE}",
        "the host is in that group, and this receiver has not joined it",
        udp(group="ff02::1"),
    ),
    _case(
        "all-nodes-interface-local",
        "to this port of ff01::1, which nobody has asked for",
        "MUST",
        f"RFC 4291 section 2.7.1, {_STATE}",
        "the host is in that group, which nothing from a wire belongs to",
        udp(group="ff01::1"),
    ),
    _case(
        "all-routers",
        "to this port of ff02::2",
        "MUST",
        f"RFC 4291 section 2.8, {_STATE}",
        "the host is no router",
        udp(group="ff02::2"),
    ),
    _case(
        "mld-routers",
        "to this port of ff02::16, where reports go",
        "MUST",
        f"RFC 3810 section 5.2.14, {_STATE}",
        "the host sends to that group and is not in it",
        udp(group="ff02::16"),
    ),
    _case(
        "solicited-node",
        "to this port of the solicited-node group of the host's own address",
        "MUST",
        f"RFC 4291 section 2.7.1, {_STATE}",
        "the host is in that group, and this receiver has not joined it",
        udp(group="solicited-node"),
    ),
    _case(
        "solicited-node-of-another",
        "to this port of the solicited-node group of nobody",
        "MUST",
        f"RFC 4291 section 2.7.1, {_STATE}",
        "the host is not in that group",
        udp(group="ff02::1:ffff:ffff"),
    ),
    _case(
        "port-of-another-socket",
        "to another port of the group, which another receiver of the host has bound",
        "MUST",
        "RFC 768, RFC 3810 section 4.2",
        "a channel has one port",
        udp(port="other"),
        neighbour=True,
    ),
    _case(
        "port-zero",
        "to port 0 of the group",
        "kernel",
        "RFC 768, Linux __udp6_lib_mcast_deliver",
        "nobody can be bound to port 0",
        udp(port=0),
    ),
    _case(
        "ports-swapped",
        "from the port of the channel to the port of its sender",
        "MUST",
        "RFC 768",
        "the destination port counts",
        lambda right: udp(source_port=int(right.port or 0), port=right.source_port),
    ),
    _case(
        "unicast",
        "to this port of the host's own address",
        "kernel",
        "Linux inet_rcv_saddr_equal",
        "a socket that is bound to the group gets the group only",
        udp(group="receiver"),
    ),
    _case(
        "unicast-in-group-mac",
        "to this port of the host's own address, in a frame to the group's Ethernet address",
        "kernel",
        "ip-sysctl drop_unicast_in_l2_multicast, Linux ip6_rcv_core",
        "the frame does not make it a datagram to the group",
        udp(group="receiver").as_frame(mac="group"),
    ),
    _case(
        "unicast-in-group-mac-forbidden",
        "the same with drop_unicast_in_l2_multicast",
        "kernel",
        "ip-sysctl drop_unicast_in_l2_multicast, Linux ip6_rcv_core",
        "the kernel drops it",
        udp(group="receiver").as_frame(mac="group"),
        setup=(sysctl("ipv6/conf/{}/drop_unicast_in_l2_multicast", 1),),
    ),
    _case(
        "unicast-in-broadcast-mac",
        "to this port of the host's own address, in a broadcast frame",
        "kernel",
        "Linux inet_rcv_saddr_equal",
        "the frame does not make it a datagram to the group",
        udp(group="receiver").as_frame(mac="broadcast"),
    ),
    _case(
        "unspecified",
        "to ::, in a frame to the group's Ethernet address",
        "kernel",
        "RFC 4291 section 2.5.2, Linux ip6_route_input",
        ":: is nobody's address",
        udp(group="::").as_frame(mac="group"),
    ),
    _case(
        "loopback",
        "to ::1 from the wire, in a frame to the group's Ethernet address",
        "MUST",
        "RFC 4291 section 2.5.3",
        "what comes in on an interface for ::1 must be dropped",
        udp(group="::1").as_frame(mac="group"),
    ),
    _case(
        "other-host",
        "to another host's address, in a frame to the group's Ethernet address",
        "kernel",
        "RFC 8200 section 3, Linux ip6_input",
        "a host does not take in what is for others",
        lambda right: udp(group=right.source).as_frame(mac="group"),
    ),
    _case(
        "unicast-mac",
        "to the group, in a frame to the host's own Ethernet address",
        "MUST",
        "RFC 6085 section 3",
        "a node must not drop it because of that address",
        udp().as_frame(mac="receiver"),
        deliver(),
    ),
    _case(
        "broadcast-mac",
        "to the group, in a broadcast frame",
        "kernel",
        "RFC 2464 section 7, Linux eth_type_trans",
        "the kernel does not compare the Ethernet address with the group",
        udp().as_frame(mac="broadcast"),
        deliver(),
    ),
    _case(
        "other-group-mac",
        "to the group, in a frame to another group's Ethernet address",
        "kernel",
        "RFC 2464 section 7, Linux eth_type_trans",
        "the kernel does not compare; only a network card would keep it out",
        udp().as_frame(mac="33:33:87:65:43:21"),
        deliver(),
    ),
    _case(
        "ipv4-mac",
        "to the group, in a frame to an Ethernet address of groups of IPv4",
        "kernel",
        "RFC 1112 section 6.4, Linux eth_type_trans",
        "the kernel does not compare; only a network card would keep it out",
        udp().as_frame(mac="01:00:5e:7f:43:21"),
        deliver(),
    ),
    _case(
        "other-host-mac",
        "to the group, in a frame to another host's Ethernet address",
        "kernel",
        "Linux eth_type_trans, ip6_rcv_core",
        "the frame is not for this host (PACKET_OTHERHOST)",
        udp().as_frame(mac="other"),
    ),
    _case(
        "ipv4-group",
        "of IPv4, to this port of a group that another socket of the host has joined",
        "MUST",
        f"{_STATE}, RFC 3493 section 3.7",
        "a channel is of one family, though a socket of IPv6 may hear IPv4 as well",
        _ipv4(_IPV4_ELSEWHERE),
        setup=(joined(_IPV4_ELSEWHERE),),
    ),
    _case(
        "ipv4-broadcast",
        "of IPv4, to this port of the limited broadcast address",
        "kernel",
        "RFC 3493 section 3.7, Linux __udp4_lib_mcast_deliver",
        "a socket of IPv6 that is bound to no address hears it, one that is bound to the group does not",
        _ipv4("255.255.255.255", "ff:ff:ff:ff:ff:ff"),
    ),
    ProbeCase(
        "destination6.mapped-group",
        "of IPv6, to a receiver of IPv4, from and to its addresses as IPv4-mapped ones",
        "kernel",
        "RFC 4291 section 2.5.5.2, RFC 6890 section 2.2.3, Linux ip6_route_input",
        "mapped addresses are for the interface of sockets, never on the wire",
        families=("ipv4",),
        probe=_mapped,
        expect=drop(),
    ),
    _case(
        "own-source-mac",
        "to the group, in a frame that says it is from the host's own Ethernet address",
        "kernel",
        "Linux eth_type_trans",
        "the kernel does not look where a frame is from",
        udp().as_frame(source_mac="receiver"),
        deliver(),
        direct=True,
    ),
)


def other_interface(bench: Bench) -> None:
    """Look whether a receiver on eth0 gets its group from eth1, where another socket of the host has joined it."""
    _from_eth1(bench, neighbour=True)


def other_interface_alone(bench: Bench) -> None:
    """Look whether a receiver on eth0 gets its group from eth1, where nobody has joined it."""
    _from_eth1(bench, neighbour=False)


def _from_eth1(bench: Bench, *, neighbour: bool) -> None:
    rx = bench.lab.host(interfaces={"eth0": "first", "eth1": "second"})
    one, two = (bench.lab.host(interfaces={"eth0": link}) for link in ("first", "second"))
    channel = bench.channel(one, interface="eth0")
    receiver = bench.open(channel, rx, "eth0")
    if neighbour:
        rx.receiver(Channel.unchecked(channel.group, 0), interface="eth1")
    flows = bench.flows(channel, one)
    payload = f"on eth1 {secrets.token_hex(8)}".encode()
    stray = replace(udp(channel, payload, source=one.source("ipv6", channel.scope)), source_mac=two.injector().mac)
    two.inject(*frames_of(replace(stray, source_port=flows.senders[0].source[1])))
    if rx.control.find(lambda frame: payload in frame) is None:
        raise NoVerdict(f"{payload!r} has not come to {rx}")
    flows.send("on eth0")
    bench.expect_exactly({receiver: flows}, rx)


register(
    Situation(
        "destination6.other-interface",
        "to the group from the right source, on an interface on which another socket of the host has joined it",
        "MUST",
        "RFC 3810 section 4.2, RFC 3493 section 5.2",
        "a membership is of one interface; Linux compares the group only (inet6_mc_check)",
        families=("ipv6",),
        outcome="not delivered",
        run=other_interface,
    ),
    Situation(
        "destination6.other-interface-alone",
        "to the group from the right source, on an interface on which nobody has joined it",
        "MUST",
        "RFC 3810 section 4.2, RFC 3493 section 5.2",
        "a membership is of one interface",
        families=("ipv6",),
        outcome="not delivered",
        run=other_interface_alone,
    ),
)
