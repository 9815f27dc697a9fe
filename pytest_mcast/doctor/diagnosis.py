"""The engine: all checks on one flow, the most probable cause first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .check import CONFIDENCES, Check, Confidence, Match, Place
from .facts import NotRead
from .flow import Flow, Trace
from .words import in_words

__all__ = ["Diagnosis", "Finding", "diagnose"]

_STAGES = ("call", "unwanted", "sender", "network", "receiver", "socket")


@dataclass(frozen=True)
class Finding:
    """A cause that was found, in words; ``where`` names the host of the cure, empty for a change of code."""

    check: str
    confidence: Confidence
    cause: str
    evidence: tuple[str, ...]
    cure: str
    command: str
    place: Place
    where: str
    reference: str


@dataclass(frozen=True)
class Diagnosis:
    """What was found about a flow, the most probable first; and what could not be looked at, with the reason."""

    flow: Flow
    findings: tuple[Finding, ...]
    unchecked: dict[str, str] = field(default_factory=dict)
    #: How many checks there were.
    checked: int = 0

    @property
    def trace(self) -> Trace | None:
        """Where a datagram that was sent once more has got to."""
        return self.flow.trace

    def lines(self, *, limit: int = 25, width: int = 80) -> list[str]:
        """Say it in at most so many lines of at most so many columns."""
        return in_words(self, limit, width)


def diagnose(flow: Flow, checks: Iterable[Check] | None = None) -> Diagnosis:
    """Examine a flow by the checks (default: all of them)."""
    if checks is None:
        from .checks import CHECKS

        checks = CHECKS
    findings: list[tuple[int, int, int, Finding]] = []
    unchecked: dict[str, str] = {}
    checked = 0
    for number, check in enumerate(checks):
        system = _system(flow, check)
        question = check.stage if check.stage in ("call", "unwanted") else ""
        if flow.call == "report" and check.stage != "network":  # no datagram was to come
            continue
        if question != flow.question or (system is not None and system not in check.systems):
            continue
        checked += 1
        try:
            for match in check.condition(flow):
                rank = CONFIDENCES.index(match.confidence), _STAGES.index(check.stage), number
                findings.append((*rank, _finding(flow, check, match)))
        except NotRead as missing:
            unchecked[check.id] = str(missing)
        except Exception as error:  # noqa: BLE001 - whatever one check dies of, the others have something to say
            unchecked[check.id] = f"the check failed: {type(error).__name__}: {error}".partition("\n")[0]
    return Diagnosis(
        flow, tuple(finding for *_, finding in sorted(findings, key=lambda one: one[:3])), unchecked, checked
    )


def _system(flow: Flow, check: Check) -> str | None:
    end = flow.sender if check.stage == "sender" else flow.receiver or flow.sender
    return None if end is None else end.facts.system


def _finding(flow: Flow, check: Check, match: Match) -> Finding:
    place = match.place or check.place
    ends = {"sender": flow.sender, "receiver": flow.receiver}
    where = flow.segment.name if place == "switch" and flow.segment else getattr(ends.get(place), "name", "")
    values = dict(match.values)
    return Finding(
        check.id,
        match.confidence,
        check.sentence.format(**values),
        match.evidence,
        check.cure.format(**values),
        check.command.format(**values),
        place,
        where,
        check.reference,
    )
