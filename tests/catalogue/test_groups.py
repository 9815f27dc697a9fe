"""Cases whose channel has a group of a certain kind, and cores that refuse it."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from pytest_mcast import Channel, LabView
from pytest_mcast.catalogue import ProbeCase, run_case
from pytest_mcast.cores import BuiltInCore, CoreFailure
from pytest_mcast.cores.behaviours import Bench
from pytest_mcast.packets import deliver, udp

GROUPS = "233.252.0.0/24"


class Refusing(BuiltInCore):
    """Does not want a channel, and says so or ends."""

    name = "refusing"

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def open(self, channel: Channel, *_: Any, **__: Any) -> Any:
        raise CoreFailure(self.kind, f"no {channel.group}")


def _case(**more: Any) -> ProbeCase:
    texts = "test.groups", "to a group of a kind", "kernel", "RFC 6676 section 3", "it was joined"
    return ProbeCase(*texts, groups=GROUPS, probe=udp(), expect=deliver(), **more)


@pytest.mark.parametrize(
    "groups", ["ff0e::/16", "ff3e:30:2001:db8::/96", "ff02::1/128", "239.192.0.0/14", "224.0.0.200/32"]
)
def test_the_group_is_one_of_those_that_are_wanted(mcast_lab: LabView, groups: str) -> None:
    family = "ipv6" if ":" in groups else "ipv4"
    network = ipaddress.ip_network(groups)
    with Bench(BuiltInCore(), mcast_lab, family, "asm") as bench:
        channels = [bench.channel_in(groups, mcast_lab.host()) for _ in range(3)]
    assert all(ipaddress.ip_address(channel.group) in network and channel.source is None for channel in channels)
    assert len({channel.group for channel in channels}) == min(3, network.num_addresses)


@pytest.mark.parametrize(("groups", "link_local"), [("ff32::/32", True), ("ff3e::/32", False), ("ff36::/32", False)])
def test_the_source_is_of_the_scope_of_the_group(mcast_lab: LabView, groups: str, *, link_local: bool) -> None:
    tx = mcast_lab.host()
    with Bench(BuiltInCore(), mcast_lab, "ipv6", "ssm") as bench:
        source = bench.channel_in(groups, tx).source
    assert source in tx.interface.addresses
    assert ipaddress.IPv6Address(source or "").is_link_local is link_local


def test_a_core_may_refuse_what_is_refusable(mcast_lab: LabView) -> None:
    result = run_case(_case(refusable=True), Refusing("refused"), mcast_lab._pool, "ipv4", "asm")
    assert result.outcome == "unsupported"
    assert result.reason.startswith("no 233.252.0.")


@pytest.mark.parametrize(("kind", "refusable"), [("refused", False), ("died", True)])
def test_anything_else_is_a_failure(mcast_lab: LabView, kind: str, *, refusable: bool) -> None:
    assert run_case(_case(refusable=refusable), Refusing(kind), mcast_lab._pool, "ipv4", "asm").outcome == "fail"


def test_who_joins_it_gets_it(mcast_lab: LabView) -> None:
    assert run_case(_case(), BuiltInCore(), mcast_lab._pool, "ipv4", "asm").outcome == "pass"
