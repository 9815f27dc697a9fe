"""Which queriers there are on the links of this machine: heard, not asked, because asking changes the election."""

from __future__ import annotations

import selectors
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.interfaces import Interface
from pytest_mcast.core.system import LINUX

if TYPE_CHECKING:
    from types import TracebackType

    from pytest_mcast.wire import Tap

__all__ = ["PROOF_S", "QuerierWatch"]

#: After so many seconds without a general query there is no querier: query interval and the response interval, by
#: default 125 s and 10 s (RFC 3376 sections 8.2 and 8.3, RFC 3810 sections 9.2 and 9.3); half of the latter is what
#: the other querier present interval adds (section 8.5).
PROOF_S = 130.0
_PROTOCOLS = {"igmp": "ipv4", "mld": "ipv6"}


class QuerierWatch:
    """Hears general queries for so many ``seconds`` from its making on, in the calling thread's network namespace.

    Making it sends nothing and raises nothing: ``refused`` says why it hears nothing. To be closed.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._deadline = Deadline(seconds)
        self._tap: Tap | None = None
        self.refused = ""
        self._heard: dict[str, dict[str, Any]] = {
            each.name: {family: None for family in ("ipv4", "ipv6") if getattr(each, family)}
            for each in Interface.all()
            if each.up and each.multicast and not each.loopback and each.addresses
        }
        if not self._heard:
            return
        if not LINUX:
            self.refused = "queries are heard by packet sockets, which only Linux has"
            return
        from pytest_mcast.wire import Tap
        from pytest_mcast.wire.codec import MEMBERSHIP_FILTER

        try:
            self._tap = Tap()
            self._tap.switch_on(MEMBERSHIP_FILTER)
        except OSError as error:
            what = error.strerror or str(error)
            self.refused = f"hearing queries takes CAP_NET_RAW ({what}): run as root"

    def hear(self) -> Mapping[str, Any]:
        """Wait until every family of every interface has been heard, or the time is over.

        Return plain values: ``waited_s``, ``proof`` (it was long enough to say that there is none) and ``interfaces``:
        by name and family what was heard (``version``, ``source``, ``interval_s``, ``max_response_s``), or None.
        """
        if self._tap is not None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._tap, selectors.EVENT_READ)
                self._take()
                while self._missing() and not self._deadline.passed():
                    selector.select(self._deadline.remaining())
                    self._take()
        waited = self._seconds - (self._deadline.remaining() or 0)
        return {"waited_s": round(waited, 1), "proof": waited >= PROOF_S, "interfaces": self._heard}

    def _missing(self) -> bool:
        return any(found is None for families in self._heard.values() for found in families.values())

    def _take(self) -> None:
        from pytest_mcast.wire import Query
        from pytest_mcast.wire.codec import read_message

        assert self._tap is not None
        for frame in self._tap.frames():
            message = read_message(frame)
            families = self._heard.get(frame.interface, {})
            if not isinstance(message, Query) or message.group is not None or not message.checksum_ok:
                continue
            family = _PROTOCOLS[message.protocol]
            if family in families:
                families[family] = {
                    "version": message.version,
                    "source": message.source,
                    "interval_s": message.interval,
                    "max_response_s": message.max_response,
                }

    def close(self) -> None:
        """Hear no more; again is no error."""
        if self._tap is not None:
            self._tap.close()
            self._tap = None

    def __enter__(self) -> QuerierWatch:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
