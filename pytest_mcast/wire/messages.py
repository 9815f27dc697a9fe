"""Reports and queries of IGMP and MLD, as values, and how both protocols write numbers."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from pytest_mcast.core.channels import Channel

__all__ = [
    "ANSWERS",
    "RECORD_TYPES",
    "Message",
    "Query",
    "Record",
    "Report",
    "code_of",
    "group_of",
    "value_of",
]

#: The types of a record, by number (RFC 3376 section 4.2.12, RFC 3810 section 5.2.12), and what older versions say.
RECORD_TYPES = (
    "MODE_IS_INCLUDE",
    "MODE_IS_EXCLUDE",
    "CHANGE_TO_INCLUDE_MODE",
    "CHANGE_TO_EXCLUDE_MODE",
    "ALLOW_NEW_SOURCES",
    "BLOCK_OLD_SOURCES",
    "REPORT",  # IGMPv1, IGMPv2 and MLDv1: membership of a group
    "LEAVE",  # IGMPv2: leave group
    "DONE",  # MLDv1: the same
)
#: Those that answer a query.
ANSWERS = ("MODE_IS_INCLUDE", "MODE_IS_EXCLUDE", "REPORT")


@dataclass(frozen=True)
class Record:
    """What a report says of one group; ``type`` is one of ``RECORD_TYPES``, or ``UNKNOWN_n``."""

    type: str
    group: str
    sources: frozenset[str] = frozenset()

    def __init__(self, type: str, group: str, sources: Iterable[str] = ()) -> None:  # noqa: A002 - the RFC's word
        object.__setattr__(self, "type", type)
        object.__setattr__(self, "group", str(ipaddress.ip_address(group)))
        object.__setattr__(self, "sources", frozenset(str(ipaddress.ip_address(source)) for source in sources))

    def __str__(self) -> str:
        sources = f" {{{', '.join(sorted(self.sources))}}}" if self.sources else ""
        return f"{self.type} {self.group}{sources}"


@dataclass(frozen=True, kw_only=True)
class Message:
    """What reports and queries have in common.

    ``protocol`` is ``igmp`` or ``mld``; ``version`` 1, 2 or 3 of IGMP, 1 or 2 of MLD. ``source`` and ``destination``
    are the addresses of the packet, ``mac`` the Ethernet address that it came from. ``checksum_ok``: all its checksums
    are right. Not compared: ``interface``, where it was heard, and ``timestamp_ns``, the kernel's time for that, in
    nanoseconds since 1970.
    """

    protocol: str
    version: int
    source: str
    destination: str
    ttl: int = 1
    router_alert: bool = True
    checksum_ok: bool = True
    mac: str = ""
    interface: str = field(default="", compare=False)
    timestamp_ns: int = field(default=0, compare=False)

    def after(self, other: Message) -> float:
        """Return how many seconds after the other one it was on the wire."""
        return (self.timestamp_ns - other.timestamp_ns) / 1e9

    @property
    def name(self) -> str:
        """Protocol and version, such as ``IGMPv3``."""
        return f"{self.protocol.upper()}v{self.version}"

    @property
    def oddities(self) -> str:
        """In words, what is not as it is sent by a correct host (RFC 3376 section 4, RFC 3810 section 5)."""
        found = [f"TTL {self.ttl}"] if self.ttl != 1 else []
        found += [] if self.router_alert or self.name == "IGMPv1" else ["no router alert"]
        found += [] if self.checksum_ok else ["bad checksum"]
        return f" ({', '.join(found)})" if found else ""


@dataclass(frozen=True, kw_only=True)
class Report(Message):
    """A membership report, or a leave or done message of an older version: its records in their order."""

    records: tuple[Record, ...]

    def of(self, group: Channel | str) -> tuple[Record, ...]:
        """Return the records of a group."""
        wanted = group_of(group)
        return tuple(record for record in self.records if record.group == wanted)

    def __str__(self) -> str:
        return f"{self.name} from {self.source}: {'; '.join(map(str, self.records)) or 'no record'}{self.oddities}"


@dataclass(frozen=True, kw_only=True)
class Query(Message):
    """A membership query: general without ``group``, specific with one, and with ``sources`` for these only.

    ``max_response`` is in seconds: 10 for IGMPv1, which does not say. ``robustness`` (QRV), ``interval`` (QQIC, in
    seconds) and ``suppress`` (the S flag) are in IGMPv3 and MLDv2 only. ``frame`` is what was sent, bytes and all.
    """

    group: str | None = None
    sources: frozenset[str] = frozenset()
    max_response: float = 0.1
    robustness: int = 0
    interval: int = 0
    suppress: bool = False
    frame: bytes = field(default=b"", compare=False, repr=False)

    def __str__(self) -> str:
        sources = f" {{{', '.join(sorted(self.sources))}}}" if self.sources else ""
        what = f"of {self.group}{sources}" if self.group else "of all groups"
        return f"{self.name} query from {self.source} {what}, answers within {self.max_response:g} s{self.oddities}"


def group_of(group: Channel | str) -> str:
    """Return the group of a channel, or the address itself, in canonical form; raises ``ValueError``."""
    return str(ipaddress.ip_address(group.group if isinstance(group, Channel) else group))


def value_of(code: int, mantissa: int) -> int:
    """Read a floating-point code with so many bits of mantissa: 4 in 8 (RFC 3376 4.1.1), 12 in 16 (RFC 3810 5.1.3)."""
    if code < 1 << mantissa + 3:
        return code
    exponent, low = code >> mantissa & 0x7, code & (1 << mantissa) - 1
    return (low | 1 << mantissa) << exponent + 3


def code_of(value: float, mantissa: int, what: str) -> int:
    """Return the code of the largest number that is not above the value; raises ``ValueError`` beyond the range."""
    largest = value_of((1 << mantissa + 4) - 1, mantissa)
    if not 0 <= value < largest + 1:
        raise ValueError(f"{what} is {value:g} units, and can be no more than {largest}, and not below 0")
    whole = math.floor(value + 1e-6)  # 0.3 s are 3 tenths, whatever binary fractions say
    if whole < 1 << mantissa + 3:
        return whole
    exponent = whole.bit_length() - mantissa - 4
    low = whole >> exponent + 3 & (1 << mantissa) - 1
    return 1 << mantissa + 3 | exponent << mantissa | low
