"""The result record: written and read again, its schema, and files that are none."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_mcast.report import Cell, Event, Feature, File, Record, RecordError, Run, read, write
from pytest_mcast.report.record import EXPECTATIONS, FORMAT, OUTCOMES, VERSION
from pytest_mcast.report.store import schema

from .support import RUN, full


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    for record in (full(), Record((RUN,)), Record((replace(RUN, exit_code=None),))):
        write(record, path)
        assert read(path) == record
        jsonschema.Draft202012Validator(schema()).validate(json.loads(path.read_bytes()))
    assert os.listdir(tmp_path) == ["record.json"]


def test_the_schema_is_one_and_knows_what_we_know() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    properties = schema()["properties"]
    assert (properties["format"]["const"], properties["version"]["const"]) == (FORMAT, VERSION)
    parts = schema()["$defs"]
    assert tuple(parts["cell"]["properties"]["outcome"]["enum"]) == OUTCOMES
    assert tuple(parts["cell"]["properties"]["expectation"]["enum"]) == EXPECTATIONS
    for name, kind in {"run": Run, "file": File, "cell": Cell, "event": Event}.items():
        assert set(parts[name]["required"]) == set(parts[name]["properties"]) == {field.name for field in fields(kind)}
    assert set(schema()["required"]) == set(properties)


def test_there_is_a_line_for_each_cell(tmp_path: Path) -> None:
    write(full(), tmp_path / "record.json")
    lines = (tmp_path / "record.json").read_text(encoding="ascii").splitlines()
    assert len([line for line in lines if '"nodeid"' in line]) == len(full().cells)


def test_any_text_survives(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    record = replace(full(), subjects={"odd": {"version": 'grün \ud800 \x00 " \\ \n'}})
    write(record, path)
    assert read(path) == record


def _set(*where: Any, to: Any) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        for step in where[:-1]:
            document = document[step]
        document[where[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (_set("format", to="coverage"), "not a pytest-mcast record: its format is 'coverage'"),
        (_set("version", to=3), "version 3 is not understood, only 1 and 2; a newer pytest-mcast wrote it"),
        (_set("version", to="1"), "version '1' is not understood, only 1 and 2"),
        (_set("version", to=True), "version True is not understood, only 1 and 2"),
        (_set("version", to=0), "version 0 is not understood, only 1 and 2"),
        (_set("colour", to=1), "the document: Additional properties are not allowed ('colour' was unexpected)"),
        (_set("runs", 0, "colour", to=1), "runs.0: Additional properties are not allowed ('colour' was unexpected)"),
        (_set("runs", 0, "started", to="today"), "runs.0.started: 'today' does not match"),
        (_set("runs", 0, "duration_s", to=-1), "runs.0.duration_s: -1 is less than the minimum of 0"),
        (_set("runs", 0, "environment", "python", to=3.11), "runs.0.environment.python: 3.11 is not of type 'string'"),
        (_set("subjects", "core", to={}), "subjects.core: 'version' is a required property"),
        (_set("cells", 1, "outcome", to="passed"), "cells.1.outcome: 'passed' is not one of pass, fail, unsupported,"),
        (_set("cells", 1, "retries", to=1), "cells.1: Additional properties are not allowed ('retries' was"),
        (_set("cells", 1, "attempts", to=0.5), "cells.1.attempts: 0.5 is not of type 'integer'"),
        (_set("cells", 1, "key", to={"sender": "one"}), "cells.1.key: 'file' is a required property"),
        (_set("cells", 0, "timeline", 0, "kind", to="x"), "cells.0.timeline.0.kind: 'x' is not one of packet, note"),
        (_set("cells", 0, "timeline", 0, "time_s", to=True), "cells.0.timeline.0.time_s: True is not of type 'number'"),
        (_set("cells", 0, "timeline", 0, to={}), "cells.0.timeline.0: 'time_s' is a required property"),
        (_set("cells", 0, "timeline", to=1), "cells.0.timeline: 1 is not of type 'array'"),
        (_set("cells", 0, to=1), "cells.0: 1 is not of type 'object'"),
        (_set("runs", 0, "duration_s", to=10**400), "runs.0.duration_s: ... "),
        (_set("runs", 0, "exit_code", to=10**400), "runs.0.exit_code: ... "),
        (_set("cells", 0, "line", to=10**10), "cells.0.line: 10000000000 is greater than the maximum of 1000000000"),
        (_set("cells", 0, "attempts", to=10**10), "cells.0.attempts: 10000000000 is greater than the maximum of"),
        (_set("cells", 0, "duration_s", to=2e9), "cells.0.duration_s: 2000000000.0 is greater than the maximum of"),
        (_set("cells", 0, "timeline", 0, "time_s", to=2e9), "cells.0.timeline.0.time_s: 2000000000.0 is greater"),
        (_set("cells", 0, "timeline", 0, "time_s", to=-(10**400)), "cells.0.timeline.0.time_s: ... "),
        (_set("cells", to={}), "cells: {} is not of type 'array'"),
    ],
)
def test_a_document_that_is_no_record_is_refused(tmp_path: Path, change: Callable[[Any], None], text: str) -> None:
    path = tmp_path / "record.json"
    write(full(), path)
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(RecordError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: {text}")
    assert "\n" not in str(caught.value)


def test_a_key_may_have_more_but_is_there_once(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    first = full().cells[0]
    more = replace(first, key={**first.key, "core": "rust"})
    write(replace(full(), cells=(first, more)), path)
    assert read(path).cells == (first, more)
    write(replace(full(), cells=(first, more, replace(more, outcome="pass"))), path)
    with pytest.raises(
        RecordError, match=r"cells\.2: another cell has the key \{'file': 'a.mcast.yaml'.*'core': 'rust'"
    ):
        read(path)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "not JSON: Expecting value: line 1 column 1 (char 0)"),
        (b"title: A scenario\n", "not JSON: Expecting value: line 1 column 1"),
        (b"\xff\xfe\xfd", "not JSON: "),
        (b"[" * 100_000, "not JSON: nested too deeply"),
        (b'{"format": NaN}', "not JSON: NaN is not a number in JSON"),
        (b"[]", "not a pytest-mcast record: it has no format"),
        (b"{}", "not a pytest-mcast record: it has no format"),
        (b'{"format": "pytest-mcast record"}', "version None is not understood, only 1 and 2"),
    ],
)
def test_a_file_that_is_no_record_is_refused(tmp_path: Path, content: bytes, text: str) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(RecordError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: {text}")


@pytest.mark.parametrize("name", ["duration_s", "time_s"])
def test_a_number_that_no_float_holds_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "record.json"
    write(full(), path)
    path.write_text(re.sub(rf'"{name}": [0-9.]+', f'"{name}": 1e999', path.read_text()))
    with pytest.raises(RecordError, match=rf"{name}: inf is greater than the maximum of 1000000000$"):
        read(path)


def test_a_file_that_cannot_be_read_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "record.json")
    with pytest.raises(IsADirectoryError):
        read(tmp_path)


def test_writing_replaces_at_once_and_keeps_links(tmp_path: Path) -> None:
    path, link = tmp_path / "record.json", tmp_path / "link.json"
    path.write_text("before")
    link.symlink_to(path.name)
    with path.open() as before:
        write(full(), link)
        assert before.read() == "before"  # who reads the old file goes on reading it
    assert link.is_symlink()
    assert read(path) == full()


def test_what_cannot_be_written_leaves_everything_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text("before")
    for duration in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write(replace(full(), runs=(replace(RUN, duration_s=duration),)), path)
    assert path.read_text() == "before"
    (tmp_path / "directory").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        write(full(), tmp_path / "directory")
    assert (caught.value.filename, caught.value.filename2) == (str(tmp_path / "directory"), None)
    assert sorted(os.listdir(tmp_path)) == ["directory", "record.json"]


def test_version_1_is_read() -> None:
    record = read(Path(__file__).parent / "version-1.json")
    run = Run("b24c4b4b0f3ab7c1", "2026-02-03T04:05:06Z", 0.25, ("pytest", "a.mcast.yaml"), 1, {"python": "3.11.7"})
    key = {"file": "a.mcast.yaml", "family": "ipv4", "mode": "asm", "sender": "one", "receiver": "two"}
    first = Cell(
        key, "fail", "a.mcast.yaml::ipv4-asm[one->two]", run.id, "fail", reason="lost", attempts=1, duration_s=0.1,
        artifacts=("a/b.pcapng",), evidence=("a fence",),
    )  # fmt: skip
    assert record == Record(
        (run,),
        {"a.mcast.yaml": File("The title")},
        {"core": {"version": "0.3"}},
        {"ssm.wrong-source": Feature("RFC 4607", "Another source")},
        (first,),
    )


def test_a_cell_is_of_a_run_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    first = full().cells[0]
    write(replace(full(), cells=(replace(first, run=""),)), path)
    assert read(path).cells[0].run == ""
    write(replace(full(), cells=(replace(first, run="other"),)), path)
    with pytest.raises(RecordError, match=r"cells\.0\.run: there is no run 'other'$"):
        read(path)
    write(replace(full(), runs=(RUN, RUN)), path)
    with pytest.raises(RecordError, match="runs: two of them have the same id"):
        read(path)
