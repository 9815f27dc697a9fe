"""The network of a file is the one that calls of the lab make: drawn the same, interface by interface, address by address."""

from __future__ import annotations

from pathlib import Path

from pytest_mcast import Lab
from pytest_mcast.lab import Router
from pytest_mcast.scenarios import build, load

from .stages import Play

TEXT = """\
links:
  studio: {}
  hall: {snooping: true, igmp_version: 2, mld_version: 1}
  stage: {mtu: 1400, impair: {three: {loss: 0.5}}}
routers:
  r1: {interfaces: {eth0: studio, eth1: hall}}
  r2: {interfaces: {eth0: hall, eth1: stage}}
hosts:
  one: {virtual: {interfaces: {eth0: studio}}}
  two: {virtual: {interfaces: {eth0: lan, eth1: hall}, interface: eth1}}
  three: {virtual: {interfaces: {eth0: stage}, sysctl: {net.ipv4.conf.all.force_igmp_version: 2}}}
  solo: {virtual: {interface: lo}}
  phone: {status: planned, reason: none yet}
matrix: {sender: [one], receiver: [three]}
"""


def by_hand(lab: Lab) -> None:
    """Make the same network by calls."""
    lab.link("lan")
    lab.link("studio")
    lab.switch("hall", snooping=True, igmp_version=2, mld_version=1)
    lab.link("stage").set_mtu(1400)
    lab.router("r1", interfaces={"eth0": "studio", "eth1": "hall"})
    lab.router("r2", interfaces={"eth0": "hall", "eth1": "stage"})
    lab.host("one", interfaces={"eth0": "studio"})
    lab.host("two", interfaces={"eth0": "lan", "eth1": "hall"})
    lab.host("three", interfaces={"eth0": "stage"})
    lab.host("solo", interfaces={})


def test_a_stage_and_calls_of_the_lab_make_the_same_network(tmp_path: Path) -> None:
    with Lab() as lab, Lab() as other:
        play = Play(lab, tmp_path, TEXT, (), 5.0)
        by_hand(other)
        drawn = play.stage.draw()
        assert drawn == other.draw()
        play.close()
    assert drawn.splitlines()[2:7] == [
        "studio: a flat switch, MTU 1500",
        "├── r1 (router) eth0 10.65.0.1 fd6d:63:41::1",
        "└── one         eth0 10.65.0.5 fd6d:63:41::5",
        "hall: a switch that snoops and asks by IGMPv2 and MLDv1, MTU 1500",
        "├── r1 (router) eth1 10.66.0.2 fd6d:63:42::2",
    ]


def test_a_network_of_a_file_in_a_lab_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "a.mcast.yaml"
    path.write_text(TEXT)
    with Lab() as lab, Lab() as other:
        made = build(load(path), lab)
        by_hand(other)
        assert lab.draw() == other.draw()
        assert list(made) == ["r1", "r2", "one", "two", "three", "solo"]
        router, sender, receiver = made["r1"], made["one"], made["two"]
        assert isinstance(router, Router)
        assert lab.link("hall").port(router).multicast_router == "always"
        channel = lab.channel("ipv4", source=sender)
        router.route(channel.group, "eth0", ["eth1"], source=sender)
        got = receiver.receiver(channel, interface="eth1")
        sender.sender(channel, ttl=2).send(b"over")
        assert got.recv().payload == b"over"
        with made["three"].inside():
            assert Path("/proc/sys/net/ipv4/conf/all/force_igmp_version").read_text() == "2\n"
