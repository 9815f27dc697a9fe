"""What was seen of a datagram on its way, put in order: how far it has got, and what shows that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_mcast.wire.udp import UdpSocket, read_sockets

from .counters import changes_between
from .flow import Changes, Hop

__all__ = ["Seen", "came_in", "in_order", "ip_took_it", "left", "udp_took_it"]

#: Counters that say why IP took nothing, without their prefixes (RFC 4293; those of Linux).
_REASONS = (
    "IPReversePathFilter",
    "InHdrErrors",
    "InAddrErrors",
    "InNoRoutes",
    "InDiscards",
    "InTruncatedPkts",
    "ReasmFails",
    "ReasmReqds",
)


@dataclass(frozen=True)
class Seen:
    """What a watch has seen (``evidence.Watch.read``), understood. ``came_by`` and ``left_by``: None where frames cannot be seen."""

    host: str
    came_by: Sequence[str] | None
    left_by: Sequence[str] | None
    refused: str
    changes: Changes
    packets: Mapping[str, tuple[int, int]]
    sockets: tuple[tuple[UdpSocket, ...], tuple[UdpSocket, ...]]
    place: str

    @classmethod
    def of(cls, host: str, reading: Mapping[str, Any]) -> Seen:
        """Read what a watch returns."""
        before, now, frames = reading["before"], reading["now"], reading["frames"]
        refused = reading["refused"]
        if frames is not None and reading["lost"]:
            frames, refused = None, f"{reading['lost']} frames came too fast to be seen"
        there = [_packets(texts.get("proc/dev", "")) for texts in (before, now)]
        sockets = [
            tuple(one for name in ("proc/udp", "proc/udp6") for one in read_sockets(texts.get(name, "")))
            for texts in (before, now)
        ]
        return cls(
            host,
            None if frames is None else frames["in"],
            None if frames is None else frames["out"],
            refused,
            Changes(changes_between(before, now) if now else None),
            {
                name: (received - there[0].get(name, (0, 0))[0], sent - there[0].get(name, (0, 0))[1])
                for name, (received, sent) in there[1].items()
            },
            (sockets[0], sockets[1]),
            reading["place"],
        )

    @property
    def counted(self) -> Mapping[str, int] | None:
        """What the counters of the namespace have counted; None where there are none."""
        return self.changes.all() if self.packets else None


def left(seen: Seen, interface: str, family: str) -> Hop:
    """Say whether the datagram left the sender's interface."""
    name = f"{seen.host}: {interface}"
    if seen.left_by is not None:
        others = sorted(set(seen.left_by) - {interface})
        if interface in seen.left_by:
            return Hop(name, True, "a packet socket saw it go out")
        if others:
            return Hop(name, False, f"a packet socket saw it go out of {', '.join(others)} instead")
        return Hop(name, False, "a packet socket saw nothing go out")
    if seen.counted is None or interface not in seen.packets:
        return Hop(name, None, f"nobody can see: {seen.refused}")
    counter = "IpExt.OutMcastPkts" if family == "ipv4" else "Ip6OutMcastPkts"
    multicast, frames = seen.counted.get(counter, 0), seen.packets[interface][1]
    evidence = f"{counter} +{multicast}, {frames} frames went out; {seen.refused}"
    return Hop(name, multicast > 0 and frames > 0, evidence)


def came_in(seen: Seen, interface: str, family: str) -> Hop:
    """Say whether it came in at the receiver's interface."""
    name = f"{seen.host}: {interface}"
    if seen.came_by is not None:
        others = sorted(set(seen.came_by) - {interface})
        if interface in seen.came_by:
            return Hop(name, True, "a packet socket saw it come in")
        if others:
            return Hop(name, False, f"a packet socket saw it come in by {', '.join(others)} instead")
        return Hop(name, False, "a packet socket saw nothing come in")
    if seen.counted is None or interface not in seen.packets:
        return Hop(name, None, f"nobody can see: {seen.refused}")
    counter = _multicast_counter(family)
    frames, multicast = seen.packets[interface][0], seen.counted.get(counter, 0)
    evidence = f"{frames} frames came in, {counter} +{multicast}; {seen.refused}"
    # Frames of others come in as well; that there were none is certain.
    return Hop(name, False if not frames else True if multicast else None, evidence)


def ip_took_it(seen: Seen, family: str) -> Hop:
    """Say whether IP there gave it to UDP: membership, reverse path, fragments and firewall were all in favour."""
    name = f"{seen.host}: IP"
    counted = seen.counted
    if counted is None:
        return Hop(name, None, "no counters on this system")
    counter = _multicast_counter(family)
    multicast = counted.get(counter, 0)
    # Of both families, because Tcp.InSegs is: what was delivered and is neither TCP nor ICMP is UDP, or IGMP.
    delivered = counted.get("Ip.InDelivers", 0) + counted.get("Ip6InDelivers", 0)
    others = sum(counted.get(other, 0) for other in ("Tcp.InSegs", "Icmp.InMsgs", "Icmp6InMsgs"))
    evidence = f"{counter} +{multicast}, delivered to UDP: {max(0, delivered - others)}"
    reasons = [
        f"{key} +{value}" for key, value in counted.items() if key.removeprefix("Ip6").rpartition(".")[2] in _REASONS
    ]
    # A route of type local counts no multicast: what was delivered may be ours then, or anybody's.
    good = delivered > others and (True if multicast else None)
    return Hop(name, good, ", ".join([evidence, *([] if good else reasons)]))


def udp_took_it(seen: Seen, family: str, port: int) -> Hop:
    """Say whether UDP there had a socket for it."""
    name = f"{seen.host}: UDP"
    counted = seen.counted
    if counted is None:
        return Hop(name, None, "no counters on this system")
    prefix = "Udp." if family == "ipv4" else "Udp6"
    before = {one.inode: one for one in seen.sockets[0] if one.port == port}
    for now in (one for one in seen.sockets[1] if one.port == port):
        earlier = before.get(now.inode)
        if earlier is not None and now.drops > earlier.drops:
            return Hop(name, True, f"it had a socket for it, without room: {now}")
        if earlier is not None and now.queued > earlier.queued:
            return Hop(name, True, f"it queued it: {now}")
    found = {key: counted.get(prefix + key, 0) for key in ("InDatagrams", "IgnoredMulti", "InCsumErrors", "InErrors")}
    evidence = ", ".join(f"{prefix}{key} +{value}" for key, value in found.items() if value)
    if found["InDatagrams"]:
        return Hop(name, True, evidence)
    if evidence:
        what = "there was no socket for it" if found["IgnoredMulti"] else "it was wrong"
        return Hop(name, False, f"{what}: {evidence}")
    return Hop(name, None, f"no counter of UDP has moved, and no queue at port {port}")


def in_order(hops: Sequence[Hop]) -> list[Hop]:
    """Conclude what nobody saw: what was seen further on has passed here, and where it stopped it got no further."""
    found = list(hops)
    last = max((number for number, hop in enumerate(found) if hop.reached), default=-1)
    for number, hop in enumerate(found[: max(last, 0)]):
        if hop.reached is None:
            found[number] = replace(hop, reached=True, evidence=f"it got further ({hop.evidence})")
    stopped = next((number for number, hop in enumerate(found) if hop.reached is False), None)
    if stopped is not None:
        for number in range(max(stopped, last) + 1, len(found)):
            if found[number].reached is None:
                found[number] = replace(found[number], reached=False, evidence="it did not get here")
    return found


def _multicast_counter(family: str) -> str:
    return "IpExt.InMcastPkts" if family == "ipv4" else "Ip6InMcastPkts"


def _packets(text: str) -> dict[str, tuple[int, int]]:
    """Read /proc/net/dev: frames received and sent, by interface (proc_net(5))."""
    found = {}
    for line in text.splitlines()[2:]:
        name, _, numbers = line.rpartition(":")
        values = numbers.split()
        found[name.strip()] = int(values[1]), int(values[9])
    return found
