"""Directories of tests under --mcast-output, and who writes there."""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path

import pytest

from pytest_mcast.plugin.artifacts import Artifacts, directory_name


@pytest.mark.parametrize(
    ("nodeid", "name"),
    [
        ("test_it.py::test_it", "test_it.py-test_it"),
        ("tests/net/test_it.py::TestIt::test_it[ipv4-asm]", "tests-net-test_it.py-TestIt-test_it[ipv4-asm]"),
        ("test_it.py::test_it[a/b::c]", "test_it.py-test_it[a-b-c]-"),
        ("test_it.py::test_it[a-b]", "test_it.py-test_it[a-b]"),
        ("a-b/test_it.py::test_it", "a-b-test_it.py-test_it-"),
        ("compat.mcast.yaml::ipv4-ssm[one->two]", "compat.mcast.yaml-ipv4-ssm[one-_two]-"),
        ('test_it.py::test_it[ü:*?"<>|\\]', "test_it.py-test_it[_________]-"),
        ("../test_it.py::test_it", "test_it.py-test_it-"),
        ("::test_it", "test_it-"),
        ("test_it.py::test_it[\udcff\0\n]", "test_it.py-test_it[___]-"),
    ],
)
def test_a_name_is_readable_and_says_so_when_it_is_not_all(nodeid: str, name: str) -> None:
    digest = r"[0-9a-f]{8}" if name.endswith("-") else ""
    assert re.fullmatch(re.escape(name) + digest, directory_name(nodeid))


def test_a_long_name_keeps_its_end_and_a_place_in_any_file_system() -> None:
    name = directory_name("a/" * 100 + "test_it.py::test_it[" + "x" * 60 + "]")
    assert len(name) <= 120
    assert "test_it.py-test_it[xxx" in name


def test_no_two_tests_share_a_name() -> None:
    names = ["a/b.py::c", "a-b.py::c", "a/b-c.py::d", "a/b.py::c-d", "a.py::t[x/y]", "a.py::t[x-y]", "a.py::t[x:y]"]
    names += ["a.py::t[x_y]", "x" * 200, "x" * 201, "a/b.py::t[x]", "a/b.py::t[x].", "./a/b.py::t[x]"]
    assert len({directory_name(name) for name in names}) == len(names)


def _content(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()}


def test_what_is_of_this_run_is_kept_and_what_is_of_an_earlier_one_goes(tmp_path: Path) -> None:
    since = time.time()
    earlier, this, parallel = (Artifacts(tmp_path / "out", since) for _ in range(3))
    directory = tmp_path / "out" / "t.py-t"
    for text in ("old", "old, second attempt"):
        earlier.add("t.py::t", "it.txt", lambda path, text=text: path.write_text(text))  # type: ignore[misc]
    (directory / "it-of-yours.txt").write_text("kept")
    assert set(_content(directory)) == {"it.txt", "it-2.txt", "it-of-yours.txt"}
    for path in directory.iterdir():
        os.utime(path, (since - 60, since - 60))
    path = this.add("t.py::t", "it.txt", lambda path: path.write_text("this"))
    assert (path, this.relative(path)) == (directory / "it.txt", "t.py-t/it.txt")
    parallel.add("t.py::t", "it.txt", lambda path: path.write_text("parallel"))
    parallel.discard("t.py::t", "it.txt")
    assert _content(directory) == {"it.txt": "this", "it-2.txt": "parallel", "it-of-yours.txt": "kept"}
    Artifacts(tmp_path / "out", time.time() + 60).discard("t.py::t", "it.txt")
    assert _content(directory) == {"it-of-yours.txt": "kept"}


def test_discarding_what_is_not_there_makes_nothing(tmp_path: Path) -> None:
    Artifacts(tmp_path / "out", 0).discard("t.py::t", "it.txt")
    assert list(tmp_path.iterdir()) == []


def test_writers_at_the_same_time_get_a_file_each(tmp_path: Path) -> None:
    start = threading.Barrier(8)

    def write(number: int) -> None:
        artifacts = Artifacts(tmp_path, time.time())
        start.wait()
        artifacts.add("t.py::t", "it.txt", lambda path: path.write_text(str(number)))

    threads = [threading.Thread(target=write, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(_content(tmp_path / "t.py-t").values()) == list("01234567")
