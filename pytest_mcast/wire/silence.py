"""The proof that a host does not report a membership, by what it reports instead."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.errors import NoVerdict, Reported
from pytest_mcast.core.groups import ChannelPicker

from .messages import ANSWERS, Message, Query, Report

if TYPE_CHECKING:
    from pytest_mcast.core.channels import Channel
    from pytest_mcast.core.interfaces import Interface
    from pytest_mcast.core.receiver import Receiver

    from .control import TapControl
    from .listener import Listener
    from .memberships import Membership

__all__ = ["Member", "NoReport", "prove_no_report"]

_TICKS_S = 0.02  # what kernel timers add: two jiffies, at 100 Hz
_AT_ONCE_S = 3.0  # for what comes at once
_LONGEST_S = 10.0  # unsolicited reports of older versions (RFC 2236 section 8.10, RFC 2710 section 7.10)


class Member(Protocol):
    """A host that can be made to report: a virtual host."""

    @property
    def identities(self) -> frozenset[str]:
        """What its messages are known by."""

    @property
    def interface(self) -> Interface:
        """The interface that is meant."""

    @property
    def control(self) -> TapControl:
        """What sees all that comes in."""

    def inside(self) -> AbstractContextManager[object]:
        """Return what the host is entered with."""

    def receiver(self, channel: Channel, **options: Any) -> Receiver:
        """Open a receiver there."""

    def memberships(self, group: str | None = None, interface: str | None = None) -> frozenset[Membership]:
        """Return what its kernel has joined."""


@dataclass(frozen=True)
class NoReport:
    """It was proved that ``sender`` has not reported ``group``; ``evidence`` says how, a line each."""

    group: str
    sender: str
    evidence: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([f"{self.sender} has not reported {self.group}", *self.evidence])


class _Proof:
    def __init__(
        self,
        listener: Listener,
        wanted: Callable[[Message], Iterable[int]],
        group: str,
        member: Member,
        deadline: Deadline,
    ) -> None:
        self.listener = listener
        self.wanted = wanted
        self.group = group
        self.member = member
        self.deadline = deadline
        self.identities = member.identities
        self.evidence: list[str] = []

    def listen_for(self, seconds: float) -> None:
        """Hear all that comes for so long; raises ``Reported`` when the report is there."""
        if (report := self.listener.wait_for(self.wanted, Deadline(seconds))) is not None:
            lines = [f"{self.wanted}: it was sent", f"the report: {report}", *self.evidence]
            raise Reported("\n".join([*lines, *self.listener.account()]))

    def impossible(self, reason: str) -> NoVerdict:
        lines = [f"no verdict: {reason}", f"it was to be proved that there is no {self.wanted}", *self.evidence]
        return NoVerdict("\n".join([*lines, *self.listener.account()]))

    @contextmanager
    def speaking(self, family: str) -> Iterator[Channel]:
        """Make the host join a group that nobody else uses, and wait for the report."""
        member = self.member
        with member.inside():
            # Of 65,536 groups: sooner or later the one that is not to be reported would be picked.
            picker = ChannelPicker(secrets.token_bytes(8), {each.group for each in member.memberships()} | {self.group})
            channel = picker.pick(family, interface=member.interface)
        with member.receiver(channel):
            if not self._hears(channel):
                raise self.impossible(f"{member} has not reported {channel.group} either, which it has joined since")
            yield channel

    def _hears(self, channel: Channel, after: Query | None = None) -> bool:
        """Whether the host reports a channel that is ours, as an answer if it is to be after a query."""

        def ours(message: Message) -> list[int]:
            if not isinstance(message, Report) or not {message.mac, message.source} & self.identities:
                return []
            if after is None:
                return [0] if message.of(channel) else []
            late = message.timestamp_ns >= after.timestamp_ns
            return [0] if late and any(record.type in ANSWERS for record in message.of(channel)) else []

        return self.listener.wait_for(ours, Deadline(min(_AT_ONCE_S, self.deadline.remaining() or 0))) is not None

    def saw(self, query: Query) -> None:
        """Say that the query has come in."""
        sighting = self.member.control.find(lambda frame: frame == query.frame)
        if sighting is None:
            advice = "its tap is on since the first host.receiver() or host.control of the test"
            raise self.impossible(f"{self.member} has not seen the query; {advice}")
        self.evidence.append(f"{query}: {sighting}")

    def processed(self, query: Query, channel: Channel) -> None:
        """Wait until the host answers a later query, of the channel that is ours: it has read all before that."""
        known = [each for each in self.listener.queries if each.version == 2 and each.checksum_ok]
        robustness, interval = (known[-1].robustness, known[-1].interval) if known else (0, 0)
        source = query.source if ipaddress.ip_address(query.source).is_link_local else None
        # As if from the same querier, with the same numbers: it is to change nothing.
        querier = self.listener.querier("ipv6", source=source, robustness=robustness, interval=interval)
        if not self._hears(channel, querier.query(channel, max_response=0.01)):
            raise self.impossible(
                f"{self.member} has not answered a later query of {channel.group}, which it has joined"
            )
        self.evidence.append(f"it has read it: it has answered a later query of {channel.group}")

    def wait_for_timers(self) -> None:
        """Wait until no timer of the group runs."""
        member, group = self.member, self.group
        while True:
            running = [each.pending_s for each in member.memberships(group) if each.pending_s is not None]
            if not running:
                break
            if self.deadline.passed():
                raise self.impossible(f"a report of {group} is still due in {max(running):.2f} s")
            self.listen_for(min(max(running) + _TICKS_S, self.deadline.remaining() or 0))
        self.evidence.append(f"no timer of {group} runs on it (kernel membership)")


def prove_no_report(
    listener: Listener,
    wanted: Callable[[Message], Iterable[int]],
    group: str,
    member: Member,
    answers: Query | None,
    *,
    timeout: float | None,
) -> NoReport:
    """Prove it, as ``Listener.expect_no_report`` says."""
    family = "ipv6" if ":" in group else "ipv4"
    allowed = 0.0 if answers is None else answers.max_response
    deadline = Deadline(timeout if timeout is not None else allowed + _LONGEST_S + _AT_ONCE_S)
    proof = _Proof(listener, wanted, group, member, deadline)
    proof.listen_for(0)
    with ExitStack() as stack:
        if answers is not None:
            proof.saw(answers)
            if family == "ipv6":  # read by a worker; IGMP is read when it comes in
                channel = stack.enter_context(proof.speaking(family))
                proof.processed(answers, channel)
            remaining = deadline.remaining()
            if remaining is not None and remaining < allowed:
                raise proof.impossible(f"the host has {allowed:g} s for an answer, and the time-out is {timeout:g} s")
            proof.listen_for(allowed + _TICKS_S)
            proof.evidence.append(f"the {allowed:g} s for an answer are over")
        proof.wait_for_timers()
        channel = stack.enter_context(proof.speaking(family))
        proof.evidence.append(f"it has joined {channel.group} after that, and reported it")
    proof.listen_for(0)
    if listener.lost:
        raise proof.impossible(f"{listener.name} has lost {listener.lost} messages")
    return NoReport(group, str(member), tuple(proof.evidence))
