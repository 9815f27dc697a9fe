"""The engine: all checks on one flow, the most probable cause first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from .check import CONFIDENCES, Check, Confidence, Match, Place
from .facts import NotRead
from .flow import Flow, Trace
from .printable import filled
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
    matches: list[tuple[int, Check, Match]] = []
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
            matches += [(number, check, match) for match in check.condition(flow)]
        except NotRead as missing:
            unchecked[check.id] = str(missing)
        except Exception as error:  # noqa: BLE001 - whatever one check dies of, the others have something to say
            unchecked[check.id] = _failed(error)
    findings: list[Finding] = []
    for _, check, match in sorted(_weighed(flow, matches), key=_rank):
        try:
            findings.append(_finding(flow, check, match))
        except Exception as error:  # noqa: BLE001 - the same
            unchecked[check.id] = _failed(error)
    return Diagnosis(flow, tuple(findings), unchecked, checked)


def _failed(error: Exception) -> str:
    return f"the check failed: {type(error).__name__}: {error}".partition("\n")[0]


def _weighed(flow: Flow, matches: list[tuple[int, Check, Match]]) -> list[tuple[int, Check, Match]]:
    """Doubt what is certain by itself, and not beside what else is known."""
    if flow.trace is not None and flow.trace.delivered:
        matches = [(number, check, match if check.passing else _doubted(match)) for number, check, match in matches]
    certain = [(check.id, match.shared) for _, check, match in matches if match.confidence == "certain"]
    if len({name for name, _ in certain}) > 1 or not all(shared for _, shared in certain):
        matches = [(number, check, _doubted(match) if match.shared else match) for number, check, match in matches]
    return matches


def _doubted(match: Match) -> Match:
    return replace(match, confidence="likely") if match.confidence == "certain" else match


def _rank(one: tuple[int, Check, Match]) -> tuple[int, int, int]:
    number, check, match = one
    return CONFIDENCES.index(match.confidence), _STAGES.index(check.stage), number


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
        filled(check.command, values),
        place,
        where,
        check.reference,
    )
