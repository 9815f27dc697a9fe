"""``--mcast-doctor``: a failure says why something was not delivered, in a section of its report."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_mcast.doctor import chain_of

from .leaving import listen_to_sockets, listen_to_unittest
from .place import SESSION
from .stash import LAB

if TYPE_CHECKING:
    from pytest_mcast.core.errors import NotReceived, NotReported
    from pytest_mcast.doctor import Diagnosis, Moment, Observation
    from pytest_mcast.hosts import Host

    from .watch import Watch

__all__ = ["Doctor"]

_TITLE = "mcast doctor"
_LIMIT, _WIDTH = 25, 80
_PATIENCE = 5.0  # seconds; reading takes a few hundredths of one, unless a machine is in trouble
_COUNTED = 50  # hosts on which is counted, each of which takes six open files
_MOMENTS = 20  # of one test: that many losses are looked at, each of which had waited


class Doctor:
    """A plugin that counts on the hosts of the running test, and explains its failure."""

    def __init__(self, setting: str, watch: Watch, config: pytest.Config) -> None:
        self._brief = setting == "brief"
        self._watch = watch
        self._config = config
        self._observation: Observation | None = None
        self._hosts: dict[Host, None] = {}  # of the running test, in order
        self._moment: tuple[BaseException, Moment] | None = None  # that of the failure, if it is that one
        self._moments = 0
        self._before: set[int] = set()  # sockets of this process that were there when the test function began
        self._stale: set[int] = set()  # that were left by those that failed, whose frames are kept
        watch.arrivals.append(self._arrive)

    def begin(self, item: pytest.Item | None) -> None:
        """Begin a test, before its hosts arrive; None: one that is none of ours."""
        self._hosts.clear()
        self._moment, self._moments = None, 0
        if item is not None:
            listen_to_unittest(item, self._keep_moment)

    def examine(self, item: pytest.Item, report: pytest.TestReport, error: BaseException) -> None:
        """Explain a failure in its report."""
        new: set[int] = set()
        if report.when == "call" and self._process is not None:
            from pytest_mcast.doctor import own_inodes

            new = own_inodes() - self._before
        text = self._explain(error, again=report.when == "call") if self._hosts else ""
        if text:
            _add_section(item, report, text)
        self._stale |= new

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self) -> Generator[None, object, object]:
        """Look at the sockets that are no test function's own, and follow those that are."""
        if self._process is None or not self._hosts:
            return (yield)
        from pytest_mcast.doctor import own_inodes

        self._before = own_inodes()
        with listen_to_sockets(self._keep_moment):
            return (yield)

    def _arrive(self, host: Host) -> None:
        """Count on a host from now on."""
        from pytest_mcast.doctor import Observation

        if self._observation is None:
            self._observation = Observation()
        self._hosts[host] = None
        host.lost = self._keep_loss
        if len(self._observation.hosts) < _COUNTED:
            self._observation.add(host)
        self._observation.mark(host)

    @property
    def _process(self) -> Host | None:
        """The host that this process is itself, in a private network."""
        network = self._config.stash.get(LAB, None)
        return None if network is None else network.lab.host(SESSION)

    def _keep_loss(self, error: NotReceived | NotReported) -> None:
        """Keep what is gone when the test, on its way out, closes what it has opened."""
        self._moments += 1
        if self._observation is not None and self._moments <= _MOMENTS:
            error.moment = self._observation.moment(list(self._hosts), None)

    def _keep_moment(self, error: BaseException) -> None:
        """Keep the same of the sockets of this process, when an exception is on its way; the first time, when all are open."""
        known = self._moment is not None and any(each is self._moment[0] for each in chain_of(error))
        if self._observation is not None and not known and self._moments < _MOMENTS:
            self._moments += 1
            self._moment = error, self._observation.moment(list(self._hosts), self._process, self._stale)

    def _explain(self, error: BaseException, *, again: bool) -> str:
        """Say why, in at most 25 lines of 80 columns; empty when there is nothing to say. It raises nothing."""
        if self._observation is None:
            return ""
        found: list[str] | BaseException | None = _within(_PATIENCE, lambda: self._lines(error, again=again))
        if isinstance(found, BaseException) or found is None:
            if os.environ.get("MCAST_DOCTOR_RAISES") and found is not None:
                raise found
            why = f"it took more than {_PATIENCE:g} s" if found is None else f"{type(found).__name__}: {found}"
            return f"the doctor has failed: {why}".partition("\n")[0][:_WIDTH]
        return "\n".join(found)

    def _lines(self, error: BaseException, *, again: bool) -> list[str]:
        from pytest_mcast.doctor import brief, explain

        assert self._observation is not None
        moment = None
        if self._moment is not None and any(each is self._moment[0] for each in chain_of(error)):
            moment = self._moment[1]
        diagnoses = explain(
            error,
            self._observation,
            list(self._hosts),
            process=self._process,
            stale=self._stale,
            moment=moment,
            again=again,
        )
        if self._brief:
            return [line for diagnosis in diagnoses[:1] for line in brief(diagnosis, _WIDTH)]
        return _together(diagnoses)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Let go."""
        if self._observation is not None:
            self._observation.close()


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
