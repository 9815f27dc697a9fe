"""How a switch snoops: the settings, and what they may be."""

from __future__ import annotations

from dataclasses import dataclass, fields

__all__ = ["COMPRESSED", "LONGEST", "Snooping", "Timers"]

#: The longest interval, in seconds.
LONGEST = 86_400.0

_LEAST = {"query_interval": 1.0, "startup_query_interval": 1.0}  # the kernel makes 1 s of less, without a word
# What the wire says in tenths of a second, where 0 makes an IGMPv2 query one of IGMPv1 (RFC 2236 section 4).
_TENTHS = ("query_response_interval", "last_member_interval")


@dataclass(frozen=True)
class Timers:
    """The intervals of RFC 3376 section 8 and RFC 3810 section 9, in seconds.

    The defaults are the RFCs', except for the two that hosts have time to answer in, which are a tenth of a second: a
    group is gone 0.2 seconds after the last leave. ``COMPRESSED`` makes the others as short as the kernel allows.
    Raises ``ValueError`` for what the kernel would change or the wire cannot say.
    """

    query_interval: float = 125.0
    startup_query_interval: float = 31.25
    query_response_interval: float = 0.1
    last_member_interval: float = 0.1
    membership_interval: float = 260.0
    querier_interval: float = 255.0

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            least = _LEAST.get(one.name, 0.1 if one.name in _TENTHS else 0.01)
            if not isinstance(value, (int, float)) or not least <= value <= LONGEST:
                raise ValueError(f"{one.name} {value!r} is not a number of seconds from {least:g} to {LONGEST:g}")


#: A query every second, and a membership that is not confirmed is forgotten after 3: what takes minutes takes seconds.
COMPRESSED = Timers(query_interval=1.0, startup_query_interval=1.0, membership_interval=3.0, querier_interval=3.0)


@dataclass(frozen=True)
class Snooping:
    """How a switch is set; see ``Switch``."""

    snooping: bool
    querier: bool
    igmp_version: int = 3
    mld_version: int = 2
    timers: Timers = Timers()

    def __post_init__(self) -> None:
        for name, versions in (("igmp_version", (2, 3)), ("mld_version", (1, 2))):
            if getattr(self, name) not in versions:
                raise ValueError(f"{name} {getattr(self, name)!r} is not {versions[0]} or {versions[1]}")
        if self.querier and not self.snooping:
            raise ValueError("querier=True needs snooping=True: the Linux bridge asks only when it listens")
