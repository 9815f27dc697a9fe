"""Crafted datagrams as values: what is to be on the wire, right or wrong.

``udp()`` begins one, its methods change it, each into a new one: ``udp(ttl=0).fragmented(512, order="reversed")``. What is
not said (addresses, ports) is that of the legitimate datagram of whoever sends it, so that a table of cases needs none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from pytest_mcast.core.channels import Channel

from .checks import check_packet, is_word
from .headers import ExtensionHeader, header_bytes
from .marks import MARKED

__all__ = ["Fragment", "Packet", "udp"]


@dataclass(frozen=True)
class Fragment:
    """A fragment: the octets ``start`` to ``end`` of what is fragmented, the UDP header included (None: to its end).

    ``more``: the flag, None for the right one; ``data``: other octets than those of the datagram; ``strange``: it has another
    identification than the rest. ``source``, ``group``, ``ttl`` and ``traffic_class`` are other ones as well, and so is
    ``protocol``, the number of what is said to be fragmented.
    """

    start: int
    end: int | None = None
    more: bool | None = None
    data: bytes | None = None
    strange: bool = False
    source: str | None = None
    group: str | None = None
    traffic_class: int | None = None
    ttl: int | None = None
    protocol: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.start <= 0xFFF8 or self.start % 8:
            raise ValueError(f"a fragment cannot start at {self.start!r}, which is not a multiple of 8 from 0 to 65528")
        if self.end is not None and self.end < self.start:
            raise ValueError(f"a fragment cannot end at {self.end!r}, before it starts at {self.start}")
        for name in ("traffic_class", "ttl", "protocol"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 255:
                raise ValueError(f"{name}={value!r} of a fragment is not from 0 to 255")


@dataclass(frozen=True)
class Packet:
    """A UDP datagram as it is to be on the wire; ``udp()`` makes one. Raises ``ValueError`` for what no frame can say.

    ``source`` and ``group`` are addresses of one family or words (see ``Prober``), ``mac`` and ``source_mac`` Ethernet
    addresses (default: that of the group, and of the sender). ``ttl`` is the TTL or hop limit. ``payload`` is exact, else
    there are ``size`` bytes with a mark in them. ``checksum`` (UDP) and ``ip_checksum``: None for the right one, ``"bad"``,
    or a number. ``udp_length`` and ``ip_length``: None for the right one, a number, or ``"+4"`` or ``"-4"``.
    ``identification``: None for a new one each time it is sent. ``fragments``: the largest IP payload of a fragment in
    bytes, or what each one is; None to fragment only what does not fit into ``mtu``. The rest is said at the methods.
    """

    source: str | None = None
    source_port: int | None = None
    group: str | None = None
    port: int | str | None = None
    ttl: int = 1
    size: int = 64
    payload: bytes | None = None
    traffic_class: int = 0
    flow_label: int = 0
    identification: int | None = None
    dont_fragment: bool = False
    checksum: int | str | None = None
    ip_checksum: int | str | None = None
    udp_length: int | str | None = None
    ip_length: int | str | None = None
    options: tuple[bytes | ExtensionHeader, ...] = ()
    ip_fields: tuple[tuple[str, Any], ...] = ()
    fragment: int | tuple[Fragment, ...] | None = None
    first_fragment: int | None = None
    order: tuple[int, ...] | str | None = None
    copies: int = 1
    mac: str | None = None
    source_mac: str | None = None
    vlan: tuple[int, ...] = ()
    tag_type: int = 0x8100
    ethertype: int | None = None
    padding: bytes = b""
    cut: int | None = None
    mtu: int = 1500

    def __post_init__(self) -> None:
        if self.payload is not None:
            object.__setattr__(self, "size", len(self.payload))
        for name, address in check_packet(self).items():  # in canonical form, as they will be read
            object.__setattr__(self, name, address)

    @property
    def family(self) -> str | None:
        """``ipv4`` or ``ipv6``; None as long as nothing says which."""
        known = next((one for one in (self.group, self.source) if one is not None and not is_word(one)), None)
        return None if known is None else "ipv6" if ":" in known else "ipv4"

    @property
    def complete(self) -> bool:
        """Whether it says everything that a frame needs."""
        needed = (self.source, self.source_port, self.group, self.port, self.source_mac)
        return not any(one is None or (isinstance(one, str) and is_word(one)) for one in needed)

    @property
    def visible(self) -> int:
        """How many bytes of the payload a receiver sees that goes by the UDP length."""
        length = self.resolved(self.udp_length, 8 + self.size)
        return length - 8 if 8 <= length <= 8 + self.size else self.size

    @property
    def marked(self) -> bool:
        """Whether there is a whole mark in what a receiver sees, so that it is known by that."""
        return self.payload is None and self.visible >= MARKED and self.cut is None

    def over(self, legitimate: Packet) -> Packet:
        """Return it with what it does not say taken from a legitimate datagram."""
        missing = {
            name: getattr(legitimate, name)
            for name in ("source", "source_port", "group", "port", "source_mac")
            if getattr(self, name) is None
        }
        return replace(self, **missing, mtu=legitimate.mtu)

    def fragmented(
        self,
        fragments: int | Iterable[Fragment | tuple[int, int | None]],
        *,
        first: int | None = None,
        order: Sequence[int] | str | None = None,
    ) -> Packet:
        """Fragment it, into IP payloads of so many bytes (a multiple of 8) or into those given, as (start, end) perhaps.

        ``first`` is the size of the first one when that is another. ``order`` says which are sent, from 0, negative ones
        from the end: ``(0, 2)`` leaves one out, ``(0, 1, 1)`` repeats one; or ``"reversed"``.
        """
        if not isinstance(fragments, int):
            fragments = tuple(one if isinstance(one, Fragment) else Fragment(*one) for one in fragments)
        order = order if isinstance(order, str) or order is None else tuple(order)
        return replace(self, fragment=fragments, first_fragment=first, order=order)

    def with_checksum(self, udp: int | str | None = None, *, ip: int | str | None = None) -> Packet:
        """Give UDP, or the header of IPv4, the checksum ``"bad"`` or a number; 0 in UDP says that there is none."""
        return replace(self, checksum=udp, ip_checksum=ip)

    def with_length(self, udp: int | str | None = None, *, ip: int | str | None = None) -> Packet:
        """Give UDP or IP (total length; payload length of IPv6) a length: a number, or ``"-5"`` for 5 less than is right.

        The checksum of UDP is right for the length that UDP says.
        """
        return replace(self, udp_length=udp, ip_length=ip)

    def with_options(self, *options: Any) -> Packet:
        """Add options of IPv4 or extension headers of IPv6: see ``headers``, or those of scapy, or bytes (IPv4)."""
        return replace(self, options=self.options + tuple(header_bytes(one) for one in options))

    def with_ip(self, **values: Any) -> Packet:
        """Set fields of scapy's ``IP`` or ``IPv6`` as they are, such as ``version=5``, ``ihl=4``, ``flags="DF"``, ``nh=59``."""
        return replace(self, ip_fields=tuple(sorted({**dict(self.ip_fields), **values}.items())))

    def as_frame(
        self,
        *,
        mac: str | None = None,
        source_mac: str | None = None,
        vlan: int | Sequence[int] = (),
        tag_type: int = 0x8100,
        ethertype: int | None = None,
        padding: bytes = b"",
        cut: int | None = None,
    ) -> Packet:
        """Say what the Ethernet frame is: to and from whom, and with which VLAN tags (outermost first).

        ``vlan`` is the tag (VID, and priority from bit 13 on), ``tag_type`` its type (0x88A8: IEEE 802.1ad). ``padding``
        follows the packet; of the frame only the first ``cut`` bytes are sent.
        """
        tags = (vlan,) if isinstance(vlan, int) else tuple(vlan)
        return replace(
            self,
            mac=mac,
            source_mac=source_mac,
            vlan=tags,
            tag_type=tag_type,
            ethertype=ethertype,
            padding=padding,
            cut=cut,
        )

    def repeated(self, copies: int) -> Packet:
        """Send all its frames so many times, the same each time."""
        if copies < 1:
            raise ValueError(f"copies={copies!r} is not 1 or more")
        return replace(self, copies=copies)

    @staticmethod
    def resolved(wanted: int | str | None, right: int) -> int:
        """Return the length that is wanted, where this one is right."""
        return right if wanted is None else right + int(wanted) if isinstance(wanted, str) else wanted

    def __str__(self) -> str:
        where = f" from {self.source}" if self.source is not None else ""
        where += f" port {self.source_port}" if self.source_port is not None else ""
        where += f" to {self.group}" if self.group is not None else ""
        where += f" port {self.port}" if self.port is not None else ""
        parts = [f"{self.size} bytes{where}", f"TTL {self.ttl}"]
        parts += [f"{words} {value}" for name, words in _WORDS.items() if (value := getattr(self, name)) is not None]
        if isinstance(self.fragment, int):
            first = f" after one of {self.first_fragment}" if self.first_fragment is not None else ""
            parts.append(f"fragments of {self.fragment} bytes{first}")
        elif self.fragment is not None:
            parts.append("fragments " + ", ".join(f"{one.start}-{_end(one)}" for one in self.fragment[:8]))
        parts += [f"{name} {getattr(self, name)!r}" for name in _OTHERS if getattr(self, name) != _DEFAULTS[name]]
        return ", ".join(parts)


_WORDS = {
    "checksum": "UDP checksum",
    "ip_checksum": "IP checksum",
    "udp_length": "UDP length",
    "ip_length": "IP length",
}
_DEFAULTS = {one.name: one.default for one in fields(Packet)}
_OTHERS = (
    *("traffic_class", "flow_label", "identification", "dont_fragment", "options", "ip_fields", "order", "copies"),
    *("mac", "vlan", "ethertype", "cut"),
)


def udp(
    channel: Channel | None = None,
    payload: bytes | None = None,
    *,
    source: str | None = None,
    source_port: int | None = None,
    group: str | None = None,
    port: int | str | None = None,
    ttl: int = 1,
    size: int = 64,
    traffic_class: int = 0,
    flow_label: int = 0,
    identification: int | None = None,
    dont_fragment: bool = False,
) -> Packet:
    """Begin a datagram: to a channel or to ``group`` and ``port``, with a payload or with ``size`` bytes and a mark.

    What is not named is that of the legitimate datagram: ``udp(ttl=0)`` differs from it in its TTL only. See ``Packet``
    for units and errors, and ``Prober`` for words that stand for addresses (``source="other"``).
    """
    if channel is not None:
        group, port = group or channel.group, channel.port if port is None else port
        source = source or channel.source
    return Packet(
        source=source,
        source_port=source_port,
        group=group,
        port=port,
        ttl=ttl,
        size=size,
        payload=payload,
        traffic_class=traffic_class,
        flow_label=flow_label,
        identification=identification,
        dont_fragment=dont_fragment,
    )


def _end(fragment: Fragment) -> str:
    return "" if fragment.end is None else str(fragment.end)
