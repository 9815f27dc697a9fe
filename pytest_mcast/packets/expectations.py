"""What is expected of a receiver, as a value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["FIELDS", "Expectation", "deliver", "drop", "either"]

#: What a receiver may say about a datagram, so that it can be compared with what was sent.
FIELDS = frozenset({"source", "source_port", "group", "port", "interface", "ttl", "payload", "length"})


@dataclass(frozen=True)
class Expectation:
    """How often a datagram is to be delivered, ``least`` to ``most`` times, and what is compared with what was sent.

    ``payload`` is what is to be delivered (None: what was sent), ``size`` how much of it (None: all). Of ``fields`` only
    those are compared that the receiver can observe.
    """

    least: int
    most: int
    payload: bytes | None = None
    size: int | None = None
    fields: frozenset[str] = FIELDS

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.most:
            raise ValueError(f"{self.least} to {self.most} copies cannot be expected")
        unknown = sorted(self.fields - FIELDS)
        if unknown:
            raise ValueError(f"{unknown[0]!r} is no field of a datagram; there are {', '.join(sorted(FIELDS))}")

    @property
    def delivered(self) -> bool:
        """Whether it must be delivered."""
        return self.least > 0

    def __str__(self) -> str:
        if self.most == 0:
            return "not delivered"
        if self.least == self.most:
            return "delivered once" if self.most == 1 else f"delivered {self.most} times"
        return f"delivered {self.least} to {self.most} times"


def deliver(
    copies: int = 1, *, payload: bytes | None = None, size: int | None = None, fields: Iterable[str] = FIELDS
) -> Expectation:
    """Expect so many copies, as they were sent, or with another payload, or with the first ``size`` bytes of it."""
    return Expectation(copies, copies, payload, size, frozenset(fields))


def drop() -> Expectation:
    """Expect that it is not delivered."""
    return Expectation(0, 0)


def either(most: int = 1) -> Expectation:
    """Expect that it is delivered as it was sent or not at all, where nobody says which."""
    return Expectation(0, most)
