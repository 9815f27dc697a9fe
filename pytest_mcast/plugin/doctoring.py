"""``--mcast-doctor``: a failure says why something was not delivered, in a section of its report."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from pytest_mcast.doctor import chain_of

from .leaving import listen_to_sockets, listen_to_unittest

if TYPE_CHECKING:
    from pytest_mcast.doctor import Diagnosis, Moment, Observation
    from pytest_mcast.hosts import Host

    from .watch import Watch

__all__ = ["Doctor"]

_TITLE = "mcast doctor"
_LIMIT, _WIDTH = 25, 80
_PATIENCE = 10.0  # seconds; reading takes a few hundredths of one, unless a machine is in trouble
_COUNTED = 50  # hosts on which is counted, each of which takes six open files
_MOMENTS, _SPENT = 20, 0.5  # of one test: so many losses are looked at, and so many seconds spent on that


class Doctor:
    """A plugin that counts on the hosts of the running test, and explains its failure.

    It is called in the middle of tests, and must change nothing for them: all that goes wrong here is left alone, or
    becomes a line in the report of a test that has failed anyway.
    """

    def __init__(self, setting: str, watch: Watch) -> None:
        self._brief = setting == "brief"
        self._watch = watch
        self._observation: Observation | None = None
        self._ours = False  # whether the running test has to do with multicast
        self._hosts: dict[Host, None] = {}  # of the running test, in order
        self._moment: tuple[BaseException, Moment] | None = None  # that of the failure, if it is that one
        self._moments = 0
        self._spent = 0.0  # seconds, for moments
        self._before: set[int] = set()  # sockets of this process that were there when the test function began
        self._stale: set[int] = set()  # that were left by those that failed, whose frames are kept
        watch.arrivals.append(self._arrive)

    def begin(self, item: pytest.Item | None) -> None:
        """Begin a test, before its hosts arrive; None: one that is none of ours."""
        self._ours = item is not None
        self._hosts.clear()
        self._moment, self._moments, self._spent = None, 0, 0.0
        if self._observation is not None:
            self._observation.sends.stop()  # until it has hosts
            self._observation.sends.clear()
        if item is not None:
            listen_to_unittest(item, self._keep_moment)

    def examine(self, item: pytest.Item, report: pytest.TestReport, error: BaseException) -> None:
        """Explain a failure in its report."""
        try:
            in_call = report.when == "call"
            new = self._opened() - self._before if in_call and self._hosts else set()
            text = self._explain(error, again=in_call) if self._hosts else ""
            self._stale |= new
        except Exception as failure:  # noqa: BLE001 - whatever it is, the test's own failure is what must be told
            text = _failed(failure)
        if text:
            _add_section(item, report, text)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self) -> Generator[None, object, object]:
        """Look at the sockets that are no test function's own, and follow those that are."""
        if not self._ours:
            return (yield)
        self._before = self._opened()
        with listen_to_sockets(self._keep_moment):
            return (yield)

    def _opened(self) -> set[int]:
        from pytest_mcast.doctor import opened_here

        return set(opened_here())

    def _arrive(self, host: Host) -> None:
        """Count on a host from now on."""
        from pytest_mcast.doctor import Observation

        self._hosts[host] = None
        host.lost = self._keep_loss
        if self._observation is None:
            self._observation = Observation()
        self._observation.sends.start()
        with suppress(Exception):  # one that has come to its end, or no descriptor is left: it is not counted on then
            if len(self._observation.hosts) < _COUNTED:
                self._observation.add(host)
            self._observation.mark(host)

    def _keep_loss(self, error: Exception) -> None:
        """Keep what is gone when the test, on its way out, closes what it has opened."""
        with suppress(Exception):  # the error itself is what must get through
            error.moment = self._look(about=getattr(error, "receiver", None))  # type: ignore[attr-defined] # also of the kernel's

    def _keep_moment(self, error: BaseException) -> None:
        """Keep the same, when an exception is on its way; the first time, when all are open."""
        known = self._moment is not None and any(each is self._moment[0] for each in chain_of(error))
        moment = None if known or not self._hosts else self._look()
        if moment is not None:
            self._moment = error, moment

    def _look(self, about: object = None) -> Moment | None:
        """Look at the hosts; None when the test has had its share of that."""
        if self._observation is None or self._moments >= _MOMENTS or self._spent >= _SPENT:
            return None
        self._moments += 1
        began = time.monotonic()
        try:
            return self._observation.moment(list(self._hosts), self._stale, about)
        finally:
            self._spent += time.monotonic() - began

    def _explain(self, error: BaseException, *, again: bool) -> str:
        """Say why, in at most 25 lines of 80 columns; empty when there is nothing to say."""
        if self._observation is None:
            return ""
        found: list[str] | BaseException | None = _within(_PATIENCE, lambda: self._lines(error, again=again))
        if found is None:
            return _failed(f"it took more than {_PATIENCE:g} s")
        return _failed(found) if isinstance(found, BaseException) else "\n".join(found)

    def _lines(self, error: BaseException, *, again: bool) -> list[str]:
        from pytest_mcast.doctor import brief, explain

        assert self._observation is not None
        moment = None
        if self._moment is not None and any(each is self._moment[0] for each in chain_of(error)):
            moment = self._moment[1]
        diagnoses = explain(error, self._observation, list(self._hosts), stale=self._stale, moment=moment, again=again)
        if self._brief:
            return [line for diagnosis in diagnoses[:1] for line in brief(diagnosis, _WIDTH)]
        return _together(diagnoses)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Let go."""
        if self._observation is not None:
            self._observation.close()


def _failed(why: BaseException | str) -> str:
    text = why if isinstance(why, str) else f"{type(why).__name__}: {why}"
    return f"the doctor has failed: {text}".partition("\n")[0][:_WIDTH]


def _add_section(item: pytest.Item, report: pytest.TestReport, text: str) -> None:
    """Put it where terminal, JUnit and HTML show it: below the failure itself, whose first line stays the first."""
    longrepr: Any = report.longrepr
    if hasattr(longrepr, "addsection"):
        longrepr.addsection(_TITLE, text)
    elif isinstance(longrepr, str):  # of a failure without traceback, or of a cell
        section = f"{f' {_TITLE} ':-^{_WIDTH}}\n{text}"
        report.longrepr = f"{longrepr}\n{section}"
        details = getattr(item, "mcast_details", {})
        if details.get("log", [])[-1:] == longrepr.splitlines()[-1:]:  # of a cell, whose log ends with its failure
            details["log"] = [*details["log"], *section.splitlines()]
    else:
        report.sections.append((_TITLE, text))


def _together(diagnoses: Sequence[Diagnosis]) -> list[str]:
    """Return the lines of several flows, each cause once."""
    lines: list[str] = []
    told: set[tuple[str, str]] = set()
    for diagnosis in diagnoses:
        causes = {(finding.check, finding.cause) for finding in diagnosis.findings}
        if lines and causes <= told:
            continue
        told |= causes
        more = diagnosis.lines(limit=_LIMIT - len(lines), width=_WIDTH)
        if len(lines) + len(more) > _LIMIT or _LIMIT - len(lines) < 4:
            break
        lines += more
    return lines[:_LIMIT]


def _within(seconds: float, work: Callable[[], Any]) -> Any:
    """Return the result of something, or its exception; None when it takes longer."""
    result: list[Any] = []

    def run() -> None:
        try:
            result.append(work())
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is told, and the test's own failure remains
            result.append(error)

    thread = threading.Thread(target=run, name=_TITLE, daemon=True)
    thread.start()
    thread.join(seconds)
    return result[0] if result else None
