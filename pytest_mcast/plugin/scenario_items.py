"""Scenario files as test modules, their cells as test functions: fixtures, -k, --lf, node ids and xdist work."""

from __future__ import annotations

import os
import shlex
import types
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_mcast.core.errors import McastError
from pytest_mcast.scenarios import Excused, ScenarioError, load

from .stash import SETTINGS, notice, place_of

if TYPE_CHECKING:
    from pytest_mcast.cores import ReceiveCore
    from pytest_mcast.scenarios import Cell, Scenario, Stage, Story

    from .settings import Settings

__all__ = ["CellItem", "ScenarioFile", "declared", "read_scenario"]


class ScenarioFile(pytest.Module):
    """A ``*.mcast.yaml`` file. It is a Module, without a module's content, for the sake of other plugins' fixtures."""

    #: What is wrong with the file: ``path``, ``line``, ``column`` and ``text``; None while nothing is known to be.
    mcast_mistake: dict[str, Any] | None = None

    @classmethod
    def at(cls, parent: pytest.Collector, path: Path) -> ScenarioFile:
        """Make one. Outside of rootdir, where pytest gives files of one name one node id, it has one of its own."""
        root = parent.config.rootpath
        nodeid = None if path.is_relative_to(root) else _from(root, path)
        file: ScenarioFile = cls.from_parent(parent, path=path, nodeid=nodeid)
        return file

    def _getobj(self) -> types.ModuleType:
        return types.ModuleType(self.path.stem.replace(".", "_"))

    def collect(self) -> Iterable[pytest.Item]:
        """Read the file and make its cells."""
        try:
            scenario, cores = read_scenario(self.config, self.path)
            marks = {name: _mark(name, cell) for cell in scenario.cells for name in cell.marks}
        except ScenarioError as error:
            self.mcast_mistake = {
                "path": os.path.abspath(error.path), "line": error.line, "column": error.column, "text": error.text
            }  # fmt: skip
            raise self.CollectError(str(error)) from None
        except OSError as error:
            raise self.CollectError(f"{self.path}: cannot read it: {error.strerror}") from None
        for cell in scenario.cells:
            run = partial(_run, scenario, cell, cores)
            item: CellItem = CellItem.from_parent(
                self, name=cell.id, callobj=_function(run), cell=cell, scenario=scenario
            )
            for name in cell.marks:
                item.add_marker(marks[name])
            yield item


class CellItem(pytest.Function):
    """One cell of a matrix."""

    def __init__(self, *, cell: Cell, scenario: Scenario, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.cell = cell
        #: What happened when the cell ran.
        self.mcast_story: Story | None = None
        #: What was shown, in words.
        self.mcast_evidence: list[str] = []
        #: What is known of the file, its hosts and subjects.
        self.mcast_facts: dict[str, Any] = {"file": {"notes": scenario.notes}}
        expected = cell.expectation
        self._declared = declared(cell)
        #: What the record keeps besides.
        self.mcast_details: dict[str, Any] = dict(self._declared)
        self.mcast_cell = {**cell.as_dict(), "file": self.nodeid.rpartition("::")[0], "title": scenario.title}
        self.add_marker("mcast")
        if expected.outcome == "fail":  # AssertionError: what breaks the network is no failure of the subject
            strict = not expected.sometimes
            self.add_marker(pytest.mark.xfail(reason=expected.reason, strict=strict, raises=AssertionError))

    @property
    def id(self) -> Any:
        """The structured form of the node id, with what stands in brackets apart (pytest 9.2 and later; for --lf).

        pytest takes it from ``callspec``, which our items cannot have, because editors want one in .py files only.
        """
        return type(super().id).parse(self.nodeid)

    def reportinfo(self) -> tuple[Any, int, str]:
        """Say where the cell is declared."""
        return self.path, self.cell.line - 1, self.name

    def mcast_forget(self) -> None:
        """Forget an earlier attempt: what is known of it is nothing to the one that begins, whose set-up may fail."""
        self.mcast_story = None
        self.mcast_evidence, self.mcast_details = [], dict(self._declared)

    def begin(self, story: Story) -> None:
        """Begin to run: what a test does that does not end is known as well."""
        self.mcast_story, self.mcast_evidence = story, story.evidence

    def tell(self, story: Story, stage: Stage) -> None:
        """Keep what is known now, as plain data."""
        result = story.result()
        self.mcast_evidence = list(result.evidence)
        more = {"reported": result.reported, "timeline": list(map(list, map(astuple, result.timeline)))}
        self.mcast_details = {**self._declared, **more, "log": list(result.log)}
        self.mcast_facts = {"file": _facts(stage, self.cell)}

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *arguments: Any, **keywords: Any) -> Any:
        """Return a sentence, and what happened; a traceback for errors that are none of ours."""
        if self.mcast_story is None or not isinstance(excinfo.value, McastError):
            return super().repr_failure(excinfo, *arguments, **keywords)
        text = self.mcast_story.failure(excinfo.value, _command(self))
        self.mcast_details["log"] = [*self.mcast_details.get("log", ()), *text.splitlines()]
        return text


def read_scenario(config: pytest.Config, path: Path) -> tuple[Scenario, list[ReceiveCore]]:
    """Read a file, and return it with the cores of plugins that it may name; raises ``ScenarioError`` and ``OSError``."""
    cores = [core for found in config.hook.pytest_mcast_cores(config=config) for core in found]
    return load(path, cores=[core.name for core in cores]), cores


def declared(cell: Cell) -> dict[str, Any]:
    """Return what a file says of a cell, as the record has it."""
    expected = cell.expectation
    return {
        "expectation": expected.outcome,
        "sometimes": expected.sometimes,
        "expected_reason": expected.reason,
        "notes": cell.notes,
        "line": cell.line,
    }


def _from(root: Path, path: Path) -> str:
    try:
        return Path(os.path.relpath(path, root)).as_posix()
    except ValueError:  # on another drive
        return path.as_posix()


def _function(run: Any) -> Any:
    def run_cell(request: pytest.FixtureRequest) -> None:
        run(request)

    return run_cell


def _run(scenario: Scenario, cell: Cell, cores: Sequence[ReceiveCore], request: pytest.FixtureRequest) -> None:
    from pytest_mcast.scenarios import Story, run

    item: CellItem = request.node
    story = Story(cell)
    item.begin(story)
    stage = place_of(request.config).stage(scenario, cores)
    try:
        run(cell, stage, story, arrival=partial(notice, request.config))
    except Excused as excused:
        skipped = pytest.skip.Exception(f"mcast: {excused}")
        skipped.mcast_outcome = excused.mcast_outcome  # type: ignore[attr-defined] # for the record
        raise skipped from None
    finally:
        item.tell(story, stage)
    expected = cell.expectation
    if expected.outcome == "unsupported" and not expected.sometimes:
        surprise = pytest.fail.Exception(
            f"[XPASS(strict)] it passed, and is expected to be unsupported: {expected.reason}", pytrace=False
        )
        surprise.mcast_outcome = "pass"  # type: ignore[attr-defined] # as pytest has it for xfail
        raise surprise


def _facts(stage: Stage, cell: Cell) -> dict[str, Any]:
    scenario = stage.scenario
    parties = (cell.sender, cell.receiver)
    subjects: dict[str, dict[str, str]] = {}
    for party in parties:
        if party.subject is not None:
            told = stage.facts_of_subject(party.subject, party.host)
            subjects[party.subject] = {**subjects.get(party.subject, {}), **told}
    hosts = {party.host: stage.facts(party.host) for party in parties}
    return {"notes": scenario.notes, "hosts": hosts, "subjects": subjects}


def _mark(name: str, cell: Cell) -> pytest.MarkDecorator:
    """Return a mark of the user's. It need not be registered, unless pytest is told that marks must be."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pytest.PytestUnknownMarkWarning)
            mark: pytest.MarkDecorator = getattr(pytest.mark, name)
    except pytest.fail.Exception:
        text = f"marks: {name!r} is not among the registered markers of pytest, which --strict-markers (strict_markers) wants"
        raise ScenarioError(cell.path, cell.line, cell.column, text) from None
    return mark


def _command(item: CellItem) -> str:
    """Return the command that runs a cell again, with the options that say where."""
    path = os.path.relpath(item.path, item.config.invocation_params.dir)
    words = ["pytest", f"{path}::{item.name}", *_options(item.config.stash[SETTINGS])]
    return shlex.join(words)


def _options(settings: Settings) -> list[str]:
    found = []
    for option, setting in (("--mcast-iface", settings.iface), ("--mcast-timeout", settings.timeout)):
        if setting.origin == option:
            value = f"{setting.value:g}" if isinstance(setting.value, float) else setting.value
            found.append(f"{option}={value}")
    if settings.lab.origin == "--mcast-lab" and settings.lab.value == "on":
        found.append("--mcast-lab")
    return found
