"""A network drawn as text."""

from __future__ import annotations

import re

from pytest_mcast import Lab, LabView
from pytest_mcast.lab import Every, Exactly


def test_links_hosts_routers_and_what_is_unplugged(mcast_lab: LabView) -> None:
    left = mcast_lab.switch("left", snooping=True)
    mcast_lab.host("tx", interfaces={"eth0": left})
    router = mcast_lab.router("r1", interfaces={"wan": left, "eth1": "right"})
    receiver = mcast_lab.host("receiver", interfaces={"eth0": "right"})
    mcast_lab.link("right").down(receiver)
    mcast_lab.link("right").impair(router, loss=0.2, duplicate=Every(3), reorder=Exactly(5, 2))
    mcast_lab.direct("one", "other")
    mcast_lab.host("lonely", interfaces={})
    lines = mcast_lab.draw().splitlines()
    addresses = {address for line in lines for address in re.findall(r"10\.\S+", line)}
    assert {receiver.source("ipv4"), router.source("ipv4")} < addresses
    shape = [re.sub(r"(10\.|fd6d:|fe80:)\S+", "A", line) for line in lines]
    assert shape == [
        "left: a switch that snoops and asks by IGMPv3 and MLDv2, MTU 1500",
        "├── tx          eth0 A A",
        "└── r1 (router) wan  A A",
        "right: a flat switch, MTU 1500",
        "├── r1 (router) eth1 A A (impaired: loss 0.2, duplicate every 3, reorder exactly 2, 5, seed 0)",
        "└── receiver    eth0 A A (unplugged)",
        re.sub(r"^direct\d+", lines[6].partition(":")[0], "direct0: a cable, MTU 1500"),
        "├── one   eth0 A A",
        "└── other eth0 A A",
        "lonely is on no link",
    ]


def test_an_empty_network() -> None:
    with Lab() as lab:
        assert lab.draw() == ""
        lab.link("lan")
        assert lab.draw() == "lan: a flat switch, MTU 1500"
