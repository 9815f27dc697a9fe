"""The views of a record: terminal and Markdown, and the program that prints them."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_mcast.cli import main
from pytest_mcast.report import Cell, File, Record, compare, diff_lines, markdown, tables, write
from pytest_mcast.report.grouping import WORDS
from pytest_mcast.report.record import OUTCOMES
from pytest_mcast.report.rows import one_line

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
        "5 cells: 2 pass, 1 not-run, 1 fail, 1 error.",
        "",
        (
            "✅ *pass*: it works; ⬜ *not-run*: no run of this record got to it; ❌ *fail*: it does not work; "
            "💥 *error*: the test itself broke, nothing is known."
        ),
        "",
        "## Two hosts (a.mcast.yaml)",
        "",
        "### IPv4",
        "",
        "| ASM      | to one  | to two      |",
        "|----------|---------|-------------|",
        "| from one | ✅ pass | ❌ fail (1) |",
        "",
        "| SSM      | to one         |",
        "|----------|----------------|",
        "| from two | ⬜ not-run (2) |",
        "",
        "### IPv6",
        "",
        "| ASM      | to two       |",
        "|----------|--------------|",
        "| from one | 💥 error (3) |",
        "",
        "1. why fail",
        "2. why not-run",
        "3. why error",
        "",
        "## b.mcast.yaml",
        "",
        "### IPv4",
        "",
        "| ASM      | to two  |",
        "|----------|---------|",
        "| from one | ✅ pass |",
    ]


def test_markdown_tells_environment_hosts_subjects_attempts_and_artifacts() -> None:
    text = "\n".join(markdown(full()))
    assert "\nEnvironment: python 3.11.7, machine x86_64, colour grün\n" in text
    assert "\n| receive core | version | language |\n" in text
    assert "\nNotes of the file\n" in text
    assert "\n| host | kind    | system |\n|------|---------|--------|\n| two  | virtual | Linux  |\n" in text
    assert "\n| implementation | version |\n|----------------|---------|\n| mcrx           | 0.2.6   |\n" in text
    assert "| from one | ✅ pass | 🟡 expected fail, IGMPv2 (1) |" in text
    assert "\n1. it never did; 2 attempts; two at a time; see a/b.pcapng" in text
    assert "\nIGMPv2: the version that" in text


def test_markdown_of_several_runs() -> None:
    runs = tuple(replace(RUN, id=name, environment={"shard": f"{name} of 2"}) for name in "12")
    lines = list(markdown(Record(runs, cells=(cell("a", "b", "pass"),))))
    assert lines[2] == "2 runs, which are listed at the end."
    assert lines[-4:] == [
        "| 1   | 1 of 2 |",
        "| 2   | 2 of 2 |",
        "",
        "All: started 2026-02-03T04:05:06Z, duration 1.5 s, end exit code 1.",
    ]


def test_addresses_of_jobs_are_whole() -> None:
    job = "https://ci.example.org/" + "a-long-name/" * 10 + "4711"
    runs = tuple(
        replace(RUN, id=each, environment={"job_url": f"{job}/{each}", "job": job + each}) for each in ("a", "b")
    )
    text = "\n".join(markdown(Record(runs)))
    assert text.count(f"| {job}/") == 2
    assert f" {job[:77]}... " in text  # of other facts only the beginning


def test_facts_that_all_hosts_have_are_told_once() -> None:
    hosts = {
        "one": {"kind": "virtual", "system": "Linux", "sysctl": "x=1"},
        "two": {"kind": "virtual", "system": "Linux"},
        "phone": {"kind": "planned"},
    }
    lines = list(markdown(Record((RUN,), {"a.mcast.yaml": File(hosts=hosts)}, cells=(cell("one", "two", "pass"),))))
    first = lines.index("| host  | kind    | sysctl |")
    assert lines[first + 2 : first + 7] == [
        "| one   | virtual | x=1    |",
        "| two   | virtual |        |",
        "| phone | planned |        |",
        "",
        "All: system Linux.",
    ]


def test_a_cell_without_an_axis_that_others_have() -> None:
    first = cell("a", "b", "pass")
    record = Record((RUN,), cells=(first, replace(first, key={**first.key, "size": "9"}, outcome="fail", reason="why")))
    assert list(tables(record))[1] == "cells of one pair differ in size (default, 9)"
    assert list(markdown(record))[-1] == "1. size 9: fail: why"


def test_markdown_of_a_run_that_was_killed() -> None:
    text = "\n".join(markdown(replace(RECORD, runs=(replace(RUN, exit_code=None),))))
    assert "killed or not yet at its end" in text


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_outcome_is_told_by_its_own_word(outcome: str) -> None:
    record = Record((RUN,), cells=(cell("a", "b", outcome),))
    assert f"  from a    {outcome}" in list(tables(record))
    assert any(line.startswith(f"| from a | {WORDS[outcome][0]} {outcome}") for line in markdown(record))
    assert any(line.startswith(f"| from a | {outcome}") for line in markdown(record, symbols=False))


@pytest.mark.parametrize(
    ("outcome", "expectation", "text"),
    [
        ("fail", "fail", "expected fail"),
        ("pass", "fail", "unexpected pass"),
        ("pass", "unsupported", "unexpected pass"),
        ("error", "fail", "error"),
        ("unsupported", "unsupported", "unsupported"),
    ],
)
def test_what_was_expected_is_told(outcome: str, expectation: str, text: str) -> None:
    record = Record((RUN,), cells=(replace(cell("a", "b", outcome), expectation=expectation),))
    assert f"  from a    {text}" in list(tables(record))
    sometimes = Record((RUN,), cells=(replace(cell("a", "b", outcome), expectation=expectation, sometimes=True),))
    assert f"  from a    {'pass' if outcome == 'pass' else text}" in list(tables(sometimes))


def test_the_same_reason_is_one_note() -> None:
    same = [replace(cell("a", name, "skipped"), reason="no namespaces") for name in "bc"]
    lines = list(markdown(Record((RUN,), cells=tuple(same))))
    assert "| from a | ⚪ skipped (1) | ⚪ skipped (1) |" in lines
    assert [line for line in lines if "namespaces" in line] == ["1. no namespaces"]


def _axes(**outcomes: str) -> Record:
    """Return a record of one pair and three sizes, two of the TTL each; ``s9t1="fail"`` says what is no pass."""
    first = cell("a", "b", "pass")
    cells = [
        replace(first, key={**first.key, "size": size, "ttl": ttl}, outcome=outcome, reason=f"why {outcome}"[: 99 * (outcome != "pass")])
        for size in ("9", "10", "1472")
        for ttl in ("1", "7")
        for outcome in [outcomes.get(f"s{size}t{ttl}", "pass")]
    ]  # fmt: skip
    return Record((RUN,), cells=tuple(cells))


def test_further_axes_are_one_table_that_says_what_it_sums_up() -> None:
    assert list(tables(_axes())) == [
        "a.mcast.yaml",
        "cells of one pair differ in size (9, 10, 1472), ttl (1, 7)",
        "",
        "  ipv4-asm  to b",
        "  from a    pass",
        "",
    ]


@pytest.mark.parametrize(
    ("outcomes", "text", "notes"),
    [
        ({"s9t1": "fail"}, "5 pass, 1 fail", ["size 9, ttl 1: fail: why fail"]),
        ({"s9t1": "fail", "s9t7": "fail"}, "4 pass, 2 fail", ["size 9: fail: why fail"]),
        ({"s9t1": "fail", "s10t1": "fail"}, "4 pass, 2 fail", ["size 9 or 10, ttl 1: fail: why fail"]),
        ({"s9t1": "fail", "s10t7": "fail"}, "4 pass, 2 fail", ["size 9, ttl 1; size 10, ttl 7: fail: why fail"]),
        (
            {"s9t1": "fail", "s10t7": "skipped"},
            "4 pass, 1 skipped, 1 fail",
            ["size 9, ttl 1: fail: why fail", "size 10, ttl 7: skipped: why skipped"],
        ),
    ],
)
def test_the_notes_name_the_exceptions(outcomes: dict[str, str], text: str, notes: list[str]) -> None:
    record = _axes(**outcomes)
    assert f"  from a    {text}" in list(tables(record))
    lines = list(markdown(record))
    numbers = ", ".join(str(number) for number in range(1, len(notes) + 1))
    assert f"| from a | ❌ {text} ({numbers}) |" in lines
    assert lines[-len(notes) :] == [f"{number}. {note}" for number, note in enumerate(notes, 1)]


def test_an_old_version_of_igmp_shows() -> None:
    for reported, text in {
        "IGMPv2": "pass, IGMPv2",
        "MLDv1 (kernel)": "pass, MLDv1",
        "IGMPv3 (kernel)": "pass",
    }.items():
        record = Record((RUN,), cells=(replace(cell("a", "b", "pass"), reported=reported),))
        assert f"  from a    {text}" in list(tables(record))


def test_a_wide_matrix_fits_the_terminal() -> None:
    names = [f"implementation{number}@host" for number in range(9, 13)]
    record = Record((RUN,), cells=tuple(cell(sender, receiver, "pass") for sender in names for receiver in names))
    lines = list(tables(record))
    assert max(map(len, lines)) <= 80
    heads = [line for line in lines if "ipv4-asm" in line]
    assert [name for head in heads for name in head.split() if name in names] == names
    assert len(heads) == 2
    assert len([line for line in tables(record, 200) if "ipv4-asm" in line]) == 1


def test_notes_have_a_limit() -> None:
    cells = tuple(replace(cell("a", f"r{number}", "fail"), reason=f"reason {number}") for number in range(300))
    notes = [line for line in markdown(Record((RUN,), cells=cells)) if re.match(r"\d+\. ", line)]
    assert len(notes) == 100
    assert notes[-1] == "100. the record has the reasons of more"


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


HOSTILE = [
    "a|b", "a\\", "a\\|b", "||", "a\nb", "*a*", "`a", "<b>", "[a](b)", "_a_", "a_b", "&amp;", "~~a~~", "a\r\n|", "# a",
    "1. a", "$a$", "- a", "=", "\x1b[31mred", "\u202eevil", "\u2066a\u2069", "a\x00b", "\ud800", "a\u2028b", "日本", "e\u0301",
    "<script>alert(1)</script>", "::error::x", "%0A", "\u200b", "\x85", "]]>", "javascript:x", "a\tb", "\ufeffa", "-->",
]  # fmt: skip
PIECES = "|\\`*_[]()<>#$~&;:%=+-.!1a é\n\r\t\x00\x1b\x7f\u202e\u2066\u200f\ud800\u2028日"
RANDOM = random.Random(20260203)  # noqa: S311 - the same names each time
HOSTILE += ["".join(RANDOM.choices(PIECES, k=RANDOM.randint(1, 12))).strip() or "x" for _ in range(200)]


def test_names_do_not_break_anything() -> None:
    for name in HOSTILE:
        key = {"file": name, "family": name, "mode": name, "sender": name, "receiver": name, "size": name}
        first = Cell(key, "fail", "", reason=name, notes=name, evidence=(name,), artifacts=(name,), reported=name)
        second = replace(first, key={**key, "receiver": f"{name} 2"})
        file = File(name, name, {name: {"kind": name}}, {name: {"version": name}})
        record = Record(
            (replace(RUN, environment={name: name}),), {name: file}, {name: {"version": name}}, {}, (first, second)
        )
        lines = list(markdown(record))
        plain = one_line(name)
        rows = [_columns(line) for line in lines if line.startswith("| ")]
        assert rows[:2] == [["receive core", "version"], [plain, plain]], name
        assert rows[-2][1:] == [one_line(f"to {name}"), one_line(f"to {name} 2")], name
        assert [len(row) for row in rows] == [2, 2, 2, 2, 2, 2, 3, 3], name
        markup = "\n".join(line for line in lines if " *fail*: " not in line)
        assert not re.search(r"(?<!\\)(\\\\)*[`*<~$]", re.sub(r"\\.", "", markup)), name
        for text in (*lines, *tables(record), *diff_lines(compare(record, record))):
            assert text.isprintable(), name


def test_the_program_prints_markdown(tmp_path: Path) -> None:
    write(full(), tmp_path / "record.json")
    command = [sys.executable, "-m", "pytest_mcast", "report", "markdown", str(tmp_path / "record.json")]
    for encoding, symbols in (("ascii", False), ("utf-8", True)):
        result = subprocess.run(
            command, env={"PYTHONIOENCODING": encoding}, capture_output=True, encoding=encoding, timeout=60, check=False
        )
        assert (result.returncode, result.stderr) == (0, "")
        expected = list(markdown(full(), symbols=symbols))
        assert result.stdout.splitlines() == [line if symbols else line.replace("ü", "\\xfc") for line in expected]


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


def test_conformance_stands_apart() -> None:
    key = {
        "file": "conformance",
        "sender": "crafted",
        "receiver": "rust",
        "family": "ipv4",
        "mode": "ssm",
        "case": "x.y",
    }
    record = Record((RUN,), subjects={"rust": {"version": "3"}}, cells=(replace(cell("a", "b", "pass"), key=key),))
    assert not list(tables(record))
    assert list(markdown(record))[-6:] == [
        "## Conformance of receive cores",
        "",
        "    rust 3",
        "      area  pass",
        "      x        1",
        "      all      1",
    ]
