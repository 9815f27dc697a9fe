"""Where a datagram says it comes from: what a source-specific receiver keeps out, and what no host takes in."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_mcast.core.channels import Channel
from pytest_mcast.packets import Packet, Prober, deliver, drop, either, udp

from .case import Difference, Situation, register
from .probing import ProbeCase
from .setup import another_default_route, default_route, sysctl

if TYPE_CHECKING:
    from pytest_mcast.cores.behaviours import Bench

__all__: list[str] = []

_ANY = "RFC 1112 section 7.2"
_SSM = "RFC 4607 section 4.2, RFC 3376 section 3.2, RFC 3810 section 4.2"
_INVALID = "RFC 1122 section 3.2.1.3"
_RPF = "fib_validate_source(), ip-sysctl rp_filter, RFC 3704"
_OFF_SUBNET = "192.0.2.9"  # of RFC 5737, for documentation
_FLOWS = 20  # so many ports that a receiver which loses some of them is found out each time
_RP_FILTER = "ipv4/conf/{}/rp_filter"
_NO_RULE = "the kernel lets it pass, and a receiver is not told why an address is none"


def _two_sources(bench: Bench) -> None:
    """Receive one group from two sources, each by a receiver of its own."""
    rx, tx, second = bench.lab.hosts(3)
    first = bench.channel(tx)
    other = Channel(first.group, first.port, second.source(bench.family, first.scope))
    receivers = {
        bench.open(first, rx): bench.flows(first, tx, _FLOWS),
        bench.open(other, rx): bench.flows(other, second, _FLOWS),
    }
    for flows in receivers.values():
        flows.send("source")
    bench.expect_exactly(receivers, rx)


def _from_far_away(bench: Bench) -> None:
    """Receive a channel whose source is not on the link, and nothing of another one that is not."""
    rx, tx = bench.lab.direct()
    channel = bench.channel(tx)
    receiver = bench.open(Channel(channel.group, channel.port, _far(bench.family)), rx)
    with Prober(receiver, tx, rx, timeout=bench.timeout, drops=bench.drops) as probe:
        probe().expect(deliver())
        probe(source=_far(bench.family, 1)).expect(drop())
        probe(source=tx.source(bench.family, channel.scope)).expect(drop())


def _far(family: str, more: int = 0) -> str:
    """Return an address that is on no link (RFC 5737, RFC 3849)."""
    return str(ipaddress.ip_address(_OFF_SUBNET if family == "ipv4" else "2001:db8::9") + more)


def _network(right: Packet) -> ipaddress.IPv4Network:
    """Return the subnet of a virtual link."""
    return ipaddress.IPv4Network(f"{right.source}/16", strict=False)


def _from_subnet_broadcast(right: Packet) -> Packet:
    return udp(source=str(_network(right).broadcast_address))


def _from_subnet_address(right: Packet) -> Packet:
    return udp(source=str(_network(right).network_address))


def _from_port_of_group(right: Packet) -> Packet:
    return replace(right, source_port=right.port if isinstance(right.port, int) else None)


register(
    ProbeCase(
        "ssm.wrong-source",
        "from another source than the channel's",
        "MUST",
        _SSM,
        "a source-specific receiver gets its source only",
        modes=("ssm",),
        probe=udp(source="other"),
        expect=drop(),
    ),
    ProbeCase(
        "ssm.wrong-source-with-neighbour",
        "from another source, which another receiver of the host wants",
        "MUST",
        _SSM,
        "what others want is nothing to this receiver",
        modes=("ssm",),
        probe=udp(source="other"),
        neighbour=True,
        expect=drop(),
    ),
    ProbeCase(
        "ssm.wrong-source-right-port",
        "from another source with the source port of the channel's own",
        "MUST",
        _SSM,
        "the address makes the source, not the port",
        modes=("ssm",),
        probe=lambda right: udp(source="other", source_port=right.source_port),
        neighbour=True,
        expect=drop(),
    ),
    ProbeCase(
        "ssm.other-source-port",
        "from the channel's source, by another port",
        "MUST",
        "RFC 4607 section 1",
        "a channel is a source address and a group: the source's port does not matter",
        modes=("ssm",),
        probe=lambda right: udp(source_port=(right.source_port or 0) ^ 1),
        expect=deliver(),
    ),
    Situation(
        "ssm.two-sources",
        "two receivers on one host have the same group and port, and a source each",
        "MUST",
        _SSM,
        "(S1,G) and (S2,G) are different channels",
        modes=("ssm",),
        run=_two_sources,
        outcome="each delivers what its source sent, once, and nothing else",
    ),
    Situation(
        "ssm.source-off-subnet",
        "the channel's source is not on the link and there is no route to it; rp_filter 0",
        "MUST",
        "RFC 4607 section 4.2",
        "a source may be anywhere: the network has brought its datagrams",
        modes=("ssm",),
        run=_from_far_away,
        outcome="its datagrams are delivered, those of its neighbour and of a host on the link are not",
    ),
    ProbeCase(
        "ssm.source-is-receiver",
        "from the receiver's own address",
        "MUST",
        _SSM,
        "it is not the channel's source",
        modes=("ssm",),
        probe=udp(source="receiver"),
        expect=drop(),
    ),
    ProbeCase(
        "source.any",
        "from another host of the link than before",
        "MUST",
        "RFC 1112 section 7.2, RFC 3376 section 3.2, RFC 3810 section 4.2",
        "an any-source receiver gets every source",
        modes=("asm",),
        probe=udp(source="other"),
        expect=deliver(),
    ),
    ProbeCase(
        "source.port-zero",
        "from source port 0",
        "MUST",
        "RFC 768",
        "the source port is optional, and 0 when there is none",
        probe=udp(source_port=0),
        expect=deliver(),
    ),
    ProbeCase(
        "source.port-highest",
        "from source port 65535",
        "MUST",
        "RFC 768",
        "every port is one",
        probe=udp(source_port=65535),
        expect=deliver(),
    ),
    ProbeCase(
        "source.port-of-group",
        "from the port that it is sent to",
        "MUST",
        "RFC 768",
        "peers of one group often send from its port",
        probe=_from_port_of_group,
        expect=deliver(),
    ),
    ProbeCase(
        "source.receiver",
        "from the receiver's own IPv4 address, by the wire",
        "kernel",
        "fib_validate_source(), ip-sysctl accept_local",
        "nobody else may have that address",
        families=("ipv4",),
        modes=("asm",),
        probe=udp(source="receiver"),
        expect=drop(),
    ),
    ProbeCase(
        "source.receiver-accept-local",
        "from the receiver's own address, with accept_local 1",
        "kernel",
        "fib_validate_source(), ip-sysctl accept_local",
        "the setting permits it, for hosts that are connected to themselves",
        families=("ipv4",),
        modes=("asm",),
        setup=(sysctl("ipv4/conf/{}/accept_local", 1),),
        probe=udp(source="receiver"),
        expect=deliver(),
    ),
    ProbeCase(
        "source.unspecified",
        "from 0.0.0.0",
        "MUST",
        f"{_INVALID} (a)",
        "an invalid source: a host that has no address yet sends to no group",
        families=("ipv4",),
        modes=("asm",),
        probe=udp(source="0.0.0.0"),  # noqa: S104 - it is sent, nothing is bound to it
        expect=drop(),
    ),
    ProbeCase(
        "source.unspecified-to-local-control",
        "from 0.0.0.0 to a group of 224.0.0.0/24, which the receiver has joined",
        "MUST",
        f"{_INVALID} (a)",
        "an invalid source, but for protocols by which a host gets its address",
        families=("ipv4",),
        modes=("asm",),
        groups="224.0.0.77/32",  # of the local network control block (RFC 5771 section 4)
        probe=udp(source="0.0.0.0"),  # noqa: S104 - it is sent, nothing is bound to it
        expect=drop(),
        differences={
            "linux": Difference(either(), f"ip_mc_validate_source() excepts that block, for IGMP; {_NO_RULE}"),
        },
    ),
    ProbeCase(
        "source.this-network",
        "from 0.1.2.3, a host on 'this' network",
        "MUST",
        f"{_INVALID} (b)",
        "an invalid source",
        families=("ipv4",),
        modes=("asm",),
        probe=udp(source="0.1.2.3"),
        expect=drop(),
        differences={"linux": Difference(either(), f"ipv4_is_zeronet() is true of 0.0.0.0 only; {_NO_RULE}")},
    ),
    ProbeCase(
        "source.group",
        "from the group itself",
        "MUST",
        _ANY,
        "a group is nobody's address, and sends nothing",
        families=("ipv4",),
        modes=("asm",),
        probe=udp(source="group"),
        expect=drop(),
    ),
    ProbeCase(
        "source.multicast",
        "from 224.0.0.1",
        "MUST",
        _ANY,
        "a group is nobody's address, though every host is its member",
        families=("ipv4",),
        modes=("asm",),
        probe=udp(source="224.0.0.1"),
        expect=drop(),
    ),
    ProbeCase(
        "source.limited-broadcast",
        "from 255.255.255.255",
        "MUST",
        f"{_INVALID} (c)",
        "an invalid source",
        families=("ipv4",),
        modes=("asm",),
        probe=udp(source="255.255.255.255"),
        expect=drop(),
    ),
    ProbeCase(
        "source.subnet-broadcast",
        "from the broadcast address of the receiver's subnet; rp_filter 0",
        "MUST",
        f"{_INVALID} (e)",
        "an invalid source",
        families=("ipv4",),
        modes=("asm",),
        probe=_from_subnet_broadcast,
        expect=drop(),
        differences={"linux": Difference(either(), f"fib_validate_source() looks with rp_filter only; {_NO_RULE}")},
    ),
    ProbeCase(
        "source.subnet-broadcast-strict",
        "from the broadcast address of the receiver's subnet; rp_filter 1",
        "MUST",
        f"{_INVALID} (e)",
        "an invalid source",
        families=("ipv4",),
        modes=("asm",),
        setup=(sysctl(_RP_FILTER, 1),),
        probe=_from_subnet_broadcast,
        expect=drop(),
    ),
    ProbeCase(
        "source.subnet-broadcast-loose",
        "from the broadcast address of the receiver's subnet; rp_filter 2",
        "MUST",
        f"{_INVALID} (e)",
        "an invalid source",
        families=("ipv4",),
        modes=("asm",),
        setup=(sysctl(_RP_FILTER, 2),),
        probe=_from_subnet_broadcast,
        expect=drop(),
    ),
    ProbeCase(
        "source.subnet-address",
        "from the lowest address of the receiver's subnet, with a host part of zeros",
        "kernel",
        "fib_validate_source()",
        "a host may have that address since Linux 5.14; formerly it was a broadcast address (RFC 1122 section 3.3.6)",
        families=("ipv4",),
        modes=("asm",),
        probe=_from_subnet_address,
        expect=deliver(),
    ),
    ProbeCase(
        "source.loopback",
        "from 127.0.0.1, by the wire",
        "MUST",
        f"{_INVALID} (g)",
        "such an address is never seen outside a host",
        families=("ipv4",),
        modes=("asm",),
        probe=udp(source="127.0.0.1"),
        expect=drop(),
    ),
    ProbeCase(
        "source.loopback-route-localnet",
        "from 127.0.0.1, by the wire; route_localnet 1",
        "MUST",
        f"{_INVALID} (g), ip-sysctl route_localnet",
        "though loopback addresses are routed, this one is the receiver's own",
        families=("ipv4",),
        modes=("asm",),
        setup=(sysctl("ipv4/conf/{}/route_localnet", 1),),
        probe=udp(source="127.0.0.1"),
        expect=drop(),
    ),
    ProbeCase(
        "source.loopback-other",
        "from 127.9.9.9, by the wire",
        "MUST",
        f"{_INVALID} (g)",
        "all of 127/8 is loopback",
        families=("ipv4",),
        modes=("asm",),
        probe=udp(source="127.9.9.9"),
        expect=drop(),
    ),
    ProbeCase(
        "source.loopback-other-route-localnet",
        "from 127.9.9.9, by the wire; route_localnet 1",
        "MUST",
        f"{_INVALID} (g), ip-sysctl route_localnet",
        "such an address is never seen outside a host",
        families=("ipv4",),
        modes=("asm",),
        setup=(sysctl("ipv4/conf/{}/route_localnet", 1),),
        probe=udp(source="127.9.9.9"),
        expect=drop(),
        differences={"linux": Difference(either(), f"the setting switches the check off; {_NO_RULE}")},
    ),
    ProbeCase(
        "source.class-e",
        "from 240.0.0.1, of the range reserved for future use",
        "kernel",
        "ip_mc_validate_source(), RFC 6890 section 2.2.2",
        "Linux takes 240/4 for unicast addresses; other systems drop it",
        families=("ipv4",),
        modes=("asm",),
        probe=udp(source="240.0.0.1"),
        expect=deliver(),
    ),
    ProbeCase(
        "source.link-local",
        "from 169.254.1.1",
        "MUST",
        f"{_ANY}, RFC 3927 section 2.6",
        "a host that has no other address sends from such a one",
        families=("ipv4",),
        modes=("asm",),
        probe=udp(source="169.254.1.1"),
        expect=deliver(),
    ),
    ProbeCase(
        "source.off-subnet",
        "from an address that is not on the link and to which there is no route; rp_filter 0",
        "MUST",
        _ANY,
        "an any-source receiver gets every source, wherever it is",
        families=("ipv4",),
        modes=("asm",),
        direct=True,
        probe=udp(source=_OFF_SUBNET),
        expect=deliver(),
    ),
    *(
        ProbeCase(
            f"source.off-subnet-{name}",
            f"from an address that is not on the link, {route}; {setting}",
            "kernel",
            f"{_RPF} section {section}",
            reason,
            families=("ipv4",),
            modes=("asm",),
            direct=True,
            setup=setup,
            probe=udp(source=_OFF_SUBNET),
            expect=expect,
        )
        for name, route, setting, section, reason, setup, expect in (
            (
                "strict",
                "without a route to it",
                "rp_filter 1",
                "2.2",
                "no answer could go out",
                (sysctl(_RP_FILTER, 1),),
                drop(),
            ),
            (
                "loose",
                "without a route to it",
                "rp_filter 2",
                "2.4",
                "there is not even another way",
                (sysctl(_RP_FILTER, 2),),
                drop(),
            ),
            (
                "strict-route",
                "with a default route by the same interface",
                "rp_filter 1",
                "2.2",
                "an answer would go out where it came in",
                (sysctl(_RP_FILTER, 1), default_route()),
                deliver(),
            ),
            (
                "loose-route",
                "with a default route by the same interface",
                "rp_filter 2",
                "2.4",
                "there is a route",
                (sysctl(_RP_FILTER, 2), default_route()),
                deliver(),
            ),
            (
                "strict-other-route",
                "with a default route by another interface",
                "rp_filter 1",
                "2.2",
                "an answer would go out elsewhere",
                (sysctl(_RP_FILTER, 1), another_default_route()),
                drop(),
            ),
            (
                "loose-other-route",
                "with a default route by another interface",
                "rp_filter 2",
                "2.4",
                "there is a route, wherever it leads",
                (sysctl(_RP_FILTER, 2), another_default_route()),
                deliver(),
            ),
            (
                "no-filter-other-route",
                "with a default route by another interface",
                "rp_filter 0",
                "2.2",
                "nobody asks where an answer would go",
                (another_default_route(),),
                deliver(),
            ),
            (
                "strict-by-all",
                "with a default route by another interface",
                "conf.all.rp_filter 1, that of the interface 0",
                "2.2",
                "the higher of the two holds",
                (sysctl("ipv4/conf/all/rp_filter", 1), another_default_route()),
                drop(),
            ),
            (
                "loose-by-all",
                "with a default route by another interface",
                "conf.all.rp_filter 2, that of the interface 1",
                "2.4",
                "the higher of the two holds, which is the more permissive one",
                (sysctl(_RP_FILTER, 1), sysctl("ipv4/conf/all/rp_filter", 2), another_default_route()),
                deliver(),
            ),
        )
    ),
)
