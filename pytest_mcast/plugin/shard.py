"""``--mcast-shard K/N``: the cells of this run are one part of N, so that several machines share a matrix."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import pytest

from .settings import Shard
from .stash import OTHERS

__all__ = ["Sharding", "assign"]


def assign(keys: Sequence[str], count: int) -> dict[str, int]:
    """Return the number of the shard, from 1, of each key; the order of the keys means nothing, sizes differ by one at the most."""
    ordered = sorted(set(keys), key=lambda key: (hashlib.sha256(key.encode(errors="surrogatepass")).digest(), key))
    return {key: place % count + 1 for place, key in enumerate(ordered)}


class Sharding:
    """Deselects the cells of other shards, and keeps them for the record. Other tests run in every shard."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self._left_out = False

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Select; last, so that what ``-k`` and the like leave is shared evenly."""
        cells = {item: _key(item.mcast_cell) for item in items if getattr(item, "mcast_cell", None)}  # type: ignore[attr-defined]
        shards = assign(list(cells.values()), self._shard.count)
        left_out = [item for item, key in cells.items() if shards[key] != self._shard.number]
        others = config.stash[OTHERS] = {
            item.nodeid: {
                "cell": item.mcast_cell,  # type: ignore[attr-defined]
                "details": getattr(item, "mcast_details", {}),
                "facts": getattr(item, "mcast_facts", {}),
                "reason": f"shard {shards[cells[item]]} of {self._shard.count}",
            }
            for item in left_out
        }
        if left_out:
            self._left_out = True
            config.hook.pytest_deselected(items=left_out)
            gone = set(left_out)
            items[:] = [item for item in items if item not in gone]
        if hasattr(config, "workeroutput"):  # the controller of xdist learns it at the end of this worker
            config.workeroutput["mcast_others"] = json.dumps(others)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Learn from a worker of xdist whether cells were left to other shards."""
        self._left_out |= getattr(node, "workeroutput", {}).get("mcast_others", "{}") != "{}"

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Nothing to do for this shard, because there are more shards than cells, is no failure."""
        if self._left_out and session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            session.exitstatus = pytest.ExitCode.OK


def _key(cell: Any) -> str:
    return json.dumps({name: value for name, value in cell.items() if name != "title"}, sort_keys=True)
