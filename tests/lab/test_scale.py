"""Large networks: many hosts on a switch, routers in a tree, many groups."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from pytest_mcast import Lab, LabView

both_families = pytest.mark.parametrize("family", ["ipv4", "ipv6"])


def test_a_hundred_hosts_on_a_switch_that_snoops(mcast_lab: LabView) -> None:
    switch = mcast_lab.switch(snooping=True)
    tx, *members = mcast_lab.hosts(100, link=switch)
    channel = mcast_lab.channel()
    receivers = [member.receiver(channel) for member in members[::2]]
    with switch.count(channel) as count:
        tx.sender(channel).send(b"to half of them")
        assert {receiver.recv().payload for receiver in receivers} == {b"to half of them"}
        assert sum(count.sent(switch.port(member)) for member in members) == len(receivers) == 50


@both_families
def test_thirty_routers_in_a_tree(mcast_lab: LabView, family: str) -> None:
    """A binary tree: router n has routers 2n and 2n + 1 below it, and a receiver on each of its links that has none."""
    tx = mcast_lab.host("tx", interfaces={"eth0": "link1"})
    channel = mcast_lab.channel(family, scope="site-local" if family == "ipv6" else "organization-local")
    source = tx.source(family, "site-local")
    leaves = []
    for number in range(1, 31):
        below = [2 * number, 2 * number + 1]
        router = mcast_lab.router(
            interfaces={"up": f"link{number}", **{f"down{each}": f"link{each}" for each in below}}
        )
        router.route(channel.group, "up", [f"down{each}" for each in below], source=source)
        leaves += [each for each in below if each > 30]
    receivers = [mcast_lab.host(interfaces={"eth0": f"link{leaf}"}).receiver(channel) for leaf in leaves]
    tx.sender(channel, ttl=16, source=source).send(b"from the root")
    datagrams = [receiver.recv() for receiver in receivers]
    assert {(datagram.payload, datagram.source[0]) for datagram in datagrams} == {(b"from the root", source)}
    assert {datagram.ttl for datagram in datagrams} == {16 - 4, 16 - 5}  # as deep as they are
    assert len(leaves) == 31


@both_families
def test_a_thousand_groups(family: str) -> None:
    with Lab() as lab, ExitStack() as stack:
        tx, rx = lab.hosts(2)
        channels = [lab.channel(family) for _ in range(1000)]
        receivers = [stack.enter_context(rx.receiver(channel)) for channel in channels]
        for channel in channels:
            with tx.sender(channel) as sender:
                sender.send(channel.group.encode())
        assert [receiver.recv().payload.decode() for receiver in receivers] == [channel.group for channel in channels]
        joined = {each.group for each in rx.memberships()}
        assert joined > {channel.group for channel in channels}
