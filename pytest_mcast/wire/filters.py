"""Which frames are meant, and what a frame is in words."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TypeAlias

from pytest_mcast.core.channels import Channel

from .frames import packet, seen

__all__ = ["KINDS", "Filter", "describe", "frame_filter"]

_UDP, _IGMP, _ICMPV6 = 17, 2, 58
_MLD = (130, 131, 132, 143)  # RFC 2710, RFC 3810

Filter: TypeAlias = Channel | str | Callable[[bytes], bool] | None


def _protocol(frame: bytes, protocol: int) -> bool:
    found = packet(frame)
    return found is not None and found.protocol == protocol


def _family(frame: bytes, family: str) -> bool:
    found = packet(frame)
    return found is not None and found.family == family


def _mld(frame: bytes) -> bool:
    found = packet(frame)
    whole = found is not None and found.protocol == _ICMPV6 and not found.offset and found.start < found.end
    return found is not None and whole and frame[found.start] in _MLD


#: The filters that have a name.
KINDS: dict[str, Callable[[bytes], bool]] = {
    "arp": lambda frame: frame[12:14] == b"\x08\x06",
    "igmp": lambda frame: _protocol(frame, _IGMP),
    "ipv4": lambda frame: _family(frame, "ipv4"),
    "ipv6": lambda frame: _family(frame, "ipv6"),
    "mld": _mld,
    "udp": lambda frame: _protocol(frame, _UDP),
}


def frame_filter(wanted: Filter) -> Callable[[bytes], bool]:
    """Return the function of a frame's bytes that says whether it is wanted.

    ``wanted`` is None for every frame, a key of ``KINDS``, a channel for what is sent to its group and port from its
    source (and for all later fragments on that way, which tell no port), or such a function. Raises ``ValueError``.
    """
    if wanted is None:
        return lambda _: True
    if isinstance(wanted, Channel):
        return _channel(wanted)
    if isinstance(wanted, str) and wanted in KINDS:
        return KINDS[wanted]
    if not isinstance(wanted, str) and callable(wanted):
        return wanted
    raise ValueError(
        f"a filter is a Channel, one of {', '.join(map(repr, KINDS))}, a function of a frame's bytes, or None, "
        f"not {wanted!r}"
    )


def _channel(channel: Channel) -> Callable[[bytes], bool]:
    family = socket.AF_INET if channel.family == "ipv4" else socket.AF_INET6
    group = socket.inet_pton(family, channel.group)
    source = None if channel.source is None else socket.inet_pton(family, channel.source)

    def is_of_it(frame: bytes) -> bool:
        found = packet(frame)
        if found is None or found.destination != group or found.protocol != _UDP:
            return False
        if source is not None and found.source != source:
            return False
        port = int.from_bytes(frame[found.start + 2 : found.start + 4], "big")
        return bool(found.offset) or channel.port in (0, port)

    return is_of_it


def describe(frame: bytes) -> str:
    """Say in a few words what a frame is."""
    datagram = seen(frame)
    if datagram is not None:
        (source, source_port), (group, port) = datagram.source, datagram.destination
        return f"{source} port {source_port} to {group} port {port}: {datagram.length} bytes {datagram.payload[:32]!r}"
    found = packet(frame)
    if found is None:
        return f"{len(frame)} bytes of Ethernet type 0x{int.from_bytes(frame[12:14], 'big'):04x}"
    family = socket.AF_INET if found.family == "ipv4" else socket.AF_INET6
    source, to = (socket.inet_ntop(family, address) for address in (found.source, found.destination))
    names = [name for name in ("igmp", "mld") if KINDS[name](frame)] or [f"protocol {found.protocol}"]
    what = f"a fragment of {'UDP' if found.protocol == _UDP else names[0]}" if found.offset else names[0]
    return f"{source} to {to}: {what}, {found.end - found.start} bytes"
