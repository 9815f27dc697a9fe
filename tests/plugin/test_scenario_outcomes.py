"""What becomes of cells: expectations, what is not to be run here, marks, and the text of a failure."""

from __future__ import annotations

import json

import pytest

from pytest_mcast import NotReceived
from pytest_mcast.plugin.scenario_items import CellItem
from pytest_mcast.scenarios import Story

from ..support.pytests import HERE, run_here

CORES = """
    import pytest
    from pytest_mcast.cores import BuiltInCore, Capabilities

    class OnlyIPv4(BuiltInCore):
        name = "old"
        capabilities = Capabilities(families=("ipv4",))

    def pytest_mcast_cores(config):
        return [OnlyIPv4()]

    @pytest.fixture(autouse=True)
    def break_some(request, monkeypatch):
        if request.node.get_closest_marker("broken"):
            monkeypatch.setattr("pytest_mcast.core.sender.Sender.send", lambda self, payload: None)
"""
FILE = """
title: Outcomes
notes: What is expected, and what is not.
hosts:
  one: virtual
  two: virtual
  phone: {status: planned, reason: none yet}
subjects: {old: {receiver: old}}
matrix:
  sender: [one]
  receiver: [two, old@two, phone]
  family: [ipv4, ipv6]
  mode: [asm]
  size: [10, 20, 30]
rules:
  - {cells: {receiver: two, family: ipv4, size: 10}, expect: fail, reason: it is broken, marks: [broken]}
  - {cells: {receiver: two, family: ipv4, size: 20}, expect: fail, reason: it was broken}
  - {cells: {receiver: two, family: ipv4, size: 30}, expect: fail, reason: by chance, sometimes: true}
  - {cells: {receiver: two, family: ipv6, size: 10}, marks: [broken], notes: a note}
  - {cells: {receiver: old@two, family: ipv6, size: [10, 20]}, expect: unsupported, reason: it is old}
  - {cells: {receiver: old@two, family: ipv4, size: 10}, expect: unsupported, reason: it is old}
"""
QUICK = ("--mcast-timeout=0.5", "-p", "no:randomly", "-p", "no:cacheprovider")


def test_outcomes_and_expectations_of_cells(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CORES)
    (pytester.path / "a.mcast.yaml").write_text(FILE)
    result = run_here(pytester, "-rA", "--mcast-report=out.json", *QUICK)
    result.assert_outcomes(passed=4, xfailed=1, xpassed=1, skipped=9, failed=3)
    cells = json.loads((pytester.path / "out.json").read_text())["cells"]
    found = {cell["nodeid"].partition("::")[2]: cell for cell in cells}

    def told(name: str) -> tuple[str, str, str]:
        cell = found[name]
        return cell["outcome"], cell["expectation"], cell["expected_reason"]

    assert told("ipv4-asm[one->two,size=10]") == ("fail", "fail", "it is broken")
    assert told("ipv4-asm[one->two,size=20]") == ("pass", "fail", "it was broken")
    assert told("ipv4-asm[one->two,size=30]") == ("pass", "fail", "by chance")
    assert told("ipv6-asm[one->two,size=10]") == ("fail", "pass", "")
    assert told("ipv6-asm[one->old@two,size=20]") == ("unsupported", "unsupported", "it is old")
    assert told("ipv6-asm[one->old@two,size=30]") == ("unsupported", "pass", "")
    assert told("ipv4-asm[one->old@two,size=10]") == ("pass", "unsupported", "it is old")
    assert told("ipv4-asm[one->phone,size=10]") == ("planned", "pass", "")
    failed = found["ipv6-asm[one->two,size=10]"]
    assert failed["notes"] == "a note"
    assert failed["reported"] == "MLDv2"
    assert failed["timeline"][0]["host"] == "two"
    assert any(line.startswith("to repeat it: ") for line in failed["log"])
    result.stdout.fnmatch_lines(
        [
            "*ipv6-asm?one->two,size=10?*",
            "no datagram for ?ff12::* on eth0 of two within 0.5 s",
            "cell: ipv6-asm?one->two,size=10?, a.mcast.yaml line 9",
            "to repeat it: pytest 'a.mcast.yaml::ipv6-asm?one->two,size=10?' --mcast-timeout=0.5",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*.py:*: NotReceived")


def test_the_command_in_a_failure_repeats_the_cell_alone(pytester: pytest.Pytester) -> None:
    (pytester.path / "a.mcast.yaml").write_text("hosts: {one: virtual}\n")
    items, _ = pytester.inline_genitems("--mcast-timeout=2", "--mcast-iface=lo", *HERE)
    item = items[0]
    assert isinstance(item, CellItem)
    item.begin(Story(item.cell))
    with pytest.raises(NotReceived) as error:
        raise NotReceived("it was lost")
    text = item.repr_failure(error)
    assert text.splitlines()[0] == "it was lost"
    command = "pytest 'a.mcast.yaml::ipv4-asm[one->one]' --mcast-iface=lo --mcast-timeout=2"
    assert text.splitlines()[-1] == f"to repeat it: {command}"


def test_marks_of_a_file_select_and_need_no_registration_unless_pytest_wants_it(pytester: pytest.Pytester) -> None:
    text = "marks: [slow]\nhosts: {one: virtual}\nmatrix:\n  family: [ipv4]\n  mode: [asm]\n"
    (pytester.path / "a.mcast.yaml").write_text(text)
    result = run_here(pytester, "-m", "slow", "--collect-only", "-q", "-W", "error")
    result.stdout.fnmatch_lines(["a.mcast.yaml::ipv4-asm?one->one?"])
    result = run_here(pytester, "--collect-only", "--strict-markers")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*a.mcast.yaml:3:1: marks: 'slow' is not among the registered markers of pytest*"])
    result = run_here(pytester, "--collect-only", "-q", "--strict-markers", "-o", "markers=slow: takes long")
    result.stdout.fnmatch_lines(["a.mcast.yaml::ipv4-asm?one->one?"])


def test_a_missing_program_skips_or_fails_its_cells(pytester: pytest.Pytester) -> None:
    (pytester.path / "it.yaml").write_text(
        "name: it\nkind: receiver\ninstall: apt-get install it\ncommand: [no_such_program]\ndatagram: ['(?P<payload>.*)']\n"
    )
    text = "hosts: {one: virtual}\nsubjects: {it: {receiver: it.yaml}}\nmatrix: {receiver: [it@one], family: [ipv4], mode: [asm]}\n"
    (pytester.path / "a.mcast.yaml").write_text(text)
    result = run_here(pytester, "-rs", *QUICK)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*there is no program 'no_such_program' for it on PATH; apt-get install it"])
    result = run_here(pytester, "--mcast-require=programs", *QUICK)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["mcast: programs is required by --mcast-require: there is no program *"])


ONCE = """
    import pytest
    from pytest_mcast import Sender

    @pytest.fixture(autouse=True)
    def once(request, monkeypatch):
        if request.node.execution_count > 1:
            raise OSError("the second set-up is broken")
        before, sent = Sender.send, []
        def send(self, payload):
            sent.append(payload)
            return before(self, payload) if len(sent) <= 3 else None
        monkeypatch.setattr(Sender, "send", send)
"""


def test_evidence_is_not_that_of_an_attempt_before_when_the_set_up_of_the_next_one_fails(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(ONCE)
    matrix = "matrix: {sender: [one], receiver: [two], family: [ipv4], mode: [asm], steps: [twice]}\n"
    text = "hosts: {one: virtual, two: virtual}\nsteps: {twice: [join, send, send]}\n"
    (pytester.path / "a.mcast.yaml").write_text(text + matrix)
    result = pytester.runpytest_subprocess("--reruns=1", "--mcast-report=out.json", *QUICK)
    result.assert_outcomes(errors=1)
    (cell,) = json.loads((pytester.path / "out.json").read_text())["cells"]
    assert (cell["outcome"], cell["attempts"]) == ("error", 2)
    assert "attempt 1: fail: no datagram" in cell["reason"]
    assert not any(cell.get(what) for what in ("evidence", "timeline", "reported")), cell
    assert not any("to repeat it" in line for line in cell["log"])


def test_hosts_that_the_private_network_hides_are_errors_and_no_failure_that_is_expected(
    pytester: pytest.Pytester,
) -> None:
    rule = "rules:\n  - {cells: {mode: asm}, expect: fail, reason: it is broken}\n"
    (pytester.path / "a.mcast.yaml").write_text("hosts: {here: local}\nmatrix: {family: [ipv4], mode: [asm]}\n" + rule)
    result = pytester.runpytest_subprocess("--mcast-lab", "--mcast-report=out.json", *QUICK)
    result.assert_outcomes(failed=1)
    (cell,) = json.loads((pytester.path / "out.json").read_text())["cells"]
    assert cell["outcome"] == "error"
    assert cell["reason"].endswith("which the private network hides; drop --mcast-lab (mcast_lab)")
