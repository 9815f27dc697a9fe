"""Causes at the receiver's host: datagrams that come damaged, or not as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pytest_mcast.doctor.arrival import has_impossible_source, packets
from pytest_mcast.doctor.check import Check, Confidence, Match
from pytest_mcast.doctor.facts import NotRead
from pytest_mcast.doctor.flow import End, Flow
from pytest_mcast.doctor.tally import lost, surely

__all__ = ["CHECKS"]

_HEADERS = {"ipv4": 28, "ipv6": 48}
_UDP = 8  # its header
_FRAGMENT_HEADER = 8  # of IPv6
_MEMORY = {"ipv4": "net.ipv4.ipfrag_high_thresh", "ipv6": "net.ipv6.ip6frag_high_thresh"}
_ENOUGH = 4 << 20  # bytes, the kernel's default


def _counter(family: str, name: str) -> str:
    """Return the name of a counter of IP or UDP: ``Ip.ReasmReqds`` is ``Ip6ReasmReqds`` in the other family."""
    return name if family == "ipv4" else name.replace("IpExt.", "Ip6").replace("Ip.", "Ip6").replace("Udp.", "Udp6")


def _counted(flow: Flow, name: str) -> tuple[End | None, int, str]:
    """Return the receiver, what one of its counters has counted, and that in words."""
    end, name = flow.receiver, _counter(flow.channel.family, name)
    count = 0 if end is None else end.changes[name]
    return end, count, f"{packets(count)} dropped for it ({name})"


def _bad_udp(flow: Flow) -> Iterator[Match]:
    end, count, words = _counted(flow, "Udp.InCsumErrors")
    if end is not None and count:
        yield _match(flow, end, words, "Udp.InCsumErrors")


def _match(flow: Flow, end: End, words: str, name: str) -> Match:
    confidence = surely(flow, "receiver", _counter(flow.channel.family, name))
    return Match(confidence, (words,), {"host": end.name}, shared=True)


def _bad_ip(flow: Flow) -> Iterator[Match]:
    end, count, words = _counted(flow, "IpExt.InCsumErrors")
    if end is not None and count and flow.channel.family == "ipv4":
        yield _match(flow, end, words, "IpExt.InCsumErrors")


def _truncated(flow: Flow) -> Iterator[Match]:
    end, count, words = _counted(flow, "IpExt.InTruncatedPkts")
    if end is not None and count:
        yield _match(flow, end, words, "IpExt.InTruncatedPkts")


def _header(flow: Flow) -> Iterator[Match]:
    end, count, words = _counted(flow, "Ip.InHdrErrors")
    if end is None or not count or _counted(flow, "IpExt.InCsumErrors")[1] or has_impossible_source(flow):
        return  # what it has counted is something else
    match = _match(flow, end, words, "Ip.InHdrErrors")
    # Where it forwards it also counts what has no TTL left.
    yield replace(match, confidence="likely") if _forwards(end, flow.channel.family) else match


def _forwards(end: End, family: str) -> bool:
    name = "net.ipv4.ip_forward" if family == "ipv4" else "net.ipv6.conf.all.forwarding"
    return str(end.facts.read("sysctl").get(name, "0")) != "0"


def _largest(flow: Flow) -> int | None:
    """Return the largest payload that the sender's interface sends whole; None when that is not known."""
    if flow.sender is None:
        return None
    try:
        mtu: int = flow.sender.facts.link(flow.sender.interface)["mtu"]
    except NotRead:
        return None
    return mtu - _HEADERS[flow.channel.family]


def _unfinished(flow: Flow) -> tuple[End, int, int] | None:
    """Return the receiver, how many fragments have come and how many were given up; None when no datagram is missing."""
    family, largest = flow.channel.family, _largest(flow)
    if flow.receiver is None or (flow.size is not None and largest is not None and flow.size <= largest):
        return None  # what there are of fragments is somebody else's
    came, whole, failed = (
        flow.receiver.changes[_counter(family, name)] for name in ("Ip.ReasmReqds", "Ip.ReasmOKs", "Ip.ReasmFails")
    )
    return (flow.receiver, came, failed) if came and not whole else None


def _fits(flow: Flow, came: int) -> Confidence:
    """Return whether as many fragments have come as may be of the datagrams that are missing: certain, or likely."""
    missing, largest = lost(flow), _largest(flow)
    if not missing or flow.size is None or largest is None:
        return "likely"
    # All but the last carry a multiple of 8 bytes; UDP's header is in the first (RFC 791 section 3.2).
    each = (largest + _UDP - (_FRAGMENT_HEADER if flow.channel.family == "ipv6" else 0)) // 8 * 8
    return "certain" if came <= missing * -(-(flow.size + _UDP) // each) else "likely"


def _no_memory(flow: Flow) -> Iterator[Match]:
    found = _unfinished(flow)
    if found is None:
        return
    end, came, failed = found
    name = _MEMORY[flow.channel.family]
    memory = end.facts.sysctl_int(name)
    if not failed or memory >= _needed(flow):
        return
    evidence = (f"{name} is {memory}", f"{packets(failed)} given up, of {came} (ReasmFails, ReasmReqds)")
    values = {"host": end.name, "memory": memory, "setting": name, "enough": _ENOUGH}
    yield Match(_fits(flow, came), evidence, values, shared=True)


def _needed(flow: Flow) -> int:
    """Return how many bytes the kernel needs at the most for a datagram: what it keeps of a fragment is twice as large."""
    return 4096 + 2 * (flow.size or 65535)


def _fragments(flow: Flow) -> Iterator[Match]:
    found = _unfinished(flow)
    if found is None or any(True for _ in _no_memory(flow)):
        return
    end, came, failed = found
    evidence = [f"of {came} fragments, none made a datagram whole (ReasmReqds, ReasmOKs)"]
    evidence += [f"{packets(failed)} given up (ReasmFails)"] if failed else []
    largest = _largest(flow)
    fits = "the MTU" if largest is None else f"the MTU: at most {largest} bytes"
    yield Match(_fits(flow, came), tuple(evidence), {"host": end.name, "fits": fits}, shared=True)


#: Checks of what the receiver's kernel finds wrong with what it gets.
CHECKS: tuple[Check, ...] = (
    Check(
        id="checksum.udp",
        stage="receiver",
        condition=_bad_udp,
        sentence="the UDP checksum of what {host} gets is wrong",
        cure="let the sender's kernel compute it, and see that nothing changes datagrams on the way (checksum offloading)",
        reads=("counters: Udp.InCsumErrors, Udp6InCsumErrors",),
        reference="RFC 768; RFC 8200 section 8.1",
        place="code",
        passing=True,
    ),
    Check(
        id="checksum.ip-header",
        stage="receiver",
        condition=_bad_ip,
        sentence="the checksum of the IP header of what {host} gets is wrong",
        cure="let the sender's kernel write the header, and see that nothing changes it on the way",
        reads=("counters: IpExt.InCsumErrors",),
        reference="RFC 1122 section 3.2.1.2",
        place="code",
        passing=True,
    ),
    Check(
        id="packet.truncated",
        stage="receiver",
        condition=_truncated,
        sentence="packets come to {host} shorter than their IP header says",
        cure="see that what sends frames sends whole packets",
        reads=("counters: IpExt.InTruncatedPkts, Ip6InTruncatedPkts",),
        reference="RFC 791 section 3.1; RFC 8200 section 3",
        place="code",
        passing=True,
    ),
    Check(
        id="packet.malformed",
        stage="receiver",
        condition=_header,
        sentence="the IP header of what {host} gets is malformed",
        cure="let the sender's kernel write the header",
        reads=("counters: Ip.InHdrErrors, Ip6InHdrErrors",),
        reference="RFC 791 section 3.1; RFC 8200 section 3",
        place="code",
        passing=True,
    ),
    Check(
        id="fragments.no-memory",
        stage="receiver",
        condition=_no_memory,
        sentence="{host} has too little memory for fragments ({memory} bytes) to put a datagram together",
        cure="allow more memory",
        command="sysctl -w {setting}={enough}",
        reads=("sysctl: net.ipv4.ipfrag_high_thresh, net.ipv6.ip6frag_high_thresh", "counters: ReasmReqds, ReasmFails"),
        reference="Documentation/networking/ip-sysctl.rst",
        place="receiver",
        passing=True,
    ),
    Check(
        id="fragments.lost",
        stage="receiver",
        condition=_fragments,
        sentence="fragments are lost on the way to {host}, so that no datagram is whole",
        cure="send datagrams that fit into {fits}",
        reads=("counters: ReasmReqds, ReasmOKs, ReasmFails", "links"),
        reference="RFC 8085 section 3.2",
        place="code",
        passing=True,
    ),
)
