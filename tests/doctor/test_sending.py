"""What the doctor adds to a cause at the sender."""

from __future__ import annotations

import pytest

from pytest_mcast import LabView

from .breaks.plain_sender import plain_sender
from .breaks.sending import behind_router, filter_egress, two_interfaces, unicast_ttl


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_a_ttl_that_is_for_unicast_is_pointed_out(mcast_lab: LabView, family: str) -> None:
    scene = behind_router(family)(mcast_lab)
    unicast_ttl(scene)
    (finding,) = scene.fails().findings
    assert finding.check == "ttl.one"
    assert "its IP_TTL (IPV6_UNICAST_HOPS) is 16, but that is for unicast only" in finding.evidence


def test_the_address_of_another_interface_does_as_a_source(mcast_lab: LabView) -> None:
    scene = two_interfaces("ipv4")(mcast_lab)
    scene.open_sender = lambda: plain_sender(scene)
    scene.sh(scene.tx, "ip addr flush dev eth0")
    scene.works()
    filter_egress(scene)
    assert [finding.check for finding in scene.fails().findings] == ["firewall.egress"]
