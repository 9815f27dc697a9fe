"""How a record reaches its file while a run goes on."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_mcast.report import Record, read, writer
from pytest_mcast.report.writer import BackgroundWriter, DirectWriter

from .support import RUN, cell


class Counting:
    """A snapshot that tells how often it was taken; ``bump`` is news."""

    def __init__(self) -> None:
        self.taken = 0
        self.number = 0
        self.took = threading.Event()

    def __call__(self) -> Record:
        self.taken += 1
        self.took.set()
        return Record((replace(RUN, id=str(self.number)),))

    def bump(self) -> None:
        self.number += 1
        self.took.clear()


def test_direct_writes_at_once(tmp_path: Path) -> None:
    path, source = tmp_path / "record.json", Counting()
    direct = DirectWriter(path, source)
    assert read(path).runs[0].id == "0"
    source.bump()
    direct.changed()
    assert read(path).runs[0].id == "1"
    direct.catch_up()
    assert source.taken == 2  # there was nothing new
    source.bump()
    direct.close()
    assert read(path).runs[0].id == "2"


def test_direct_takes_a_small_share_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, source = tmp_path / "record.json", Counting()
    monkeypatch.setattr(writer, "_CREDIT", 0.0)
    monkeypatch.setattr(writer, "_SHARE", 0.0)
    direct = DirectWriter(path, source)
    source.bump()
    direct.changed()
    assert (source.taken, read(path).runs[0].id) == (1, "0")  # it would take too much
    monkeypatch.setattr(writer, "_INTERVAL", 0.0)
    monkeypatch.setattr(writer, "_PAUSE", 0.0)
    direct.catch_up()
    assert read(path).runs[0].id == "1"  # it is old enough


def test_background_writes_the_last_news_without_being_told_again(tmp_path: Path) -> None:
    path, source = tmp_path / "record.json", Counting()
    background = BackgroundWriter(path, source)
    try:
        for _ in range(3):
            source.bump()
            background.changed()
            assert source.took.wait(20)
        assert source.taken == 4
        for _ in range(1000):
            background.changed()
    finally:
        source.bump()
        background.close()
    assert read(path).runs[0].id == "4"
    assert source.taken < 100  # not a thousand


@pytest.mark.parametrize("kind", [DirectWriter, BackgroundWriter])
def test_a_write_that_fails_is_told_and_made_good_by_the_next(
    tmp_path: Path, kind: type[DirectWriter | BackgroundWriter]
) -> None:
    path = tmp_path / "later" / "record.json"
    it = kind(path, Counting())
    error = it.error
    assert isinstance(error, FileNotFoundError)
    path.parent.mkdir()
    it.close()
    assert it.error is None
    assert read(path).runs[0] == replace(RUN, id="0")


def test_a_thousand_cells_are_written_in_milliseconds(tmp_path: Path) -> None:
    # So often is a record written that this matters; the bound is wide for busy machines.
    record = Record((RUN,), cells=tuple(cell(f"s{number}", "r", "pass") for number in range(1000)))
    direct = DirectWriter(tmp_path / "record.json", lambda: record)
    direct.close()
    assert direct._spent < 1
    assert len(read(tmp_path / "record.json").cells) == 1000
