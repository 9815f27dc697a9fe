"""Membership messages in frames: a packet filter that lets nothing else through, frames read, queries built."""

from __future__ import annotations

import dataclasses

from .attach import instruction
from .igmp import igmp_query, read_igmp
from .messages import Message, Query
from .mld import mld_query, read_mld
from .packets import ICMPV6, IGMP, Packet, build_packet, read_packet
from .sockets import TappedFrame

__all__ = ["MEMBERSHIP_FILTER", "build_query", "read_message"]

#: Classic BPF: IPv4 with protocol IGMP; IPv6 with hop-by-hop options, where router alert is, or ICMPv6 without any.
MEMBERSHIP_FILTER = b"".join(
    instruction(code, value, jump, otherwise)
    for code, jump, otherwise, value in (
        (0x28, 0, 0, 12),  # load the EtherType
        (0x15, 0, 2, 0x0800),  # not IPv4: two on
        (0x30, 0, 0, 23),
        (0x15, 5, 4, IGMP),  # take it, or not
        (0x15, 0, 3, 0x86DD),
        (0x30, 0, 0, 20),
        (0x15, 2, 0, 0),
        (0x15, 1, 0, ICMPV6),
        (0x06, 0, 0, 0),  # nothing of it
        (0x06, 0, 0, 0x40000),  # all of it
    )
)


def read_message(frame: TappedFrame) -> Message | None:
    """Read the report or query in a frame; None when there is none, or it is malformed."""
    packet = read_packet(frame.data)
    if packet is None or packet.protocol not in (IGMP, ICMPV6):
        return None
    read = read_igmp if packet.protocol == IGMP else read_mld
    return read(
        packet,
        source=packet.source,
        destination=packet.destination,
        ttl=packet.ttl,
        router_alert=packet.router_alert,
        mac=packet.mac,
        interface=frame.interface,
        timestamp_ns=frame.timestamp_ns,
    )


def build_query(query: Query, cut: int | None = None) -> bytes:
    """Build the frame of a query from its fields; ``cut``: only so many bytes of the message, its checksum included.

    Raises ``ValueError`` for what cannot be written.
    """
    protocol = IGMP if query.protocol == "igmp" else ICMPV6
    packet = Packet(query.mac, query.source, query.destination, query.ttl, query.router_alert, protocol, b"")
    payload = igmp_query(query) if protocol == IGMP else mld_query(query, packet)
    if cut is not None:
        payload = payload[:cut]
    return build_packet(dataclasses.replace(packet, payload=payload))
