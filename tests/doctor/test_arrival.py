"""What a receiver's host knows of what comes in: from facts alone, as they come from anywhere."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_mcast import Channel
from pytest_mcast.doctor import Changes, End, Facts, Flow, NotRead, diagnose
from pytest_mcast.doctor.arrival import packets, way_back
from pytest_mcast.doctor.checks import filtering
from pytest_mcast.evidence import Reading, Snapshot

USUAL = [(0, 255), (32766, 254), (32767, 253)]


def _facts(**readings: Any) -> Facts:
    return Facts(Snapshot("linux", {name: Reading(value) for name, value in readings.items()}))


def _host(*routes: tuple[str, int, str], rules: list[tuple[int, int]] = USUAL) -> Facts:
    return _facts(
        routes=[
            {"family": "ipv4", "table": table, "destination": destination, "interface": name, "metric": 0}
            for destination, table, name in routes
        ],
        rules=[{"family": "ipv4", "priority": priority, "table": table} for priority, table in rules],
    )


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ([], None),
        ([("198.51.100.0/24", 254, "a")], None),
        ([("default", 254, "a")], "a"),
        ([("default", 254, "a"), ("192.0.2.0/24", 254, "b")], "b"),
        ([("192.0.2.0/24", 254, "a"), ("192.0.2.1/32", 254, "b")], "b"),
        ([("192.0.2.1/32", 254, "a"), ("192.0.0.0/8", 255, "lo")], "lo"),  # the first table that has one
        ([("default", 253, "a"), ("192.0.2.1/32", 9, "b")], "a"),  # nobody asks table 9
    ],
)
def test_the_way_back_is_the_kernels(routes: list[tuple[str, int, str]], expected: str | None) -> None:
    found = way_back(_host(*routes), "192.0.2.1")
    assert (None if found is None else found["interface"]) == expected


def test_the_way_back_by_rules_of_others_is_not_guessed() -> None:
    facts = _host(("default", 254, "a"), rules=[*USUAL, (100, 9)])
    with pytest.raises(NotRead, match="rule 100 may choose another table"):
        way_back(facts, "192.0.2.1")


def test_one_is_no_plural() -> None:
    assert [packets(count) for count in (1, 2)] == ["1 packet was", "2 packets were"]


def _unchecked(**readings: Any) -> dict[str, str]:
    receiver = End("rx", _facts(**readings), Changes(None), "eth0")
    diagnosis = diagnose(Flow(Channel("239.1.2.3", 5000), receiver=receiver), filtering.CHECKS)
    assert not diagnosis.findings
    return diagnosis.unchecked


def test_rules_that_cannot_be_read_are_said_to_be_so() -> None:
    assert set(_unchecked(firewall=[], firewall_legacy=[])) == set()
    legacy = _unchecked(firewall=[], firewall_legacy=["ip filter"])
    assert legacy == {
        "firewall.legacy": "the rules of ip filter on rx: they are of legacy iptables: "
        "look at iptables-legacy-save -c, ip6tables-legacy-save -c"
    }
    assert {check.id for check in filtering.CHECKS} == set(_unchecked())


def test_a_firewall_is_judged_where_nobody_has_counted() -> None:
    chain = {"family": "inet", "table": "t", "name": "c", "hook": "input", "prio": 0, "policy": "drop"}
    receiver = End("rx", _facts(firewall=[{"chain": chain}], firewall_legacy=[]), Changes(None), "eth0")
    (finding,) = diagnose(Flow(Channel("239.1.2.3", 5000), receiver=receiver), filtering.CHECKS).findings
    assert (finding.check, finding.confidence) == ("firewall.policy", "certain")
    assert finding.command == "nft add rule inet t c ip daddr 239.1.2.3 udp dport 5000 accept"
