"""The catalogue: the built-in core passes, each case fails for a core with a fault, and what cases say is well said."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from pytest_mcast import LabView
from pytest_mcast.catalogue import LEVELS, Case, describe_cases, find_case, matching, run_case
from pytest_mcast.cores import AsyncCore, BuiltInCore, ReceiveCore
from pytest_mcast.cores.runner import KINDS

from ..support.broken_cores import BROKEN
from ..support.wire_cores import LOSES_PROBES, ON_THE_WIRE

ALL = list(matching(KINDS))
AREAS = list(dict.fromkeys(case.area for case, _, _ in ALL))
# Those that find most faults first, so that few have to be run.
BROKEN_CORES: list[ReceiveCore] = [ON_THE_WIRE, LOSES_PROBES, *(make() for make in BROKEN.values())]
IN_VAIN = 0.3  # seconds, for cores that do not deliver what is waited for


def _of(area: str) -> Iterator[tuple[Case, str, str]]:
    return ((case, family, mode) for case, family, mode in ALL if case.area == area)


@pytest.mark.parametrize("core", [BuiltInCore(), AsyncCore()], ids=lambda core: core.name)
@pytest.mark.parametrize("area", AREAS)
def test_our_core_passes(mcast_lab: LabView, area: str, core: ReceiveCore) -> None:
    wrong = []
    for case, family, mode in _of(area):
        result = run_case(case, core, mcast_lab._pool, family, mode)
        if result.outcome not in ("pass", "unsupported") and (case.level != "SHOULD" or result.outcome == "error"):
            wrong.append(f"{case.level}: {case.title}: {case.expected}\n{result}")
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.parametrize("area", AREAS)
def test_nothing_is_unsupported_by_our_core(mcast_lab: LabView, area: str) -> None:
    results = [run_case(case, BuiltInCore(), mcast_lab._pool, family, mode) for case, family, mode in _of(area)]
    assert [str(result) for result in results if result.outcome == "unsupported"] == []


@pytest.mark.parametrize("area", AREAS)
def test_each_case_fails_for_a_core_with_a_fault(mcast_lab: LabView, area: str) -> None:
    unfailing = []
    for case, family, mode in _of(area):
        outcomes = {}
        for core in BROKEN_CORES:
            result = run_case(case, core, mcast_lab._pool, family, mode, timeout=IN_VAIN)
            outcomes[core.name] = result.outcome
            if result.outcome == "fail":
                break
        else:
            unfailing.append(f"{case.id} {family}-{mode}: {outcomes}")
    assert not unfailing, "\n".join(unfailing)


@pytest.mark.parametrize(
    ("core", "case", "what"),
    [(ON_THE_WIRE, "ssm.wrong-source", "delivered: "), (LOSES_PROBES, "ipv4.ttl-0", "not delivered: ")],
    ids=["on-the-wire", "loses-probes"],
)
def test_cores_with_a_fault_fail_by_what_is_judged(mcast_lab: LabView, core: ReceiveCore, case: str, what: str) -> None:
    # And not because they do not deliver the legitimate datagram, or the test above would say nothing.
    result = run_case(find_case(case), core, mcast_lab._pool, "ipv4", "ssm")
    assert (result.outcome, result.reason[: len(what)]) == ("fail", what)


def test_there_are_at_least_200_cases() -> None:
    assert len(describe_cases()) >= 200


def test_what_cases_say_is_well_said() -> None:
    for case in dict.fromkeys(case for case, _, _ in ALL):
        assert case.level in LEVELS
        assert case.title, case.id
        assert case.reason, case.id
        assert case.expected, case.id
        for text in (case.title, case.reason):
            assert "\n" not in text, case.id
            assert not re.search(r"[^.]\.$", text), case.id
        if case.level != "kernel":
            assert case.rfcs or "IEEE" in case.reference, f"{case.id}: {case.level} by whom?"
        for difference in case.differences.values():
            assert difference.source, case.id


def test_titles_tell_cases_of_an_area_apart() -> None:
    titles = [(case.area, case.title) for case in dict.fromkeys(case for case, _, _ in ALL)]
    assert len(set(titles)) == len(titles)


def test_an_unknown_case_is_named_with_the_nearest() -> None:
    with pytest.raises(
        LookupError, match=re.escape("there is no case 'ssm.wrong-sauce'; did you mean 'ssm.wrong-source'?")
    ):
        find_case("ssm.wrong-sauce")
