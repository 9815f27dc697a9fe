"""Senders: the built-in one, and programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_mcast import LabView, MissingCapability
from pytest_mcast.cores import CoreFailure, ExpectedFailure, ExternalSender
from pytest_mcast.cores.sending import SENDING, BuiltInSender, run_sender

from .support import described

SEND = """
from pytest_mcast.core import Sender

payload, count, ttl = sys.argv[5:8]
with Sender(Channel(group, int(port), source or None), int(index), ttl=int(ttl), source=source or None) as sender:
    for number in range(int(count)):
        sender.send(payload.encode())
"""
COMMAND = [sys.executable, "{directory}/small.py", "{group}", "{port}", "{source}", "{index}"]
COMMAND += ["{payload}", "{count}", "{ttl}"]


def sender(directory: Path, program: str = SEND, **keys: Any) -> ExternalSender:
    keys = {"kind": "sender", "command": COMMAND, "ready": None, "datagram": None, **keys}
    return ExternalSender(described(directory, program, **keys))


def failing(lab: LabView, one: ExternalSender, **options: Any) -> CoreFailure:
    with pytest.raises(CoreFailure) as info:
        one.send(lab.channel(), lab.host("tx"), **options)
    return info.value


@pytest.mark.parametrize("what", ["builtin", "program"])
def test_a_sender_does_what_it_is_to(mcast_lab: LabView, tmp_path: Path, what: str) -> None:
    one = BuiltInSender() if what == "builtin" else sender(tmp_path)
    results = list(run_sender(one, mcast_lab._pool))
    assert not [str(result) for result in results if result.outcome != "pass"]
    assert len(results) == 4 * len(SENDING)


@pytest.mark.parametrize(
    ("wrong", "behaviour", "reason"),
    [
        ("ttl=int(ttl)", "send.ttl", "small sent 'sent "),
        ("range(int(count))", "send.delivery", "small: of 5 that it was to send not all came: only 4 of 5 datagrams"),
        ("payload.encode()", "send.delivery", "small sent 'nothing' with TTL 1, not 'sent "),
        ("int(index)", "send.interface", "small: of 5 that it was to send not all came: only 0 of 5 datagrams"),
    ],
)
def test_one_that_does_not_is_found_out(
    mcast_lab: LabView, tmp_path: Path, wrong: str, behaviour: str, reason: str
) -> None:
    instead = {
        "ttl=int(ttl)": "ttl=1",
        "range(int(count))": "range(int(count) - 1)",
        "payload.encode()": "b'nothing'",
        "int(index)": "'eth0'",
    }[wrong]
    one = sender(tmp_path, SEND.replace(wrong, instead))
    (result,) = run_sender(one, mcast_lab._pool, [("ipv4", "asm")], behaviours=[behaviour], timeout=0.3)
    assert result.outcome == "fail"
    assert result.reason.startswith(reason)


def test_what_it_does_not_claim_is_unsupported(mcast_lab: LabView, tmp_path: Path) -> None:
    one = sender(tmp_path, families=["ipv6"])
    (result,) = run_sender(one, mcast_lab._pool, [("ipv4", "asm")], behaviours=["send.ttl"])
    assert result.outcome == "unsupported"
    assert "is for ipv6, asm and ssm" in result.reason


def test_known_findings_count(mcast_lab: LabView, tmp_path: Path) -> None:
    finding = {"behaviour": "send.ttl", "reason": "it is always 1"}
    one = sender(tmp_path, SEND.replace("ttl=int(ttl)", "ttl=1"), expected_failures=[finding])
    (result,) = run_sender(one, mcast_lab._pool, [("ipv4", "asm")], behaviours=["send.ttl"])
    assert (result.outcome, result.expected) == ("fail", ExpectedFailure("send.ttl", "it is always 1"))
    assert not result.surprising


def test_one_that_fails_says_so(mcast_lab: LabView, tmp_path: Path) -> None:
    failure = failing(mcast_lab, sender(tmp_path, 'sys.exit("no luck")'))
    assert failure.kind == "died"
    assert str(failure).startswith("small: it ended with exit code 1\ncommand: ")
    assert "\n  no luck\n" in str(failure)
    failure = failing(mcast_lab, sender(tmp_path, 'sys.exit("E no route")', error="^E (?P<error>.*)"))
    assert failure.kind == "refused"
    assert str(failure).startswith("small: no route (it ended with exit code 1)\n")
    failure = failing(mcast_lab, sender(tmp_path, "os.kill(os.getpid(), signal.SIGABRT)"))
    assert str(failure).startswith("small: it ended with SIGABRT\n")


def test_one_that_goes_on_is_killed(mcast_lab: LabView, tmp_path: Path) -> None:
    failure = failing(mcast_lab, sender(tmp_path, "signal.pause()"), timeout=0.2)
    assert failure.kind == "killed"
    assert str(failure).startswith("small: it went on for 0.2 s, and was killed\n")


def test_one_that_is_not_there_is_skipped(mcast_lab: LabView, tmp_path: Path) -> None:
    one = sender(tmp_path, command=["no-such-program-4711"], install="install it")
    with pytest.raises(MissingCapability, match="install it"):
        one.send(mcast_lab.channel(), mcast_lab.host())
    (result,) = run_sender(one, mcast_lab._pool, [("ipv4", "asm")], behaviours=["send.ttl"])
    assert (result.outcome, result.version, result.surprising) == ("skipped", "", False)
