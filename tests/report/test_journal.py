"""What a journal adds to its record."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_mcast.report import Feature, File, Record, RecordError, read, write
from pytest_mcast.report.journal import Journal, journal_path

from .support import RUN, cell, full

GOING_ON = replace(RUN, exit_code=None)


def _begin(path: Path) -> Journal:
    """Write the record of a run that has begun, and its journal."""
    write(Record((GOING_ON,), cells=(cell("a", "b", "not-run"), cell("a", "c", "not-run"))), path)
    return Journal(path, GOING_ON.id)


def test_what_has_finished_is_read(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    journal = _begin(path)
    cells = (*full().cells, cell("a", "b", "pass"))
    facts: dict[str, dict[str, Any]] = {
        "files": {"f": File("One")},
        "subjects": {"s": {"version": "1"}},
        "features": {"x": Feature("R", "T")},
    }
    for number, each in enumerate(cells):
        journal.add(each, {} if number else facts)
    record = read(path)
    assert {each.identity: each for each in record.cells} == {
        each.identity: each for each in (cell("a", "c", "not-run"), *cells)
    }
    assert (record.files, record.subjects, record.features) == (facts["files"], facts["subjects"], facts["features"])
    assert record.runs == (GOING_ON,)
    journal.remove()
    assert os.listdir(tmp_path) == ["record.json"]
    assert journal.error is None


def test_the_last_attempt_counts(tmp_path: Path) -> None:
    journal = _begin(tmp_path / "record.json")
    journal.add(cell("a", "b", "fail"), {})
    journal.add(cell("a", "b", "pass"), {})
    assert read(tmp_path / "record.json").cells[0].outcome == "pass"


def test_a_last_line_that_was_cut_is_left_out(tmp_path: Path) -> None:
    journal = _begin(tmp_path / "record.json")
    journal.add(cell("a", "b", "pass"), {})
    journal.add(cell("a", "c", "pass"), {})
    content = journal.path.read_bytes()
    ends = [place for place, char in enumerate(content) if char == ord("\n")]
    for size in {0, 1, *range(0, len(content), 100), *(end + more for end in ends for more in (-1, 0, 1))}:
        journal.path.write_bytes(content[:size])
        outcomes = [each.outcome for each in read(tmp_path / "record.json").cells]
        lines = content[:size].count(b"\n")
        assert outcomes == ["pass" if number < lines else "not-run" for number in (1, 2)]


def test_that_of_another_run_and_of_one_that_ended_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    journal = _begin(path)
    journal.add(cell("a", "b", "pass"), {})
    for run in (RUN, replace(GOING_ON, id="another")):
        record = Record((run,), cells=(replace(cell("a", "b", "not-run"), run=run.id),))
        write(record, path)
        assert read(path) == record


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"nonsense\n", "record.json.journal: line 2 is not of a journal; without this file the record can be read"),
        (b"[]\n", "record.json.journal: line 2 is not of a journal"),
        (b'{"cells": {}}\n', "record.json.journal: line 2 is not of a journal"),
        (b'{"cells": [1]}\n', "record.json: cells.2: 1 is not of type 'object'"),
        (b'{"colour": 1}\n', "record.json.journal: line 2 is not of a journal"),
        (b'{"version": 3}\n', "record.json.journal: line 2 is not of a journal"),
        (b'{"runs": []}\n', "record.json.journal: line 2 is not of a journal"),
        (b'{"files": 1}\n', "record.json: files: 1 is not of type 'object'"),
    ],
)
def test_a_damaged_journal_is_refused(tmp_path: Path, line: bytes, text: str) -> None:
    journal = _begin(tmp_path / "record.json")
    with journal.path.open("ab") as file:
        file.write(line)
    with pytest.raises(RecordError) as caught:
        read(tmp_path / "record.json")
    assert str(caught.value).startswith(f"{tmp_path}/{text}")


def test_it_is_beside_the_record_that_a_link_means(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "link.json").symlink_to("below/record.json")
    assert journal_path(tmp_path / "link.json") == tmp_path / "below" / "record.json.journal"


def test_one_that_cannot_be_written_is_given_up(tmp_path: Path) -> None:
    journal = _begin(tmp_path / "record.json")
    journal.path.unlink()
    journal.add(cell("a", "b", "pass"), {})
    assert isinstance(journal.error, FileNotFoundError)
    journal.path.touch()
    journal.add(cell("a", "b", "pass"), {})
    assert not journal.path.read_bytes()


def test_a_thousand_cells_take_little(tmp_path: Path) -> None:
    # The bound is wide for busy machines; it is processor time.
    journal = _begin(tmp_path / "record.json")
    before = time.thread_time()
    for number in range(1000):
        journal.add(replace(full().cells[0], key={**full().cells[0].key, "size": str(number)}), {})
    assert time.thread_time() - before < 1
    assert len(read(tmp_path / "record.json").cells) == 1002
    assert len([json.loads(line) for line in journal.path.read_bytes().splitlines()]) == 1001
