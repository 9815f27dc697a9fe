"""Frames and packets of the user's own as probes: bytes, or what scapy has built."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pytest_mcast.core.channels import group_mac
from pytest_mcast.wire.frames import Seen, seen

__all__ = ["Raw", "is_scapy", "raw"]

_KINDS = {"IP": b"\x08\x00", "IPv6": b"\x86\xdd"}
_LINK_LAYERS = ("Ether", "Dot3")


@dataclass(frozen=True)
class Raw:
    """What is sent as it is; ``raw()`` makes one.

    ``packets`` are (ethertype, bytes): without an ethertype the bytes are a whole frame, with one they get an Ethernet
    header. ``payload`` is what a receiver would deliver, if that is known; it is known by that.
    """

    packets: tuple[tuple[bytes, bytes], ...]
    payload: bytes | None
    name: str

    def frames(self, source_mac: str) -> list[bytes]:
        """Return the frames, those without an Ethernet header with one from that address."""
        return [packet if not kind else _ethernet(kind, packet, source_mac) + packet for kind, packet in self.packets]

    def read(self, frames: Iterable[bytes]) -> Seen | None:
        """Return the UDP datagram in the frames, if there is one that can be read."""
        return next((found for frame in frames if (found := seen(frame)) is not None), None)

    def __str__(self) -> str:
        return self.name


def raw(*packets: Any, payload: bytes | None = None, name: str | None = None) -> Raw:
    """Make a probe of frames (bytes, Ethernet header and all) or of scapy's packets; an ``IP`` or ``IPv6`` gets a header.

    ``payload``: what a receiver would deliver, by which it is known there; read from the first frame with a UDP header when
    it is not given. Raises ``ValueError`` for what is neither.
    """
    if not packets:
        raise ValueError("raw() needs a frame as bytes, or a packet of scapy's")
    found = tuple(_packet(one) for one in packets)
    if name is None:
        first = packets[0]
        name = first.summary() if is_scapy(first) else f"{len(first)} bytes as they are"
        name += f", and {len(packets) - 1} more" if len(packets) > 1 else ""
    return Raw(found, payload, name)


def is_scapy(what: object) -> bool:
    """Say whether it is a packet of scapy's, without loading scapy."""
    return type(what).__module__.startswith("scapy.") and hasattr(what, "summary")


def _packet(what: Any) -> tuple[bytes, bytes]:
    if isinstance(what, (bytes, bytearray)):
        return b"", bytes(what)
    name = type(what).__name__
    if is_scapy(what) and name in _KINDS:
        return _KINDS[name], bytes(what)
    if is_scapy(what) and name in _LINK_LAYERS:
        return b"", bytes(what)
    kinds = ", ".join([*_LINK_LAYERS, *_KINDS])
    raise ValueError(f"{what!r} is neither bytes nor a packet of scapy's that begins with {kinds}")


def _ethernet(kind: bytes, packet: bytes, source_mac: str) -> bytes:
    import ipaddress

    at, size = (16, 4) if kind == _KINDS["IP"] else (24, 16)
    mac = group_mac(str(ipaddress.ip_address(packet[at : at + size])))
    return bytes.fromhex((mac + source_mac).replace(":", "")) + kind
