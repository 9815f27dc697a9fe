"""Takes the time of each test, set-up and teardown included, and writes them down by function."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from time import perf_counter

import pytest

ROUNDS = 50
TIMES: dict[str, list[float]] = defaultdict(list)


@pytest.fixture(autouse=True, params=range(ROUNDS))
def number() -> None:
    """Run each test ``ROUNDS`` times."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--times", type=Path, required=True, help="File for the seconds of each test, by function")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The two functions take turns.
    items[:] = [item for pair in zip(items[:ROUNDS], items[ROUNDS:], strict=True) for item in pair]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    start = perf_counter()
    try:
        return (yield)
    finally:
        TIMES[item.name.partition("[")[0]].append(perf_counter() - start)


def pytest_sessionfinish(session: pytest.Session) -> None:
    session.config.getoption("times").write_text(json.dumps(TIMES))
