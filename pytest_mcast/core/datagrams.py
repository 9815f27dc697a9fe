"""What was sent, and what arrived."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional, Tuple

from .channels import Channel

__all__ = ["Datagram", "Sent"]


@dataclass(frozen=True)
class Datagram:
    """A UDP datagram as it was received; None stands for what the system does not tell (Windows).

    ``source`` is (address, port), the address without zone; ``destination`` and ``port`` are where it was sent to;
    ``interface_index`` is where it came in; ``ttl`` is the TTL or hop limit on arrival; ``traffic_class`` is the whole
    octet (DSCP and ECN); ``timestamp_ns`` is the kernel's time of arrival in nanoseconds since 1970. ``truncated``:
    the datagram was larger than ``max_size`` of the receiver, and the rest is lost.
    """

    payload: bytes
    source: Tuple[str, int]
    destination: Optional[str]
    port: int
    interface_index: Optional[int]
    ttl: Optional[int]
    traffic_class: Optional[int]
    timestamp_ns: Optional[int]
    truncated: bool = False

    def __repr__(self) -> str:
        source, port = self.source
        where = f"to {self.destination or 'an unknown group'} port {self.port}, interface {self.interface_index}"
        shown = f"{self.payload[:64]!r}..." if len(self.payload) > 64 else repr(self.payload)
        cut = ", truncated" if self.truncated else ""
        return f"<Datagram of {len(self.payload)} bytes {shown} from {source} port {port} {where}, TTL {self.ttl}{cut}>"

    @property
    def dscp(self) -> Optional[int]:
        """The upper six bits of the traffic class (RFC 2474)."""
        return None if self.traffic_class is None else self.traffic_class >> 2


@dataclass(frozen=True)
class Sent:
    """A datagram that was handed to the kernel: what, from where, to where, out of which interface.

    ``timestamp_ns`` is when, in nanoseconds since 1970; None if nobody knows.
    """

    payload: bytes
    source: Tuple[str, int]
    channel: Channel
    interface: str
    ttl: int
    timestamp_ns: Optional[int] = field(default=None, compare=False)
