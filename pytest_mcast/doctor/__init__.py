"""What this environment can do, found out by trying, and why something was not delivered."""

from __future__ import annotations

from .check import Check, Match
from .diagnosis import Diagnosis, Finding, diagnose
from .endpoint import Endpoint
from .facts import Facts, NotRead
from .failure import chain_of, concern_of, explain
from .flow import Changes, End, Flow, Hop, Segment, Trace, Unwanted
from .moment import Moment
from .observation import Observation
from .own_sockets import opened_here
from .party import Party, facts_of
from .probes import CAPABILITIES, probe_channel, probe_namespaces, probe_packets
from .words import brief

__all__ = [
    "CAPABILITIES",
    "Changes",
    "Check",
    "Diagnosis",
    "End",
    "Endpoint",
    "Facts",
    "Finding",
    "Flow",
    "Hop",
    "Match",
    "Moment",
    "NotRead",
    "Observation",
    "Party",
    "Segment",
    "Trace",
    "Unwanted",
    "brief",
    "chain_of",
    "concern_of",
    "diagnose",
    "explain",
    "facts_of",
    "opened_here",
    "probe_channel",
    "probe_namespaces",
    "probe_packets",
]
