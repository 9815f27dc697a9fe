"""The catalogue: the built-in core passes, each case fails for a core with a fault, and what cases say is well said."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

import pytest

from pytest_mcast import LabView
from pytest_mcast.catalogue import LEVELS, Case, ProbeCase, describe_cases, find_case, matching, run_case
from pytest_mcast.catalogue.probing import LEGITIMATE
from pytest_mcast.cores import AsyncCore, BuiltInCore, ReceiveCore
from pytest_mcast.cores.runner import KINDS
from pytest_mcast.wire import listener

from ..support.broken_cores import BROKEN
from ..support.wire_cores import DOUBLES_PROBES, LOSES_PROBES, ON_THE_WIRE, TWICE_ON_THE_WIRE

ALL = list(matching(KINDS))
AREAS = list(dict.fromkeys(case.area for case, _, _ in ALL))
# Of these the cores above make nothing by which the probe would be known again (no UDP header, a part of one, a fragment
# without it), so nobody is seen to deliver them: they fail for cores that do not even deliver the legitimate datagram as
# they should.
ONLY_BY_THE_LEGITIMATE = {
    *("fragment.first-missing", "fragment.overlap-same-data-ipv6", "fragment.overlap-other-data-ipv6"),
    *("fragment.overlap-at-the-end-ipv6", "fragment.overlap-of-the-header-ipv6", "fragment.overlap-around-ipv6"),
    *(
        "ipv4.header-length-past-end",
        "ipv4.cut-in-header",
        "ipv4.protocol-udp-lite",
        "ipv4.tcp-syn",
        "ipv4.encapsulated",
    ),
    *("ipv6.cut-in-the-header", "ipv6.cut-after-the-header", "ipv6.tcp", "ipv6.icmp-echo", "ipv6.ipv6-in-ipv6"),
    *("ipv6.ipv4-in-ipv6", "link.header-only", "link.snap"),
}
# Those that fail most cases of an area first, or one case, so that few have to be run: many wait in vain.
FIRST = {
    "report": ["never-joins", "never-leaves", "ignores-changes"],
    "membership": ["ignores-changes", "never-leaves", "never-joins"],
    "overflow": ["forgets-what-waits", "ignores-sizes", "counts-nothing"],
    "size": ["ignores-sizes", "hides-what-is-cut"],
    "fragment.both-feeds": ["duplicates"],
    "fragment.elsewhere-ipv6": ["duplicates"],
    "interface.membership": ["never-joins"],
    "report.other-source-query": ["joins-any-source"],
    "sharing": ["ignores-group", "loses-flows", "ignores-source"],
}
BROKEN_CORES: dict[str, ReceiveCore] = {
    core.name: core
    for core in (
        *(ON_THE_WIRE, LOSES_PROBES, DOUBLES_PROBES, TWICE_ON_THE_WIRE),
        *(make() for make in BROKEN.values()),
    )
}
IN_VAIN = 0.3  # seconds, for cores that do not deliver what is waited for


def _of(area: str) -> Iterator[tuple[Case, str, str]]:
    return ((case, family, mode) for case, family, mode in ALL if case.area == area)


@pytest.mark.parametrize("area", AREAS)
def test_our_core_passes_and_supports_everything(mcast_lab: LabView, area: str) -> None:
    _expect(mcast_lab, BuiltInCore(), _of(area), ("pass",))


@pytest.mark.parametrize("area", AREAS)
def test_our_core_passes_in_an_event_loop(mcast_lab: LabView, area: str) -> None:
    seen: set[Case] = set()
    once = [one for one in _of(area) if not (one[0] in seen or seen.add(one[0]))]  # type: ignore[func-returns-value]
    _expect(mcast_lab, AsyncCore(), once, ("pass", "unsupported"))


def _expect(lab: LabView, core: ReceiveCore, cases: Iterable[tuple[Case, str, str]], outcomes: tuple[str, ...]) -> None:
    wrong = []
    for case, family, mode in cases:
        result = run_case(case, core, lab._pool, family, mode)
        if result.outcome not in outcomes:
            wrong.append(f"{case.level}: {case.title}: {case.expected}\n{result}")
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.parametrize("area", AREAS)
def test_each_case_fails_for_a_core_with_a_fault(
    mcast_lab: LabView, area: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "GRACE", IN_VAIN)  # for reports that never come
    unfailing, weak, seen = [], set(), set()
    for case, family, mode in _of(area):
        if (case, family) in seen:
            continue
        seen.add((case, family))
        outcomes = {}
        for name in dict.fromkeys([*FIRST.get(case.id, []), *FIRST.get(area, []), *BROKEN_CORES]):
            core = BROKEN_CORES[name]
            result = run_case(case, core, mcast_lab._pool, family, mode, timeout=IN_VAIN)
            outcomes[core.name] = result.outcome
            # Of a crafted datagram only what is found after the legitimate one counts: many are broken for that already.
            if result.outcome == "fail" and (LEGITIMATE in result.evidence or not isinstance(case, ProbeCase)):
                break
        else:
            counts = ", ".join(f"{count} {outcome}" for outcome, count in Counter(outcomes.values()).items())
            unfailing.append(f"{case.id} {family}-{mode}: {counts}")
            if "fail" in outcomes.values():
                weak.add(case.id)
    known = {one for one in ONLY_BY_THE_LEGITIMATE if one.startswith(f"{area}.")}
    assert weak == known, "\n".join(unfailing)
    assert len(unfailing) == sum(case.id in known for case, _ in seen), "\n".join(unfailing)


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


def test_what_cases_say_tells_them_apart() -> None:
    said: dict[tuple[str, str, str, str], Case] = {}
    for case, family, mode in ALL:
        other = said.setdefault((f"{case.area} {case.title}", case.expected, family, mode), case)
        assert other is case, f"{case.id} and {other.id} say the same"


def test_an_unknown_case_is_named_with_the_nearest() -> None:
    with pytest.raises(
        LookupError, match=re.escape("there is no case 'ssm.wrong-sauce'; did you mean 'ssm.wrong-source'?")
    ):
        find_case("ssm.wrong-sauce")
