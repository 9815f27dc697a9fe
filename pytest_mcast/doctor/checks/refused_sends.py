"""Causes of a refused send, or of a socket that cannot be addressed: size, buffer, packet filter, zone."""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Iterator

from pytest_mcast.doctor.check import Check, Match
from pytest_mcast.doctor.facts import NotRead
from pytest_mcast.doctor.firewall import Packet, stops
from pytest_mcast.doctor.flow import End, Flow

from .refusals import caller, ipsec_exemption, link_of, said

__all__ = ["CHECKS", "packet_of"]

# What a datagram can hold at most: 65535 less the headers; the IPv4 header counts for that number (RFC 768, RFC 791).
_MOST = {"ipv4": 65507, "ipv6": 65527}
_HEADERS = {"ipv4": 28, "ipv6": 48}
_ZONED = ("interface-local", "link-local")


def _sender(flow: Flow, *codes: int) -> End | None:
    return caller(flow, *codes) if flow.call == "send" else None


def _fragments(end: End) -> bool | None:
    """Return whether the socket sends in fragments what is too large for the MTU; None when nobody knows."""
    return next((sock["fragments"] for sock in end.sockets if "fragments" in sock), None)


def _too_large(flow: Flow) -> Iterator[Match]:
    end, most = _sender(flow, errno.EMSGSIZE), _MOST[flow.channel.family]
    if end is None or (flow.size is None and not _fragments(end)) or (flow.size is not None and flow.size <= most):
        return
    seen = "the socket sends in fragments" if flow.size is None else f"the payload has {flow.size} bytes"
    yield Match("certain", (said(flow), seen), {"most": most})


def _not_fragmented(flow: Flow) -> Iterator[Match]:
    end = _sender(flow, errno.EMSGSIZE)
    link = None if end is None else link_of(end)
    if end is None or link is None or any(_too_large(flow)):
        return
    room = link["mtu"] - _HEADERS[flow.channel.family]
    if flow.size is None or flow.size > room:
        seen = "nobody knows the size" if flow.size is None else f"the payload has {flow.size} bytes"
        yield Match(
            "certain" if _fragments(end) is False else "likely",
            (
                said(flow),
                f"{seen}; the MTU of {end.interface} is {link['mtu']}, which leaves {room}",
                *(["the socket is set not to fragment"] if _fragments(end) is False else []),
            ),
            {"interface": end.interface, "mtu": link["mtu"], "room": room},
        )


def _no_room(flow: Flow) -> Iterator[Match]:
    end = _sender(flow, errno.ENOBUFS)
    if end is None or flow.size is None:
        return
    for buffer in [sock["send_buffer"] for sock in end.sockets if "send_buffer" in sock][:1]:
        if flow.size > buffer:
            yield Match(
                "certain",
                (said(flow), f"SO_SNDBUF is {buffer} bytes, the payload has {flow.size}"),
                {"buffer": buffer, "size": flow.size},
            )


def _queue_stuck(flow: Flow) -> Iterator[Match]:
    end = _sender(flow, errno.EAGAIN)
    link = None if end is None else link_of(end)
    if end is None or link is None:
        return
    for queue in end.facts.read("queues"):
        if queue["index"] == link["index"] and queue["root"] and queue["backlog"]:
            seen = f"the queue of {end.interface} is {queue['kind']}, and has {queue['backlog']} bytes to send"
            yield Match("certain", (said(flow), seen), {"interface": end.interface, "kind": queue["kind"]})


def _queue_refuses(flow: Flow) -> Iterator[Match]:
    end = _sender(flow, errno.ENOBUFS)
    link = None if end is None else link_of(end)
    if end is None or link is None or any(_no_room(flow)):
        return
    for queue in end.facts.read("queues"):
        if queue["index"] == link["index"] and queue["root"] and queue["drops"]:
            yield Match(
                "certain",
                (
                    said(flow),
                    f"the queue of {end.interface} is {queue['kind']}, and has dropped {queue['drops']} packets so far",
                ),
                {"interface": end.interface, "kind": queue["kind"]},
            )


def packet_of(flow: Flow, end: End) -> Packet:
    """Return what a packet filter of the sender sees of the flow."""
    channel = flow.channel
    room = None if flow.size is None else flow.size + _HEADERS[channel.family]
    port: int = end.sockets[0].get("local", ["", 0])[1] if end.sockets else 0
    return Packet(
        channel.family,
        channel.group,
        source=flow.source,
        port=channel.port,
        source_port=port or None,
        ttl=flow.ttl,
        length=room,
        outgoing=end.interface,
    )


def _ipsec(flow: Flow) -> Iterator[Match]:
    end = _sender(flow, errno.EPERM)
    if end is None:
        return
    blocked = end.changes["XfrmOutPolBlock"]
    if blocked:
        seen = f"{end.name} has counted XfrmOutPolBlock +{blocked}"
        values = {"host": end.name, "group": flow.channel.group, "command": ipsec_exemption(flow)}
        yield Match("certain", (said(flow), seen), values)


def _filtered(flow: Flow) -> Iterator[Match]:
    end = _sender(flow, errno.EPERM)
    if end is None:
        return
    packet = packet_of(flow, end)
    found = stops(end.facts.firewall(), packet, "output", "postrouting")
    # The kernel has said that a packet filter drops it: the only rule that can is the one, understood or not.
    for stop in found[:1]:
        yield Match(
            "certain" if stop.sure or len(found) == 1 else "likely",
            (said(flow), f"{end.name} has in nftables: {stop}"),
            {"rule": str(stop), "command": stop.accepting(packet.selector)},
        )


def _filtered_by_something(flow: Flow) -> Iterator[Match]:
    end = _sender(flow, errno.EPERM)
    if end is None or any(_filtered_or_unknown(flow)) or any(_ipsec(flow)):
        return
    try:
        legacy = end.facts.read("firewall_legacy")
    except NotRead:
        legacy = []
    tables = f"; there are tables of iptables-legacy: {', '.join(legacy)}" if legacy else ""
    yield Match(
        "likely", (said(flow), f"no rule of nftables is known to drop it{tables}"), {"interface": end.interface}
    )


def _filtered_or_unknown(flow: Flow) -> Iterator[Match]:
    try:
        yield from _filtered(flow)
    except NotRead:
        return


def _no_zone(flow: Flow) -> Iterator[Match]:
    end = caller(flow, errno.EINVAL)
    if end is None or flow.channel.family == "ipv4" or not (end.sockets or flow.call == "bind"):
        return
    sock = end.sockets[0] if end.sockets else {}
    bound = sock.get("local", ["", 0])[1] != 0
    source = {"join": None, "bind": flow.channel.group}.get(flow.call, flow.source)
    names = [flow.channel.group] if flow.channel.scope in _ZONED else []
    if source is not None and ipaddress.ip_address(source).is_link_local:
        names.append(source)
    # A bind looks at the scope id and the device only (net/ipv6/af_inet6.c, __inet6_bind).
    options = ("device", "multicast_interface") if flow.call in ("open", "send") else ("device",)
    if not names or bound or any(sock.get(each) for each in options):
        return
    yield Match(
        "certain",
        (said(flow), f"{' and '.join(names)}: an address of one link; the socket is bound to no interface"),
        {
            "address": names[0],
            "interface": end.interface,
            "option": "IPV6_MULTICAST_IF" if "multicast_interface" in options else "SO_BINDTODEVICE",
        },
        place="code",
    )


#: Checks of a refused send.
CHECKS: tuple[Check, ...] = (
    Check(
        id="datagram.too-large",
        stage="call",
        condition=_too_large,
        sentence="a datagram holds {most} bytes at most",
        cure="send less at once",
        reads=("the size of the payload",),
        reference="RFC 768; RFC 791 section 3.1; RFC 8200 section 4.5",
        place="code",
    ),
    Check(
        id="datagram.not-fragmented",
        stage="call",
        condition=_not_fragmented,
        sentence="the datagram is larger than the MTU of {interface}, {mtu} bytes, and may not be fragmented",
        cure="send {room} bytes at most, or leave IP_MTU_DISCOVER (IPV6_DONTFRAG) alone",
        reads=("links", "the size of the payload", "the socket: IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, IPV6_DONTFRAG"),
        reference="ip(7), IP_MTU_DISCOVER; RFC 3542 section 11.2",
        place="code",
    ),
    Check(
        id="send-buffer.too-small",
        stage="call",
        condition=_no_room,
        sentence="a datagram of {size} bytes does not fit into the send buffer of {buffer} bytes",
        cure="ask for a send buffer of at least twice the datagram: Sender(send_buffer=), SO_SNDBUF",
        reads=("the socket: SO_SNDBUF", "the size of the payload"),
        reference="socket(7), SO_SNDBUF",
        place="code",
    ),
    Check(
        id="queue.refuses",
        stage="call",
        condition=_queue_refuses,
        sentence="the queue of {interface} ({kind}) has no room for the datagram",
        cure="go back to the usual queue, or send more slowly",
        command="tc qdisc del dev {interface} root",
        reads=("links", "queues"),
        reference="tc(8); send(2), ENOBUFS; ip(7), IP_RECVERR",
        place="sender",
    ),
    Check(
        id="queue.stuck",
        stage="call",
        condition=_queue_stuck,
        sentence="the send buffer is full, because the queue of {interface} ({kind}) sends too slowly",
        cure="go back to the usual queue, or send more slowly",
        command="tc qdisc del dev {interface} root",
        reads=("links", "queues"),
        reference="tc(8); send(2), EAGAIN",
        place="sender",
    ),
    Check(
        id="ipsec.output",
        stage="call",
        condition=_ipsec,
        sentence="an IPsec policy of {host} forbids to send to {group}",
        cure="exempt the group",
        command="{command}",
        reads=("counters: XfrmOutPolBlock (/proc/net/xfrm_stat)",),
        reference="RFC 4301 section 4.4.1; ip-xfrm(8)",
        place="sender",
    ),
    Check(
        id="firewall.output",
        stage="call",
        condition=_filtered,
        sentence="a packet filter of the sender drops the datagrams: {rule}",
        cure="let them pass",
        command="{command}",
        reads=("firewall",),
        privilege="CAP_NET_ADMIN, to read the rules",
        reference="nft(8), hook output; sendto(2), EPERM",
        place="sender",
    ),
    Check(
        id="firewall.unknown",
        stage="call",
        condition=_filtered_by_something,
        sentence="a packet filter of the sender, or a program attached to its cgroup, drops the datagrams",
        cure="look at what filters what goes out by {interface}: iptables-legacy -S OUTPUT, bpftool cgroup tree",
        reads=("firewall", "firewall_legacy"),
        reference="iptables(8); bpf(2), BPF_PROG_TYPE_CGROUP_SKB",
        place="code",
        verified=False,
    ),
    Check(
        id="zone.missing",
        stage="call",
        condition=_no_zone,
        sentence="{address} is an address of one link, and the call does not say of which",
        cure=(
            "name the interface: by {option}, or by the scope id of the address (Python: the fourth item of the tuple, "
            "socket.if_nametoindex({interface!r}); it takes no zone like %{interface} there)"
        ),
        reads=("the socket: getsockname(2), SO_BINDTODEVICE, IPV6_MULTICAST_IF",),
        reference="RFC 4007 section 6; ipv6(7), sin6_scope_id",
        place="code",
    ),
)
