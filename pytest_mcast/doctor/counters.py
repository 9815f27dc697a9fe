"""What the counters of a host have counted between two readings of its pulse."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_mcast.wire.counters import parse_counters

__all__ = ["changes_between"]

_COUNTERS = ("proc/snmp", "proc/netstat", "proc/snmp6", "proc/xfrm_stat")


def changes_between(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, int]:
    """Return what has moved, by names such as ``Udp.InErrors``, ``Ip6InMcastPkts``, ``eth0.tx_packets``.

    ``softnet.dropped`` is what the input queues of the processors had no room for: of the whole machine.
    """
    first, second = (
        {
            **parse_counters([texts[name] for name in _COUNTERS if name in texts]),
            **_of_interfaces(texts.get("proc/dev", "")),
            **_of_queues(texts.get("proc/softnet_stat", "")),
        }
        for texts in (before, now)
    )
    changes = {name: value - first.get(name, 0) for name, value in second.items()}
    return {name: change for name, change in changes.items() if change}


# The columns of /proc/net/dev after the name (net/core/net-procfs.c), by the names of IFLA_STATS64.
_COLUMNS = {
    1: "rx_packets",
    2: "rx_errors",
    3: "rx_dropped",
    7: "multicast",
    9: "tx_packets",
    10: "tx_errors",
    11: "tx_dropped",
}


def _of_interfaces(text: str) -> dict[str, int]:
    counts = {}
    for line in text.splitlines()[2:]:
        name, _, columns = line.partition(":")
        numbers = columns.split()
        counts.update({f"{name.strip()}.{what}": int(numbers[column]) for column, what in _COLUMNS.items()})
    return counts


# The first columns of /proc/net/softnet_stat (net/core/net-procfs.c), a line for each processor, in hexadecimal.
_QUEUE_COLUMNS = {1: "dropped", 2: "squeezed"}


def _of_queues(text: str) -> dict[str, int]:
    processors = [line.split() for line in text.splitlines()]
    return {
        f"softnet.{what}": sum(int(numbers[column], 16) for numbers in processors)
        for column, what in _QUEUE_COLUMNS.items()
    }
