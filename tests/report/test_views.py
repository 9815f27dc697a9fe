"""The views of a record: terminal and Markdown, and the program that prints them."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_mcast.cli import main
from pytest_mcast.report import Cell, File, Record, markdown, tables, write
from pytest_mcast.report.record import OUTCOMES

from .support import RUN, cell, full

CELLS = (
    cell("one", "two", "fail"),
    cell("one", "one", "pass"),
    cell("two", "one", "not-run", mode="ssm"),
    cell("one", "two", "error", family="ipv6"),
    cell("one", "two", "pass", file="b.mcast.yaml"),
)
RECORD = Record((RUN,), files={"a.mcast.yaml": File("Two hosts"), "b.mcast.yaml": File()}, cells=CELLS)


def test_terminal() -> None:
    assert list(tables(RECORD)) == [
        "Two hosts (a.mcast.yaml)",
        "",
        "  ipv4-asm  to one   to two",
        "  from one  pass     fail",
        "",
        "  ipv4-ssm  to one",
        "  from two  not-run",
        "",
        "  ipv6-asm  to two",
        "  from one  error",
        "",
        "b.mcast.yaml",
        "",
        "  ipv4-asm  to two",
        "  from one  pass",
        "",
    ]


def test_columns_are_as_wide_as_their_words() -> None:
    (wide,) = (
        line
        for line in tables(Record((RUN,), cells=(cell("s", "a", "unsupported"), cell("s", "b", "pass"))))
        if line.startswith("  from")
    )
    assert wide == "  from s    unsupported  pass"


def test_markdown() -> None:
    assert list(markdown(RECORD)) == [
        "# Multicast matrix",
        "",
        "Run 0123456789abcdef of 2026-02-03T04:05:06Z, 1.5 s, exit code 1.",
        "",
        "## Two hosts (a.mcast.yaml)",
        "",
        "### IPv4",
        "",
        "| ASM      | to one | to two   |",
        "|----------|--------|----------|",
        "| from one | pass   | fail (1) |",
        "",
        "| SSM      | to one      |",
        "|----------|-------------|",
        "| from two | not-run (2) |",
        "",
        "### IPv6",
        "",
        "| ASM      | to two    |",
        "|----------|-----------|",
        "| from one | error (3) |",
        "",
        "1. why fail",
        "2. why not-run",
        "3. why error",
        "",
        "## b.mcast.yaml",
        "",
        "### IPv4",
        "",
        "| ASM      | to two |",
        "|----------|--------|",
        "| from one | pass   |",
    ]


def test_markdown_tells_environment_subjects_attempts_and_artifacts() -> None:
    text = "\n".join(markdown(full()))
    assert "\nEnvironment: python 3.11.7, machine x86_64, colour grün\n" in text
    assert "\n| subject | version |\n|---------|---------|\n| core    | 0.3     |\n" in text
    assert "| from one | pass   | fail (expected) (1) |" in text
    assert "\n1. why; 2 attempts; see a/b.pcapng" in text


def test_markdown_of_a_run_that_was_killed() -> None:
    text = "\n".join(markdown(replace(RECORD, runs=(replace(RUN, exit_code=None),))))
    assert "killed or not yet at its end" in text


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_outcome_is_told_by_its_own_word(outcome: str) -> None:
    record = Record((RUN,), cells=(cell("a", "b", outcome),))
    assert f"  from a    {outcome}" in list(tables(record))
    assert any(line.startswith(f"| from a | {outcome}") for line in markdown(record))


@pytest.mark.parametrize(
    ("outcome", "expectation", "text"),
    [
        ("fail", "fail", "fail (expected)"),
        ("pass", "fail", "pass (unexpected)"),
        ("error", "fail", "error"),
        ("unsupported", "unsupported", "unsupported (expected)"),
    ],
)
def test_what_was_expected_is_told(outcome: str, expectation: str, text: str) -> None:
    record = Record((RUN,), cells=(replace(cell("a", "b", outcome), expectation=expectation),))
    assert f"  from a    {text}" in list(tables(record))


def test_the_same_reason_is_one_note() -> None:
    same = [replace(cell("a", name, "skipped"), reason="no namespaces") for name in "bc"]
    lines = list(markdown(Record((RUN,), cells=tuple(same))))
    assert "| from a | skipped (1) | skipped (1) |" in lines
    assert [line for line in lines if "namespaces" in line] == ["1. no namespaces"]


def test_more_in_the_key_is_a_table_of_its_own() -> None:
    first = cell("a", "b", "pass")
    others = [replace(first, key={**first.key, "core": core}, outcome="fail") for core in ("rust", "asyncio")]
    record = Record((RUN,), cells=(first, *others))
    assert [line.split()[0] for line in tables(record) if " to " in line] == [
        "ipv4-asm",
        "ipv4-asm-core=asyncio",
        "ipv4-asm-core=rust",
    ]
    assert "| ASM, core rust | to b     |" in list(markdown(Record((RUN,), cells=(replace(others[0], reason="x"),))))


def _columns(row: str) -> list[str]:
    """Split a row of a table as GitHub does: a backslash takes away the meaning of the next character."""
    inner = re.fullmatch(r"\| (.*) \|", row)
    assert inner, row
    columns = [""]
    for part in re.findall(r"\\.|.", inner.group(1)):
        if part == "|":
            columns.append("")
        else:
            columns[-1] += part
    return [re.sub(r"\\(.)", r"\1", column).strip() for column in columns]


@pytest.mark.parametrize(
    "name",
    ["a|b", "a\\", "a\\|b", "||", "a\nb", "*a*", "`a", "<b>", "[a](b)", "_a_", "a_b", "&amp;", "~~a~~", "a\r\n|"],
)
def test_names_do_not_break_the_tables(name: str) -> None:
    other = Cell(
        {"file": name, "family": name, "mode": name, "sender": name, "receiver": name}, "fail", "", reason=name
    )
    second = replace(other, key={**other.key, "receiver": f"{name} 2"})
    lines = list(markdown(Record((RUN,), {name: File(name)}, {name: {"version": name}}, cells=(other, second))))
    plain = " ".join(name.split())
    rows = [_columns(line) for line in lines if line.startswith("| ")]
    assert rows == [
        ["subject", "version"],
        [plain, plain],
        [plain.upper(), f"to {plain}", f"to {plain} 2"],
        [f"from {plain}", "fail (1)", "fail (1)"],
    ]
    assert not [line for line in lines if "\n" in line or "\r" in line]
    assert not re.search(r"(?<!\\)[`*<~]", "\n".join(lines))


def test_the_program_prints_markdown(tmp_path: Path) -> None:
    write(full(), tmp_path / "record.json")
    command = [sys.executable, "-m", "pytest_mcast", "report", "markdown", str(tmp_path / "record.json")]
    result = subprocess.run(
        command, env={"PYTHONIOENCODING": "ascii"}, capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [line.replace("ü", "\\xfc") for line in markdown(full())]


def test_the_program_refuses_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other.json").write_text("{}")
    for name, text in {
        "missing.json": "No such file or directory",
        ".": "Is a directory",
        "other.json": "not a pytest-mcast record: it has no format",
    }.items():
        path = tmp_path / name
        assert main(["report", "markdown", str(path)]) == 2
        assert capsys.readouterr() == ("", f"pytest-mcast report: {path}: {text}\n")
    for arguments in (["report"], ["report", "markdown"], ["report", "pdf", "x"]):
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
