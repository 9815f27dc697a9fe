"""Scenario files as test modules, their cells as test functions: fixtures, -k, --lf, node ids and xdist work."""

from __future__ import annotations

import types
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pytest

from pytest_mcast.scenarios import ScenarioError, load

from .stash import notice, place_of

if TYPE_CHECKING:
    from pytest_mcast.hosts import Host
    from pytest_mcast.scenarios import Cell, HostSpec, Scenario

    from .place import Place

__all__ = ["CellItem", "ScenarioFile"]


class ScenarioFile(pytest.Module):
    """A ``*.mcast.yaml`` file. It is a Module, without a module's content, for the sake of other plugins' fixtures."""

    def _getobj(self) -> types.ModuleType:
        return types.ModuleType(self.path.stem.replace(".", "_"))

    def collect(self) -> Iterable[pytest.Item]:
        """Read the file and make its cells."""
        try:
            scenario = load(self.path)
        except ScenarioError as error:
            raise self.CollectError(str(error)) from None
        for cell in scenario.cells:
            yield CellItem.from_parent(
                self, name=cell.id, callobj=_function(scenario, cell), cell=cell, title=scenario.title
            )


class CellItem(pytest.Function):
    """One cell of a matrix."""

    def __init__(self, *, cell: Cell, title: str, **keywords: Any) -> None:
        super().__init__(**keywords)
        self._cell = cell
        #: What was shown when the cell ran, in words.
        self.mcast_evidence: list[str] = []
        file = self.nodeid.partition("::")[0] or self.path.name  # outside of rootdir
        self.mcast_cell = {**cell.as_dict(), "file": file, "title": title}
        self.add_marker("mcast")

    @property
    def id(self) -> Any:
        """The structured form of the node id, with what stands in brackets apart (pytest 9.2 and later; for --lf).

        pytest takes it from ``callspec``, which our items cannot have, because editors want one in .py files only.
        """
        return type(super().id).parse(self.nodeid)

    def reportinfo(self) -> tuple[Any, int, str]:
        """Say where the cell is declared."""
        return self.path, self._cell.line - 1, self.name


def _function(scenario: Scenario, cell: Cell) -> Any:
    def run_cell(request: pytest.FixtureRequest) -> None:
        from pytest_mcast.scenarios import run

        place = place_of(request.config)
        timeout = place.settings.timeout.value
        request.node.mcast_evidence = []  # that of an earlier attempt is nothing to this one
        sender = _host(place, scenario.hosts[cell.sender])
        receiver = sender if cell.receiver == cell.sender else _host(place, scenario.hosts[cell.receiver])
        place.need(sender, receiver, cell.family, cell.mode)
        notice(request.config, sender, receiver)
        request.node.mcast_evidence = run(cell, sender, receiver, place.picker, timeout=timeout)

    return run_cell


def _host(place: Place, spec: HostSpec) -> Host:
    if spec.kind == "local":
        return place.local
    return place.scenario_host(spec.name, spec.interface)
