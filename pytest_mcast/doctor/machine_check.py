"""A check of a whole machine, as data: what it reads, when it applies, and what it says then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from .check import CONFIDENCES, Confidence, Match
from .facts import Facts, NotRead
from .printable import filled

__all__ = ["MachineCheck", "MachineFinding", "examine"]


@dataclass(frozen=True)
class MachineCheck:
    """One thing that makes multicast fail on a machine, or that has others fail on it.

    As ``Check``, but its ``condition`` is about the facts of one machine, and its cure is carried out there.
    """

    id: str
    condition: Callable[[Facts], Iterable[Match]]
    sentence: str
    cure: str
    reads: tuple[str, ...]
    reference: str
    command: str = ""
    systems: tuple[str, ...] = ("linux",)
    privilege: str = ""
    verified: bool = True


@dataclass(frozen=True)
class MachineFinding:
    """What a check has found, in words."""

    check: str
    confidence: Confidence
    cause: str
    evidence: tuple[str, ...]
    cure: str
    command: str
    reference: str


def examine(facts: Facts, checks: Iterable[MachineCheck]) -> tuple[tuple[MachineFinding, ...], dict[str, str]]:
    """Ask the checks; return what they have found, the surest first, and which could not be asked, with the reason."""
    findings: list[MachineFinding] = []
    unchecked: dict[str, str] = {}
    for check in checks:
        if facts.system not in check.systems:
            continue
        try:
            findings += [_finding(check, match) for match in check.condition(facts)]
        except NotRead as missing:
            unchecked[check.id] = str(missing)
    return tuple(sorted(findings, key=lambda one: CONFIDENCES.index(one.confidence))), unchecked


def _finding(check: MachineCheck, match: Match) -> MachineFinding:
    values: Mapping[str, object] = match.values
    return MachineFinding(
        check.id,
        match.confidence,
        check.sentence.format(**values),
        match.evidence,
        check.cure.format(**values),
        filled(check.command, values, windows=check.systems == ("win32",)),
        check.reference,
    )
