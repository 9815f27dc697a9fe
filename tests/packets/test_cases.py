"""The edge cases: well described, and what a receiver of ours makes of each."""

from __future__ import annotations

import dataclasses
import itertools
import re

import pytest

from pytest_mcast import NotReceived
from pytest_mcast.core import FAMILIES, MODES
from pytest_mcast.packets import CASES, Case, Packet, Prober, Raw, case, cases, deliver, drop, frames_of, raw, udp

KINDS = list(itertools.product(FAMILIES, MODES))


@pytest.mark.parametrize(
    ("mcast_kind", "edge"),
    [(kind, one) for kind in KINDS for one in cases(*kind)],
    indirect=["mcast_kind"],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else value.id,
)
def test_a_receiver_does_what_is_expected(mcast_probe: Prober, edge: Case) -> None:
    verdict = mcast_probe(edge.id).check()
    assert verdict.delivered is edge.delivered
    assert verdict.expected is edge.delivered
    assert verdict.strong
    assert edge.id in verdict.probe
    if edge.delivered:
        (datagram,) = verdict.datagrams
        assert len(datagram.payload) == edge.changes.get("size", 64)
        assert datagram.ttl == edge.changes.get("ttl", 1)
    # The same probe with the other expectation is a failure, with the evidence.
    with pytest.raises(AssertionError) as info:
        verdict.expect(drop() if edge.delivered else deliver())
    assert verdict.evidence in str(info.value)


def test_ids_are_unique_words_with_dots() -> None:
    ids = [one.id for one in CASES]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z]+([.-][a-z]+)*", name) for name in ids)
    assert [str(one) for one in CASES] == ids


@pytest.mark.parametrize("one", CASES, ids=str)
def test_each_case_says_who_asks_for_it_and_why(one: Case) -> None:
    assert re.fullmatch(r"RFC \d+( section \d+(\.\d+)*)?(, RFC \d+( section \d+(\.\d+)*)?)*", one.reference)
    assert len(one.reason) > 20
    assert one.reason[0].islower()
    assert not one.reason.endswith(".")


@pytest.mark.parametrize("one", CASES, ids=str)
def test_the_changes_of_a_case_are_fields_of_a_packet(one: Case) -> None:
    assert set(one.changes) <= {field.name for field in dataclasses.fields(Packet)}
    with pytest.raises(TypeError):
        one.changes["ttl"] = 3  # type: ignore[index]
    assert hash(one) == hash(case(one.id))


@pytest.mark.mcast(family="ipv4", mode="asm")
def test_a_case_of_ones_own_has_any_packet_and_expectation(mcast_probe: Prober) -> None:
    def as_it_is(right: Packet) -> Raw:
        return raw(*frames_of(udp(source_port=9).over(right)))

    texts = ("RFC 768", "the length says where the datagram ends")
    probe = mcast_probe
    probe(Case("mine.short", {}, True, *texts, packet=udp().with_length("-5"), expect=deliver(size=59))).check()
    probe(Case("mine.both", {"ttl": 3}, False, *texts, packet=udp().with_checksum("bad"))).check()
    verdict = probe(Case("mine.twice", {}, True, *texts, packet=udp().repeated(2), expect=deliver(2))).check()
    assert verdict.probe.startswith("mine.twice: 64 bytes")
    with pytest.raises(NotReceived, match=r"^delivered once instead of 2 times: mine\.raw: 106 bytes as they are"):
        probe(Case("mine.raw", {}, True, *texts, packet=as_it_is, expect=deliver(2))).check()
    with pytest.raises(ValueError, match="mine: delivered=False and expect=delivered once contradict each other"):
        Case("mine", {}, False, *texts, expect=deliver())


def test_a_case_is_found_by_its_id() -> None:
    assert case("ssm.wrong-source") is next(one for one in CASES if one.id == "ssm.wrong-source")


def test_an_unknown_case_is_told_with_the_nearest() -> None:
    with pytest.raises(LookupError) as info:
        case("ssm.wrong_source")
    text = str(info.value)
    assert "there is no case 'ssm.wrong_source'; did you mean 'ssm.wrong-source'? there are legitimate, ssm" in text
    assert text.count("size.largest") == 1
    with pytest.raises(LookupError, match="there is no case 'quux'; there are legitimate"):
        case("quux")


@pytest.mark.parametrize(("family", "mode"), KINDS)
def test_cases_are_those_of_a_kind_of_channel(family: str, mode: str) -> None:
    ids = {one.id for one in cases(family, mode)}
    assert ids == {one.id for one in CASES if family in one.families and mode in one.modes}
    assert "legitimate" in ids
    assert ("ssm.wrong-source" in ids) == (mode == "ssm")
    assert ("asm.any-source" in ids) == (mode == "asm")


@pytest.mark.parametrize(("family", "mode"), [("ipv5", "asm"), ("ipv4", "SSM")])
def test_what_is_no_kind_is_an_error(family: str, mode: str) -> None:
    # A loop over no cases would pass.
    with pytest.raises(ValueError, match="is not one of"):
        list(cases(family, mode))
