"""Collects the results of the cells from the reports of all workers; exists in the controller only.

It holds the cells that were selected: what ``-k``, ``-m``, ``--lf`` or a node id left out is not in the record, as it
is another run's business. What was selected and never ran is ``not-run``.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .settings import Settings
from .stash import CORE, LAB, OTHERS

if TYPE_CHECKING:
    from pytest_mcast.report.journal import Journal
    from pytest_mcast.report.record import Feature, File, Record
    from pytest_mcast.report.writer import Writer

    from .cell_state import CellState

__all__ = ["Recorder"]

# Cells of the conformance suite, of which the controller of xdist, which does not collect, learns by their node ids.
_CASE = re.compile(r"::test_case\[(?P<case>[a-z0-9]+\.[a-z0-9-]+)-(?P<family>ipv[46])-(?P<mode>asm|ssm)\]$")


class Recorder:
    """The results of this run; written to a file while they arrive, if one was named."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self._config = config
        self._settings = settings
        self._path = settings.report
        self._writer: Writer | None = None
        self._journal: Journal | None = None
        self._lock = threading.Lock()  # the thread of the writer looks at what the reports change
        self._cells: dict[str, CellState] = {}
        self._files: dict[str, File] = {}
        self._subjects: dict[str, dict[str, str]] = {}
        self._features: dict[str, Feature] = {}
        self._environment: dict[str, str] = {}
        self._id = os.urandom(8).hex()
        self._started = datetime.now(UTC)
        self._begin = time.monotonic()
        self._exit_code: int | None = None
        self.places: set[str] = set()
        if self._path.value is not None and not config.option.help:
            _check(Path(self._path.value), self._path.origin)

    @property
    def complaint(self) -> str | None:
        """Say that the file could not be written; None if it could, or was not asked for."""
        error = None if self._writer is None else self._writer.error
        return (
            None if error is None else f"mcast: {self._path.origin}: cannot write {self._path.value}: {error.strerror}"
        )

    def record(self) -> Record | None:
        """Return what is known now; None when there are no cells."""
        return self._snapshot() if self._cells else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """Begin the file, in place of an older one: there is a session, which ``--fixtures`` and the like have not."""
        if self._path.value is None:
            return
        from pytest_mcast.report.journal import Journal
        from pytest_mcast.report.writer import BackgroundWriter, DirectWriter

        kind = BackgroundWriter if self._config.pluginmanager.hasplugin("dsession") else DirectWriter
        self._writer = kind(Path(self._path.value), self._snapshot)
        self._journal = Journal(Path(self._path.value), self._id)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Keep the cells that were selected, without xdist."""
        for item in session.items:
            cell = getattr(item, "mcast_cell", None)
            if cell is not None:
                self._keep(item.nodeid, cell).describe(getattr(item, "mcast_details", {}))
                self._learn(cell, getattr(item, "mcast_facts", {}))
        others = self._config.stash.get(OTHERS, None)
        if others:
            self.keep_others(others)
        self._changed()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Keep the cells that were selected, which xdist tells by their node ids."""
        files: dict[str, list[CellState]] = {}
        for nodeid in ids:
            cell = self._cell_of(nodeid)
            if cell is not None and nodeid not in self._cells:
                files.setdefault(cell["file"], []).append(self._keep(nodeid, cell))
        for file, states in files.items():
            if file.endswith(".mcast.yaml"):
                self._read(file, states)
        self._changed()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Keep the cells of other shards, of which a worker of xdist tells at its end."""
        self.keep_others(json.loads(getattr(node, "workeroutput", {}).get("mcast_others", "{}")))

    def pytest_runtest_logstart(self) -> None:
        """Write before a test begins: it may take long."""
        if self._writer is not None:
            self._writer.catch_up()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a report tells."""
        data: Mapping[str, Any] = getattr(report, "mcast", {})
        if data.get("place"):
            with self._lock:
                self.places.add(data["place"])
        if data.get("cell"):
            self._keep(report.nodeid, data["cell"])
        news = self._learn(data.get("cell"), data.get("facts", {}))
        state = self._cells.get(report.nodeid)  # a crashed worker's report has no data
        if state is not None:
            artifacts = [self._from_record(name) for name in data.get("artifacts", ())]
            with self._lock:
                state.take(report, {**data, "artifacts": artifacts})
            if self._journal is not None and (news or state.ended):
                self._journal.add(state.cell(report.nodeid, self._id) if state.ended else None, news)
            self._changed()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write for the last time; a record that cannot be written fails the run, so that nobody misses it in vain."""
        self._exit_code = int(session.exitstatus)  # not the argument: another plugin may have changed it by now
        if self._writer is not None:
            self._writer.close()
            if self._writer.error is None and self._journal is not None:
                self._journal.remove()
            elif not session.exitstatus:
                session.exitstatus = pytest.ExitCode.INTERNAL_ERROR

    def keep_others(self, others: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep cells that were selected, and are the business of another run, by their node ids."""
        for nodeid, other in others.items():
            if nodeid not in self._cells:
                state = self._keep(nodeid, other["cell"])
                state.describe(other["details"])
                state.reason = other["reason"]
                self._learn(other["cell"], other["facts"])

    def _keep(self, nodeid: str, cell: Mapping[str, str]) -> CellState:
        from .cell_state import CellState

        with self._lock:
            if nodeid not in self._cells:
                names = sorted(cell.keys() - {"title"}, key=lambda name: (name != "file", name))
                self._cells[nodeid] = CellState({name: cell[name] for name in names})
            return self._cells[nodeid]

    def _cell_of(self, nodeid: str) -> dict[str, str] | None:
        """Return the key of the cell that a node id names."""
        file, _, name = nodeid.rpartition("::")
        if file.endswith(".mcast.yaml"):
            from pytest_mcast.scenarios.model import parse_id

            key = parse_id(name)
            return None if key is None else {"file": file, **key}
        case = _CASE.search(nodeid)
        if case is None:
            return None
        core = self._config.stash.get(CORE, None)
        receiver = "builtin" if core is None else core.name
        return {"file": "conformance", "sender": "crafted", "receiver": receiver, **case.groupdict()}

    def _read(self, file: str, states: Sequence[CellState]) -> None:
        """Keep what a file says of its cells: xdist does not tell it, and of some there will be no report."""
        from pytest_mcast.scenarios import ScenarioError

        from .scenario_items import declared, read_scenario

        try:
            scenario, _ = read_scenario(self._config, self._config.rootpath / file)
        except (ScenarioError, OSError):
            # A worker could read it: it names a core of a conftest.py further down, which only workers read, or it
            # has been changed meanwhile. The reports of the cells will say the same, but for those that never run.
            return
        self._learn({"file": file, "title": scenario.title}, {"file": {"notes": scenario.notes}})
        by_key = {frozenset(cell.as_dict().items()): cell for cell in scenario.cells}
        with self._lock:
            for state in states:
                cell = by_key.get(frozenset(state.key.items() - {("file", file)}))
                if cell is not None:
                    state.describe(declared(cell))

    def _learn(self, cell: Mapping[str, str] | None, facts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Keep facts about files, hosts, subjects and features; return those that are new, by the members of a record."""
        if not cell and not facts:
            return {}
        from pytest_mcast.report.record import Feature, File

        with self._lock:
            subjects = _update(self._subjects, _merged(self._subjects, facts.get("subjects", {})))
            features = _update(
                self._features, {name: Feature(**feature) for name, feature in facts.get("features", {}).items()}
            )
            files: dict[str, File] = {}
            if cell is not None:
                before = self._files.get(cell["file"], File())
                told = facts.get("file", {})
                file = File(
                    title=cell.get("title") or before.title,
                    notes=told.get("notes") or before.notes,
                    hosts={**before.hosts, **_merged(before.hosts, told.get("hosts", {}))},
                    subjects={**before.subjects, **_merged(before.subjects, told.get("subjects", {}))},
                )
                files = _update(self._files, {cell["file"]: file})
        return {name: part for name, part in (("files", files), ("subjects", subjects), ("features", features)) if part}

    def _from_record(self, artifact: str) -> str:
        """Return the path of an artifact as seen from the record."""
        if self._path.value is None:
            return artifact
        path = self._settings.output.value / artifact
        try:
            return Path(os.path.relpath(path, Path(self._path.value).parent)).as_posix()
        except ValueError:  # on another drive
            return path.as_posix()

    def _place(self) -> str:
        if not self.places and self._config.stash.get(LAB, None) is not None:
            return "a private network"
        return " and ".join(sorted(self.places))

    def _changed(self) -> None:
        if self._writer is not None and self._cells:
            self._writer.changed()

    def _run_environment(self) -> dict[str, str]:
        from .environment import describe_environment

        if not self._environment:
            self._environment = describe_environment(self._config.rootpath)
        facts = {"place": self._place(), "shard": str(self._settings.shard.value or "")}
        return {name: value for name, value in {**self._environment, **facts}.items() if value}

    def _snapshot(self) -> Record:
        from pytest_mcast.report.record import Record, Run

        with self._lock:
            run = Run(
                id=self._id,
                started=self._started.isoformat(timespec="seconds").replace("+00:00", "Z"),
                duration_s=round(time.monotonic() - self._begin, 3),
                command=("pytest", *map(os.fspath, self._config.invocation_params.args)),
                exit_code=self._exit_code,
                environment=self._run_environment(),
            )
            return Record(
                runs=(run,),
                files=dict(sorted(self._files.items())),
                subjects=dict(sorted(self._subjects.items())),
                features=dict(sorted(self._features.items())),
                cells=tuple(state.cell(nodeid, self._id) for nodeid, state in sorted(self._cells.items())),
            )


def _merged(known: Mapping[str, Mapping[str, str]], told: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Return what is told, with what is known besides: a worker that has not made a host tells little of it."""
    return {name: {**known.get(name, {}), **facts} for name, facts in told.items()}


def _update(known: dict[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """Add what is told to what is known, and return what is new of it."""
    news = {name: value for name, value in told.items() if known.get(name) != value}
    known.update(news)
    return news


def _check(path: Path, origin: str) -> None:
    from pytest_mcast.report.store import why_not

    reason = why_not(path)
    if reason is not None:
        raise pytest.UsageError(
            f"{origin}: cannot write {str(path)!r}: {reason}; name a file in a directory that can be written to"
        )
