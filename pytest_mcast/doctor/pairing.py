"""What a test itself has done: a sender that is for another channel, or that has sent nothing.

These are no checks, because nothing of a system is read: they are known of the endpoints that a test has opened.
"""

from __future__ import annotations

from dataclasses import replace

from .check import Confidence
from .diagnosis import Diagnosis, Finding
from .facts import NotRead
from .flow import Flow

__all__ = ["paired"]


def paired(diagnosis: Diagnosis) -> Diagnosis:
    """Return a diagnosis with what is known of the test: first, unless a check is certain of another cause."""
    flow = diagnosis.flow
    if flow.refused or flow.unwanted is not None:
        return diagnosis
    found = _elsewhere(flow) if flow.sender is None else _silent(flow)
    if found is None:
        return diagnosis
    others = diagnosis.findings
    certain = [each for each in others if each.confidence == "certain"]
    first = [found, *certain] if found.confidence == "certain" else [*certain, found]
    return replace(diagnosis, findings=(*first, *(each for each in others if each not in certain)))


def _elsewhere(flow: Flow) -> Finding | None:
    """Say where the senders of the test send, when none is for the receiver's channel."""
    if not flow.elsewhere:
        return None
    where = ", ".join(map(str, flow.elsewhere[:3])) + (" and others" if len(flow.elsewhere) > 3 else "")
    return _finding(
        "channel.other",
        "likely",
        f"nobody sends to {flow.channel}: the senders of this test are for {where}",
        (f"the receiver is for {flow.channel}",),
        "open sender and receiver for the same channel",
    )


def _silent(flow: Flow) -> Finding | None:
    """Say that the sender has sent nothing; it is certain when nothing else has sent from that host either."""
    if flow.sent != 0 or flow.sender is None:
        return None
    counter = "Udp6OutDatagrams" if flow.channel.family == "ipv6" else "Udp.OutDatagrams"
    confidence: Confidence = "possible"
    evidence = ["the test has not told its sender to send"]
    try:
        others = flow.sender.changes[counter]
        evidence.append(f"{flow.sender.name} has sent {others or 'no'} UDP datagrams since the test began ({counter})")
        confidence = "certain" if others == 0 else "possible"
    except NotRead:
        pass
    return _finding(
        "sender.silent", confidence, f"nothing was sent to {flow.channel}", tuple(evidence), "send before you receive"
    )


def _finding(check: str, confidence: Confidence, cause: str, evidence: tuple[str, ...], cure: str) -> Finding:
    return Finding(check, confidence, cause, evidence, cure, command="", place="code", where="", reference="")
