"""What becomes of a behaviour that was looked at: outcome, known findings, and what is surprising."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_mcast import LabView, MissingCapability, NoVerdict
from pytest_mcast.cores import BuiltInCore, Capabilities, CoreFailure, ExpectedFailure
from pytest_mcast.cores.behaviours import find_behaviour
from pytest_mcast.cores.runner import Result, expected_failure, run_behaviour, run_core

from ..support.broken_cores import BROKEN
from .support import core

ONE = find_behaviour("delivery.one")
DESTINATION = find_behaviour("metadata.destination")
SENDERS = find_behaviour("delivery.senders")


def known(behaviour: str = "delivery.one", versions: str = "", kinds: tuple[str, ...] = ()) -> ExpectedFailure:
    return ExpectedFailure(behaviour, "so it is", versions, kinds)


def results(one: Any, lab: LabView, *kinds: tuple[str, str], timeout: float = 5.0) -> list[Result]:
    return list(run_core(one, [ONE, SENDERS], lab._pool, kinds or [("ipv4", "ssm")], timeout=timeout))


@pytest.mark.parametrize(
    ("versions", "version", "applies"),
    [
        ("", "unknown", True),
        ("", "", True),
        ("<2", "1.9", True),
        ("<2", "2.0", False),
        (">=0.2.7,<0.4", "0.3.0", True),
        (">=0.2.7,<0.4", "0.4.0", False),
        (">=0.2.7,<0.4", "0.4.0-rc1", False),  # PEP 440: before a release is not below it
        ("<2", "2.0.dev0", False),
        (">=1", "1.5b1", True),
        ("==1.*", "1.8.0", True),
        ("<2", "unknown", False),
        ("<2", "git-deadbeef", False),
        ("<2", "", False),
    ],
)
def test_a_finding_is_known_for_some_versions(versions: str, version: str, applies: bool) -> None:
    finding = known(versions=versions)
    assert expected_failure([finding], version, "delivery.one", "ipv4-asm") == (finding if applies else None)


def test_a_finding_is_known_for_a_behaviour_and_some_kinds() -> None:
    first, second = known(kinds=("ipv4-asm",)), known(versions="<2")
    found = [
        expected_failure([first, second], "3", behaviour, kind)
        for behaviour, kind in (
            ("delivery.one", "ipv4-asm"),
            ("delivery.one", "ipv4-ssm"),
            ("delivery.order", "ipv4-asm"),
        )
    ]
    assert found == [first, None, None]
    assert expected_failure([first, second], "1", "delivery.one", "ipv6-ssm") == second


@pytest.mark.parametrize(
    ("outcome", "expected", "surprising"),
    [
        ("pass", None, False),
        ("pass", known(), True),
        ("pass", replace(known(), sometimes=True), False),
        ("fail", replace(known(), sometimes=True), False),
        ("fail", None, True),
        ("fail", known(), False),
        ("error", None, True),
        ("error", known(), True),
        ("unsupported", known(), False),
        ("unsupported", None, False),
        ("skipped", known(), False),
        ("skipped", None, False),
    ],
)
def test_what_is_surprising(outcome: str, expected: ExpectedFailure | None, surprising: bool) -> None:
    result = Result("x", "1", "delivery.one", "ipv4", "asm", outcome, expected=expected)
    assert result.surprising == surprising


def test_a_result_in_words() -> None:
    passed = Result("x", "1", "a.b", "ipv6", "ssm", "pass")
    assert str(passed) == "x 1, a.b, ipv6-ssm: pass"
    unexpected = Result("x", "1", "a.b", "ipv6", "ssm", "pass", expected=known())
    assert str(unexpected) == "x 1, a.b, ipv6-ssm: pass, where a failure is known (so it is)"
    failed = Result("x", "1", "a.b", "ipv6", "ssm", "fail", "it did not")
    assert str(failed) == "x 1, a.b, ipv6-ssm: fail\nit did not"
    expected = Result("x", "1", "a.b", "ipv6", "ssm", "fail", "it did not", expected=known())
    assert str(expected) == "x 1, a.b, ipv6-ssm: fail (known: so it is)\nit did not"


class Known(BuiltInCore):
    version = "1.0"
    expected_failures = (known(versions="<2"),)


class Fixed(Known):
    version = "2.0"


def test_a_pass_where_a_failure_is_known_is_surprising(mcast_lab: LabView) -> None:
    result = run_behaviour(Known(), ONE, mcast_lab._pool, "ipv4", "asm")
    assert (result.outcome, result.expected, result.surprising) == ("pass", Known.expected_failures[0], True)
    result = run_behaviour(Fixed(), ONE, mcast_lab._pool, "ipv4", "asm")
    assert (result.outcome, result.expected, result.surprising) == ("pass", None, False)


def test_behaviours_that_are_not_about_a_kind_are_left_out(mcast_lab: LabView) -> None:
    found = [(one.behaviour, one.kind) for one in results(BuiltInCore(), mcast_lab, ("ipv4", "asm"), ("ipv6", "ssm"))]
    assert found == [
        ("self-check", "ipv4-asm"),
        ("delivery.one", "ipv4-asm"),
        ("delivery.senders", "ipv4-asm"),
        ("self-check", "ipv6-ssm"),
        ("delivery.one", "ipv6-ssm"),
    ]


def test_the_self_check_gives_its_evidence(mcast_lab: LabView) -> None:
    check, _ = results(BuiltInCore(), mcast_lab)
    assert check.outcome == "pass"
    assert check.evidence == (
        f"version {BuiltInCore.version}",
        "ready: kernel membership",
        "a datagram that was sent was reported, and none that was not",
    )


@pytest.mark.parametrize(
    "name",
    [
        "delivers-nothing",
        "never-joins",
        "duplicates",
        "late",
        "truncates",
        "mislabels-source",
        "mislabels-group",
        "mislabels-port",
        "mislabels-interface",
        "mislabels-ttl",
    ],
)
def test_one_that_fails_its_self_check_is_believed_in_nothing(mcast_lab: LabView, name: str) -> None:
    check, *others = results(BROKEN[name](), mcast_lab, ("ipv6", "ssm"), timeout=0.05)
    assert check.outcome == "fail"
    assert check.surprising
    assert check.reason.startswith((f"{name} did not report a datagram", f"{name} reported a datagram that was not"))
    assert [(one.outcome, one.reason, one.surprising) for one in others] == [
        ("error", "it did not pass its self-check", True)
    ]


def test_a_failed_self_check_is_for_its_kind_only(mcast_lab: LabView) -> None:
    class DeafForIpv6(BuiltInCore):
        def open(self, channel: Any, host: Any, **options: Any) -> Any:
            receiver = super().open(channel, host, **options)
            if channel.family == "ipv6":
                receiver.leave()
            return receiver

    found = results(DeafForIpv6(), mcast_lab, ("ipv4", "ssm"), ("ipv6", "ssm"), timeout=0.1)
    assert [one.outcome for one in found] == ["pass", "pass", "fail", "error"]


def test_what_is_not_claimed_is_unsupported(mcast_lab: LabView) -> None:
    class Ipv4Only(BuiltInCore):
        capabilities = Capabilities(families=("ipv4",))

    found = results(Ipv4Only(), mcast_lab, ("ipv4", "ssm"), ("ipv6", "ssm"))
    assert [one.outcome for one in found] == ["pass", "pass", "unsupported", "unsupported"]
    assert found[2].reason == found[3].reason == "it is not for ipv6 ssm"
    assert not any(one.surprising for one in found)


def test_a_program_that_is_not_there_is_skipped(mcast_lab: LabView, tmp_path: Path) -> None:
    absent = core(tmp_path, command=["no-such-program-4711"], install="install it", families=["ipv4"])
    found = results(absent, mcast_lab, ("ipv4", "ssm"), ("ipv6", "ssm"))
    assert [one.outcome for one in found] == ["skipped", "skipped", "unsupported", "unsupported"]
    why = "programs: there is no program 'no-such-program-4711' for small on PATH; install it"
    assert [one.reason for one in found[:2]] == [why, why]
    assert {one.version for one in found} == {""}
    assert not any(one.surprising for one in found)


def test_a_version_that_cannot_be_read_fails_the_self_check(mcast_lab: LabView, tmp_path: Path) -> None:
    one = core(tmp_path, version={"command": ["echo", "x"], "pattern": r"(?P<version>\d+)"})
    check, other = results(one, mcast_lab)
    assert (check.outcome, other.outcome) == ("fail", "error")
    assert check.reason.startswith("the version of small is not in echo x")
    assert run_behaviour(one, ONE, mcast_lab._pool, "ipv4", "asm").version == ""


@pytest.mark.parametrize(
    ("raised", "outcome", "reason"),
    [
        (CoreFailure("died", "it died"), "fail", "it died"),
        (MissingCapability("programs", "none", "get one"), "skipped", "programs: none; get one"),
        (NoVerdict("no verdict: none"), "error", "NoVerdict: no verdict: none"),
        (OSError(24, "Too many open files"), "error", "OSError: [Errno 24] Too many open files"),
        (TypeError("a bug of theirs"), "error", "TypeError: a bug of theirs"),
    ],
)
def test_whatever_a_core_raises_has_an_outcome(
    mcast_lab: LabView, raised: Exception, outcome: str, reason: str
) -> None:
    class Raising(BuiltInCore):
        def open(self, channel: Any, host: Any, **options: Any) -> Any:
            raise raised

    result = run_behaviour(Raising(), ONE, mcast_lab._pool, "ipv4", "asm")
    assert (result.outcome, result.reason) == (outcome, reason)
    check, _ = results(Raising(), mcast_lab)
    assert (check.outcome, check.reason) == (outcome, reason)


def test_hosts_are_given_back_whatever_happens(mcast_lab: LabView) -> None:
    pool = mcast_lab._pool
    run_behaviour(BuiltInCore(), ONE, pool, "ipv4", "asm")
    idle = list(pool._idle)
    run_behaviour(BROKEN["mislabels-group"](), DESTINATION, pool, "ipv4", "asm")
    assert set(pool._idle) == set(idle)
