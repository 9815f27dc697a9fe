"""What items tell of their cells reaches the record, with and without xdist."""

from __future__ import annotations

import pytest

from pytest_mcast.report import Event, File, read

from ..support.pytests import run_here

CONFTEST = """
    import pytest

    KEY = {"file": "a.mcast.yaml", "title": "T", "family": "ipv4", "mode": "asm", "sender": "a", "receiver": "b"}
    DECLARED = {"expectation": "fail", "sometimes": True, "expected_reason": "known", "notes": "a note", "line": 7}

    def pytest_itemcollected(item):
        item.mcast_cell, item.mcast_details = {**KEY, "size": item.name}, dict(DECLARED)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(item, call):
        report = yield
        report.mcast["artifacts"] = ["x/capture.pcapng"] if call.when == "call" else []
        return report
"""
TESTS = """
    def test_it(request):
        item = request.node
        item.mcast_evidence = ["seen"]
        item.mcast_details |= {
            "reported": "IGMPv2", "log": ["line"] * 3000, "timeline": [[0.5, "b", "x" * 9000, "packet"], [1, "", "end", "note"]]
        }
        item.mcast_facts = {"file": {"notes": "N", "hosts": {"b": {"system": "Linux"}}, "subjects": {"s": {"version": "1"}}}}
        raise AssertionError("lost")
"""


@pytest.mark.parametrize("way", [(), ("-n1",)], ids=["plain", "xdist"])
def test_details(pytester: pytest.Pytester, way: tuple[str, ...]) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TESTS)
    pytester.mkdir("out")
    arguments = ("--mcast-report=out/out.json", "--mcast-output=files", *way)
    if way:
        pytester.runpytest_subprocess(*arguments)
    else:
        run_here(pytester, *arguments)
    record = read(pytester.path / "out" / "out.json")
    (cell,) = record.cells
    assert (cell.outcome, cell.reason) == ("fail", "AssertionError: lost")
    assert (cell.expectation, cell.sometimes, cell.expected_reason) == ("fail", True, "known")
    assert (cell.notes, cell.line, cell.reported, cell.evidence) == ("a note", 7, "IGMPv2", ("seen",))
    assert cell.timeline == (Event(0.5, "b", "x" * 2000, "packet"), Event(1.0, "", "end", "note"))
    assert cell.log[:1000] == ("line",) * 1000
    assert "E           AssertionError: lost" in cell.log[1000:] or "E       AssertionError: lost" in cell.log[1000:]
    assert cell.artifacts == ("../files/x/capture.pcapng",)
    assert record.files == {"a.mcast.yaml": File("T", "N", {"b": {"system": "Linux"}}, {"s": {"version": "1"}})}


def test_a_plan_has_what_is_declared(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TESTS)
    run_here(pytester, "--mcast-report=out.json", "--collect-only")
    (cell,) = read(pytester.path / "out.json").cells
    assert (cell.outcome, cell.expectation, cell.notes, cell.line, cell.attempts) == ("not-run", "fail", "a note", 7, 0)


def test_facts_add_up_whatever_is_told_last(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile("""
        def test_much(request):
            hosts, subjects = {"b": {"kind": "virtual", "system": "Linux"}}, {"s": {"receiver": "r", "version": "1"}}
            request.node.mcast_facts = {"file": {"hosts": hosts, "subjects": subjects}, "subjects": {"core": {"version": "2"}}}

        def test_nothing_was_made(request):
            hosts, subjects = {"b": {"kind": "virtual"}}, {"s": {"receiver": "r", "notes": "n"}}
            request.node.mcast_facts = {"file": {"hosts": hosts, "subjects": subjects}, "subjects": {"core": {"why": "x"}}}
    """)
    run_here(pytester, "--mcast-report=out.json")
    record = read(pytester.path / "out.json")
    hosts = {"b": {"kind": "virtual", "system": "Linux"}}
    assert record.files == {
        "a.mcast.yaml": File("T", "", hosts, {"s": {"receiver": "r", "version": "1", "notes": "n"}})
    }
    assert record.subjects == {"core": {"version": "2", "why": "x"}}
