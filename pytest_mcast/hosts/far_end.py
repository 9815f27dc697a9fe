"""Runs at the far end of a connection, before there is anything else: imports what is sent to it, from memory.

Python 3.9, standard library only, and nothing else of this package: execnet sends the source of this module.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from typing import TYPE_CHECKING, Dict, Optional

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["Memory"]


class Memory(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds and loads modules whose source it has, by their full names; packages are ``name.__init__``."""

    def __init__(self, sources: Dict[str, str]) -> None:
        self._sources = sources

    def find_spec(self, fullname: str, *_: object) -> Optional[ModuleSpec]:
        """Return the specification of a module that is here."""
        if fullname not in self._sources and f"{fullname}.__init__" not in self._sources:
            return None
        return importlib.util.spec_from_loader(fullname, self, origin=self._origin(fullname))

    def is_package(self, fullname: str) -> bool:
        """Say whether it is a package."""
        return f"{fullname}.__init__" in self._sources

    def get_source(self, fullname: str) -> str:
        """Return the source; tracebacks ask for it, too."""
        return self._sources[f"{fullname}.__init__" if self.is_package(fullname) else fullname]

    def exec_module(self, module: ModuleType) -> None:
        """Run the source in the module."""
        name = module.__name__
        exec(compile(self.get_source(name), self._origin(name), "exec"), module.__dict__)  # noqa: S102 - as imports do

    def _origin(self, fullname: str) -> str:
        return f"<{fullname}, sent by pytest-mcast>"


if __name__ == "__channelexec__":
    sources, silence = channel.receive()  # type: ignore[name-defined]  # noqa: F821 - execnet puts it there
    sys.path[:] = [place for place in sys.path if place]  # nothing in the directory where we happen to be is meant
    sys.meta_path.insert(0, Memory(sources))
    from pytest_mcast.core import agent

    agent.serve(channel, silence)  # type: ignore[name-defined]  # noqa: F821 - the same
