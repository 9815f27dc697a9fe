"""Where a datagram of IPv6 says it comes from: addresses of every kind and scope, of which the kernel refuses few."""

from __future__ import annotations

import ipaddress
from typing import Any

from pytest_mcast.packets import Expectation, Packet, deliver, drop, either, udp

from .case import Probe, register
from .probing import ProbeCase

__all__: list[str] = []

_IDENTIFIER = (1 << 64) - 1  # RFC 4291 section 2.5.4
_NO_CHECK = "Linux ip6_rcv_core looks for ::1 and groups only"


def _under(prefix: str, flip: int = 0) -> Probe:
    """Return what makes a probe from the legitimate source's interface identifier under another prefix."""

    def make(right: Packet) -> Packet:
        number = int(ipaddress.ip_address(right.source or "")) & _IDENTIFIER
        return udp(source=str(ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | number ^ flip)))

    return make


def _flipped(bit: int) -> Probe:
    """Return what makes a probe from an address that differs from the legitimate source in one bit, 0 the lowest."""

    def make(right: Packet) -> Packet:
        return udp(source=str(ipaddress.IPv6Address(int(ipaddress.ip_address(right.source or "")) ^ 1 << bit)))

    return make


def _any(
    name: str,
    title: str,
    probe: Probe,
    reference: str,
    reason: str,
    *,
    level: str = "kernel",
    expect: Expectation = deliver(),  # noqa: B008 - a frozen value
    **more: Any,
) -> ProbeCase:
    """Return a case of an any-source receiver."""
    probe = udp(source=probe) if isinstance(probe, str) else probe
    return ProbeCase(
        f"source6.{name}",
        title,
        level,
        reference,
        reason,
        families=("ipv6",),
        modes=("asm",),
        probe=probe,
        expect=expect,
        **more,
    )


def _ssm(name: str, title: str, probe: Probe, reason: str, *, neighbour: bool = True, **more: Any) -> ProbeCase:
    """Return a case of a source-specific receiver, which must not get this; a neighbour wants it."""
    return ProbeCase(
        f"source6.ssm-{name}",
        title,
        "MUST",
        "RFC 4607 section 4.2, RFC 3810 section 4.2",
        reason,
        families=("ipv6",),
        modes=("ssm",),
        probe=udp(source=probe) if isinstance(probe, str) else probe,
        neighbour=neighbour,
        expect=drop(),
        **more,
    )


register(
    _any(
        "multicast",
        "from a group",
        "ff12::8000:1",
        "RFC 4291 section 2.7, Linux ip6_rcv_core",
        "a group is never a source: the kernel drops it",
        expect=drop(),
    ),
    _any(
        "group-itself",
        "from the group that it is sent to",
        "group",
        "RFC 4291 section 2.7, Linux ip6_rcv_core",
        "a group is never a source, its own neither",
        expect=drop(),
    ),
    _any(
        "all-nodes",
        "from ff02::1",
        "ff02::1",
        "RFC 4291 section 2.7, Linux ip6_rcv_core",
        "a group is never a source, well known as it is",
        expect=drop(),
    ),
    _any(
        "loopback",
        "from ::1 on the wire",
        "::1",
        "RFC 4291 section 2.5.3, Linux ip6_rcv_core",
        "::1 never leaves a node: what has it as its source on a wire is forged",
        expect=drop(),
    ),
    _any(
        "own-address",
        "from the receiver's own address",
        "receiver",
        "RFC 4291 section 2.1, Linux ip6_rcv_core",
        "nobody else can have sent it honestly; IPv6 has no check as IPv4 has, but a receiver may have one",
        expect=either(),
    ),
    _any(
        "own-global-address",
        "to a global group from the receiver's own global address",
        "receiver",
        "RFC 4291 section 2.1, Linux ip6_rcv_core",
        "as from its link-local address",
        expect=either(),
        groups="ff1e::/16",
    ),
    _any(
        "unspecified",
        "from ::",
        "::",
        "RFC 4291 section 2.5.2, Linux ip6_rcv_core",
        "a host without an address may send from ::, and an any-source receiver takes any",
    ),
    _any(
        "mapped",
        "from the IPv4-mapped ::ffff:198.51.100.9",
        "::ffff:198.51.100.9",
        "RFC 4291 section 2.5.5.2, RFC 6890 section 2.2.3",
        "never on the wire: a receiver may refuse it, and must not take it for IPv4 if it does not",
        expect=either(),
    ),
    _any(
        "mapped-loopback",
        "from the IPv4-mapped ::ffff:127.0.0.1",
        "::ffff:127.0.0.1",
        "RFC 4291 section 2.5.5.2, RFC 6890 section 2.2.3",
        "as with any mapped address: taken for IPv4 it would look like the receiver's own host",
        expect=either(),
    ),
    _any(
        "compatible",
        "from the IPv4-compatible ::198.51.100.9",
        "::198.51.100.9",
        "RFC 4291 section 2.5.5.1, Linux ip6_rcv_core",
        "a form that nobody uses any more, but no rule forbids it",
    ),
    _any(
        "compatible-loopback",
        "from the IPv4-compatible ::127.0.0.1",
        "::127.0.0.1",
        "RFC 4291 section 2.5.5.1, Linux ip6_rcv_core",
        "not the loopback address of IPv6, which is ::1 only",
    ),
    _any(
        "link-local-of-another",
        "from another host's link-local address",
        "other",
        "RFC 3810 section 4.2, RFC 4291 section 2.5.6",
        "an any-source receiver takes any source of its link",
        level="MUST",
    ),
    _any(
        "link-local-to-global-group",
        "to a global group from a link-local address",
        _under("fe80::"),
        "RFC 4007 section 9, Linux ip6_rcv_core",
        "it is in its zone as long as no router forwards it: the scopes need not agree",
        groups="ff1e::/16",
    ),
    _any(
        "link-local-long-prefix",
        "from fe80:0:0:1::, a link-local address whose 54 bits after the prefix are not 0",
        "fe80:0:0:1::9",
        "RFC 4291 section 2.5.6, Linux ipv6_addr_type",
        "all of fe80::/10 is link-local, and nothing of it may be taken for a zone",
    ),
    _any(
        "global",
        "to a link-local group from a global address that no route leads to",
        "2001:db8::9",
        "RFC 4007 section 4, Linux ip6_rcv_core",
        "the scope of a source may be wider than the group's; IPv6 has no reverse path check",
    ),
    _any(
        "global-of-another",
        "to a global group from another host of the prefix",
        "other",
        "RFC 3810 section 4.2, RFC 4291 section 2.5.4",
        "an any-source receiver takes any source",
        level="MUST",
        groups="ff1e::/16",
    ),
    _any(
        "off-link",
        "to a global group from an address that no route leads to",
        "2001:db8::9",
        "RFC 4291 section 2.5.4, Linux ip6_rcv_core",
        "IPv6 has no reverse path check: rp_filter is for IPv4",
        groups="ff1e::/16",
    ),
    _any(
        "unique-local",
        "from a unique local address of another site",
        "fdff:ffff:ffff::9",
        "RFC 4193 section 4.3",
        "which prefixes are let in is up to routers and to filters",
    ),
    _any(
        "site-local",
        "from the site-local fec0::9",
        "fec0::9",
        "RFC 3879 section 4",
        "there is nothing special about this prefix any more",
        level="MUST",
    ),
    _any(
        "anycast",
        "from the subnet-router anycast address of the link",
        lambda right: udp(source=str(ipaddress.IPv6Address(int(ipaddress.ip_address(right.source)) >> 64 << 64))),
        "RFC 4291 section 2.6",
        "an anycast address cannot be told from a unicast one, and may be a source since RFC 4291",
        groups="ff1e::/16",
    ),
    _any(
        "reserved-anycast",
        "from the anycast address of home agents",
        _under("2001:db8::", flip=0xFDFFFFFFFFFFFFFE),
        "RFC 2526 section 2, RFC 4291 section 2.6",
        "reserved interface identifiers are known to those who assign them only",
    ),
    _any(
        "discard-only",
        "from 100::9, whose prefix is for traffic to be discarded",
        "100::9",
        "RFC 6666 section 4, Linux ip6_rcv_core",
        "routers discard what is sent there; to a host it is an address as any",
    ),
    _any(
        "6to4-private",
        "from a 6to4 address with a private IPv4 address in it",
        "2002:a00:1::9",
        "RFC 3056 section 9, Linux ip6_rcv_core",
        "routers of 6to4 must refuse it, hosts need not look into addresses",
    ),
    _any(
        "nat64",
        "from a NAT64 address",
        "64:ff9b::198.51.100.9",
        "RFC 6052 section 2.1",
        "it stands for an IPv4 host and is an IPv6 address all the same",
    ),
    _any(
        "orchid",
        "from an identifier that is no address, 2001:20::9",
        "2001:20::9",
        "RFC 7343 section 5, Linux ip6_rcv_core",
        "routers may drop it, hosts do not know",
    ),
    _any(
        "unassigned",
        "from 4000::9, which nobody has been given",
        "4000::9",
        "RFC 4291 section 2.4",
        "what is not special is global unicast, assigned or not",
        level="MUST",
    ),
    _any(
        "highest-unicast",
        "from the highest address that is no group, feff:ffff:...",
        "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "RFC 4291 section 2.4, RFC 3879 section 4",
        "groups begin with eight ones, and this does not",
    ),
    _ssm(
        "same-identifier",
        "from the interface identifier of the source under another prefix",
        _under("fd00::"),
        "all 128 bits are the source",
    ),
    _ssm(
        "same-host-link-local",
        "to a global group from the link-local address of the host whose global one is the source",
        _under("fe80::"),
        "a channel is of one address, not of one host",
        groups="ff3e::/96",
    ),
    _ssm("lowest-bit", "from an address that differs in the last bit", _flipped(0), "all 128 bits are the source"),
    _ssm("highest-bit", "from an address that differs in the first bit", _flipped(127), "all 128 bits are the source"),
    _ssm(
        "bit-of-the-prefix",
        "from an address that differs in bit 64, the last of the prefix",
        _flipped(64),
        "all 128 bits are the source",
    ),
    _ssm("unspecified", "from ::, which is no source", "::", "no address is not the one that was asked for"),
    _ssm(
        "own-address",
        "from the receiver's own address instead of the source",
        "receiver",
        "who asks is not whom it asks for",
    ),
    _ssm(
        "mapped",
        "from an IPv4-mapped address",
        "::ffff:198.51.100.9",
        "a source-specific receiver gets its source only, whatever else others may be",
    ),
    ProbeCase(
        "source6.ssm-global",
        "from the channel's source, which is global, as is the group",
        "MUST",
        "RFC 4607 section 4.2",
        "the source that was asked for is delivered",
        families=("ipv6",),
        modes=("ssm",),
        groups="ff3e::/96",
        probe=udp(),
        expect=deliver(),
    ),
)
