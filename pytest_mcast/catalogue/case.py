"""Conformance cases as data: what is sent, or done, what a correct receiver makes of it, and who says so."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_mcast.core.channels import FAMILIES, MODES
from pytest_mcast.cores.behaviours import Bench
from pytest_mcast.lab import VirtualHost
from pytest_mcast.packets import Expectation

__all__ = ["LEVELS", "Case", "Difference", "Probe", "Situation", "describe_cases", "find_case", "matching", "register"]

#: MUST and SHOULD of an RFC (RFC 2119); ``kernel``: what Linux does, where no RFC says, or it does otherwise.
LEVELS = ("MUST", "SHOULD", "kernel")

#: What is sent: one or several of what ``Prober`` takes (a ``Packet`` of ``udp()``, a frame as bytes, a packet of scapy's),
#: or a function that makes it of the legitimate datagram.
Probe = Any

#: What is done to the receiver's host before anything is sent: a function of the bench, that host and the sender's.
Setup = Callable[[Bench, VirtualHost, VirtualHost], None]


@dataclass(frozen=True)
class Difference:
    """What a system does otherwise than the reference says: what is to be expected there, and who says that."""

    expect: Expectation
    source: str


@dataclass(frozen=True, eq=False)
class Case:
    """One conformance case.

    ``id`` is ``area.name``; ``title`` says what is sent or done, ``reason`` why a correct receiver does what it does, in one
    line each. ``level`` is one of ``LEVELS``, ``reference`` the section of the RFC, or the function of the kernel.
    ``differences`` are by ``sys.platform``; ``needs`` are the fields of a datagram that the core must tell, or the case is
    unsupported.
    """

    id: str
    title: str
    level: str
    reference: str
    reason: str
    families: tuple[str, ...] = FAMILIES
    modes: tuple[str, ...] = MODES
    needs: tuple[str, ...] = ("payload",)
    differences: Mapping[str, Difference] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]+\.[a-z0-9-]+", self.id):
            raise ValueError(f"{self.id!r} is not an id such as ssm.wrong-source")
        if self.level not in LEVELS:
            raise ValueError(f"{self.id}: level {self.level!r} is not one of {', '.join(LEVELS)}")

    @property
    def area(self) -> str:
        """The first part of the id."""
        return self.id.partition(".")[0]

    @property
    def rfcs(self) -> tuple[str, ...]:
        """The RFCs that the reference names, by number."""
        return tuple(dict.fromkeys(re.findall(r"RFC (\d+)", self.reference)))

    @property
    def expected(self) -> str:
        """What a correct receiver does, in words."""
        raise NotImplementedError

    def look(self, bench: Bench) -> None:
        """Find out what a core does; raises ``AssertionError`` when it is not what is expected, see ``Behaviour``."""
        raise NotImplementedError

    def __str__(self) -> str:
        return self.id


@dataclass(frozen=True, eq=False)
class Situation(Case):
    """A case that is more than a datagram: ``run`` does it and looks, ``outcome`` says what a correct receiver does."""

    outcome: str = ""
    run: Callable[[Bench], None] = field(default=lambda _: None)

    @property
    def expected(self) -> str:
        """What a correct receiver does, in words."""
        return self.outcome

    def look(self, bench: Bench) -> None:
        """Do it, and look."""
        bench.need(*self.needs)
        self.run(bench)


_CASES: dict[str, Case] = {}


def register(*cases: Case) -> None:
    """Add cases to the catalogue; raises ``ValueError`` for an id that is there already."""
    for case in cases:
        if case.id in _CASES:
            raise ValueError(f"there are two cases {case.id}")
        _CASES[case.id] = case


def find_case(id: str) -> Case:  # noqa: A002 - the field's word
    """Return the case of that id; raises ``LookupError`` with the nearest one."""
    if id not in _CASES:
        near = difflib.get_close_matches(id, _CASES, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        areas = ", ".join(dict.fromkeys(case.area for case in _CASES.values()))
        raise LookupError(f"there is no case {id!r}; {hint}there are {len(_CASES)} in the areas {areas}")
    return _CASES[id]


def describe_cases() -> list[tuple[str, str, str, str, str]]:
    """Return id, level, reference, title, and what is expected and why, of each case in the order of the areas."""
    cases = dict.fromkeys(case for case, _, _ in matching([(family, mode) for family in FAMILIES for mode in MODES]))
    return [(case.id, case.level, case.reference, case.title, f"{case.expected}: {case.reason}") for case in cases]


def matching(kinds: Sequence[tuple[str, str]]) -> Iterator[tuple[Case, str, str]]:
    """Yield each case with each of these kinds of channel (family, mode) that it is about, by area."""
    order = list(dict.fromkeys(case.area for case in _CASES.values()))
    for case in sorted(_CASES.values(), key=lambda case: order.index(case.area)):
        for family, mode in kinds:
            if family in case.families and mode in case.modes:
                yield case, family, mode
