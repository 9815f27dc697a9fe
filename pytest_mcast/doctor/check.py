"""A check as data: what it reads, when it applies, and what it says then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from .flow import Flow

__all__ = ["CONFIDENCES", "Check", "Confidence", "Match", "Place", "Stage"]

Confidence = Literal["certain", "likely", "possible"]
#: From the most to the least: it explains the loss by itself; it would, and was not seen to; it may.
CONFIDENCES: tuple[Confidence, ...] = ("certain", "likely", "possible")
#: Where on the way it is, in order: the sender's host, the network, the receiver's host, its socket. Or the call that the
#: kernel refused (``Flow.refused``), or a delivery that should not be (``Flow.unwanted``): only such checks are asked
#: then, and never otherwise.
Stage = Literal["call", "unwanted", "sender", "network", "receiver", "socket"]
#: Where its cure is carried out.
Place = Literal["sender", "receiver", "switch", "code"]


@dataclass(frozen=True)
class Match:
    """A check that applies: how sure that is, the evidence (a line each), and the values that the texts name.

    ``shared``: the evidence is of the whole host, which others use as well; so it is not certain beside another cause that is.
    """

    confidence: Confidence
    evidence: tuple[str, ...]
    values: Mapping[str, object] = field(default_factory=dict)
    place: Place | None = None  # instead of the check's
    shared: bool = False


@dataclass(frozen=True)
class Check:
    """One cause of loss.

    ``condition`` yields a ``Match`` for each time it applies; it may raise ``NotRead``. ``sentence`` (the cause), ``cure``
    (in words) and ``command`` (the cure as a shell command in a place; empty when it is a change of code) are templates of
    ``str.format`` with the values of the match. ``reads`` names what is read, for the documentation; ``privilege`` what
    that takes; ``verified`` whether the cause was made, and cured, on a real system; ``passing`` whether it may be over
    when a datagram is sent once more: then it may be the cause although that arrives.
    """

    id: str
    stage: Stage
    condition: Callable[[Flow], Iterable[Match]]
    sentence: str
    cure: str
    reads: tuple[str, ...]
    reference: str
    place: Place
    command: str = ""
    systems: tuple[str, ...] = ("linux",)
    privilege: str = ""
    verified: bool = True
    passing: bool = False
