"""Process groups, and the number that they have."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import List, Tuple
from unittest import mock

from pytest_mcast.core.leader import Leader


def state(pid: int) -> str:
    """Return the state of a process (proc(5)), empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


@unittest.skipUnless(sys.platform.startswith("linux"), "reads /proc")
class LeaderTest(unittest.TestCase):
    def start(self, script: str) -> Leader:
        leader = Leader(subprocess.Popen(["sh", "-c", script], start_new_session=True))
        self.addCleanup(leader.end)
        return leader

    def test_the_exit_code_is_that_of_popen(self) -> None:
        for script, code in (("exit 7", 7), ("kill -9 $$", -9), (":", 0)):
            with self.subTest(script):
                leader = self.start(script)
                self.assertEqual((leader.wait(10), leader.poll(), leader.end(), leader.poll()), (code,) * 4)

    def test_nobody_gets_its_number_before_the_end(self) -> None:
        leader = self.start("exit 3")
        self.assertEqual(leader.wait(10), 3)
        self.assertEqual(state(leader.pid), "Z")
        leader.end()
        self.assertEqual(state(leader.pid), "")

    def test_nothing_is_sent_to_a_number_that_may_be_anybodys(self) -> None:
        sent: List[Tuple[int, int]] = []
        leader = self.start("exec cat /dev/zero > /dev/null")
        leader.end()
        kill = mock.Mock(side_effect=lambda *what: sent.append(what))
        with mock.patch.object(os, "killpg", kill), mock.patch.object(os, "kill", kill):
            leader.kill()
            leader.signal(signal.SIGTERM)
            self.assertEqual(leader.end(), -signal.SIGKILL)
        self.assertEqual(sent, [])

    def test_the_group_is_ended_when_its_leader_has_ended_before(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        leader = self.start(f"tail -f /dev/null & echo $! > {directory.name}/child")
        self.assertEqual(leader.wait(10), 0)
        child = os.pidfd_open(int(Path(directory.name, "child").read_text()))
        self.addCleanup(os.close, child)
        self.assertFalse(select.select([child], [], [], 0)[0])
        leader.end()
        self.assertTrue(select.select([child], [], [], 10)[0])

    def test_a_wait_has_an_end(self) -> None:
        leader = self.start("exec tail -f /dev/null")
        self.assertEqual((leader.wait(0.01), leader.poll()), (None, None))
        leader.signal(signal.SIGTERM)
        self.assertEqual(leader.wait(10), -signal.SIGTERM)
