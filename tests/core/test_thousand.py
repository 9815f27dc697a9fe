"""A thousand subscriptions in one context, and the limit of open files."""

from __future__ import annotations

import subprocess
import sys
import unittest
from pathlib import Path

import pytest_mcast

from . import support

ROOT = Path(pytest_mcast.__file__).parent.parent

START = """
import os, resource, socket, sys
sys.path.insert(0, sys.argv[1])
from pytest_mcast.core import ChannelPicker, Context, Interface, MissingCapability, Receiver, Sender
family, soft, hard = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
lo = next(interface for interface in Interface.all() if interface.loopback)
picker = ChannelPicker(os.urandom(16))
"""

DELIVER = (
    START
    + """
with Context() as context:
    for _ in range(1100):
        context.join(context.add(picker.pick(family, interface=lo), lo))
    assert context.statistics().joined == 1100
    assert max(subscription.fileno() for subscription in context) > 1024  # more than select(2) can watch
    for _ in range(2):
        for subscription in context:
            with Sender(subscription.channel, lo) as sender:
                sender.send(str(subscription.channel).encode())
        served = [context.receive(10) for _ in range(1100)]
        for subscription, datagram in served:
            assert datagram.payload == str(subscription.channel).encode()
        assert {subscription for subscription, _ in served} == set(context)
        assert context.receive() is None
    statistics = context.statistics()
    assert (statistics.received, statistics.rejected, statistics.kernel_drops) == (2200, {}, 0)
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
print(soft, hard)
"""
)

REFUSE = (
    START
    + """
context = Context()
try:
    while True:
        context.add(picker.pick(family, interface=lo), lo)
except MissingCapability as error:
    print(error)
print(len(context) > 50)
try:
    Sender(picker.pick(family, interface=lo), lo)
except MissingCapability as error:
    print(error.capability)
context.close()
with Context() as context:
    context.add(picker.pick(family, interface=lo), lo)  # what is closed makes room
"""
)


@unittest.skipIf(sys.platform == "win32", "Windows has no such limit")
class AThousand(support.LoopbackTestCase):
    maxDiff = None

    def run_with_limits(self, program: str, family: str, soft: int, hard: int) -> list[str]:
        self.channel(family)  # skips where loopback takes no multicast
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", program, str(ROOT), family, str(soft), str(hard)],
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        self.assertEqual(run.stderr, "")
        self.assertEqual(run.returncode, 0)
        return run.stdout.splitlines()

    @support.each_family
    def test_a_thousand_are_joined_and_deliver_and_the_soft_limit_rises_no_further_than_needed(
        self, family: str
    ) -> None:
        self.assertEqual(self.run_with_limits(DELIVER, family, 256, 4096), ["2048 4096"])

    @support.each_family
    def test_the_hard_limit_is_told_with_the_cure(self, family: str) -> None:
        for soft in (64, 100):
            text, *rest = self.run_with_limits(REFUSE, family, soft, 100)
            self.assertEqual(
                text,
                "open files: this process may have no more than 100 open files (soft limit 100, hard limit 100); "
                "raise the hard limit: ulimit -Hn, LimitNOFILE= of systemd, --ulimit nofile= of Docker",
            )
            self.assertEqual(rest, ["True", "open files"])
