"""Process groups, and the number that they have."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_mcast.core.leader import Leader

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.fixture
def start() -> Iterator[Callable[[str], Leader]]:
    started = []

    def start(script: str) -> Leader:
        started.append(Leader(subprocess.Popen(["sh", "-c", script], start_new_session=True)))
        return started[-1]

    yield start
    for leader in started:
        leader.end()


def state(pid: int) -> str:
    """Return the state of a process (proc(5)), empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -9 $$", -9), (":", 0)])
def test_the_exit_code_is_that_of_popen(start: Callable[[str], Leader], script: str, code: int) -> None:
    leader = start(script)
    assert (leader.wait(10), leader.poll(), leader.end(), leader.poll()) == (code,) * 4


def test_nobody_gets_its_number_before_the_end(start: Callable[[str], Leader]) -> None:
    leader = start("exit 3")
    assert leader.wait(10) == 3
    assert state(leader.pid) == "Z"
    leader.end()
    assert state(leader.pid) == ""


def test_nothing_is_sent_to_a_number_that_may_be_anybodys(
    start: Callable[[str], Leader], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[int, int]] = []
    leader = start("exec cat /dev/zero")
    leader.end()
    monkeypatch.setattr(os, "killpg", lambda *what: sent.append(what))
    monkeypatch.setattr(os, "kill", lambda *what: sent.append(what))
    leader.kill()
    leader.signal(signal.SIGTERM)
    assert leader.end() == -signal.SIGKILL
    assert sent == []


def test_the_group_is_ended_when_its_leader_has_ended_before(start: Callable[[str], Leader], tmp_path: Path) -> None:
    leader = start(f"tail -f /dev/null & echo $! > {tmp_path}/child")
    assert leader.wait(10) == 0
    child = os.pidfd_open(int((tmp_path / "child").read_text()))
    try:
        assert not select.select([child], [], [], 0)[0]
        leader.end()
        assert select.select([child], [], [], 10)[0]
    finally:
        os.close(child)


def test_a_wait_has_an_end(start: Callable[[str], Leader]) -> None:
    leader = start("exec tail -f /dev/null")
    assert (leader.wait(0.01), leader.poll()) == (None, None)
    leader.signal(signal.SIGTERM)
    assert leader.wait(10) == -signal.SIGTERM
