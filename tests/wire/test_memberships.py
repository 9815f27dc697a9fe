"""What the kernel has joined, read from its own files."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from pytest_mcast import Channel, Interface, LabView, LocalHost, Membership, MissingCapability, VirtualHost
from pytest_mcast.lab import netlink
from pytest_mcast.wire import memberships

from .support import fall_back, solicited_node

FAMILIES = pytest.mark.parametrize("family", ["ipv4", "ipv6"])
SOURCES = {"ipv4": ("10.64.250.1", "10.64.250.2", "10.64.250.3"), "ipv6": ("fe80::91:0", "fe80::92:0", "fe80::93:0")}


@pytest.fixture
def host(mcast_lab: LabView) -> VirtualHost:
    return mcast_lab.host()


@FAMILIES
def test_an_any_source_membership(host: VirtualHost, mcast_lab: LabView, family: str) -> None:
    channel = mcast_lab.channel(family)
    assert host.memberships(channel.group) == frozenset()
    receiver = host.receiver(channel)
    assert host.memberships(channel.group) == {Membership("eth0", channel.group)}
    receiver.close()
    assert host.memberships(channel.group) == frozenset()


@FAMILIES
def test_sources_and_blocked_sources(host: VirtualHost, mcast_lab: LabView, family: str) -> None:
    one, two, _ = SOURCES[family]
    specific, free = mcast_lab.channel(family, source=one), mcast_lab.channel(family)
    receiver, other = host.receiver(specific), host.receiver(free)
    assert host.memberships(specific.group) == {Membership("eth0", specific.group, sources=[one])}
    receiver.subscription.join_source(two)
    assert host.memberships(specific.group) == {Membership("eth0", specific.group, "include", sources=[two, one])}
    receiver.subscription.leave_source(one)
    assert host.memberships(specific.group) == {Membership("eth0", specific.group, sources={two})}
    other.subscription.block(one)
    assert host.memberships(free.group) == {Membership("eth0", free.group, "exclude", blocked={one})}
    other.subscription.unblock(one)
    assert host.memberships(free.group) == {Membership("eth0", free.group)}


@FAMILIES
def test_a_group_without_sources_that_was_joined_last_hides_none(
    host: VirtualHost, mcast_lab: LabView, family: str
) -> None:
    # The kernel's own listing skips the whole interface then.
    specific = mcast_lab.channel(family, source=SOURCES[family][0])
    receiver, last = host.receiver(specific), host.receiver(mcast_lab.channel(family))
    with host.inside():
        name = "mcfilter6" if family == "ipv6" else "mcfilter"
        assert len(Path(f"/proc/thread-self/net/{name}").read_text().splitlines()) == 1
    assert host.memberships(specific.group) == {Membership("eth0", specific.group, sources=[SOURCES[family][0]])}
    on_loopback = host.receiver(last.channel, interface="lo")  # nor does one on lo, which is looked at first
    assert host.memberships(specific.group) == {Membership("eth0", specific.group, sources=[SOURCES[family][0]])}
    assert host.memberships(last.channel.group) == {
        Membership("eth0", last.channel.group),
        Membership("lo", last.channel.group),
    }
    on_loopback.close()
    receiver.close()


@FAMILIES
def test_what_varies_is_told_and_not_compared(host: VirtualHost, mcast_lab: LabView, family: str) -> None:
    channel = mcast_lab.channel(family)
    receivers = [host.receiver(Channel(channel.group, 0)) for _ in range(3)]
    (membership,) = host.memberships(channel.group)
    assert membership == Membership("eth0", channel.group)
    assert (membership.users, membership.version) == (3, 3 if family == "ipv4" else None)
    assert membership.pending_s is None
    assert len(receivers) == 3


@FAMILIES
def test_the_mode_with_several_sockets(host: VirtualHost, mcast_lab: LabView, family: str) -> None:
    one, two, three = SOURCES[family]
    group = mcast_lab.channel(family, source=one).group

    def mode() -> tuple[str, set[str]]:
        (found,) = host.memberships(group)
        return found.mode, set(found.sources)

    first = host.receiver(Channel(group, 0, source=one))
    second = host.receiver(Channel(group, 0, source=one))
    assert mode() == ("include", {one})
    second.subscription.join_source(two)
    assert mode() == ("include", {one, two})
    anybody = host.receiver(Channel.unchecked(group, 0))
    assert mode() == ("include or exclude", {one, two})  # three sockets: as three that have asked for one source each
    assert host.memberships(group) != {Membership("eth0", group, "exclude", sources=[one, two])}
    assert host.memberships(group) != {Membership("eth0", group, "include", sources=[one, two])}
    second.close()
    assert mode() == ("exclude", {one})
    first.close()
    anybody.subscription.block(three)
    assert host.memberships(group) == {Membership("eth0", group, blocked=[three])}


def test_the_kernels_own_memberships(host: VirtualHost) -> None:
    host.settle()
    assert host.memberships(interface="eth0") == {
        Membership("eth0", group) for group in ("224.0.0.1", "ff01::1", "ff02::1", solicited_node(host))
    }
    assert host.memberships(interface="lo") == {
        Membership("lo", group) for group in ("224.0.0.1", "ff01::1", "ff02::1")
    }
    assert {membership.users for membership in host.memberships("224.0.0.1")} == {1}
    assert host.memberships(interface="eth9") == frozenset()


@FAMILIES
def test_it_is_the_callers_namespace(mcast_lab: LabView, family: str) -> None:
    one, other = mcast_lab.hosts(2)
    channel = mcast_lab.channel(family)
    receiver = one.receiver(channel)
    found = []

    def look() -> None:
        with one:
            found.append(memberships(channel.group))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [{Membership("eth0", channel.group)}]
    assert other.memberships(channel.group) == memberships(channel.group) == frozenset()
    receiver.close()


@FAMILIES
def test_the_machines_own(mcast_lab: LabView, family: str) -> None:
    (name,) = [interface.name for interface in Interface.all() if not interface.loopback]
    local = LocalHost(name)
    channel = mcast_lab.channel(family)
    with local.receiver(channel):
        assert local.memberships(channel.group) == {Membership(name, channel.group)}
    assert local.memberships(channel.group) == frozenset()


def test_looking_puts_nothing_on_the_wire(mcast_lab: LabView) -> None:
    (host,) = mcast_lab.hosts(1, link="quiet")
    host.settle()
    listener = host.listen()
    before = host.memberships()
    for _ in range(50):
        assert host.memberships() == before
    # The host's next report comes after any that looking would have caused.
    receiver = host.receiver(mcast_lab.channel())
    listener.expect_report(receiver.channel, sender=host)
    groups = {record.group for report in listener.reports if report.mac in host.identities for record in report.records}
    assert {group for group in groups if ":" not in group} == {receiver.channel.group}
    assert {group for group in groups if ":" in group} <= {solicited_node(host)}


def test_the_igmp_version_in_force(host: VirtualHost, mcast_lab: LabView) -> None:
    with host:
        Path("/proc/sys/net/ipv4/conf/eth0/force_igmp_version").write_text("2")
    receiver = host.receiver(mcast_lab.channel())
    assert {membership.version for membership in host.memberships(receiver.channel.group)} == {2}


@FAMILIES
def test_a_report_that_is_due(mcast_lab: LabView, family: str) -> None:
    host, router = mcast_lab.hosts(2, link="own")
    host.set_report_interval(10)
    with router.listen() as wire:
        fall_back(host, wire, family, 2 if family == "ipv4" else 1)
        receiver = host.receiver(mcast_lab.channel(family))
        wire.expect_report(receiver.channel, sender=host)
        (membership,) = host.memberships(receiver.channel.group)
        assert membership.pending_s is not None  # the second one, within 10 s (RFC 2236 section 3, RFC 2710 section 4)
        assert 0 <= membership.pending_s <= 10.1
        router.querier(family, version=2 if family == "ipv4" else 1).query(max_response=0.1)
        wire.expect_report(receiver.channel, sender=host)
        (membership,) = host.memberships(receiver.channel.group)
        assert membership.pending_s is None


def test_names_of_interfaces_are_whole(mcast_lab: LabView) -> None:
    host = mcast_lab.host(interfaces={"a-long-name-00": "lan", "a-long-name-01": "dmz"})
    channel = mcast_lab.channel("ipv6", source="fe80::1")
    receivers = [host.receiver(channel, interface=f"a-long-name-0{number}") for number in (0, 1)]
    assert host.memberships(channel.group) == {
        Membership(receiver.interface.name, channel.group, sources=["fe80::1"]) for receiver in receivers
    }
    assert len(host.memberships(channel.group, interface="a-long-name-01")) == 1


def test_without_ipv6_there_is_still_ipv4(host: VirtualHost, mcast_lab: LabView) -> None:
    receiver = host.receiver(mcast_lab.channel())
    with host:
        Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
    assert host.memberships(interface="eth0") >= {
        Membership("eth0", "224.0.0.1"),
        Membership("eth0", receiver.channel.group),
    }


def test_loopback_may_be_down(host: VirtualHost, mcast_lab: LabView) -> None:
    channel = mcast_lab.channel(source="10.64.250.1")
    receiver, last = host.receiver(channel), host.receiver(mcast_lab.channel())
    host.configure(netlink.link(1, up=False))
    assert host.memberships(channel.group) == {Membership("eth0", channel.group, sources=["10.64.250.1"])}
    assert receiver.channel != last.channel


def test_a_kernel_without_multicast_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys.modules["pytest_mcast.wire.memberships"], "_DIRECTORY", tmp_path)
    with pytest.raises(
        MissingCapability, match=r"memberships: there is no .*/igmp; use Linux with CONFIG_IP_MULTICAST"
    ):
        memberships()


def test_values_are_checked_and_canonical() -> None:
    assert Membership("eth0", "FF15:0::1", sources=["2001:DB8::1"]) == Membership(
        "eth0", "ff15::1", "include", sources={"2001:db8::1"}, users=7, version=2, pending_s=1.0
    )
    assert Membership("eth0", "ff15::1") != Membership("eth1", "ff15::1")
    with pytest.raises(ValueError, match="mode 'ASM' is neither include nor exclude"):
        Membership("eth0", "239.1.1.1", "ASM")
    with pytest.raises(ValueError, match="'eth0' does not appear to be an IPv4 or IPv6 address"):
        Membership("239.1.1.1", "eth0")
    with pytest.raises(ValueError, match="'all' does not appear to be an IPv4 or IPv6 address"):
        memberships("all")


@FAMILIES
def test_a_difference_is_readable(pytester: pytest.Pytester, family: str) -> None:
    pytester.makepyfile(
        f"""
        from pytest_mcast import Membership

        def test_it(mcast_lab):
            host = mcast_lab.host()
            receiver = host.receiver(mcast_lab.channel("{family}"))
            group = receiver.channel.group
            assert host.memberships(group) == {{Membership("eth0", group, sources=["{SOURCES[family][0]}"])}}
        """
    )
    result = pytester.runpytest_subprocess("--mcast-lab", "-p", "no:cacheprovider")
    result.stdout.fnmatch_lines(
        ["E*Extra items in the left set:*", "E*Membership(interface='eth0', group='*', mode='exclude'*"]
    )
