"""Cells of scenario files run in this process, on the real kernel."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from pytest_mcast import ChannelPicker, Lab, RemoteHost
from pytest_mcast.cores import ReceiveCore
from pytest_mcast.hosts import Host, LocalHost
from pytest_mcast.lab.view import HostPool
from pytest_mcast.scenarios import Cell, CellResult, HostSpec, Stage, Story, Subjects, World, load, run

__all__ = ["Play"]


class Play:
    """A file, by its text, and its cells by their names; ``timeout`` in seconds is for one datagram."""

    def __init__(self, lab: Lab, directory: Path, text: str, cores: Sequence[ReceiveCore], timeout: float) -> None:
        path = directory / "test.mcast.yaml"
        path.write_text(text)
        self.scenario = load(path, cores=[core.name for core in cores])
        self.cells = {cell.id: cell for cell in self.scenario.cells}
        self._stack = ExitStack()
        pool = HostPool(lab)
        self.needed: list[tuple[str, str, str, str]] = []
        self.required: list[tuple[str, ...]] = []
        world = World(
            lab=lambda: lab,
            subjects=Subjects(lambda: pool, cores, timeout=timeout),
            picker=ChannelPicker(secrets.token_bytes(8)),
            local=self._local,
            remote=self._remote,
            need=lambda *what: self.needed.append((what[0].name, what[1].name, *what[2:])),
            require=lambda what, *hosts: self.required.append((what, *map(str, hosts))),
            timeout=timeout,
        )
        self.stage = Stage(self.scenario, world)
        self.story: Story

    def cell(self, name: str | None = None) -> Cell:
        """Return a cell of that name; without one the only one."""
        if name is None:
            (name,) = self.cells
        return self.cells[name]

    def __call__(self, name: str | None = None) -> CellResult:
        """Run a cell; its ``story`` is kept."""
        cell = self.cell(name)
        self.story = Story(cell)
        return run(cell, self.stage, self.story)

    def failure(self, error: BaseException) -> str:
        """Return the text of the failure of the cell that ran last."""
        return self.story.failure(error, "pytest")

    def close(self) -> None:
        self.stage.close()
        self._stack.close()

    def _local(self, interface: str | None) -> Host:
        host = LocalHost(interface or "lo")
        self._stack.callback(host.close_endpoints)
        return host

    def _remote(self, spec: HostSpec) -> RemoteHost:
        return RemoteHost(spec.name, spec.remote, spec.interface)
