"""Scopes and flags of groups: a receiver that has joined the very group gets it, if it can come from a wire at all."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_mcast.core.channels import MODES
from pytest_mcast.core.errors import ChannelError, NoVerdict
from pytest_mcast.cores import CoreFailure
from pytest_mcast.packets import Packet, Prober, deliver, drop, frames_of, udp

from .case import Situation, register
from .probing import ProbeCase
from .setup import joined

if TYPE_CHECKING:
    from pytest_mcast.cores.behaviours import Bench

__all__ = ["any_source", "interface_local"]

_STATE = {"ipv4": "RFC 3376 section 3.2", "ipv6": "RFC 3810 section 4.2"}
_JOINED = "who has joined a group gets it"


def _joined(
    name: str,
    what: str,
    groups: str,
    reference: str = "RFC 7346 section 2",
    reason: str = _JOINED,
    *,
    level: str = "MUST",
    modes: tuple[str, ...] = ("asm",),
    probe: Packet = udp(),  # noqa: B008 - a frozen value
    **more: Any,
) -> ProbeCase:
    """Return a case of a receiver that has joined one of these groups, and gets a datagram to it."""
    family = "ipv6" if ":" in groups else "ipv4"
    return ProbeCase(
        f"scope.{name}",
        f"to {what}",
        level,
        f"{_STATE[family]}, {reference}",
        reason,
        families=(family,),
        modes=modes,
        groups=groups,
        probe=probe,
        expect=deliver(),
        **more,
    )


def _odd(name: str, what: str, groups: str, reference: str, reason: str, **more: Any) -> ProbeCase:
    """Return the same of a group that is reserved or malformed, which a core may refuse to join."""
    return _joined(name, what, groups, reference, reason, level="kernel", refusable=True, **more)


_NAMES = {2: "link-local", 3: "realm-local", 4: "admin-local", 5: "site-local", 8: "organization-local", 0xE: "global"}
_UNASSIGNED = (6, 7, 9, 0xA, 0xB, 0xC, 0xD)

register(
    *(
        _joined(name, f"a transient group of scope {number:x}, {name}", f"ff1{number:x}::/16")
        for number, name in _NAMES.items()
    ),
    *(
        _joined(
            f"unassigned-{number:x}",
            f"a group of scope {number:x}, which administrators may define",
            f"ff1{number:x}::/16",
            "RFC 7346 section 2",
            "unassigned scopes are for anybody to use",
        )
        for number in _UNASSIGNED
    ),
    *(
        _joined(
            f"ssm-{name}",
            f"a source-specific group of scope {number:x}, {name}",
            f"ff3{number:x}::/32",
            "RFC 4607 section 4.2",
            "who has asked for the source gets it",
            modes=("ssm",),
        )
        for number, name in _NAMES.items()
    ),
    _joined(
        "ssm-unassigned",
        "a source-specific group of scope 6",
        "ff36::/32",
        "RFC 4607 section 4.2",
        "the range is ff3x::/32, whatever the scope",
        modes=("ssm",),
    ),
    _odd(
        "reserved-f",
        "a group of the reserved scope f",
        "ff1f::/16",
        "RFC 4291 section 2.7",
        "on reception scope f is treated like the global scope",
    ),
    _odd(
        "ssm-reserved-f",
        "a source-specific group of the reserved scope f",
        "ff3f::/32",
        "RFC 4291 section 2.7",
        "on reception scope f is treated like the global scope",
        modes=("ssm",),
    ),
    ProbeCase(
        "scope.reserved-zero",
        "to a group of the reserved scope 0, which another socket of the host has joined",
        "MUST",
        "RFC 4291 section 2.7",
        "a packet to scope 0 is silently dropped when it is received",
        families=("ipv6",),
        setup=(joined("ff10::8765:4321"),),
        probe=udp(group="ff10::8765:4321"),
        expect=drop(),
    ),
    ProbeCase(
        "scope.reserved-zero-flags",
        "to a group with the flags R, P and T and scope 0, which another socket of the host has joined",
        "MUST",
        "RFC 4291 section 2.7",
        "no flag makes scope 0 another one",
        families=("ipv6",),
        setup=(joined("ff70::8765:4321"),),
        probe=udp(group="ff70::8765:4321"),
        expect=drop(),
    ),
    _joined(
        "well-known",
        "a group with the flag T off",
        "ff0e::/16",
        "RFC 4291 section 2.7",
        "permanently assigned or not, it was joined",
    ),
    _joined(
        "all-nodes",
        "ff02::1, which the receiver has joined itself",
        "ff02::1/128",
        "RFC 4291 section 2.7.1",
        "the host is a member anyway, and now the receiver is",
    ),
    _joined(
        "low-number",
        "a transient group with the Ethernet address of ff02::1",
        "ff1e::1/128",
        "RFC 2464 section 7",
        "the Ethernet address says nothing about the group",
    ),
    _odd(
        "number-zero",
        "a transient group whose number is 0",
        "ff1e::/128",
        "RFC 4291 section 2.7.1, RFC 3307 section 4.3",
        "not to be assigned, and a group all the same",
    ),
    _joined(
        "prefix-based",
        "a group that is based on a unicast prefix (flags P and T, 48 bits of prefix)",
        "ff3e:30:2001:db8::/96",
        "RFC 3306 section 4",
        "it is not in the range of source-specific groups, for its prefix length is not 0",
    ),
    _odd(
        "ssm-prefix-based",
        "a group that is based on a unicast prefix, from the source that was asked for",
        "ff3e:30:2001:db8::/96",
        "RFC 3306 section 4",
        "a source can be asked for with any group",
        modes=("ssm",),
    ),
    _joined(
        "interface-identifier-based",
        "a link-scoped group that is based on an interface identifier (ff32:ff::)",
        "ff32:ff:5eff:fe00:1::/96",
        "RFC 4489 section 2",
        "it is not in the range of source-specific groups, for its prefix length is 255",
    ),
    _joined(
        "embedded-rp",
        "a group with the address of its rendezvous point in it (flags R, P and T)",
        "ff7e:140:2001:db8:beef::/96",
        "RFC 3956 section 2",
        "that is for routers to read",
    ),
    _odd(
        "embedded-rp-without-prefix",
        "a group with the flags R, P and T and a prefix length of 0",
        "ff7e::/96",
        "RFC 3956 section 3",
        "no address can be in it; hosts do not look",
    ),
    _odd(
        "flag-r-alone",
        "a group with the flag R but not P and T",
        "ff4e::/96",
        "RFC 3956 section 2",
        "R asks for P and T; hosts do not look",
    ),
    _odd(
        "flag-p-without-t",
        "a group with the flag P but not T",
        "ff2e:30:2001:db8::/96",
        "RFC 3306 section 4",
        "P asks for T; hosts do not look",
    ),
    _odd(
        "flag-x",
        "a group with the reserved flag X",
        "ff9e::/96",
        "RFC 7371 section 4.1",
        "what it will mean is not known, and it is part of the group",
    ),
    _joined(
        "ssm-beyond-96",
        "a source-specific group of ff3e::/32 that is not in ff3e::/96",
        "ff3e:0:1::/96",
        "RFC 4607 section 1",
        "all of ff3x::/32 is for source-specific multicast",
        modes=("ssm",),
    ),
    _odd(
        "ssm-low-number",
        "a source-specific group whose number is below 4000:0",
        "ff3e::1/128",
        "RFC 4607 section 1",
        "such numbers are invalid, and a group all the same",
        modes=("ssm",),
    ),
    _odd(
        "ssm-outside-the-range-ipv6",
        "a group outside of the source-specific range, from the source that was asked for",
        "ff1e::/96",
        "RFC 3810 section 4.2",
        "a source can be asked for with any group",
        modes=("ssm",),
    ),
    _joined(
        "local-control",
        "a group of 224.0.0/24",
        "224.0.0.200/32",
        "RFC 5771 section 4",
        "routers forward none of them, hosts receive them as others",
    ),
    _joined(
        "local-control-ttl",
        "a group of 224.0.0/24 with a TTL of 64",
        "224.0.0.200/32",
        "RFC 5771 section 4",
        "that they are not forwarded has nothing to do with the TTL",
        probe=udp(ttl=64),
    ),
    _joined(
        "all-hosts",
        "224.0.0.1, which the receiver has joined itself",
        "224.0.0.1/32",
        "RFC 1112 section 4",
        "the host is a member anyway, and now the receiver is",
    ),
    _odd(
        "base-address",
        "224.0.0.0",
        "224.0.0.0/32",
        "RFC 1112 section 4",
        "never assigned to a group; the kernel takes it for one",
    ),
    _joined(
        "highest-group",
        "239.255.255.255, the highest group",
        "239.255.255.255/32",
        "RFC 1112 section 4",
        "it is a group, and no broadcast address",
    ),
    _joined(
        "internetwork-control",
        "a group of 224.0.1/24",
        "224.0.1.0/24",
        "RFC 5771 section 5",
    ),
    _joined("session-announcements", "a group of 224.2/16", "224.2.0.0/16", "RFC 5771 section 7"),
    _odd(
        "reserved-225",
        "a group of 225/8",
        "225.0.0.0/8",
        "RFC 5771 section 3",
        "the block is reserved, and made of groups",
    ),
    _odd(
        "reserved-235",
        "a group of 235/8",
        "235.0.0.0/8",
        "RFC 5771 section 3",
        "the block is reserved, and made of groups",
    ),
    _joined("glop", "a group of 233/8, of an autonomous system", "233.64.0.0/16", "RFC 3180 section 2"),
    _joined("test-net", "a group of 233.252.0/24, for documentation", "233.252.0.0/24", "RFC 6676 section 3"),
    _joined("prefix-based-ipv4", "a group of 234/8, based on a unicast prefix", "234.192.0.0/16", "RFC 6034 section 2"),
    _joined("local-ipv4", "a group of 239.255/16, the IPv4 local scope", "239.255.0.0/16", "RFC 2365 section 6.1"),
    _joined("organization-local-ipv4", "a group of 239.192/14", "239.192.0.0/14", "RFC 2365 section 6.2"),
    *(
        _joined(
            f"expansion-{start}",
            f"a group of 239.{start}/10, into which scopes may grow",
            f"239.{start}.0.0/10",
            "RFC 2365 section 6.2.1",
            "administratively scoped as the rest of 239/8",
        )
        for start in (0, 64, 128)
    ),
    _joined(
        "ssm-ipv4",
        "a group of 232/8",
        "232.0.0.0/8",
        "RFC 4607 section 4.2",
        "who has asked for the source gets it",
        modes=("ssm",),
    ),
    _odd(
        "ssm-reserved-ipv4",
        "a group of 232.0.0/24",
        "232.0.0.200/32",
        "RFC 4607 section 1",
        "the block is reserved, and source-specific as the rest of 232/8",
        modes=("ssm",),
    ),
    _odd(
        "ssm-outside-the-range-ipv4",
        "a group of 239.192/14, from the source that was asked for",
        "239.192.0.0/14",
        "RFC 3376 section 3.2",
        "a source can be asked for with any group",
        modes=("ssm",),
    ),
)


def any_source(bench: Bench) -> None:
    """Look what comes of an any-source receiver of a source-specific group."""
    rx, tx = bench.lab.hosts(2)
    channel = bench.channel_in("232.0.0.0/8" if bench.family == "ipv4" else "ff3e::/32", tx)
    try:
        receiver = bench.open(channel, rx)
    except (ChannelError, CoreFailure) as error:
        if isinstance(error, CoreFailure) and error.kind != "refused":
            raise
        bench.evidence.append(f"refused: {error}")
        return
    with Prober(receiver, tx, rx, timeout=bench.timeout, drops=bench.drops) as probe:
        verdict = probe().expect(deliver())
    bench.evidence.append(f"delivered: {verdict.control}")


def interface_local(bench: Bench) -> None:
    """Look whether a group that is for one interface of one host comes in from the wire; the host itself sends the fence."""
    rx, tx = bench.lab.hosts(2)
    channel = bench.channel_in("ff11::/16" if bench.mode == "asm" else "ff31::/32", rx)
    receiver = bench.open(channel, rx)
    flows = bench.flows(channel, rx)
    flows.send("from the host itself")
    payload = f"from the wire {secrets.token_hex(8)}".encode()
    source = channel.source or tx.source("ipv6")
    stray = udp(channel, payload, source=source, source_port=flows.senders[0].source[1])
    tx.inject(*frames_of(replace(stray, source_mac=tx.injector().mac)))
    if rx.control.find(lambda frame: payload in frame) is None:
        raise NoVerdict(f"{payload!r} has not come to {rx}")
    bench.expect_exactly({receiver: flows}, rx)


register(
    Situation(
        "scope.ssm-range-any-source",
        "an any-source receiver joins a group of the source-specific range (232/8, ff3x::/32)",
        "kernel",
        "RFC 4604 section 2.1, Linux ip_mc_join_group, ipv6_sock_mc_join",
        "it should be refused; the kernel looks at no range, and who is told that it was joined must get what comes",
        modes=("asm",),
        outcome="refused, or delivered",
        run=any_source,
    ),
    Situation(
        "scope.interface-local",
        "to an interface-local group from the wire, which the receiver has joined",
        "MUST",
        "RFC 4291 section 2.7.1, RFC 7346 section 2",
        "such groups are for the loopback of one interface only: what the host itself sends is delivered",
        families=("ipv6",),
        modes=MODES,
        outcome="from the wire not delivered, from the host itself delivered",
        run=interface_local,
    ),
)
