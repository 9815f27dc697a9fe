"""What counters of a whole host prove of the datagrams of one flow: they also count everybody else's."""

from __future__ import annotations

from .check import Confidence
from .facts import NotRead
from .flow import Changes, Flow

__all__ = ["lost", "surely"]


def lost(flow: Flow) -> int | None:
    """Return how many datagrams are missing; None when nobody knows how many were sent, or have come."""
    return None if flow.sent is None or flow.received is None else max(0, flow.sent - flow.received)


def surely(flow: Flow, role: str, *names: str) -> Confidence:
    """Return how sure it is that counters of a host (``role``: sender or receiver) have counted the datagrams of a flow.

    Certain if they have counted as many as are missing, or also one that was sent once more and followed, and did not
    arrive; else likely. It may still be a coincidence: matches of this kind are ``shared``.
    """
    end = flow.sender if role == "sender" else flow.receiver
    if end is None:
        return "likely"
    count = sum(end.changes[name] for name in names)
    if count and count == lost(flow):
        return "certain"
    if flow.trace is None or flow.trace.delivered is not False:
        return "likely"
    again = flow.trace.sender_changes if role == "sender" else flow.trace.receiver_changes
    return "certain" if _sum(again, names) else "likely"


def _sum(changes: Changes, names: tuple[str, ...]) -> int:
    try:
        return sum(changes[name] for name in names)
    except NotRead:
        return 0
