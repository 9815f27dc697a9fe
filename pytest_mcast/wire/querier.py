"""A multicast router's side of IGMP and MLD: queries of every version, right or wrong on purpose, and the election."""

from __future__ import annotations

import dataclasses
import ipaddress
import math
import os
import select
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from pytest_mcast.core.channels import FAMILIES, Channel
from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.errors import NotReported

from .codec import MEMBERSHIP_FILTER, build_query, read_message
from .messages import Query, group_of
from .sockets import Injector, Tap, TappedFrame

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Querier"]

_PROTOCOLS = {"ipv4": "igmp", "ipv6": "mld"}
_VERSIONS = {"ipv4": (1, 2, 3), "ipv6": (1, 2)}
_EVERYBODY = {"ipv4": "224.0.0.1", "ipv6": "ff02::1"}


class Querier:
    """Sends queries out of one interface of a host; ``VirtualHost.querier()`` makes them.

    ``version`` is that of the protocol (IGMP 1 to 3, MLD 1 and 2; default: the newest). ``source`` may be any address,
    0.0.0.0 and ``::`` included. ``robustness`` (0 to 7) and ``interval`` (seconds; whole ones on the wire, where 0 means
    the receiver's default) go into IGMPv3 and MLDv2 queries, and are the timers of ``start()``. Without ``router_alert``,
    or with another ``ttl`` than 1, it sends what RFC 3376 section 4 and RFC 3810 section 5 forbid.
    """

    def __init__(
        self,
        injector: Injector,
        take_tap: Callable[[], Tap],
        give_back: Callable[[Tap], object],
        *,
        name: str,
        family: str,
        source: str,
        version: int | None = None,
        router_alert: bool = True,
        ttl: int = 1,
        robustness: int = 2,
        interval: float = 125.0,
    ) -> None:
        if family not in FAMILIES:
            raise ValueError(f"family {family!r} is not one of {', '.join(FAMILIES)}")
        versions = _VERSIONS[family]
        if version is not None and version not in versions:
            known = ", ".join(map(str, versions))
            raise ValueError(f"version {version!r} is not one of {_PROTOCOLS[family].upper()}: {known}")
        if ipaddress.ip_address(source).version != (4 if family == "ipv4" else 6):
            raise ValueError(f"source {source!r} is not an address of {family}")
        if not 0 <= robustness <= 7:
            raise ValueError(f"robustness {robustness!r} is not 0 to 7 (RFC 3376 section 4.1.6)")
        self.name = name
        self.family = family
        self.source = str(ipaddress.ip_address(source))
        self.version = version or versions[-1]
        self.router_alert = router_alert
        self.ttl = ttl
        self.robustness = robustness
        self.interval = interval
        self._injector = injector
        self._take_tap = take_tap
        self._give_back = give_back
        self._election: _Election | None = None

    @property
    def identities(self) -> frozenset[str]:
        """What its queries are known by: the source."""
        return frozenset([self.source])

    @property
    def harmless(self) -> bool:
        """Whether hosts are as before when they have answered: its version is the newest, its numbers the default ones.

        Hosts take over robustness and interval, and use an older version for minutes after a query of it.
        """
        numbers = self.robustness in (0, 2) and math.floor(self.interval) in (0, 125)
        return numbers and self.version == _VERSIONS[self.family][-1]

    def query(
        self,
        group: Channel | str | None = None,
        sources: Iterable[str] = (),
        *,
        max_response: float = 0.1,
        suppress: bool = False,
        destination: str | None = None,
        checksum_ok: bool = True,
        cut: int | None = None,
    ) -> Query:
        """Send a query and return it as it is on the wire: general without ``group``, else of the group and sources.

        ``max_response`` is in seconds, in steps of 0.1 (IGMP) or 0.001 (MLD) that get coarser above 12.7 and 32.7; what
        is in between is rounded down. It is short by default: the protocols' own is 10. ``suppress`` sets the S flag;
        ``destination`` is another than the standard's; ``checksum_ok=False`` and ``cut`` (so many bytes of the message)
        make it malformed. Raises ``ValueError`` for what the version cannot say.
        """
        wanted = frozenset(str(ipaddress.ip_address(source)) for source in sources)
        newest = self.version == _VERSIONS[self.family][-1]
        if wanted and not newest:
            raise ValueError(f"queries of {_PROTOCOLS[self.family].upper()}v{self.version} have no sources")
        address = None if group is None else group_of(group)
        query = Query(
            protocol=_PROTOCOLS[self.family],
            version=self.version,
            source=self.source,
            destination=destination or address or _EVERYBODY[self.family],
            ttl=self.ttl,
            router_alert=self.router_alert,
            checksum_ok=checksum_ok,
            mac=self._injector.mac,
            group=address,
            sources=wanted,
            max_response=max_response,
            robustness=self.robustness if newest else 0,
            interval=math.floor(self.interval) if newest else 0,
            suppress=suppress,
        )
        frame = build_query(query, cut)
        now = time.time_ns()
        read = read_message(TappedFrame(frame, "", now, outgoing=True))  # what has been rounded
        self._injector.inject(frame)
        whole = read if isinstance(read, Query) and cut is None else query
        return dataclasses.replace(whole, frame=frame, timestamp_ns=now)

    @property
    def state(self) -> str:
        """``idle`` before ``start()``; then ``querier`` or ``non-querier``, as the election has it."""
        return "idle" if self._election is None else self._election.state

    def start(self, max_response: float = 0.1) -> Querier:
        """Do as a router does (RFC 3376 section 6.6.2, RFC 3810 section 7.6.2), in a thread, until ``stop()``.

        It sends ``robustness`` general queries at first, a quarter of ``interval`` apart, then one each ``interval``; a
        query from a lower address silences it for robustness times the interval and half of ``max_response``.
        """
        if self._election is None:
            self._election = _Election(self, self._take_tap(), self._give_back, max_response)
        return self

    def wait_until(self, state: str, timeout: float = 5.0) -> None:
        """Wait until the election has come to that state; raises ``NotReported`` after ``timeout`` seconds."""
        if self._election is None or not self._election.wait_until(state, timeout):
            raise NotReported(f"{self} is {self.state}, not {state}, after {timeout:g} s")

    def stop(self) -> None:
        """End what ``start()`` began; again is no error. Raises what has ended it before."""
        election, self._election = self._election, None
        if election is not None:
            election.close()

    close = stop

    def __enter__(self) -> Querier:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __str__(self) -> str:
        return f"the {_PROTOCOLS[self.family].upper()}v{self.version} querier {self.source} on {self.name}"

    def __repr__(self) -> str:
        return f"<Querier {self.source} on {self.name}: {self.state}>"


class _Election:
    """The router's side of the protocol, in a thread."""

    def __init__(self, querier: Querier, tap: Tap, give_back: Callable[[Tap], object], max_response: float) -> None:
        self.state = "querier"
        self._querier = querier
        self._tap = tap
        self._give_back = give_back
        self._max_response = max_response
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        tap.switch_on(MEMBERSHIP_FILTER)
        self._thread = threading.Thread(target=self._run, name=str(querier), daemon=True)
        self._thread.start()

    def wait_until(self, state: str, timeout: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.state == state or self._error is not None, timeout) and (
                self._error is None
            )

    def close(self) -> None:
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        os.close(self._wake)
        self._tap.switch_off()
        self._give_back(self._tap)
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._take_part()
        except BaseException as error:  # noqa: BLE001 - kept, and raised by stop() in the caller's thread
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _take_part(self) -> None:
        querier, poll = self._querier, select.poll()
        poll.register(self._wake, select.POLLIN)
        poll.register(self._tap.fileno(), select.POLLIN)
        starting, due = max(1, querier.robustness), Deadline(0)
        while True:
            if due.passed():
                self._become("querier")
                querier.query(max_response=self._max_response)
                starting -= 1
                due = Deadline(querier.interval / 4 if starting > 0 else querier.interval)
            events = poll.poll(math.ceil((due.remaining() or 0) * 1000))
            if any(descriptor == self._wake for descriptor, _ in events):
                return
            for frame in self._tap.frames():
                other = read_message(frame)
                if isinstance(other, Query) and other.checksum_ok and self._is_lower(other):
                    self._become("non-querier")
                    due = Deadline(max(1, querier.robustness) * querier.interval + other.max_response / 2)

    def _is_lower(self, other: Query) -> bool:
        mine, theirs = ipaddress.ip_address(self._querier.source), ipaddress.ip_address(other.source)
        # Proxies query from 0.0.0.0 to stay out of the election (RFC 4541 section 2.1.1).
        return theirs.version == mine.version and not theirs.is_unspecified and int(theirs) < int(mine)

    def _become(self, state: str) -> None:
        with self._changed:
            self.state = state
            self._changed.notify_all()
