"""Questions to what was read: the answers, and that unknown is never no."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_mcast import LabView, VirtualHost
from pytest_mcast.doctor.facts import Facts, NotRead
from pytest_mcast.doctor.party import facts_of
from pytest_mcast.evidence import Reading, Snapshot
from pytest_mcast.lab import Switch


def refused(reason: str, *names: str) -> Facts:
    return Facts(Snapshot("linux", {name: Reading(refused=reason) for name in names}))


def with_sysctls(**values: str) -> Facts:
    return Facts(Snapshot("linux", {"sysctl": Reading(values)}))


@pytest.fixture
def host(mcast_lab: LabView) -> VirtualHost:
    return mcast_lab.host()


def test_a_host_answers(host: VirtualHost, mcast_lab: LabView) -> None:
    channel, other = mcast_lab.channel(), mcast_lab.channel("ipv6")
    receiver = host.receiver(channel)
    facts = facts_of(host, [channel.group, other.group])
    link = facts.link("eth0")
    assert facts.link(link["index"]) is link
    assert [each["name"] for each in facts.links()] == ["lo", "eth0"]
    assert {each["address"] for each in facts.addresses("eth0", "ipv4")} == {host.source("ipv4")}
    assert {each["family"] for each in facts.addresses("eth0")} == {"ipv4", "ipv6"}
    assert {each["address"] for each in facts.addresses(family="ipv4")} == {"127.0.0.1", host.source("ipv4")}
    assert {each["family"] for each in facts.routes()} == {"ipv4", "ipv6"}
    assert {each["family"] for each in facts.routes("ipv6")} == {"ipv6"}
    assert {each["table"] for each in facts.rules("ipv4")} == {253, 254, 255}
    assert facts.route_to(channel.group)["interface"] == "eth0"
    assert [each["local"] for each in facts.sockets(receiver.channel.port)] == [channel.group]
    assert facts.sockets(receiver.channel.port, "ipv6") == []
    assert [each["interface"] for each in facts.memberships(channel.group)] == ["eth0"]
    assert facts.memberships(channel.group, "lo") == []
    assert channel.group in {each["group"] for each in facts.memberships(interface="eth0")}
    assert facts.igmp_version("eth0") == 3
    assert facts.sysctl("net.ipv4.igmp_max_memberships") == str(facts.sysctl_int("net.ipv4.igmp_max_memberships"))
    assert facts.offload("eth0", "gro") is False
    assert facts.namespace() > 0
    assert facts.firewall() == []


def test_a_switch_answers(mcast_lab: LabView) -> None:
    switch: Switch = mcast_lab.switch("snooping", snooping=True)
    host = mcast_lab.host(interfaces={"eth0": switch})
    channel = mcast_lab.channel()
    host.receiver(channel)
    switch.wait_for_entry(channel, host)
    with host.querier(source="10.64.0.1") as querier:
        querier.query()
    name = f"switch{switch.number}"

    class Place:
        """What ``facts_of`` needs of a host."""

        def inside(self) -> Any:
            return switch.namespace

    facts = facts_of(Place())  # type: ignore[arg-type]
    port = switch.port(host).device
    assert {each["port"] for each in facts.mdb(name) if each["group"] == channel.group} == {port}
    assert port in {each["port"] for each in facts.router_ports(name)}
    assert facts.mdb("another") == facts.router_ports("another") == []


QUESTIONS: dict[str, tuple[str, Callable[[Facts], object]]] = {
    "links": ("links", lambda facts: facts.links()),
    "link": ("links", lambda facts: facts.link("eth0")),
    "addresses": ("addresses", lambda facts: facts.addresses()),
    "addresses of an interface": ("links", lambda facts: facts.addresses("eth0")),
    "routes": ("routes", lambda facts: facts.routes()),
    "rules": ("rules", lambda facts: facts.rules("ipv4")),
    "route to": ("route_to", lambda facts: facts.route_to("239.1.2.3")),
    "sockets": ("sockets", lambda facts: facts.sockets(5000)),
    "memberships": ("memberships", lambda facts: facts.memberships("239.1.2.3")),
    "IGMP version": ("memberships", lambda facts: facts.igmp_version("eth0")),
    "sysctl": ("sysctl", lambda facts: facts.sysctl_int("net.core.rmem_max")),
    "conf": ("sysctl", lambda facts: facts.conf("ipv4", "eth0", "rp_filter")),
    "MDB": ("mdb", lambda facts: facts.mdb("bridge")),
    "router ports": ("router_ports", lambda facts: facts.router_ports()),
    "offload": ("offloads", lambda facts: facts.offload("eth0", "gro")),
    "namespace": ("namespace", lambda facts: facts.namespace()),
    "firewall": ("firewall", lambda facts: facts.firewall()),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_what_was_refused_is_never_answered(question: str) -> None:
    reading, ask = QUESTIONS[question]
    with pytest.raises(NotRead) as caught:
        ask(refused("only for root", reading))
    assert (caught.value.what, caught.value.reason) == (reading, "only for root")
    with pytest.raises(NotRead, match=r"^[a-z_]+: not read on windows$"):
        ask(Facts(Snapshot("windows", {})))


def test_what_is_not_there_is_not_answered(host: VirtualHost) -> None:
    facts = facts_of(host)
    for ask, text in (
        (lambda: facts.link("eth7"), "interface eth7: there is no such interface any more"),
        (lambda: facts.route_to("239.1.2.3"), "the route to 239.1.2.3: the kernel was not asked for it"),
        (
            lambda: facts.sysctl("net.ipv4.none"),
            "net.ipv4.none: there is no such sysctl here, or it is not for us to read",
        ),
        (lambda: facts.offload("eth0", "magic"), "magic of eth0: the interface does not tell"),
    ):
        with pytest.raises(NotRead) as caught:
            ask()
        assert str(caught.value) == text


# By ip-sysctl.rst: the larger of both; either; both; that of all if it is set; only its own.
IN_FORCE = [
    ("ipv4", "rp_filter", [(0, 0, 0), (1, 2, 2), (2, 1, 2), (1, 0, 1), (0, 1, 1)]),
    ("ipv4", "accept_local", [(0, 0, 0), (1, 0, 1), (0, 1, 1)]),
    ("ipv4", "mc_forwarding", [(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 1)]),
    ("ipv4", "force_igmp_version", [(0, 0, 0), (2, 0, 2), (0, 3, 3), (3, 2, 2)]),
    ("ipv6", "force_mld_version", [(0, 0, 0), (1, 0, 1), (0, 2, 2), (2, 1, 1)]),
    ("ipv6", "accept_dad", [(0, 0, 0), (1, 0, 1), (0, 1, 1)]),
    ("ipv6", "disable_ipv6", [(0, 1, 0), (1, 0, 1)]),
]


@pytest.mark.parametrize(("family", "name", "cases"), IN_FORCE, ids=[name for _, name, _ in IN_FORCE])
def test_the_setting_in_force_is_that_of_the_kernel(family: str, name: str, cases: list[tuple[int, int, int]]) -> None:
    for own, common, in_force in cases:
        prefix = f"net.{family}.conf"
        facts = with_sysctls(**{f"{prefix}.eth0/5.{name}": str(own), f"{prefix}.all.{name}": str(common)})
        assert facts.conf(family, "eth0.5", name) == in_force
