"""Snapshots: whole, plain JSON, of one namespace; what cannot be read is said, and stops nothing else."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import execnet
import pytest

from pytest_mcast import LabView, RemoteHost, VirtualHost
from pytest_mcast.evidence import Reading, Snapshot, linux, take_snapshot
from pytest_mcast.lab.namespace import CLONE_NEWNET, CLONE_NEWNS, setns, unshare

from ..hosts.support import BARE, oldest
from ..support.sshd import SSHD, serve
from .support import legacy_is_ours, said, say, without_privilege

GROUPS = ["239.1.2.3", "ff3e::1"]
READERS = [*linux.readers(GROUPS)]


@pytest.fixture
def host(mcast_lab: LabView) -> VirtualHost:
    return mcast_lab.host()


def values(snapshot: dict[str, Any]) -> dict[str, Any]:
    """Return what was read, of a snapshot of which nothing was refused that we may read."""
    readings = dict(snapshot["readings"])
    if not legacy_is_ours():
        refused = readings.pop("firewall_legacy")["refused"]
        assert refused.startswith("/proc/thread-self/net/ip")
        assert refused.endswith("_tables_names: Permission denied")
    assert {name: each["refused"] for name, each in readings.items() if "refused" in each} == {}
    return {name: each["value"] for name, each in readings.items()}


def test_a_snapshot_is_whole_and_of_its_namespace(host: VirtualHost) -> None:
    with host.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        snapshot = take_snapshot(GROUPS)
        port, index = sock.getsockname()[1], socket.if_nametoindex("eth0")
    assert snapshot["system"] == "linux"
    found = values(snapshot)
    assert set(READERS) - {"firewall_legacy"} <= set(found)
    assert [link["name"] for link in found["links"]] == ["lo", "eth0"]
    assert {each["index"] for each in found["addresses"]} == {1, index}
    assert set(found["route_to"]) == set(GROUPS)
    assert [each["port"] for each in found["sockets"]] == [port]
    assert {each["interface"] for each in found["memberships"]} == {"lo", "eth0"}


def test_a_snapshot_survives_json(host: VirtualHost) -> None:
    with host.inside():
        data = take_snapshot(GROUPS)
    again = json.loads(json.dumps(data))
    assert again == data  # no tuples, no keys that are numbers
    assert Snapshot.from_json(again).to_json() == data
    execnet.dumps(data)
    refused = Snapshot("linux", {"links": Reading(refused="why not"), "empty": Reading([])})
    assert Snapshot.from_json(json.loads(json.dumps(refused.to_json()))) == refused


@pytest.mark.parametrize("name", READERS)
def test_a_reading_that_fails_stops_no_other(host: VirtualHost, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, os.strerror(5), "/somewhere")

    monkeypatch.setattr(linux, "readers", lambda groups, readers=linux.readers: {**readers(groups), name: fail})
    with host.inside():
        readings = take_snapshot(GROUPS)["readings"]
    assert readings[name] == {"refused": "/somewhere: Input/output error"}
    others = {each for each in readings if "refused" in readings[each]} - {name}
    assert others == (set() if legacy_is_ours() else {"firewall_legacy"} - {name})


def test_only_the_packet_filters_take_privilege(host: VirtualHost) -> None:
    say(host, "nft add table inet filter")
    with host.inside():
        full = values(take_snapshot(GROUPS))
    readings = without_privilege(host, lambda: take_snapshot(GROUPS))["readings"]
    refused = {name: each["refused"] for name, each in readings.items() if "refused" in each}
    assert refused.pop("firewall") == "nftables are told to nobody without CAP_NET_ADMIN"
    # A file of the kernel's own, if there are any legacy tables at all.
    assert set(refused) <= {"firewall_legacy"}
    steady = ("links", "addresses", "routes", "rules", "route_to", "sockets", "offloads", "namespace")
    for name in steady:
        assert _without_counts(readings[name]["value"]) == _without_counts(full[name])


def _without_counts(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_counts(each) for each in value]
    if isinstance(value, dict):
        return {key: _without_counts(each) for key, each in value.items() if key not in ("stats", "pending_s")}
    return value


def test_without_proc_it_is_said_what_lacks(host: VirtualHost) -> None:
    def hidden() -> dict[str, Any]:
        unshare(CLONE_NEWNS)
        said("mount --make-rprivate / && mount -t tmpfs none /proc")
        setns(host.namespace.descriptor, CLONE_NEWNET)
        return take_snapshot(GROUPS)

    with ThreadPoolExecutor(1) as thread:  # which ends there
        readings = thread.submit(hidden).result()["readings"]
    refused = {name for name, each in readings.items() if "refused" in each}
    files = {name for name in READERS if name.startswith("proc/")}
    assert {"memberships", "firewall_legacy"} | files <= refused
    assert readings["proc/snmp"] == {"refused": "/proc/thread-self/net/snmp: No such file or directory"}
    asked = {"links", "addresses", "routes", "rules", "route_to", "sockets", "firewall", "mdb", "offloads", "namespace"}
    assert not asked & refused
    # What netlink tells, and no more.
    assert {name.split(".")[3] for name in readings["sysctl"]["value"]} == {"lo", "eth0"}
    assert [link["name"] for link in readings["links"]["value"]] == ["lo", "eth0"]


CHANGED = {
    "many": (
        "net/ipv4/conf/eth0.7/{rp_filter=2,force_igmp_version=2,forwarding=1,route_localnet=1,src_valid_mark=1}",
        "net/ipv6/conf/eth0.7/{accept_dad=2,addr_gen_mode=1,force_mld_version=1,forwarding=1}",
    ),
    "others": ("net/ipv4/conf/eth0.7/accept_local=1", "net/ipv6/conf/eth0.7/disable_ipv6=1"),
}


@pytest.mark.parametrize("changed", CHANGED)
def test_sysctls_are_as_sysctl_says(mcast_lab: LabView, changed: str) -> None:
    host = mcast_lab.host(interfaces={"eth0": mcast_lab.link("dotted")})
    say(host, f"ip link set eth0 down; ip link set eth0 name eth0.7; bash -c 'sysctl -qw {' '.join(CHANGED[changed])}'")
    found = sysctls_as_told(host)
    assert found["net.ipv4.conf.eth0/7.rp_filter"] == ("2" if changed == "many" else "0")
    assert {"net.ipv4.igmp_max_memberships", "net.core.rmem_max", "net.ipv6.conf.all.disable_ipv6"} <= set(found)


def test_the_sysctls_of_a_router_are_as_sysctl_says(mcast_lab: LabView) -> None:
    router = mcast_lab.router("router", interfaces={"eth0": "left", "eth1": "right"})
    for family in ("ipv4", "ipv6"):
        router.forward(family)
    found = sysctls_as_told(router)
    assert found["net.ipv4.conf.eth1.mc_forwarding"] == found["net.ipv6.conf.eth1.mc_forwarding"] == "1"


def sysctls_as_told(host: VirtualHost) -> dict[str, str]:
    """Return the sysctls of a host, which are those that sysctl tells."""
    with host.inside():
        found: dict[str, str] = values(take_snapshot())["sysctl"]
        lines = said(f"sysctl {' '.join(found)}").splitlines()
        # None of the settings of an interface is missing.
        names = said("sysctl -aN --pattern '^net.ipv[46].conf.*(rp_filter|mc_forwarding|disable_ipv6)$'").split()
    assert dict(line.split(" = ", 1) for line in lines) == found
    assert {name for name in names if "bc_forwarding" not in name and "arp_filter" not in name} <= set(found)
    return found


def test_memberships_are_told_where_no_more_can_be_joined(mcast_lab: LabView) -> None:
    host = mcast_lab.host(interfaces={"eth0": mcast_lab.link("full")})
    source, free = mcast_lab.channel(source="10.64.250.1"), mcast_lab.channel()
    host.receiver(source)
    host.receiver(free)  # joined last: the kernel lists no sources then (see ``wire.memberships``)
    with host.inside():
        before = ipv4_groups()
    assert (before[source.group]["mode"], before[source.group]["sources"]) == ("include", ["10.64.250.1"])
    say(host, "sysctl -qw net.ipv4.igmp_max_memberships=0")
    with host.inside():
        found = ipv4_groups()
    assert set(found) == set(before)
    assert {each["mode"] for each in (found[source.group], found[free.group])} == {"include or exclude"}
    assert found["224.0.0.1"]["mode"] == "exclude"


def ipv4_groups() -> dict[str, dict[str, Any]]:
    return {
        each["group"]: each
        for each in linux.READERS["memberships"]()
        if each["interface"] == "eth0" and ":" not in each["group"]
    }


@pytest.fixture(scope="module")
def remote() -> Iterator[RemoteHost]:
    with closing(RemoteHost("far", f"popen//python={oldest()}", "lo")) as host:
        host.connect()
        yield host


def kind(value: Any) -> Any:
    """Return of which kind a value is: names and types, of lists those of their first."""
    if isinstance(value, dict):
        return {name: kind(each) for name, each in value.items()}
    if isinstance(value, list):
        return [kind(each) for each in value[:1]]
    return type(value).__name__


def test_a_snapshot_of_another_python_is_that_of_this_one(remote: RemoteHost) -> None:
    there, here = values(remote.snapshot(GROUPS)), values(take_snapshot(GROUPS))
    assert kind(there) == kind(here)
    for name in ("links", "addresses", "routes", "rules", "route_to", "sysctl", "offloads", "namespace"):
        assert _without_counts(there[name]) == _without_counts(here[name])
    if oldest() != BARE:
        assert there["machine"]["python"].startswith("3.9.")


@pytest.mark.skipif(SSHD is None and not os.environ.get("CI"), reason="there is no sshd: install openssh-server")
def test_a_snapshot_over_ssh_is_that_of_the_host_there(mcast_lab: LabView, tmp_path: Path) -> None:
    desk, far = mcast_lab.host("desk"), mcast_lab.host("far")
    server = serve(far, tmp_path)
    with closing(RemoteHost("far", server.specification(oldest()), "eth0")) as host:
        with desk.inside():
            host.connect()
        there = values(host.snapshot(GROUPS))
    with far.inside():
        here = values(take_snapshot(GROUPS))
    assert kind(there) == kind(here)
    for name in ("links", "addresses", "routes", "rules", "route_to", "namespace"):
        assert _without_counts(there[name]) == _without_counts(here[name])
