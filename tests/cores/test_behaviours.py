"""Each behaviour: the built-in core has it, and at least one core that has a fault has not."""

from __future__ import annotations

from fnmatch import fnmatch

import pytest

from pytest_mcast import LabView
from pytest_mcast.cores import AsyncCore, BuiltInCore, Capabilities, NaiveCore, ReceiveCore
from pytest_mcast.cores.behaviours import BEHAVIOURS, Behaviour, find_behaviour
from pytest_mcast.cores.runner import KINDS, SELF_CHECK, Result, run_behaviour, run_core

from ..support.broken_cores import BROKEN

# What each of the broken cores fails, by pattern (a probe that is delivered is compared as well); with "@ssm" or "@asm" for that mode only.
MUST_FAIL = {
    "delivers-everything": "filter.* interface.* several.groups several.sources",
    "delivers-nothing": "delivery.* interface.* lifecycle.again lifecycle.rejoin metadata.* several.*",
    "never-joins": "delivery.* interface.* lifecycle.join lifecycle.leave lifecycle.again lifecycle.rejoin metadata.* several.*",
    "joins-any-source": "lifecycle.join@ssm lifecycle.leave@ssm lifecycle.rejoin@ssm",
    "joins-on-first-interface": "interface.*",
    "never-leaves": "lifecycle.leave lifecycle.again lifecycle.rejoin",
    "stale-after-rejoin": "lifecycle.rejoin",
    "ignores-group": "filter.group several.groups",
    "ignores-port": "filter.port",
    "ignores-source": "filter.source several.sources",
    "ignores-interface": "interface.*@asm",  # with a source it is another channel, which it keeps out by that
    "loses-flows": "delivery.senders interface.both several.*",
    "duplicates": "delivery.* filter.* interface.* lifecycle.again lifecycle.rejoin several.*",
    "late": "delivery.one delivery.order interface.second lifecycle.again lifecycle.rejoin metadata.*",
    "wrong-order": "delivery.order",
    "truncates": "delivery.* interface.* lifecycle.again lifecycle.rejoin metadata.length metadata.payload several.*",
    "mislabels-source": "filter.* metadata.source",
    "mislabels-group": "filter.* metadata.destination",
    "mislabels-port": "filter.* metadata.destination",
    "mislabels-interface": "filter.* metadata.interface",
    "mislabels-ttl": "filter.* metadata.ttl",
}
# What these do wrong no behaviour looks at, but conformance cases do.
MUST_FAIL |= dict.fromkeys(("ignores-changes", "hides-what-is-cut", "ignores-sizes", "counts-nothing"), "")
MUST_FAIL["forgets-what-waits"] = (
    "delivery.* filter.* interface.* lifecycle.again lifecycle.rejoin several.*"  # the fence is what waits last
)
# Who does not deliver the fence of a proof as it was sent gets no verdict.
NO_VERDICT = dict.fromkeys(("delivers-nothing", "never-joins", "late", "truncates"), "filter.*")

IN_VAIN = 0.02  # seconds for what must fail: some of the broken cores are waited for in vain
IN_FULL = 5.0  # for what must pass


def _expected(core: str, behaviour: str, mode: str) -> str:
    for outcome, patterns in (("fail", MUST_FAIL[core]), ("error", NO_VERDICT.get(core, ""))):
        for pattern in patterns.split():
            name, _, only = pattern.partition("@")
            if fnmatch(behaviour, name) and only in ("", mode):
                return outcome
    return "pass"


def _cases(core: str) -> list[tuple[Behaviour, str, str, str]]:
    """Return behaviour, family, mode and outcome: whatever must fail, and for one kind whatever must not."""
    return [
        (one, family, mode, outcome)
        for one in BEHAVIOURS
        for family, mode in KINDS
        if family in one.families and mode in one.modes
        for outcome in [_expected(core, one.id, mode)]
        if outcome != "pass" or (family, mode) == ("ipv4", "ssm") or (one.modes == ("asm",) and family == "ipv4")
    ]


@pytest.mark.parametrize("core", BROKEN)
def test_a_broken_core_fails_what_it_must_and_nothing_else(mcast_lab: LabView, core: str) -> None:
    different = []
    for behaviour, family, mode, outcome in _cases(core):
        timeout = IN_FULL if outcome == "pass" else IN_VAIN
        result = run_behaviour(BROKEN[core](), behaviour, mcast_lab._pool, family, mode, timeout=timeout)
        if result.outcome != outcome or (outcome == "error" and not result.reason.startswith("NoVerdict: ")):
            different.append(f"{outcome} expected: {result}")
    assert not different, "\n".join(different)


def test_each_behaviour_fails_for_a_broken_core_in_each_kind_of_channel() -> None:
    assert set(MUST_FAIL) == set(BROKEN)
    for behaviour in BEHAVIOURS:
        for mode in behaviour.modes:
            assert [core for core in BROKEN if _expected(core, behaviour.id, mode) == "fail"], f"{behaviour.id} {mode}"


def _run(core: ReceiveCore, lab: LabView) -> list[Result]:
    return list(run_core(core, BEHAVIOURS, lab._pool))


@pytest.mark.parametrize("core", [BuiltInCore(), AsyncCore()], ids=lambda core: core.name)
def test_the_built_in_core_has_every_behaviour(mcast_lab: LabView, core: ReceiveCore) -> None:
    results = _run(core, mcast_lab)
    assert not [str(result) for result in results if result.outcome != "pass"]
    wanted = {(one.id, family, mode) for one in BEHAVIOURS for family in one.families for mode in one.modes}
    wanted |= {(SELF_CHECK, family, mode) for family, mode in KINDS}
    assert {(result.behaviour, result.family, result.mode) for result in results} == wanted
    assert all(result.evidence for result in results)


def test_the_naive_core_fails_exactly_what_is_known(mcast_lab: LabView) -> None:
    results = _run(NaiveCore(), mcast_lab)
    assert not [str(result) for result in results if result.surprising]
    failed = {(result.behaviour, result.kind) for result in results if result.outcome == "fail"}
    kinds = [f"{family}-{mode}" for family, mode in KINDS]
    assert failed == {
        (known.behaviour, kind)
        for known in NaiveCore.expected_failures
        if known.behaviour in {one.id for one in BEHAVIOURS}  # the others are conformance cases
        for kind in (known.kinds or kinds)
    }


class Modest(BuiltInCore):
    """Tells nothing of a datagram, has IPv4 only, and joins once."""

    capabilities = Capabilities(families=("ipv4",), fields=frozenset())


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        ("delivery.one", "it does not tell the payload of a datagram"),
        ("metadata.source", "it does not tell the source and source_port of a datagram"),
        ("lifecycle.rejoin", "it joins once"),
    ],
)
def test_what_a_core_does_not_claim_is_unsupported(mcast_lab: LabView, behaviour: str, why: str) -> None:
    result = run_behaviour(Modest(), find_behaviour(behaviour), mcast_lab._pool, "ipv4", "asm")
    assert (result.outcome, result.reason, result.surprising) == ("unsupported", why, False)


class Ipv4Only(BuiltInCore):
    capabilities = Capabilities(families=("ipv4",))


def test_the_other_family_is_unsupported_where_there_is_none(mcast_lab: LabView) -> None:
    result = run_behaviour(Ipv4Only(), find_behaviour("several.families"), mcast_lab._pool, "ipv4", "asm")
    assert (result.outcome, result.reason) == ("unsupported", "it has no ipv6")


def test_the_kernel_and_the_wire_are_the_evidence_of_joins_and_leaves(mcast_lab: LabView) -> None:
    join, leave = (
        run_behaviour(BuiltInCore(), find_behaviour(f"lifecycle.{what}"), mcast_lab._pool, "ipv4", "ssm")
        for what in ("join", "leave")
    )
    assert join.evidence[0].startswith("kernel: Membership(interface='eth0', group='232.")
    assert join.evidence[1:] == ("wire: ALLOW_NEW_SOURCES",)
    assert leave.evidence == ("kernel: no membership any more", "wire: BLOCK_OLD_SOURCES")


def test_lost_flows_are_named_with_what_the_tap_saw(mcast_lab: LabView) -> None:
    result = run_behaviour(
        BROKEN["loses-flows"](), find_behaviour("several.groups"), mcast_lab._pool, "ipv4", "asm", timeout=IN_VAIN
    )
    first = result.reason.splitlines()[0]
    assert ": 12 of 24 datagrams were lost, which the tap of host1 saw come in: port " in first
    assert " and 6 more of 24 ports of 239.255." in first


def test_an_unknown_behaviour_is_named_with_the_nearest() -> None:
    with pytest.raises(LookupError, match=r"there is no behaviour 'several\.group'; did you mean 'several\.groups'\?"):
        find_behaviour("several.group")


def test_ids_are_unique_and_references_are_given() -> None:
    assert len({one.id for one in BEHAVIOURS}) == len(BEHAVIOURS)
    assert all(one.title and one.reference for one in BEHAVIOURS)
