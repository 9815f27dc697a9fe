"""What a test names in a call about routers: groups, hosts, interfaces, lines; checked before the kernel or a daemon gets it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from pytest_mcast.core.channels import FAMILIES, Channel

if TYPE_CHECKING:
    from pytest_mcast.hosts import Host

__all__ = [
    "check_family",
    "family_of",
    "group_named",
    "host_named",
    "lines_named",
    "names_named",
    "seconds_named",
    "source_named",
    "thresholds_named",
]

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


def group_named(group: str) -> str:
    """Return the group as the kernel writes it; raises ``ValueError`` for what is none."""
    address = _address(group)
    if address is None or not address.is_multicast:
        raise ValueError(f"{group!r} is no multicast group")
    if "%" in group:
        raise ValueError(f"the group {group!r} has a zone; name it without, the interfaces are named beside it")
    return str(address)


def family_of(group: str) -> str:
    """Return the family of a group; raises as ``group_named``."""
    return FAMILIES[":" in group_named(group)]


def check_family(family: str) -> str:
    """Return the family; raises ``ValueError`` for another word."""
    if family not in FAMILIES:
        raise ValueError(f"family {family!r} is not one of {', '.join(FAMILIES)}")
    return family


def source_named(source: Host | str | None, group: str) -> str | None:
    """Return the address from which a host sends to a group; None is any. Raises ``ValueError`` for what cannot be a source of it."""
    scope = Channel.unchecked(group_named(group), 1).scope
    return None if source is None else host_named("source", source, family_of(group), scope)


def host_named(what: str, host: Host | str, family: str, scope: str = "link-local") -> str:
    """Return the address of a host, that for groups of a scope; ``what`` it is in errors. Raises ``ValueError`` for what is none."""
    text = host if isinstance(host, str) else host.source(family, scope)
    address = _address(text.partition("%")[0])
    wrong = address is None or address.is_multicast or address.is_unspecified
    if address is None or wrong or FAMILIES[address.version == 6] != family:
        raise ValueError(f"{what} {host!r} is neither a host nor the {family} address of one")
    return str(address)


def names_named(outgoing: Iterable[str]) -> list[str]:
    """Return names of interfaces; raises ``ValueError`` for one that is alone, which is a list of letters to Python."""
    if isinstance(outgoing, str):
        raise ValueError(f"outgoing {outgoing!r} is one name, where a list of names belongs: [{outgoing!r}]")  # noqa: TRY004 - as for what else is wrong
    return list(outgoing)


def thresholds_named(outgoing: Iterable[str] | Mapping[str, int], family: str) -> dict[str, int]:
    """Return the interfaces with the least TTL of each; raises ``ValueError`` for TTLs that cannot be."""
    thresholds = dict(outgoing) if isinstance(outgoing, Mapping) else dict.fromkeys(names_named(outgoing), 1)
    wrong = [f"{name}: {ttl!r}" for name, ttl in thresholds.items() if not _is_whole(ttl, 1, 254)]
    if wrong:
        raise ValueError(f"the least TTL of {', '.join(wrong)} is not from 1 to 254")
    if family == "ipv6" and set(thresholds.values()) - {1}:
        raise ValueError("IPv6 has no least hop limit for each entry; give the names of the interfaces only")
    return thresholds


def lines_named(extra: Sequence[str]) -> list[str]:
    """Return lines of a configuration; raises ``ValueError`` for a text."""
    if isinstance(extra, str):
        raise ValueError(f"extra {extra!r} is a text, where a list of lines belongs: [{extra!r}]")  # noqa: TRY004 - as for what else is wrong
    return list(extra)


def seconds_named(what: str, seconds: int) -> int:
    """Return whole seconds; raises ``ValueError`` for what a daemon cannot be told."""
    if not _is_whole(seconds, 1, 65535):
        raise ValueError(f"{what} {seconds!r} is not a whole number of seconds from 1 to 65535")
    return seconds


def _is_whole(number: object, least: int, most: int) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and least <= number <= most


def _address(text: object) -> _Address | None:
    try:
        return ipaddress.ip_address(text) if isinstance(text, str) else None
    except ValueError:
        return None
