"""Links, bridges, ports and addresses: as ip(8) and bridge(8) tell them."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import pytest

from pytest_mcast import LabView, VirtualHost
from pytest_mcast.core.deadline import Deadline
from pytest_mcast.evidence.links import addresses, links
from pytest_mcast.lab import Switch
from pytest_mcast.wire.rtnetlink import Netlink

from .support import said, say, tell

# What ip(8) has other words for, or adds of its own.
_NOT_OF_THE_KERNEL = {"NO-CARRIER", "LOWER_UP", "M-DOWN"}
_IPV6_ADDRESSES = 9  # RTNLGRP_IPV6_IFADDR


@pytest.fixture
def host(mcast_lab: LabView) -> VirtualHost:
    return mcast_lab.host(interfaces={"eth0": mcast_lab.link("changed")})


def read_links() -> dict[str, dict[str, Any]]:
    """Read the links, and see that they are as ip says; what counts may go on between its two answers."""
    deadline = Deadline(10)
    while True:  # networks make ports beforehand, for hosts that may come
        before, found, after = listed(), {link["name"]: link for link in links()}, listed()
        if _still(before) == _still(after):
            break
        assert not deadline.passed(), f"never the same twice: {before}, {after}"
    assert found.keys() == before.keys()
    for name, link in found.items():
        assert_as_ip_says(link, before[name], after[name])
    return found


def _still(links: Mapping[str, Mapping[str, Any]]) -> list[tuple[object, ...]]:
    """Return what is the same as long as nothing happens to links but traffic."""
    return [(name, link["ifindex"], link["flags"], link["operstate"], link["mtu"]) for name, link in links.items()]


def listed() -> dict[str, dict[str, Any]]:
    return {each["ifname"]: each for each in json.loads(said("ip -json -details -statistics link"))}


def assert_as_ip_says(link: Mapping[str, Any], ip: Mapping[str, Any], later: Mapping[str, Any]) -> None:
    flags = {flag.lower() for flag in ip["flags"] if flag not in _NOT_OF_THE_KERNEL}
    assert set(link["flags"]) - {"running", "lower_up"} == flags
    assert ("lower_up" in link["flags"]) == ("LOWER_UP" in ip["flags"])
    # NO-CARRIER is what ip says of a link that is up and not running.
    assert ("NO-CARRIER" in ip["flags"]) == ("up" in link["flags"] and "running" not in link["flags"])
    assert (link["index"], link["name"], link["mtu"]) == (ip["ifindex"], ip["ifname"], ip["mtu"])
    assert link["operstate"] == ip["operstate"].lower()
    assert link["mac"] == ip.get("address", "")
    assert link["kind"] == ip.get("linkinfo", {}).get("info_kind", "")
    for way in ("rx", "tx"):
        for name in ("packets", "bytes", "errors", "dropped"):
            first, last = (each["stats64"][way][name] for each in (ip, later))
            assert first <= link["stats"][f"{way}_{name}"] <= last
    first, last = (each["stats64"]["rx"]["multicast"] for each in (ip, later))
    assert first <= link["stats"]["multicast"] <= last


def test_links_are_as_ip_says(host: VirtualHost) -> None:
    with host.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"counted", ("127.0.0.1", 9))
    say(
        host,
        "ip link set eth0 mtu 1400 promisc on allmulticast on; ip link add one type veth peer name other;"
        "ip link set one up multicast off; ip link add inner type bridge",
    )
    with host.inside():
        found = read_links()
    assert found.keys() >= {"lo", "eth0", "one", "other", "inner"}
    assert found["lo"]["stats"]["rx_packets"] > 0
    assert found["one"]["peer"] == found["other"]["index"]
    assert (found["one"]["carrier"], found["one"]["operstate"]) == (False, "lowerlayerdown")
    assert not found["one"]["peer_elsewhere"]
    assert found["eth0"]["peer_elsewhere"]
    assert found["inner"]["kind"] == "bridge"
    assert {"promisc", "allmulti"} <= set(found["eth0"]["flags"])


def test_a_bridge_and_its_ports_are_as_ip_says(mcast_lab: LabView) -> None:
    switch = mcast_lab.switch("snooping", snooping=True)
    mcast_lab.host(interfaces={"eth0": switch})
    other = mcast_lab.host(interfaces={"eth0": switch})
    bridge, port = f"switch{switch.number}", switch.port(other).device
    with switch.namespace:
        said(
            f"bridge link set dev {port} mcast_flood off fastleave on isolated on learning off;"
            f"ip link set {port} type bridge_slave mcast_router 2;"
            f"ip link set {bridge} type bridge mcast_query_interval 1234"
        )
        found, theirs_by_name = read_links(), listed()
    theirs = theirs_by_name[bridge]["linkinfo"]["info_data"]
    ours = found[bridge]["bridge"]
    names = {
        "snooping": "mcast_snooping",
        "querier": "mcast_querier",
        "igmp_version": "mcast_igmp_version",
        "mld_version": "mcast_mld_version",
        "stp": "stp_state",
        "vlan_filtering": "vlan_filtering",
        "router": "mcast_router",
        "query_use_address": "mcast_query_use_ifaddr",
        "nf_call_iptables": "nf_call_iptables",
        "nf_call_ip6tables": "nf_call_ip6tables",
    }
    assert {name: int(ours[name]) for name in names} == {name: theirs[there] for name, there in names.items()}
    times = {
        "membership_interval_s": "mcast_membership_intvl",
        "querier_interval_s": "mcast_querier_intvl",
        "query_interval_s": "mcast_query_intvl",
        "query_response_interval_s": "mcast_query_response_intvl",
    }
    assert {name: ours[name] * 100 for name in times} == {name: theirs[there] for name, there in times.items()}
    assert (ours["snooping"], ours["stp"], ours["query_interval_s"]) == (True, False, 12.34)
    ports = {name: link["port"] for name, link in found.items() if link["master"] == found[bridge]["index"]}
    assert len(ports) >= 2
    for name, ours in ports.items():
        theirs = theirs_by_name[name]["linkinfo"]["info_slave_data"]
        expected = {
            "state": theirs["state"],
            "mcast_flood": theirs["mcast_flood"],
            "multicast_router": theirs["multicast_router"],
            "isolated": theirs["isolated"],
            "fast_leave": theirs["fastleave"],
        }
        assert {key: ours[key] for key in expected} == expected
        assert theirs_by_name[name]["master"] == bridge
    assert ports[port] == {
        "state": "forwarding",
        "mcast_flood": False,
        "multicast_router": 2,
        "isolated": True,
        "fast_leave": True,
        "locked": False,
    }


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_a_bridge_tells_of_another_querier(mcast_lab: LabView, family: str) -> None:
    switch: Switch = mcast_lab.switch("quiet", snooping=True, querier=False)
    host = mcast_lab.host(interfaces={"eth0": switch})

    def read() -> dict[str, bool]:
        with switch.namespace:
            (bridge,) = (
                link["bridge"] for link in links() if "bridge" in link and link["name"] == f"switch{switch.number}"
            )
        heard: dict[str, bool] = bridge["other_querier"]
        return heard

    assert read() == {"ipv4": False, "ipv6": False}
    with host.querier(family=family) as querier:
        querier.query()
    assert read() == {"ipv4": family == "ipv4", "ipv6": family == "ipv6"}


def test_addresses_are_as_ip_says(host: VirtualHost) -> None:
    say(
        host,
        "ip address add 10.65.250.2/24 dev eth0; ip address add 10.65.250.3/24 dev eth0;"
        "ip -6 address add fd00:1::2/64 dev eth0 nodad preferred_lft 0; ip -6 address add fe80::7:0/64 dev eth0 nodad;"
        "ip link add one type veth peer name other; ip address add 10.66.250.1 peer 10.66.250.2/32 dev one",
    )
    with host.inside():
        found = addresses()
    listed = [
        {
            "index": link["ifindex"],
            "family": {"inet": "ipv4", "inet6": "ipv6"}[each["family"]],
            "address": each["local"],
            "prefix": each["prefixlen"],
            "scope": each["scope"],
        }
        for link in tell(host, "ip -json address")
        for each in link["addr_info"]
    ]
    key = lambda each: (each["index"], each["address"])  # noqa: E731 - of this comparison only
    bare = [{name: value for name, value in each.items() if name != "flags"} for each in found]
    assert sorted(bare, key=key) == sorted(listed, key=key)
    flags = {each["address"]: each["flags"] for each in found}
    assert flags["10.65.250.3"] == ["secondary", "permanent"]
    assert flags["fd00:1::2"] == ["nodad", "deprecated", "permanent"]
    assert flags["10.66.250.1"] == ["permanent"]


def test_an_address_that_is_another_ones_is_told(mcast_lab: LabView) -> None:
    one, two = (mcast_lab.host(interfaces={"eth0": mcast_lab.link("doubled")}) for _ in range(2))
    say(one, "ip -6 address add fd00:2::9/64 dev eth0 nodad")
    one.settle()  # it answers for it when the kernel has joined the group of the address, a moment later
    # A twentieth of the usual second (RFC 4862 section 5.1).
    say(two, "sysctl -qw net.ipv6.conf.eth0.accept_dad=1 net.ipv6.conf.eth0.router_solicitation_delay=0")
    say(two, "sysctl -qw net.ipv6.neigh.eth0.retrans_time_ms=50; ip -6 address add fd00:2::9/64 dev eth0")
    assert flags_of(two, "fd00:2::9", until="dadfailed") == ["dadfailed", "tentative", "permanent"]


def flags_of(host: VirtualHost, address: str, until: str) -> list[str]:
    """Wait until an address has a flag, and return its flags."""
    deadline = Deadline(10.0)
    with host.inside(), closing(Netlink()) as netlink:
        netlink.subscribe(_IPV6_ADDRESSES)
        while True:
            flags: list[str] = next(each["flags"] for each in addresses() if each["address"] == address)
            if until in flags or not netlink.wait(deadline):
                return flags
