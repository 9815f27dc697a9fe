"""``pytest-mcast report``: what it writes to, and what becomes of that."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_mcast.cli import main
from pytest_mcast.report import Record, write

from .support import RUN, cell, full


@pytest.fixture
def record(tmp_path: Path) -> Path:
    path = tmp_path / "record.json"
    write(full(), path)
    return path


def _into(redirection: str, *arguments: object) -> tuple[int, str]:
    """Run the program with a redirection of the shell; return its exit code and what it says."""
    words = [sys.executable, "-m", "pytest_mcast", "report", *map(str, arguments)]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    result = subprocess.run(
        ["bash", "-c", f'"$@" {redirection}; exit "${{PIPESTATUS[0]}}"', "bash", *words],
        check=False, capture_output=True, text=True, timeout=60, env=buffered,
    )  # fmt: skip
    return result.returncode, result.stderr


def test_it_ends_without_a_word_when_nobody_reads(tmp_path: Path) -> None:
    cells = [cell("a", f"receiver {number} {100 * 'x'}", "fail") for number in range(1000)]  # more than a pipe holds
    path = tmp_path / "record.json"
    write(Record((RUN,), cells=tuple(cells)), path)
    assert _into("| head -1", "markdown", path) == (141, "")


def test_it_ends_without_a_word_when_there_never_was_a_reader(record: Path) -> None:
    assert _into(">&-", "markdown", record) == (141, "")


def test_what_cannot_be_written_is_told(record: Path) -> None:
    said = "pytest-mcast report: cannot write: No space left on device\n"
    assert _into(">/dev/full", "markdown", record) == (2, said)


def test_it_says_nothing_where_nobody_listens(record: Path) -> None:
    missing = record.with_name("missing.json")
    assert _into("2>&- >&-", "markdown", missing) == (2, "")
    assert _into("2>/dev/full", "markdown", missing) == (2, "")


@pytest.mark.parametrize("view", ["html", "merge"])
def test_errors_name_the_file_that_was_to_be_written(
    record: Path, capsys: pytest.CaptureFixture[str], view: str
) -> None:
    out = record.parent / "directory"
    out.mkdir()
    assert main(["report", view, "-o", str(out), str(record)]) == 2
    assert capsys.readouterr().err == f"pytest-mcast report: {out}: Is a directory\n"
    out = record.parent / "none" / "out"
    assert main(["report", view, "-o", str(out), str(record)]) == 2
    assert capsys.readouterr().err == f"pytest-mcast report: {out}: No such file or directory\n"
    assert sorted(path.name for path in record.parent.iterdir()) == ["directory", "record.json"]


def test_a_page_does_not_replace_its_record(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = record.read_bytes()
    link = record.with_name("link.html")
    link.symlink_to(record.name)
    for out in (record, link):
        assert main(["report", "html", "-o", str(out), str(record)]) == 2
        assert capsys.readouterr().err == (
            f"pytest-mcast report: {out}: -o names a record that is read, which the page would replace; name another file\n"
        )
    assert record.read_bytes() == before


def test_a_page_is_replaced_at_once(record: Path) -> None:
    page = record.with_name("page.html")
    page.write_text("before")
    with page.open() as before:
        assert main(["report", "html", "-o", str(page), str(record)]) == 0
        assert before.read() == "before"  # who reads the old page goes on reading it
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_what_is_no_file_is_written_to(record: Path) -> None:
    pipe = record.with_name("pipe")
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert main(["report", "merge", "-o", str(pipe), str(record)]) == 0
        assert os.read(reader, 1 << 20) == record.read_bytes()
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_a_record_may_grow(record: Path) -> None:
    assert main(["report", "merge", "-o", str(record), str(record), str(record)]) == 0
