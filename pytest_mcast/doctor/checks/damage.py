"""Causes at the receiver's host: datagrams that come damaged, or not as a whole."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_mcast.doctor.arrival import has_impossible_source, packets
from pytest_mcast.doctor.check import Check, Match
from pytest_mcast.doctor.facts import NotRead
from pytest_mcast.doctor.flow import End, Flow

__all__ = ["CHECKS"]

_HEADERS = {"ipv4": 28, "ipv6": 48}
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
        yield Match("certain", (words,), {"host": end.name})


def _bad_ip(flow: Flow) -> Iterator[Match]:
    end, count, words = _counted(flow, "IpExt.InCsumErrors")
    if end is not None and count and flow.channel.family == "ipv4":
        yield Match("certain", (words,), {"host": end.name})


def _truncated(flow: Flow) -> Iterator[Match]:
    end, count, words = _counted(flow, "IpExt.InTruncatedPkts")
    if end is not None and count:
        yield Match("certain", (words,), {"host": end.name})


def _header(flow: Flow) -> Iterator[Match]:
    end, count, words = _counted(flow, "Ip.InHdrErrors")
    if end is None or not count or _counted(flow, "IpExt.InCsumErrors")[1] or has_impossible_source(flow):
        return  # what it has counted is something else
    yield Match("certain", (words,), {"host": end.name})


def _unfinished(flow: Flow) -> tuple[End, int, int] | None:
    """Return the receiver, how many fragments have come and how many were given up; None when no datagram is missing."""
    family = flow.channel.family
    if flow.receiver is None:
        return None
    came, whole, failed = (
        flow.receiver.changes[_counter(family, name)] for name in ("Ip.ReasmReqds", "Ip.ReasmOKs", "Ip.ReasmFails")
    )
    return (flow.receiver, came, failed) if came and not whole else None


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
    yield Match("certain", evidence, {"host": end.name, "memory": memory, "setting": name, "enough": _ENOUGH})


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
    fits = "the MTU"
    if flow.sender is not None:
        try:
            mtu = flow.sender.facts.link(flow.sender.interface)["mtu"]
            fits = f"the MTU: at most {mtu - _HEADERS[flow.channel.family]} bytes"
        except NotRead:
            pass
    yield Match("certain", tuple(evidence), {"host": end.name, "fits": fits})


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
    ),
)
