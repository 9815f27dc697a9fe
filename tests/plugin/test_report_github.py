"""What GitHub Actions is told: annotations at the lines of the files, and the summary of the job."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_mcast.plugin.github import append_summary, commands
from pytest_mcast.report import Cell, File, Record, Run, tables

from ..support.pytests import run_here

RUN = Run("id", "2026-02-03T04:05:06Z", 1.0)
KEY = {"file": "a.mcast.yaml", "family": "ipv4", "mode": "ssm", "sender": "one", "receiver": "two"}
BAD = Cell(KEY, "fail", "sub/a.mcast.yaml::ipv4-ssm[one->two,size=1]", reason="lost: 50%", line=7)
ROOT = Path(os.path.abspath("/srv/project"))
# Tests that say that they are cells, as the items of scenario files do.
CELLS = """
    import pytest

    def pytest_itemcollected(item):
        key = {"file": "a.mcast.yaml", "title": "T", "family": "ipv4", "mode": "asm", "sender": "a", "receiver": item.name}
        item.mcast_cell, item.mcast_details = key, {"line": 3}
"""
TESTS = "def test_good(): pass\ndef test_bad(): assert 0, 'it is\\nbad, 100%'"


def _commands(*cells: Cell) -> list[str]:
    numbered = tuple(replace(each, key={**each.key, "size": str(number)}) for number, each in enumerate(cells))
    return list(commands(Record((RUN,), cells=numbered), ROOT, ROOT.parent))


def test_what_is_not_as_expected_is_told_at_its_line() -> None:
    assert _commands(BAD) == [
        "::error file=project/sub/a.mcast.yaml,line=7,title=ipv4-ssm[one->two%2Csize=1]%3A fail::lost: 50%25"
    ]


def test_what_is_as_expected_or_says_nothing_is_not_told() -> None:
    for outcome in ("pass", "unsupported", "skipped", "planned", "not-run"):
        assert not _commands(replace(BAD, outcome=outcome))
    assert not _commands(replace(BAD, expectation="fail"))
    assert not _commands(replace(BAD, outcome="pass", expectation="fail", sometimes=True))
    assert "unexpected pass" in _commands(replace(BAD, outcome="pass", expectation="fail"))[0]
    assert _commands(replace(BAD, outcome="error"))


def test_without_a_line_there_is_no_file() -> None:
    assert _commands(replace(BAD, line=0))[0].startswith("::error title=")


def test_a_file_outside_of_the_workspace_is_named_as_it_is() -> None:
    (line,) = commands(Record((RUN,), cells=(BAD,)), ROOT, ROOT / "other")
    assert line.startswith("::error file=sub/a.mcast.yaml,line=7,")


@pytest.mark.parametrize(("count", "lines"), [(10, 10), (11, 10), (50, 10)])
def test_as_many_as_are_shown(count: int, lines: int) -> None:
    told = _commands(*[BAD] * count)
    assert len(told) == lines
    assert (told[-1] == f"::error title=multicast matrix::{count - 9} more cells are not as expected") == (count > 10)


@pytest.mark.parametrize(
    "text", ["a\nb", "\r::stop::", "%0A::x::", "::set-output::", "\x1b[0m", "a,b=c:d", "\u202e", "\ud800"]
)
def test_no_text_becomes_a_command(text: str) -> None:
    hostile = replace(BAD, reason=text, nodeid=f"{text}::{text}", key={**KEY, "file": text})
    (line,) = _commands(hostile)
    assert line.isprintable()
    properties, _, message = line.removeprefix("::error ").partition("::")
    assert [part.partition("=")[0] for part in properties.split(",")] == ["file", "line", "title"]
    assert not properties.count(":")
    assert "%" not in message.replace("%25", "")


def test_the_summary_is_appended_and_cut_where_github_would_drop_it(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    append_summary(path, ["one", "grün \ud800"])
    append_summary(path, ["two"])
    assert path.read_text(encoding="utf-8") == "one\ngrün \\ud800\n\ntwo\n\n"
    append_summary(path, (f"{number:09}" for number in range(200_000)))
    content = path.read_bytes()
    assert 1024 * 1024 - 2048 < len(content) < 1024 * 1024
    assert content.endswith(b"\n\n\nCut here: GitHub takes 1 MiB. The record has the rest.\n\n")
    with pytest.raises(OSError, match="No such file"):
        append_summary(tmp_path / "none" / "summary.md", ["one"])


def _run(pytester: pytest.Pytester, summary: str, *arguments: str, actions: str = "true") -> pytest.RunResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GITHUB_ACTIONS", actions)
        patch.setenv("GITHUB_STEP_SUMMARY", summary)
        patch.setenv("GITHUB_WORKSPACE", str(pytester.path))
        return pytester.runpytest_subprocess(*arguments) if "-n1" in arguments else run_here(pytester, *arguments)


@pytest.fixture
def cells(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CELLS)
    pytester.makepyfile(TESTS)


@pytest.mark.usefixtures("cells")
def test_a_run_on_github(pytester: pytest.Pytester) -> None:
    result = _run(pytester, "summary.md")
    assert result.ret == 1
    name = "test_a_run_on_github.py"
    assert f"::error file={name},line=3,title=test_bad%3A fail::AssertionError: it is" in result.outlines
    summary = (pytester.path / "summary.md").read_text(encoding="utf-8")
    assert "| from a | ❌ fail (1) | ✅ pass      |" in summary


@pytest.mark.usefixtures("cells")
def test_what_cannot_be_told_breaks_nothing(pytester: pytest.Pytester) -> None:
    result = _run(pytester, "none/summary.md", "-k", "good")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["mcast: no summary for GitHub: cannot write none/summary.md: No such file or directory"]
    )


@pytest.mark.usefixtures("cells")
def test_elsewhere_and_on_request_nothing_is_told(pytester: pytest.Pytester) -> None:
    for actions, arguments in (("false", ()), ("true", ("-p", "no:mcast-github"))):
        result = _run(pytester, "summary.md", *arguments, actions=actions)
        result.stdout.no_fnmatch_line("*::error*")
        assert not (pytester.path / "summary.md").exists()


@pytest.mark.parametrize("way", [(), ("-n1",), ("--collect-only",)], ids=["plain", "xdist", "collect-only"])
def test_a_scenario_file_that_cannot_be_used_is_told_at_its_line(
    pytester: pytest.Pytester, way: tuple[str, ...]
) -> None:
    (pytester.path / "below").mkdir()
    (pytester.path / "below" / "b.mcast.yaml").write_text("title: It\nhosts: {a: virtul}\n")
    result = _run(pytester, "summary.md", *way)
    place = "file=below/b.mcast.yaml,line=2,col=12,title=b.mcast.yaml%3A this file cannot be used"
    told = [line for line in result.outlines if line.startswith("::")]
    assert told == [
        f"::error {place}::hosts.a: 'virtul' is not allowed; did you mean 'virtual'? allowed: virtual, local"
    ]


def test_mistakes_are_told_before_cells_and_counted_with_them() -> None:
    mistake = {"path": str(ROOT / "b.mcast.yaml"), "line": 2, "column": 3, "text": "no\n::x::, 100%"}
    first = "::error file=project/b.mcast.yaml,line=2,col=3,title=b.mcast.yaml%3A this file cannot be used::no ::x::, 100%25"
    told = list(commands(Record((RUN,), cells=(BAD,)), ROOT, ROOT.parent, [mistake] * 11))
    assert told == [first] * 9 + ["::error title=multicast matrix::3 more files and cells are not as expected"]
    (elsewhere,) = commands(None, ROOT, ROOT / "other", [mistake])
    assert elsewhere.startswith(f"::error file={ROOT.as_posix()}/b.mcast.yaml,")


@pytest.mark.parametrize(
    ("title", "line"),
    [
        ("::stop-commands::x", ": :stop-commands::x (a.mcast.yaml)"),
        (" ::error::x", ": :error::x (a.mcast.yaml)"),
        ("a ##[add-mask]x ##vso[task.complete]", "a # #[add-mask]x # #vso[task.complete] (a.mcast.yaml)"),
        ("C++ :: it # ## [x]", "C++ :: it # ## [x] (a.mcast.yaml)"),
    ],
)
def test_no_title_is_a_command(title: str, line: str) -> None:
    assert next(tables(Record((RUN,), {"a.mcast.yaml": File(title)}, cells=(BAD,)))) == line
    hostile = replace(BAD, key={**KEY, "family": "::x::", "size": "::x::"})
    assert not [line for line in tables(Record((RUN,), cells=(BAD, hostile))) if line.lstrip().startswith("::")]
