"""What this environment can do, found out by trying, and why something was not delivered."""

from __future__ import annotations

from .check import Check, Match
from .diagnosis import Diagnosis, Finding, diagnose
from .facts import Facts, NotRead
from .flow import Changes, End, Flow, Hop, Segment, Trace, Unwanted
from .observation import Observation, Party, facts_of
from .probes import CAPABILITIES, probe_channel, probe_namespaces, probe_packets

__all__ = [
    "CAPABILITIES",
    "Changes",
    "Check",
    "Diagnosis",
    "End",
    "Facts",
    "Finding",
    "Flow",
    "Hop",
    "Match",
    "NotRead",
    "Observation",
    "Party",
    "Segment",
    "Trace",
    "Unwanted",
    "diagnose",
    "facts_of",
    "probe_channel",
    "probe_namespaces",
    "probe_packets",
]
