"""The result record: what one run found out, or several. Every table is a view of it.

Cells are found by their keys, never by their position. The schema is strict: a key that it does not name is refused, so
that nothing is lost by a program that reads a record and writes it again; a new key is a new version. Open to everybody
are the mappings of strings: environment, the facts about a host or subject, and the keys of cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pytest_mcast.core.errors import McastError

__all__ = [
    "EXPECTATIONS",
    "FORMAT",
    "OUTCOMES",
    "VERSION",
    "Cell",
    "Event",
    "Feature",
    "File",
    "Record",
    "RecordError",
    "Run",
]

FORMAT = "pytest-mcast record"
VERSION = 2
OUTCOMES = ("pass", "fail", "unsupported", "skipped", "error", "planned", "not-run")
EXPECTATIONS = ("pass", "fail", "unsupported")


class RecordError(McastError, ValueError):
    """A file that is not a record we can read; the text starts with its path."""

    def __init__(self, path: Path, text: str) -> None:
        super().__init__(f"{path}: {text}")


@dataclass(frozen=True)
class Run:
    """A run; ``started`` is UTC in ISO 8601, ``exit_code`` is None while it goes on, or if it was killed.

    ``environment`` has versions, system, ``commit``, ``ci``, ``job``, ``job_url``, ``shard`` and the like, where known.
    """

    id: str
    started: str
    duration_s: float
    command: tuple[str, ...] = ()
    exit_code: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Event:
    """What happened in a cell: ``time_s`` since the first of its events, on a host by its name in the file.

    ``kind`` is ``packet`` for what was seen on a wire or by a socket, else ``note``; ``host`` is empty for the harness.
    """

    time_s: float
    host: str
    what: str
    kind: str = "note"


@dataclass(frozen=True)
class Feature:
    """What was tested, and the document that it follows, such as ``RFC 4607 section 3``."""

    reference: str
    title: str


@dataclass(frozen=True)
class File:
    """A scenario file; ``hosts`` and ``subjects`` have facts about those that took part, by their names in it."""

    title: str = ""
    notes: str = ""
    hosts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    subjects: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """The result of one cell.

    ``key`` has file, sender, receiver, family, mode, and whatever else tells it from others. ``outcome`` is one of
    ``OUTCOMES``, what happened; ``expectation`` is what was to happen, ``expected_reason`` why if that is no pass;
    with ``sometimes`` a pass is no surprise either. ``run`` is the id of a run. ``duration_s`` is that of all attempts.
    ``reported`` is the version of IGMP or MLD, such as ``IGMPv3``, in which the receiver's host reported its membership.
    """

    key: Mapping[str, str]
    outcome: str
    nodeid: str
    run: str = ""
    expectation: str = "pass"
    sometimes: bool = False
    expected_reason: str = ""
    reason: str = ""
    attempts: int = 0
    duration_s: float = 0.0
    reported: str = ""
    notes: str = ""
    line: int = 0
    artifacts: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    timeline: tuple[Event, ...] = ()
    log: tuple[str, ...] = ()

    @cached_property
    def identity(self) -> frozenset[tuple[str, str]]:
        """The key, for sets and mappings."""
        return frozenset(self.key.items())


@dataclass(frozen=True)
class Record:
    """A record; ``subjects`` are the receive cores of the conformance suite, ``features`` its cases."""

    runs: tuple[Run, ...]
    files: Mapping[str, File] = field(default_factory=dict)
    subjects: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    features: Mapping[str, Feature] = field(default_factory=dict)
    cells: tuple[Cell, ...] = ()
