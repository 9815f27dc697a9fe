"""Where stations are, as bridge(8) tells it; and locked ports."""

from __future__ import annotations

import json

from pytest_mcast import LabView
from pytest_mcast.evidence.fdb import learned
from pytest_mcast.evidence.links import links

from ..support.programs import needs
from .support import of_one_moment, said


@needs("bridge")
def test_stations_are_as_bridge_says(mcast_lab: LabView) -> None:
    link = mcast_lab.link("mine")
    host, other = (mcast_lab.host(interfaces={"eth0": link}) for _ in range(2))
    channel = mcast_lab.channel()
    with other.receiver(channel) as receiver, host.sender(channel) as sender:
        sender.send(b"here I am")
        receiver.recv()
    with link.namespace:
        ours, theirs = of_one_moment(learned, lambda: json.loads(said("bridge -json fdb show")))
    bridge, port = f"switch{link.number}", link.port(host).device
    assert {"bridge": bridge, "port": port, "mac": host.injector().mac} in ours
    expected = {(each["master"], each["ifname"], each["mac"]) for each in theirs if "master" in each}
    assert {(each["bridge"], each["port"], each["mac"]) for each in ours} == expected


@needs("bridge")
def test_a_locked_port(mcast_lab: LabView) -> None:
    link = mcast_lab.link("mine")
    port = link.port(mcast_lab.host(interfaces={"eth0": link})).device
    with link.namespace:
        for locked, word in ((True, "on"), (False, "off")):
            said(f"bridge link set dev {port} locked {word}")
            assert next(each for each in links() if each["name"] == port)["port"]["locked"] is locked
