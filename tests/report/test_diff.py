"""Two records compared, and what counts as a regression."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pytest_mcast.cli import main
from pytest_mcast.report import Cell, File, Record, compare, diff_lines, write
from pytest_mcast.report.record import OUTCOMES

from .support import RUN, cell

NAME = "a.mcast.yaml ipv4-asm[a->b]"


def _known(outcome: str, expectation: str = "fail", *, sometimes: bool = False) -> Cell:
    return replace(cell("a", "b", outcome), expectation=expectation, expected_reason="known", sometimes=sometimes)


def _compare(old: Cell, new: Cell) -> dict[str, list[str]]:
    result = compare(Record((RUN,), cells=(old,)), Record((RUN,), cells=(new,)))
    return {name: lines for name, lines in vars(result).items() if lines and name not in ("known", "compared")}


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_pass_that_is_none_any_more_is_a_regression(outcome: str) -> None:
    found = _compare(cell("a", "b", "pass"), cell("a", "b", outcome))
    line = [f"{NAME}: pass -> {outcome}: why {outcome}"]
    assert found == ({} if outcome == "pass" else {"changed": line} if outcome == "planned" else {"regressions": line})


@pytest.mark.parametrize("outcome", ["fail", "error", "unsupported", "skipped", "planned", "not-run"])
def test_a_cell_that_works_now_is_repaired(outcome: str) -> None:
    assert _compare(cell("a", "b", outcome), cell("a", "b", "pass")) == {"repaired": [f"{NAME}: {outcome} -> pass"]}


def test_what_is_declared_is_no_regression() -> None:
    assert _compare(cell("a", "b", "pass"), _known("fail")) == {
        "changed": [f"{NAME}: pass -> expected fail: known"],
        "expectations": [f"{NAME}: pass -> fail: known"],
    }


@pytest.mark.parametrize("outcome", ["error", "skipped", "not-run", "unsupported"])
def test_a_known_failure_that_is_not_shown_any_more_is_a_regression(outcome: str) -> None:
    assert list(_compare(_known("fail"), _known(outcome))) == ["regressions"]


@pytest.mark.parametrize("outcome", ["fail", "unsupported"])
def test_an_expectation_that_is_dropped_is_none_where_the_same_happens(outcome: str) -> None:
    old, new = _known(outcome, outcome), replace(_known(outcome, "pass"), expected_reason="")
    assert _compare(old, new) == {"expectations": [f"{NAME}: {outcome} -> pass"]}
    assert list(_compare(old, replace(new, outcome="error"))) == ["regressions", "expectations"]


def test_passes_against_expectation() -> None:
    assert _compare(_known("fail"), _known("pass")) == {"changed": [f"{NAME}: expected fail -> unexpected pass"]}
    assert list(_compare(_known("fail", sometimes=True), _known("pass", sometimes=True))) == ["changed"]
    assert list(_compare(_known("pass", sometimes=True), _known("fail", sometimes=True))) == ["changed"]


def test_two_failures_are_no_news() -> None:
    assert not _compare(cell("a", "b", "fail"), replace(cell("a", "b", "fail"), reason="another"))
    assert list(_compare(cell("a", "b", "fail"), cell("a", "b", "error"))) == ["changed"]


def test_cells_that_came_and_went() -> None:
    result = compare(Record((RUN,), cells=(cell("a", "b", "pass"),)), Record((RUN,), cells=(cell("a", "c", "fail"),)))
    assert (result.added, result.removed, result.regressions, result.compared) == (
        ["a.mcast.yaml ipv4-asm[a->c]: fail: why fail"],
        ["a.mcast.yaml ipv4-asm[a->b]: was pass"],
        [],
        0,
    )


def test_of_a_complete_record_a_cell_that_is_gone_is_a_regression() -> None:
    old = Record((RUN,), cells=(cell("a", "b", "pass"), cell("a", "c", "fail"), cell("a", "d", "pass")))
    result = compare(old, replace(old, cells=old.cells[2:]), complete=True)
    assert (result.regressions, result.removed) == (
        [f"{NAME}: was pass, and is gone"],
        ["a.mcast.yaml ipv4-asm[a->c]: was fail"],
    )


def test_another_version_reported_and_evidence_that_is_gone() -> None:
    old = replace(cell("a", "b", "pass"), reported="IGMPv3", evidence=("ready by 10.0.0.1 in 3 s", "ssm.wrong-source"))
    new = replace(old, reported="IGMPv2", evidence=("ready by 10.0.0.2 in 4 s",))
    assert _compare(old, new) == {
        "reported": [f"{NAME}: IGMPv3 -> IGMPv2"],
        "evidence": [f"{NAME}: no more: ssm.wrong-source"],
    }


def test_versions_of_subjects_hosts_and_environment() -> None:
    def record(version: str) -> Record:
        run = replace(RUN, environment={"python": version, "job": version})
        file = File(hosts={"h": {"release": version}}, subjects={"mcrx": {"version": version}})
        return Record((run,), {"f": file}, {"core": {"version": version}})

    assert compare(record("1"), record("2")).versions == [
        "receive core core: version 1 -> 2",
        "f: host h: release 1 -> 2",
        "f: implementation mcrx: version 1 -> 2",
        "python: 1 -> 2",
    ]


def test_conformance_cells_are_compared_by_case() -> None:
    key = {
        "file": "conformance",
        "sender": "crafted",
        "receiver": "rust",
        "family": "ipv4",
        "mode": "ssm",
        "case": "x.y",
    }
    old = replace(cell("a", "b", "pass"), key=key)
    assert _compare(old, replace(old, outcome="fail", reason="it did"))["regressions"] == [
        "rust x.y ipv4-ssm: pass -> fail: it did"
    ]


def test_text_and_markdown() -> None:
    result = compare(Record((RUN,), cells=(cell("a", "b*", "pass"),)), Record((RUN,), cells=(cell("a", "b*", "fail"),)))
    assert list(diff_lines(result)) == [
        "1 cells in both records, 1 regression.",
        "",
        "Regressions (1):",
        "  a.mcast.yaml ipv4-asm[a->b*]: pass -> fail: why fail",
    ]
    assert list(diff_lines(result, markdown=True)) == [
        "# Multicast matrix: what has changed",
        "",
        "1 cells in both records, 1 regression.",
        "",
        "## Regressions (1)",
        "",
        r"- a.mcast.yaml ipv4-asm\[a->b\*\]: pass -> fail: why fail",
    ]


def test_the_exit_code_is_for_gates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    write(Record((RUN,), cells=(cell("a", "b", "pass"),)), good)
    write(Record((RUN,), cells=(cell("a", "b", "fail"),)), bad)
    assert main(["report", "diff", str(good), str(good)]) == 0
    assert capsys.readouterr().out == "1 cells in both records, no regressions.\n"
    assert main(["report", "diff", str(bad), str(good)]) == 0
    assert main(["report", "diff", "--markdown", str(good), str(bad)]) == 1
    assert main(["report", "diff", str(good), str(tmp_path / "none.json")]) == 2
    assert capsys.readouterr().err == f"pytest-mcast report: {tmp_path}/none.json: No such file or directory\n"


def test_a_gate_stays_shut_where_nothing_was_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, none, other = (tmp_path / f"{name}.json" for name in ("old", "none", "other"))
    one = cell("a", "b", "pass")
    write(Record((RUN,), cells=(one,)), old)
    write(Record((RUN,)), none)
    write(Record((RUN,), cells=(replace(one, key={**one.key, "size": "40"}),)), other)
    for new in (none, other):
        assert main(["report", "diff", str(old), str(new)]) == 1
        assert capsys.readouterr().out.splitlines()[0] == (
            "0 cells in both records, no regressions. Nothing was compared: the new record has none of the cells of the old one."
        )
    assert main(["report", "diff", str(none), str(old)]) == 0  # there was nothing before


def test_the_program_is_told_that_the_new_record_is_complete(tmp_path: Path) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    write(Record((RUN,), cells=(cell("a", "b", "pass"), cell("a", "c", "pass"))), old)
    write(Record((RUN,), cells=(cell("a", "b", "pass"),)), new)
    assert main(["report", "diff", str(old), str(new)]) == 0
    assert main(["report", "diff", "--complete", str(old), str(new)]) == 1
