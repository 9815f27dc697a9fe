"""What is expected of a report or query."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from pytest_mcast.core.channels import Channel

from .messages import ANSWERS, RECORD_TYPES, Message, Query, Record, Report, group_of

__all__ = ["Speaker", "WantedReport", "wanted_query"]


class Speaker(Protocol):
    """Whoever sends messages, a host or a querier: they come from one of its ``identities``, addresses or MACs."""

    @property
    def identities(self) -> frozenset[str]:
        """What its messages are known by."""


@dataclass(frozen=True)
class WantedReport:
    """What a report must be; None is anything."""

    group: str
    source: str | None
    sender: str | None
    identities: frozenset[str] | None
    version: int | None
    record: str | None
    sources: frozenset[str] | None
    answers: Query | None

    @classmethod
    def of(
        cls,
        channel: Channel | str,
        sender: Speaker | str | None,
        version: int | None,
        record: str | None,
        sources: Iterable[str] | None,
        answers: Query | None,
    ) -> WantedReport:
        """Make one of what the user says; raises ``ValueError``."""
        if record is not None and record not in RECORD_TYPES:
            raise ValueError(f"record {record!r} is not one of {', '.join(RECORD_TYPES)}")
        exact = None if sources is None else frozenset(map(group_of, sources))
        source = channel.source if isinstance(channel, Channel) and exact is None else None
        name = None if sender is None else str(sender)
        return cls(group_of(channel), source, name, _identities(sender), version, record, exact, answers)

    def __call__(self, message: Message) -> list[int]:
        """Return the numbers of the records of a message that fit."""
        if not (
            isinstance(message, Report)
            and message.checksum_ok
            and _is_from(message, self.identities)
            and self.version in (None, message.version)
            and (self.answers is None or message.timestamp_ns >= self.answers.timestamp_ns)
        ):
            return []
        return [number for number, record in enumerate(message.records) if self._fits(record)]

    def _fits(self, record: Record) -> bool:
        older = record.type in RECORD_TYPES[6:]  # no sources on the wire
        return (
            record.group == self.group
            and self.record in (None, record.type)
            and (self.answers is None or record.type in ANSWERS)
            and (self.sources is None or record.sources == self.sources)
            and (self.source is None or older or self.source in record.sources)
        )

    @property
    def newest(self) -> bool:
        """Whether no older version than IGMPv3 or MLDv2 can say this: it is asked for, or its records or sources are."""
        newest = self.version == (2 if ":" in self.group else 3)
        return newest or (self.record or RECORD_TYPES[6]) in RECORD_TYPES[:6] or self.sources is not None

    def __str__(self) -> str:
        parts = [f"report of {self.group}" + ("" if self.sender is None else f" from {self.sender}")]
        parts += [] if self.version is None else [f"version {self.version}"]
        parts += [] if self.record is None else [self.record]
        parts += [] if self.source is None else [f"with the source {self.source}"]
        parts += [] if self.sources is None else [f"with exactly the sources {{{', '.join(sorted(self.sources))}}}"]
        parts += [] if self.answers is None else [f"in answer to the {self.answers}"]
        return ", ".join(parts)


def wanted_query(sender: Speaker | str | None) -> Callable[[Message], list[int]]:
    """Return what says that a message is a query of a sender, or of anybody."""
    identities = _identities(sender)

    def wanted(message: Message) -> list[int]:
        fits = isinstance(message, Query) and message.checksum_ok and _is_from(message, identities)
        return [0] if fits else []

    return wanted


def _identities(sender: Speaker | str | None) -> frozenset[str] | None:
    if sender is None:
        return None
    return frozenset([sender.lower()]) if isinstance(sender, str) else sender.identities


def _is_from(message: Message, identities: frozenset[str] | None) -> bool:
    return identities is None or message.source in identities or message.mac in identities
