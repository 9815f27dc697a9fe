"""Multicast databases, router ports: as bridge(8) tells them; queues: as tc(8); offloads: as ethtool(8) does."""

from __future__ import annotations

import contextlib
import json
import socket
from itertools import chain
from typing import Any

import pytest

from pytest_mcast import LabView, VirtualHost
from pytest_mcast.evidence.mdb import entries, router_ports
from pytest_mcast.evidence.offloads import offloads
from pytest_mcast.evidence.queues import queues
from pytest_mcast.lab import Switch

from ..support.programs import needs
from .support import of_one_moment, said, say

Tables = tuple[list[dict[str, Any]], list[dict[str, Any]]]
FAMILIES = pytest.mark.parametrize("family", ["ipv4", "ipv6"])


@pytest.fixture
def switch(mcast_lab: LabView) -> Switch:
    return mcast_lab.switch("snooping", snooping=True)


@pytest.fixture
def host(mcast_lab: LabView, switch: Switch) -> VirtualHost:
    return mcast_lab.host(interfaces={"eth0": switch})


def read(switch: Switch) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any]]:
    """Return the entries and router ports of a switch, and what bridge says of them."""
    bridge = f"switch{switch.number}"
    with switch.namespace:
        (ours, routers), (theirs,) = of_one_moment(
            lambda: (entries(), router_ports()),
            lambda: json.loads(said("bridge -json -details -statistics mdb")),
            only_time_passed,
        )
    return (
        [each for each in ours if each["bridge"] == bridge],
        [each for each in routers if each["bridge"] == bridge],
        {
            "mdb": [each for each in theirs["mdb"] if each["dev"] == bridge],
            "router": theirs["router"].get(bridge, []),
        },
    )


def only_time_passed(before: Tables, after: Tables) -> bool:
    """Return whether both are alike but for the timers, of which none was set again."""
    rows = list(zip(chain(*before), chain(*after), strict=False))
    return [*map(len, before)] == [*map(len, after)] and all(
        {**row, "timer_s": 0} == {**later, "timer_s": 0} and row["timer_s"] >= later["timer_s"] for row, later in rows
    )


def comparable(entry: dict[str, Any]) -> tuple[object, ...]:
    names = ("port", "group", "source", "permanent", "mode", "sources", "blocked")
    return tuple(str(entry[name]) for name in names)


@FAMILIES
def test_entries_are_as_bridge_says(switch: Switch, host: VirtualHost, mcast_lab: LabView, family: str) -> None:
    source = host.source(family)
    channels = [mcast_lab.channel(family), mcast_lab.channel(family, source=source)]
    for channel in channels:
        host.receiver(channel)
        switch.wait_for_entry(channel, host)
    permanent = mcast_lab.channel(family).group
    with switch.namespace:
        said(f"bridge mdb add dev switch{switch.number} port {switch.port(host).device} grp {permanent} permanent")
    ours, _, theirs = read(switch)
    expected = [
        {
            "port": each["port"],
            "group": each["grp"],
            "source": each.get("src"),
            "permanent": each["state"] == "permanent",
            "mode": each.get("filter_mode", ""),
            "sources": sorted(one["address"] for one in each.get("source_list", ())),
            "blocked": "blocked" in each["flags"],
        }
        for each in theirs["mdb"]
    ]
    assert sorted(map(comparable, ours)) == sorted(map(comparable, expected))
    by_channel = {(each["group"], each["source"]): each for each in ours}
    any_source, specific = (by_channel[channel.group, channel.source] for channel in channels)
    assert any_source["port"] == specific["port"] == switch.port(host).device
    assert (any_source["mode"], specific["mode"]) == ("exclude", "include")
    assert any_source["timer_s"] > 0
    assert by_channel[permanent, None]["permanent"]
    assert by_channel[permanent, None]["timer_s"] == 0
    timers = {each["grp"]: float(each["timer"]) for each in theirs["mdb"] if "src" not in each}
    # A report that is said again starts it anew, between the two readings too.
    assert abs(any_source["timer_s"] - timers[channels[0].group]) < 5


def test_router_ports_are_as_bridge_says(switch: Switch, host: VirtualHost, mcast_lab: LabView) -> None:
    other = mcast_lab.host(interfaces={"eth0": switch})
    assert read(switch)[1] == []
    with switch.namespace:
        said(f"ip link set {switch.port(other).device} type bridge_slave mcast_router 2")
    with host.querier(source="10.64.0.1") as querier:
        querier.query()
    _, ours, theirs = read(switch)
    assert {(each["port"], each["type"]) for each in ours} == {
        (each["port"], each["type"]) for each in theirs["router"]
    }
    assert {each["port"]: each["type"] for each in ours}[switch.port(other).device] == "permanent"
    timers = {each["port"]: each["timer_s"] for each in ours}
    assert timers[switch.port(host).device] > 0
    assert timers[switch.port(other).device] == 0


@needs("tc")
def test_queues_are_as_tc_says(host: VirtualHost) -> None:
    say(host, "tc qdisc add dev eth0 root tbf rate 1kbit burst 1600 limit 2000")
    with host.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
        for _ in range(8):
            with contextlib.suppress(OSError):  # ENOBUFS is one of the things that may be said
                sock.sendto(bytes(1000), ("239.1.2.3", 9))
        ours, theirs = of_one_moment(queues, lambda: json.loads(said("tc -json -s qdisc show")))
        names = dict(socket.if_nameindex())
    listed = {(each["dev"], each["kind"], each.get("root", False), each["drops"]) for each in theirs}
    assert {(names[each["index"]], each["kind"], each["root"], each["drops"]) for each in ours} >= listed
    (limited,) = (each for each in ours if each["kind"] == "tbf")
    assert limited["drops"] > 0
    assert limited["backlog"] > 0


@needs("ethtool")
def test_offloads_are_as_ethtool_says(host: VirtualHost) -> None:
    names = {
        "rx-checksum": "rx-checksumming",
        "tx-checksum": "tx-checksumming",
        "tso": "tcp-segmentation-offload",
        "gso": "generic-segmentation-offload",
        "gro": "generic-receive-offload",
        "lro": "large-receive-offload",
    }
    for state in ("off", "on"):
        say(host, f"ethtool -K eth0 rx {state} gro {state}")
        with host.inside():
            found = offloads()
        assert set(found) == {"lo", "eth0"}
        assert (found["eth0"]["rx-checksum"], found["eth0"]["gro"]) == (state == "on",) * 2
        for interface, features in found.items():
            lines = dict(line.strip().split(": ") for line in say(host, f"ethtool -k {interface}").splitlines()[1:])
            assert features == {name: lines[theirs].split()[0] == "on" for name, theirs in names.items()}
