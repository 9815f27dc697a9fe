"""Who reports what on a link: IGMP and MLD messages as a host hears them, waited for with the protocols' own deadlines."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.errors import NotReported

from .codec import MEMBERSHIP_FILTER, read_message
from .expectations import Speaker, WantedReport, wanted_query
from .messages import Message, Query, Report
from .silence import Member, NoReport, prove_no_report
from .sockets import Tap, TappedFrame

if TYPE_CHECKING:
    from types import TracebackType

    from .querier import Querier

__all__ = ["GRACE", "Listener"]

#: Seconds in which a message that is due at once must have come; they are added to what the protocol allows.
GRACE = 2.0
# Unsolicited report interval by protocol and version: RFC 2236 section 8.10, RFC 3376 section 8.11, RFC 2710 section
# 7.10, RFC 3810 section 9.11.
_INTERVALS = {"IGMPv1": 10.0, "IGMPv2": 10.0, "IGMPv3": 1.0, "MLDv1": 10.0, "MLDv2": 1.0}


class Listener:
    """All reports and queries that a host hears and sends, from ``with host.listen() as wire:`` to the end of the block.

    Each record of a report, and each query, satisfies one expectation only; one with a wrong checksum satisfies none.
    ``comment`` puts a text on the newest frame for which a function says so, in the captures of the host.
    """

    def __init__(
        self,
        name: str,
        tap: Tap,
        querier: Callable[..., Querier],
        release: Callable[[Tap], object],
        comment: Callable[[Callable[[bytes], bool], str], object] = lambda *_: None,
    ) -> None:
        self.name = name
        #: Is told of an expectation that fails, before anything is closed.
        self.failed: Callable[[NotReported], object] | None = None
        self._comment = comment
        self._tap: Tap | None = tap
        self._querier = querier
        self._release = release
        self._messages: list[Message] = []
        self._used: set[tuple[int, int]] = set()  # numbers of messages, and of records in them
        tap.switch_on(MEMBERSHIP_FILTER)

    @property
    def messages(self) -> tuple[Message, ...]:
        """All that has been heard up to now, in order."""
        if self._tap is not None:
            for frame in self._tap.frames():
                message = read_message(frame)
                if message is not None and frame.interface != "lo":
                    self._messages.append(message)
        return tuple(self._messages)

    @property
    def reports(self) -> tuple[Report, ...]:
        """The reports among them."""
        return tuple(message for message in self.messages if isinstance(message, Report))

    @property
    def queries(self) -> tuple[Query, ...]:
        """The queries among them."""
        return tuple(message for message in self.messages if isinstance(message, Query))

    @property
    def lost(self) -> int:
        """How many messages came too fast to be seen."""
        return 0 if self._tap is None else self._tap.lost

    def expect_report(
        self,
        channel: Channel | str,
        *,
        sender: Speaker | str | None = None,
        version: int | None = None,
        record: str | None = None,
        sources: Iterable[str] | None = None,
        answers: Query | None = None,
        timeout: float | None = None,
    ) -> Report:
        """Return the next report of a channel or group; of a channel with a source, one that has it among its sources.

        ``sender`` is a host, an IP address or a MAC; ``record`` is one of ``RECORD_TYPES``, ``sources`` its exact
        sources; ``answers`` is the query that it must come after, as a current-state record or a report of an older
        version. ``timeout`` is in seconds; by default it is ``GRACE`` for a change, which a host reports at once (RFC
        3376 section 5.1, RFC 3810 section 6.1), and the time that a query gives more for an answer. Raises
        ``NotReported``, which lists what was heard instead.
        """
        return self.expect_reports(
            1, channel, sender=sender, version=version, record=record, sources=sources, answers=answers, timeout=timeout
        )[0]

    def expect_reports(
        self,
        count: int,
        channel: Channel | str,
        *,
        sender: Speaker | str | None = None,
        version: int | None = None,
        record: str | None = None,
        sources: Iterable[str] | None = None,
        answers: Query | None = None,
        timeout: float | None = None,
    ) -> list[Report]:
        """Return the next ``count`` such reports, all within ``timeout``.

        A change is reported as often as the robustness variable says, 2 by default, within the unsolicited report
        interval each: 1 s in IGMPv3 and MLDv2, 10 s in older versions; see ``VirtualHost.set_report_interval``.
        """
        wanted = WantedReport.of(channel, sender, version, record, sources, answers)
        if timeout is None:
            family = "MLD" if ":" in wanted.group else "IGMP"
            interval = _INTERVALS.get(f"{family}v{version}", 10.0)
            allowed = (count - 1) * interval if answers is None else answers.max_response
            timeout = GRACE + allowed
        return self._expect(count, wanted, str(wanted), timeout)  # type: ignore[return-value]

    def expect_no_report(
        self,
        channel: Channel | str,
        *,
        sender: Member,
        version: int | None = None,
        record: str | None = None,
        sources: Iterable[str] | None = None,
        answers: Query | None = None,
        timeout: float | None = None,
    ) -> NoReport:
        """Prove that a host has not sent, and will not send, such a report; those that were expected before do not count.

        Silence proves nothing, so the host is made to speak: it joins a group of its own, whose report must arrive. A
        change that is still to be reported for the first or another time is in that very report, or before it, where
        IGMPv3 or MLDv2 is in force (RFC 3376 section 5.1: a report has all pending changes); in older versions each
        group has a timer, so no timer of the group may run (kernel membership) when the host joins. With ``answers``,
        the host's tap must have seen the query (it is on since ``host.receiver()`` or ``host.control``), MLD must have
        answered a later query, which it reads in order, and the time for an answer must be over, before.

        The evidence is as strong as the host's timers are punctual: an answer by a timer that fires late, on a machine
        that gives the host no time to run, is missed. Raises ``Reported`` with the report, ``NoVerdict`` when nothing
        is proved within ``timeout`` seconds (default: what the timers need), ``MissingCapability`` for a host without
        a tap.
        """
        wanted = WantedReport.of(channel, sender, version, record, sources, answers)
        return prove_no_report(self, wanted, wanted.group, sender, answers, timeout=timeout)

    def expect_query(self, *, sender: Speaker | str | None = None, timeout: float = GRACE) -> Query:
        """Return the next query, of that sender if one is named; raises ``NotReported`` after ``timeout`` seconds."""
        return self.expect_queries(1, sender=sender, timeout=timeout)[0]

    def expect_queries(self, count: int, *, sender: Speaker | str | None = None, timeout: float = GRACE) -> list[Query]:
        """Return the next ``count`` queries, all within ``timeout`` seconds; see ``expect_query``."""
        what = "query" + ("" if sender is None else f" from {sender}")
        return self._expect(count, wanted_query(sender), what, timeout)  # type: ignore[return-value]

    def wait_for(
        self,
        wanted: Callable[[Message], Iterable[int]],
        deadline: Deadline,
        *,
        use: bool = False,
        unless: int | None = None,
    ) -> Message | None:
        """Return the first message of that kind; None when there is none in time, or until a descriptor is readable.

        ``wanted`` says which of its records fit (of a query, the first); they count unless they have satisfied an
        expectation, and the first of them will not count again if it is of ``use``. The descriptor is ``unless``.
        """
        ended = False
        while True:
            over = ended or self._tap is None or deadline.passed()  # first: what has come in time counts
            for number, message in enumerate(self.messages):
                for record in wanted(message):
                    if (number, record) not in self._used:
                        if use:
                            self._used.add((number, record))
                        return message
            if over or self._tap is None:
                return None
            poll = select.poll()
            poll.register(self._tap.fileno(), select.POLLIN)
            if unless is not None:
                poll.register(unless, select.POLLIN)
            remaining = deadline.remaining()
            ready = poll.poll(None if remaining is None else remaining * 1000 + 1)
            ended = any(descriptor == unless for descriptor, _ in ready)

    def querier(self, family: str = "ipv4", **options: object) -> Querier:
        """Return a querier of the host that listens; see ``VirtualHost.querier``."""
        return self._querier(family, **options)

    def account(self, since_ns: int = 0) -> list[str]:
        """Say in lines what was heard."""
        heard = [message for message in self.messages if message.timestamp_ns >= since_ns]
        lines = [f"heard on {self.name}: {len(heard) or 'nothing'}" + (f", and lost {self.lost}" if self.lost else "")]
        first = heard[0] if heard else None
        return lines + [f"  +{message.after(first):.3f} s {message}" for message in heard[-32:] if first is not None]

    def close(self) -> None:
        """Stop; what was heard remains. Again is no error."""
        if self._tap is not None:
            _ = self.messages
            tap, self._tap = self._tap, None
            tap.switch_off()
            self._release(tap)

    def __enter__(self) -> Listener:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _expect(
        self, count: int, wanted: Callable[[Message], Iterable[int]], what: str, timeout: float
    ) -> list[Message]:
        deadline = Deadline(timeout)
        found: list[Message] = []
        while len(found) < count:
            message = self.wait_for(wanted, deadline, use=True)
            if message is None:
                amount = "no" if count == 1 else f"only {len(found)} times in {count}, a"
                error = NotReported("\n".join([f"{amount} {what}, within {timeout:g} s", *self.account()]))
                error.wanted, error.listener = wanted, self.name
                if self.failed is not None:
                    self.failed(error)
                raise error
            found.append(message)
            self._comment(partial(_holds, message), f"expected: {what}")
        return found


def _holds(message: Message, frame: bytes) -> bool:
    return read_message(TappedFrame(frame, message.interface, message.timestamp_ns, outgoing=False)) == message
