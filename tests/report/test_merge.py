"""Records put together: machines, jobs of CI, shards; and what is refused."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_mcast.cli import main
from pytest_mcast.report import Cell, Feature, File, MergeError, Record, Run, Source, merge, read, write

from .support import RUN, cell

LINUX = replace(RUN, id="linux", environment={"pytest-mcast": "1", "commit": "abc"})
MAC = replace(RUN, id="mac", started="2026-02-03T05:00:00Z", environment={"pytest-mcast": "1", "commit": "abc"})


def _record(run: Run, *cells: Cell, **members: Mapping[str, object]) -> Record:
    return Record((run,), cells=tuple(replace(each, run=run.id) for each in cells), **members)  # type: ignore[arg-type]


def _merge(*records: Record) -> Record:
    """Merge in all orders, which must be the same."""
    results = [
        merge([Source(f"{number}.json", record) for number, record in order])
        for order in itertools.permutations(enumerate(records))
    ]
    assert all(result == results[0] for result in results)
    return results[0]


def _conflicts(*records: Record) -> tuple[str, ...]:
    with pytest.raises(MergeError) as caught:
        merge([Source(f"{number}.json", record) for number, record in enumerate(records)])
    return caught.value.conflicts


def test_cells_are_united_and_say_which_run_they_are_of() -> None:
    merged = _merge(_record(LINUX, cell("a", "b", "pass")), _record(MAC, cell("a", "c", "fail")))
    assert merged.runs == (LINUX, MAC)
    assert [(each.key["receiver"], each.outcome, each.run) for each in merged.cells] == [
        ("b", "pass", "linux"),
        ("c", "fail", "mac"),
    ]


@pytest.mark.parametrize("result", ["pass", "fail", "error", "unsupported"])
@pytest.mark.parametrize("nothing", ["not-run", "planned", "skipped"])
def test_what_says_nothing_yields_to_a_result(result: str, nothing: str) -> None:
    merged = _merge(_record(LINUX, cell("a", "b", nothing)), _record(MAC, cell("a", "b", result)))
    assert [(each.outcome, each.run) for each in merged.cells] == [(result, "mac")]


def test_planned_and_skipped_say_more_than_not_run() -> None:
    for more in ("planned", "skipped"):
        merged = _merge(_record(LINUX, cell("a", "b", "not-run")), _record(MAC, cell("a", "b", more)))
        assert merged.cells[0].outcome == more


def test_a_plan_shows_what_no_run_got_to() -> None:
    plan = _record(replace(RUN, id="plan"), cell("a", "b", "not-run"), cell("a", "c", "not-run"))
    merged = _merge(plan, _record(LINUX, cell("a", "b", "pass")))
    assert {each.key["receiver"]: each.outcome for each in merged.cells} == {"b": "pass", "c": "not-run"}


def test_a_result_has_what_only_the_plan_was_told() -> None:
    def told(of: Cell) -> Cell:
        return replace(of, line=7, notes="slow", expectation="fail", sometimes=True, expected_reason="by chance")

    result = replace(cell("a", "b", "pass"), run=LINUX.id)
    merged = _merge(_record(MAC, told(cell("a", "b", "not-run"))), _record(LINUX, result))
    assert merged.cells == (told(result),)


@pytest.mark.parametrize("second", ["pass", "fail"])
def test_two_results_of_one_cell_are_refused(second: str) -> None:
    (text,) = _conflicts(_record(LINUX, cell("a", "b", "pass")), _record(MAC, cell("a", "b", second)))
    assert text == (
        f"a.mcast.yaml ipv4-asm[a->b]: pass in 0.json (run linux) and {second} in 1.json (run mac); only one of them can "
        "count: leave a file out, or select different cells for each run (--mcast-shard, -k)"
    )


def test_the_same_record_twice_is_no_conflict() -> None:
    record = _record(LINUX, cell("a", "b", "pass"))
    assert _merge(record, record) == record
    both = _merge(record, _record(MAC, cell("a", "c", "pass")))
    assert _merge(both, record) == both


def test_the_same_record_from_another_directory_is_no_conflict(tmp_path: Path) -> None:
    record = _record(LINUX, replace(cell("a", "b", "fail"), artifacts=("out/capture.pcapng",)))
    (tmp_path / "copy").mkdir()
    paths = [tmp_path / "record.json", tmp_path / "copy" / "record.json"]
    for path in paths:
        write(record, path)
    for order in (paths, paths[::-1]):
        assert main(["report", "merge", "-o", str(tmp_path / "all.json"), *map(str, order)]) == 0
        (merged,) = read(tmp_path / "all.json").cells
        assert merged.artifacts == ("copy/out/capture.pcapng",)  # both are there; the first path, by name
    moved = replace(record, cells=(replace(record.cells[0], run=MAC.id, artifacts=()),), runs=(MAC,))
    assert _conflicts(record, moved)  # of another run it is another result


def test_an_older_copy_of_the_same_run_yields() -> None:
    early = _record(replace(LINUX, exit_code=None, duration_s=0.5), cell("a", "b", "not-run"))
    late = _record(LINUX, cell("a", "b", "pass"))
    assert _merge(early, late) == late
    changed = _record(LINUX, cell("a", "b", "fail"))
    assert "of the same run linux; drop one" in _conflicts(late, changed)[0]


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        (
            _record(LINUX),
            _record(replace(MAC, environment={"commit": "def"})),
            "different commits: abc in 0.json and def in 1.json; run all parts with the same one",
        ),
        (
            _record(LINUX),
            _record(replace(MAC, environment={"pytest-mcast": "2"})),
            "different versions of pytest-mcast: 1 in 0.json and 2 in 1.json; run all parts with the same one",
        ),
        (
            _record(LINUX, files={"a": File("One")}),
            _record(MAC, files={"a": File("Two")}),
            "a: different title: 'One' in 0.json and 'Two' in 1.json; these are records of different files",
        ),
        (
            _record(LINUX, files={"a": File(hosts={"here": {"system": "Linux"}})}),
            _record(MAC, files={"a": File(hosts={"here": {"system": "Darwin"}})}),
            "a: host here: different system: 'Linux' in 0.json and 'Darwin' in 1.json; give what differs another name",
        ),
        (
            _record(LINUX, files={"a": File(subjects={"mcrx": {"version": "1"}})}),
            _record(MAC, files={"a": File(subjects={"mcrx": {"version": "2"}})}),
            "a: implementation mcrx: different version: '1' in 0.json and '2' in 1.json; give what differs another name",
        ),
        (
            _record(LINUX, subjects={"core": {"version": "1"}}),
            _record(MAC, subjects={"core": {"version": "2"}}),
            "receive core core: different version: '1' in 0.json and '2' in 1.json; give what differs another name",
        ),
        (
            _record(LINUX, features={"x": Feature("RFC 1", "One")}),
            _record(MAC, features={"x": Feature("RFC 2", "One")}),
            "feature x: different reference: 'RFC 1' in 0.json and 'RFC 2' in 1.json; give what differs another name",
        ),
        (
            _record(LINUX, replace(cell("a", "b", "pass"), line=1)),
            _record(MAC, replace(cell("a", "b", "not-run"), line=1, expectation="fail")),
            "a.mcast.yaml ipv4-asm[a->b]: expected to pass in 0.json and to fail in 1.json; these are records of different files",
        ),
    ],
)
def test_contradictions_are_refused(first: Record, second: Record, text: str) -> None:
    assert _conflicts(first, second) == (text,)


def test_what_is_unknown_contradicts_nothing() -> None:
    first = _record(LINUX, files={"a": File("", "", {"x": {"system": ""}})})
    second = _record(
        replace(MAC, environment={}), files={"a": File("One", "N", {"x": {"system": "Linux", "python": "3"}})}
    )
    assert _merge(first, second).files == {"a": File("One", "N", {"x": {"system": "Linux", "python": "3"}})}


def test_virtual_hosts_of_different_machines_are_the_same_and_local_ones_are_not() -> None:
    def on(run: Run, kind: str, release: str) -> Record:
        host = {"kind": kind, "interface": "eth0", "release": release, "python": release, "machine": release}
        return _record(run, files={"a": File(hosts={"one": {**host, "system": release}})})

    merged = _merge(on(LINUX, "virtual", "6.1"), on(MAC, "virtual", "6.2"))
    assert merged.files["a"].hosts == {"one": {"kind": "virtual", "interface": "eth0"}}
    assert len(_conflicts(on(LINUX, "local", "6.1"), on(MAC, "local", "6.2"))) == 4


def test_twenty_conflicts_are_told() -> None:
    cells = [cell("a", f"r{number}", "pass") for number in range(30)]
    with pytest.raises(MergeError) as caught:
        merge([Source("a", _record(LINUX, *cells)), Source("b", _record(MAC, *cells))])
    lines = str(caught.value).splitlines()
    assert (lines[0], lines[-1], len(lines)) == ("these records do not go together:", "and 10 more", 22)


def test_the_program_merges(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    below = tmp_path / "mac"
    below.mkdir()
    artifact = replace(cell("a", "c", "fail"), artifacts=("out/capture.pcapng",))
    write(_record(LINUX, cell("a", "b", "pass")), tmp_path / "linux.json")
    write(_record(MAC, artifact, cell("a", "d", "not-run")), below / "mac.json")
    paths = [str(tmp_path / "linux.json"), str(below / "mac.json")]
    assert main(["report", "merge", "-o", str(tmp_path / "all.json"), *paths]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/all.json: 2 runs, 3 cells, 1 of them not run\n"
    record = read(tmp_path / "all.json")
    assert [each.artifacts for each in record.cells] == [(), ("mac/out/capture.pcapng",), ()]
    assert main(["report", "markdown", *paths]) == 0
    merged = capsys.readouterr().out
    assert main(["report", "markdown", str(tmp_path / "all.json")]) == 0
    assert capsys.readouterr().out == merged.replace("out/capture.pcapng", "mac/out/capture.pcapng")


def test_the_program_refuses_contradictions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(_record(LINUX, cell("a", "b", "pass")), tmp_path / "1.json")
    write(_record(MAC, cell("a", "b", "pass")), tmp_path / "2.json")
    arguments = ["-o", str(tmp_path / "out.json"), str(tmp_path / "1.json"), str(tmp_path / "2.json")]
    assert main(["report", "merge", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(
        "pytest-mcast report: these records do not go together:\na.mcast.yaml ipv4-asm[a->b]: pass in "
    )
    assert not (tmp_path / "out.json").exists()
    assert main(["report", "merge", "-o", str(tmp_path / "none" / "out.json"), str(tmp_path / "1.json")]) == 2
    assert "No such file or directory" in capsys.readouterr().err
    assert json.loads((tmp_path / "1.json").read_bytes())["runs"][0]["id"] == "linux"
