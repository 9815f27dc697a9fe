"""What the counters of a host have counted between two readings of its pulse."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_mcast.wire.counters import parse_counters

__all__ = ["changes_between"]

_COUNTERS = ("proc/snmp", "proc/netstat", "proc/snmp6")


def changes_between(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, int]:
    """Return what has moved, by names such as ``Udp.InErrors``, ``Ip6InMcastPkts``."""
    first, second = (parse_counters([texts[name] for name in _COUNTERS if name in texts]) for texts in (before, now))
    changes = {name: value - first.get(name, 0) for name, value in second.items()}
    return {name: change for name, change in changes.items() if change}
