"""Proofs that a datagram was delivered, or was not: control, fence, verdict.

That nothing arrived proves nothing: it may have been lost on the way, or come in a moment. So a *control* on the
receiver's side must have seen the datagram, and a *fence*, a legitimate datagram that is sent after it, must arrive.
Then all that was sent before has been processed, and no time-out had to pass for that.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, List, Optional, Protocol, Sequence, Tuple

from .deadline import Deadline
from .errors import Delivered, NotReceived, NoVerdict

if TYPE_CHECKING:
    from .channels import Channel
    from .datagrams import Datagram, Sent

__all__ = [
    "TRACE",
    "Control",
    "Receives",
    "Verdict",
    "describe_sent",
    "is_fence",
    "is_sent",
    "prove",
    "read_all",
    "read_until",
]

#: What the payload of a datagram begins with that is sent once more to be followed, by the doctor.
TRACE = b"pytest-mcast trace "
_FENCE = b"pytest-mcast fence "
_FENCES = 3  # where a datagram can be lost or overtaken
_GRACE = 0.2  # seconds in which one that was overtaken by the fence may still come in, there


class Control(Protocol):
    """Something on the receiver's side that sees a datagram whether or not the receiver delivers it."""

    @property
    def immediate(self) -> bool:
        """Whether what was sent has been seen and processed when the call that sent it returns."""

    def pull(self) -> None:
        """Fetch what there is to see, before there is no room for more."""

    def sighting(self, sent: Sent, deadline: Deadline) -> Optional[str]:
        """Say in words where the datagram was seen; None when it was not, up to the deadline."""

    def note(self, sent: Sent, text: str) -> None:
        """Put a comment on the datagram, where what was seen is kept."""

    def account(self) -> List[str]:
        """Say in lines what was seen besides, and what was counted."""


class Receives(Protocol):
    """What a proof is about: it gives the datagrams that it delivers, one after the other."""

    @property
    def channel(self) -> Channel:
        """The channel that it says it receives."""

    def recv(self, timeout: Optional[float] = None) -> Datagram:
        """Return the next datagram; raises ``NotReceived`` after ``timeout`` seconds."""


@dataclass(frozen=True)
class Verdict:
    """What was established about a probe, and by what evidence.

    ``delivered`` says whether the receiver delivered it, ``datagrams`` as what (twice, if it was delivered twice);
    ``probe``, ``control`` and ``fence`` say in words what was sent, who saw it, and what was sent after it;
    ``waited_for`` lists the events that were waited for. ``strong`` is the evidence when nothing can be late or overtaken (virtual
    hosts, loopback), not when a real network was in between. ``expected`` is what a correct receiver does, if it is known.
    """

    delivered: bool
    probe: str
    datagrams: Tuple[Datagram, ...]
    control: str
    fence: str
    receiver: str
    waited_for: Tuple[str, ...]
    strong: bool = True
    expected: Optional[bool] = None

    def expect_delivered(self) -> Verdict:
        """Return the verdict itself; raises ``NotReceived`` with the evidence when it is the other one."""
        if not self.delivered:
            raise NotReceived(f"not delivered: {self.probe}\n{self.evidence}")
        return self

    def expect_not_delivered(self) -> Verdict:
        """Return the verdict itself; raises ``Delivered`` with the evidence when it is the other one."""
        if self.delivered:
            error = Delivered(f"delivered: {self.probe}\n{self.evidence}")
            error.datagram = next(iter(self.datagrams), None)
            raise error
        return self

    def check(self) -> Verdict:
        """Expect what a correct receiver does; raises as the other two, ``ValueError`` when that is not known."""
        if self.expected is None:
            raise ValueError("nothing says whether it should be delivered: use expect_delivered() or its opposite")
        return self.expect_delivered() if self.expected else self.expect_not_delivered()

    @property
    def evidence(self) -> str:
        """The evidence in words, a line each."""
        lines = [f"control: {self.control}", f"fence: {self.fence}", f"receiver: {self.receiver}"]
        lines += [f"delivered as {datagram!r}" for datagram in self.datagrams[:4]]
        if not self.strong:
            lines.append("the evidence is weak: on this network a datagram may be late, or be overtaken")
        return "\n".join(lines)

    def __str__(self) -> str:
        return f"{'delivered' if self.delivered else 'not delivered'}: {self.probe}\n{self.evidence}"


def describe_sent(sent: Sent) -> str:
    """Say in words what was sent."""
    source, port = sent.source
    size = len(sent.payload)
    return f"{size} bytes {sent.payload[:32]!r} from {source} port {port} to {sent.channel} by {sent.interface}, TTL {sent.ttl}"


def read_until(
    receiver: Receives, last: Callable[[Datagram], bool], deadline: Deadline, *, wait: bool = True
) -> Tuple[List[Datagram], Optional[Datagram]]:
    """Read datagrams until one that is the last; return those before it, and it, or None when it did not come in time.

    Without ``wait`` only what is there is read.
    """
    before: List[Datagram] = []
    while True:
        try:
            datagram = receiver.recv(deadline.remaining() if wait else 0)
        except NotReceived:
            return before, None
        if last(datagram):
            return before, datagram
        before.append(datagram)
        if deadline.passed():  # a flood does not end by itself
            return before, None


def read_all(receiver: Receives, deadline: Deadline, *, wait: bool = False) -> List[Datagram]:
    """Read what is there, or with ``wait`` all that comes, until the deadline."""
    return read_until(receiver, lambda _: False, deadline, wait=wait)[0]


def is_fence(payload: bytes) -> bool:
    """Say whether a payload is that of a fence, or is followed by the doctor: nobody else wants to see those."""
    return payload.startswith((_FENCE, TRACE))


def prove(
    receiver: Receives,
    sent: Sequence[Sent],
    send_fence: Callable[[bytes], Sent],
    control: Control,
    *,
    timeout: float,
    keep: Callable[[List[Datagram]], object],
    witness: Optional[Receives] = None,
) -> Verdict:
    """Establish whether a receiver has delivered one of the datagrams; what else it has delivered goes to ``keep``.

    ``send_fence`` sends a payload that the receiver must deliver; or the ``witness`` must, a receiver beside it, where
    the receiver itself can get none. ``timeout`` is in seconds, and is spent only when there will be no verdict.
    Raises ``NoVerdict`` when the control has not seen a datagram, or the fence does not arrive.
    """
    deadline = Deadline(timeout)
    payload = _FENCE + secrets.token_hex(8).encode()
    fences = [send_fence(payload) for _ in range(1 if control.immediate else _FENCES)]
    before, arrived = read_until(witness or receiver, lambda datagram: datagram.payload == payload, deadline)
    if witness is not None:
        before = read_all(receiver, deadline)
    if arrived is not None and not control.immediate:
        before += read_all(receiver, Deadline(min(_GRACE, timeout)), wait=True)
    probes = [datagram for datagram in before if any(is_sent(datagram, one) for one in sent)]
    keep([datagram for datagram in before if datagram not in probes and not is_fence(datagram.payload)])
    sightings = [control.sighting(one, deadline) for one in sent]
    unseen = [one for one, sighting in zip(sent, sightings) if sighting is None]
    for one in sent:
        control.note(one, "probe: " + ("delivered" if probes else "not delivered" if arrived else "no verdict"))
    control.note(fences[-1], "fence: " + ("it has arrived" if arrived else "it has not arrived"))
    probe = describe_sent(sent[0]) + (f", and {len(sent) - 1} more" if len(sent) > 1 else "")
    fence = describe_sent(fences[0]) + (f", {len(fences)} times" if len(fences) > 1 else "")
    if not probes and (arrived is None or unseen):  # that it was delivered needs no other evidence
        reason = f"the fence did not arrive within {timeout:g} s" if arrived is None else "the control has not seen it"
        lines = [f"no verdict: {reason}", f"sent: {describe_sent(unseen[0]) if unseen else probe}"]
        lines += [
            f"control: {'did not see it' if unseen else sightings[0]}",
            f"fence: {fence}",
            f"receiver: {receiver!r}",
        ]
        raise NoVerdict("\n".join([*lines, *control.account()]))
    return Verdict(
        bool(probes),
        probe,
        tuple(probes),
        sightings[0] or "did not see it",
        fence + (" did not arrive" if arrived is None else ", arrived after it"),
        repr(receiver),
        ("fence",),
        strong=control.immediate,
    )


def is_sent(datagram: Datagram, sent: Sent) -> bool:
    """Say whether a datagram that arrived is the one that was sent."""
    to = datagram.destination in (None, sent.channel.group) and datagram.port == sent.channel.port
    same = sent.payload.startswith(datagram.payload) if datagram.truncated else sent.payload == datagram.payload
    return to and same and datagram.source == sent.source and not _is_older(datagram.timestamp_ns, sent)


def _is_older(timestamp_ns: Optional[int], sent: Sent) -> bool:
    """Say whether something arrived before the datagram was sent, so that it was another one."""
    return bool(timestamp_ns and sent.timestamp_ns and timestamp_ns < sent.timestamp_ns)
