"""``--mcast-shard``: the parts of a matrix, and the whole when their records are put together."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pytest

from pytest_mcast.plugin.settings import Setting, read_shard
from pytest_mcast.plugin.shard import assign
from pytest_mcast.report import Cell, Record, Source, merge, read

from ..support.pytests import run_here

FILE = """
title: The title
hosts: {one: virtual, two: virtual, phone: {status: planned, reason: none yet}}
matrix:
  sender: [one, two]
  receiver: [one, two, phone]
  family: [ipv4]
  mode: [asm]
rules:
  - {cells: {sender: one, receiver: two}, expect: fail, reason: by chance, sometimes: true, notes: a note}
  - {cells: {sender: two, receiver: one}, expect: fail, reason: it is broken}
"""
CONFTEST = """
    import pytest

    @pytest.fixture(autouse=True)
    def break_one(request, monkeypatch):
        if request.node.name == "ipv4-asm[two->one]":
            def lose(*arguments, **options):
                raise AssertionError("lost")
            monkeypatch.setattr("pytest_mcast.scenarios.run", lose)
"""
OTHER = "def test_other(): pass"


def test_shards_are_even_and_the_same_whatever_the_order() -> None:
    keys = [f"key {number}" for number in range(100)]
    for count in (1, 2, 3, 7, 100, 150):
        shards = assign(keys, count)
        sizes = Counter(shards.values())
        assert set(sizes) == set(range(1, min(count, 100) + 1))
        assert max(sizes.values()) - min(sizes.values()) <= 1
        assert assign(list(reversed(keys)) * 2, count) == shards


def test_neighbours_are_in_different_shards() -> None:
    shards = list(assign([f"size={number:03}" for number in range(100)], 2).values())
    assert shards[:50].count(1) not in (0, 50)


@pytest.mark.parametrize("value", ["0/3", "4/3", "1", "a/b", "1/3/5", "-1/3", "1/0", "1/9999999", "\u0661/\u0663"])
def test_what_is_no_shard_is_refused(value: str) -> None:
    text = f"--mcast-shard: {value!r} is not K/N, the part K of N parts, such as 1/3, 2/3 and 3/3"
    with pytest.raises(pytest.UsageError, match=f"^{re.escape(text)}$"):
        read_shard(Setting(value, "--mcast-shard"))


def test_what_is_one_says_where_it_came_from(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmcast_shard = 2/3\n")
    result = run_here(pytester)
    assert "mcast: shard 2 of 3 (mcast_shard in tox.ini)" in result.outlines
    result = run_here(pytester, "--mcast-shard=3/2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR


@pytest.fixture
def scenario(pytester: pytest.Pytester) -> None:
    (pytester.path / "a.mcast.yaml").write_text(FILE)
    pytester.makepyfile(OTHER)
    pytester.makeconftest(CONFTEST)


def _pytest(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    workers = any(argument.startswith("-n") for argument in arguments)
    return pytester.runpytest_subprocess(*arguments) if workers else run_here(pytester, *arguments)


def _record(pytester: pytest.Pytester, name: str, *arguments: str) -> tuple[pytest.RunResult, Record]:
    result = _pytest(pytester, f"--mcast-report={name}", "--mcast-require=all", *arguments)
    assert result.ret == 0
    return result, read(pytester.path / name)


@pytest.mark.usefixtures("scenario")
def test_three_shards_merged_are_the_whole(pytester: pytest.Pytester) -> None:
    whole = _record(pytester, "whole.json")[1]
    shards = []
    for number, way in ((1, ()), (2, ("-n2",)), (3, ())):
        result, record = _record(pytester, f"{number}.json", f"--mcast-shard={number}/3", *way)
        others = [cell for cell in record.cells if cell.outcome == "not-run"]
        assert (len(record.cells), len(others)) == (6, 4)
        assert {cell.reason for cell in others} <= {f"shard {other} of 3" for other in (1, 2, 3) if other != number}
        assert record.runs[0].environment["shard"] == f"{number} of 3"
        assert any(f"shard {number} of 3 (--mcast-shard)" in line for line in result.outlines)
        outcomes = result.parseoutcomes()
        assert outcomes.pop("deselected", 0) == (0 if way else 4)
        assert sum(outcomes.values()) == 3  # the other test runs in each
        shards.append(Source(str(number), record))
    merged = merge(shards)
    assert [_what(cell) for cell in merged.cells] == [_what(cell) for cell in whole.cells]
    assert merged.files == whole.files
    assert len({cell.run for cell in merged.cells}) == 3


def _what(cell: Cell) -> Cell:
    """Return what is the same in each run: not the time, and not the channels, which are those of the run."""
    evidence, log = (
        tuple(re.sub(r"0x[0-9a-f]+|[0-9.:]+", "#", line) for line in lines) for lines in (cell.evidence, cell.log)
    )
    return replace(cell, run="", duration_s=0, timeline=(), evidence=evidence, log=log)


@pytest.mark.parametrize("way", [(), ("-n1",)], ids=["plain", "xdist"])
def test_a_shard_without_cells_is_no_failure(pytester: pytest.Pytester, way: tuple[str, ...]) -> None:
    text = "hosts: {one: {status: planned, reason: none yet}}\nmatrix: {family: [ipv4], mode: [asm]}\n"
    (pytester.path / "a.mcast.yaml").write_text(text)
    result = _pytest(pytester, "--mcast-report=out.json", "--mcast-shard=2/2", *way)
    assert result.ret == 0
    record = read(pytester.path / "out.json")
    assert (record.runs[0].exit_code, [cell.reason for cell in record.cells]) == (0, ["shard 1 of 2"])


def test_no_cells_in_any_shard_are_a_failure_as_ever(pytester: pytest.Pytester) -> None:
    result = run_here(pytester, "--mcast-shard=1/2")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.usefixtures("scenario")
def test_what_was_not_selected_is_in_no_shard(pytester: pytest.Pytester) -> None:
    for way in ((), ("-n1",)):
        record = _record(pytester, "out.json", "--mcast-shard=1/2", "-k", "ipv4-asm[one", *way)[1]
        assert {cell.key["sender"] for cell in record.cells} == {"one"}
        assert [cell.outcome == "not-run" for cell in record.cells].count(True) == 1  # of three


@pytest.mark.usefixtures("scenario")
def test_a_plan_and_a_shard_show_what_is_missing(pytester: pytest.Pytester) -> None:
    plan = _record(pytester, "plan.json", "--collect-only")[1]
    shard = _record(pytester, "1.json", "--mcast-shard=1/2")[1]
    merged = merge([Source("plan", plan), Source("1", shard)])
    ran = {cell.nodeid: cell.outcome for cell in shard.cells if cell.outcome != "not-run"}
    assert len(ran) == 3
    assert {cell.nodeid: cell.outcome for cell in merged.cells} == {cell.nodeid: "not-run" for cell in plan.cells} | ran
