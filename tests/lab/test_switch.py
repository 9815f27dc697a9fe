"""Switches that snoop: what they forward, what they say, what they can be told."""

from __future__ import annotations

import socket
from functools import partial

import pytest

from pytest_mcast import Channel, InterfaceError, Lab, LabView, VirtualHost
from pytest_mcast.hosts import Host
from pytest_mcast.lab import COMPRESSED, CountError, MdbEntry, MdbTimeout, Switch, Timers, bridge
from pytest_mcast.lab.mdb import forwarding
from pytest_mcast.lab.sysctls import write_sysctl

KINDS = [(family, mode) for family in ("ipv4", "ipv6") for mode in ("asm", "ssm")]
four_ways = pytest.mark.parametrize(("family", "mode"), KINDS)
both_families = pytest.mark.parametrize("family", ["ipv4", "ipv6"])


def _hosts(lab: LabView | Lab, switch: Switch, *names: str) -> list[VirtualHost]:
    return [lab.host(name, interfaces={"eth0": switch}) for name in names]


def _channel(lab: LabView, family: str, mode: str, source: VirtualHost) -> Channel:
    return lab.channel(family, source=source if mode == "ssm" else None)


@four_ways
def test_flood_join_entry_prune_leave_gone(mcast_lab: LabView, family: str, mode: str) -> None:
    switch = mcast_lab.switch(snooping=True, querier=False)
    tx, rx, other = _hosts(mcast_lab, switch, "tx", "rx", "other")
    channel = _channel(mcast_lab, family, mode, tx)
    sender = tx.sender(channel)
    fence = other.receiver(_channel(mcast_lab, family, mode, tx))
    fence_sender = tx.sender(fence.channel)

    def counts() -> tuple[int, ...]:
        # The fence went the same way after all that is counted.
        fence_sender.send(b"fence")
        fence.recv()
        return count.received(switch.port(tx)), count.sent(switch.port(rx)), count.sent(switch.port(other))

    with switch.count(channel) as count:
        sender.send(b"flood")  # the positive control: nobody has joined, and everybody gets it
        assert counts() == (1, 1, 1)

        receiver = rx.receiver(channel)
        assert receiver.evidence == "kernel membership"  # who is flooded is ready
        entry = switch.wait_for_entry(channel, rx)
        assert entry == MdbEntry("rx", "eth0", channel.group, channel.source)
        assert entry.family == family
        sender.send(b"flood")
        assert counts() == (2, 2, 2)

        switch.set(querier=True)
        switch.wait_for_entry(fence.channel, other)
        sender.send(b"pruned")
        assert [datagram.payload for datagram in receiver.expect(2)] == [b"flood", b"pruned"]
        assert counts() == (3, 3, 2)

        receiver.close()
        switch.wait_until_gone(channel.group, rx)
        assert switch.mdb(channel) == ()
        sender.send(b"nobody")
        assert counts() == (4, 3, 2)


@four_ways
def test_ready_means_that_the_entry_is_there(mcast_lab: LabView, family: str, mode: str) -> None:
    switch = mcast_lab.switch(snooping=True)
    tx, rx = _hosts(mcast_lab, switch, "tx", "rx")
    for number in range(10):  # 10 to 16 ms of datagrams would be lost
        channel = _channel(mcast_lab, family, mode, tx)
        with tx.sender(channel) as sender:
            receiver = rx.receiver(channel)
            sender.send(bytes([number]))
            assert receiver.recv().payload == bytes([number])
        assert receiver.evidence.startswith(
            f"MDB entry {channel.source or ''}{'@' if channel.source else ''}{channel.group}"
        )
        assert " at eth0 of rx" in receiver.evidence


def test_an_echo_responder_is_ready_as_well(mcast_lab: LabView) -> None:
    switch = mcast_lab.switch(snooping=True)
    tx, rx = _hosts(mcast_lab, switch, "tx", "rx")
    channel = mcast_lab.channel("ipv6")
    rx.echo(channel)
    sender = tx.sender(channel)
    sender.send(b"x")
    assert sender.recv().payload == b"x"


@pytest.mark.parametrize("group", ["224.0.0.77", "ff02::1", "ff01::77"])
def test_groups_that_are_never_in_the_mdb_are_not_waited_for(mcast_lab: LabView, group: str) -> None:
    switch = mcast_lab.switch(snooping=True)
    (rx,) = _hosts(mcast_lab, switch, "rx")
    assert rx.receiver(Channel(group, 0)).evidence == "kernel membership"


def test_a_receiver_on_loopback_waits_for_no_switch(mcast_lab: LabView) -> None:
    switch = mcast_lab.switch(snooping=True)
    (rx,) = _hosts(mcast_lab, switch, "rx")
    assert rx.receiver(mcast_lab.channel(), interface="lo").evidence == "kernel membership"


def test_who_is_not_heard_of_is_not_ready(mcast_lab: LabView, monkeypatch: pytest.MonkeyPatch) -> None:
    switch = mcast_lab.switch(snooping=True)
    tx, rx = _hosts(mcast_lab, switch, "tx", "rx")
    monkeypatch.setattr(switch, "wait_for_entry", partial(switch.wait_for_entry, timeout=0.01))
    rx.plugged[rx.interface.index].down()  # so that no report gets to the switch
    channel = mcast_lab.channel("ipv6", source=tx)
    with pytest.raises(MdbTimeout, match=r"no entry for .* at eth0 of rx after 0\.01 s; switch1 has Snooping\("):
        rx.receiver(channel)
    assert [endpoint.closed for endpoint in rx._endpoints] == [True]


@four_ways
def test_other_sources_do_not_get_to_the_port(mcast_lab: LabView, family: str, mode: str) -> None:
    switch = mcast_lab.switch(snooping=True)
    good, bad, rx = _hosts(mcast_lab, switch, "good", "bad", "rx")
    channel = _channel(mcast_lab, family, mode, good)
    receiver = rx.receiver(channel)
    with switch.count(Channel(channel.group, channel.port, bad.source(family, channel.scope))) as count:
        bad.sender(channel).send(b"bad")
        good.sender(channel).send(b"good")
        assert receiver.expect(1 if mode == "ssm" else 2)[-1].payload == b"good"
        assert count.received(switch.port(bad)) == 1
        assert count.sent(switch.port(rx)) == (0 if mode == "ssm" else 1)
        assert count.sent(switch.port(bad)) == count.received(switch.port(rx)) == 0


@both_families
def test_a_blocked_source_is_in_the_mdb(mcast_lab: LabView, family: str) -> None:
    switch = mcast_lab.switch(snooping=True)
    tx, rx = _hosts(mcast_lab, switch, "tx", "rx")
    channel = mcast_lab.channel(family)
    receiver = rx.receiver(channel)
    source = tx.source(family, channel.scope)
    blocked = Channel(channel.group, channel.port, source)
    assert switch.wait_for_entry(blocked, rx).source is None
    receiver.subscription.block(source)
    switch.wait_until_gone(blocked, rx)
    switch.wait_for_entry(channel, rx)  # others are welcome
    assert MdbEntry("rx", "eth0", channel.group, source, blocked=True) in switch.mdb(channel)


def test_which_entry_forwards() -> None:
    ours = MdbEntry("rx", "eth0", "232.1.1.1", mode="include"), MdbEntry("rx", "eth0", "232.1.1.1", "10.0.0.1")
    for wanted, host, found in (
        (Channel("232.1.1.1", 1, "10.0.0.1"), "rx", ours[1]),
        (Channel("232.1.1.1", 1, "10.0.0.2"), "rx", None),
        (Channel("232.1.1.1", 1, "10.0.0.1"), "tx", None),
        (Channel.unchecked("232.1.1.1", 1), "rx", None),  # only from its sources
        ("232.1.1.1", "rx", ours[0]),
        ("232.1.1.2", "rx", None),
    ):
        assert forwarding(ours, wanted, host, "eth0") is found
    everything = (MdbEntry("rx", "eth0", "232.1.1.1", mode=""),)  # IGMPv2
    assert forwarding(everything, Channel("232.1.1.1", 1, "10.0.0.1"), "rx", "eth0") is everything[0]


@both_families
def test_who_knows_no_sources_does_not_get_one_that_others_have_joined(mcast_lab: LabView, family: str) -> None:
    switch = mcast_lab.switch(snooping=True)
    tx, rx, other = _hosts(mcast_lab, switch, "tx", "rx", "other")
    channel = mcast_lab.channel(family, source=tx)
    other.receiver(channel)
    rx.settle()  # a new host reports everything once more, by the newest version
    version = {"ipv4": "ipv4/conf/eth0/force_igmp_version", "ipv6": "ipv6/conf/eth0/force_mld_version"}[family]
    with rx:
        write_sysctl(version, "2" if family == "ipv4" else "1", required=True)
    receiver = Host.receiver(rx, channel)  # waits for no switch
    assert switch.wait_for_entry(channel.group, rx).mode == "exclude"
    entries = switch.mdb(channel)
    with switch.count(channel) as count:
        tx.sender(channel).send(b"not for rx")
        assert (count.sent(switch.port(other)), count.sent(switch.port(rx))) == (1, 0)
    assert forwarding(entries, channel, "rx", "eth0") is None
    assert forwarding(entries, channel, "other", "eth0") == MdbEntry("other", "eth0", channel.group, channel.source)
    of_another = Channel(channel.group, channel.port, other.source(family, channel.scope))
    assert forwarding(entries, of_another, "rx", "eth0") == MdbEntry("rx", "eth0", channel.group)
    receiver.close()
    switch.wait_until_gone(channel.group, rx)

    # One who was there before gets it, because the kernel gives him the source.
    early = mcast_lab.channel(family, source=tx)
    rx.receiver(early)
    other.receiver(early)
    entry = switch.wait_for_entry(Channel(early.group, early.port, early.source), rx)
    assert (entry.source, entry.flags) == (early.source, ("star-exclude",))


def test_what_never_comes_is_an_error_that_lists_the_mdb(mcast_lab: LabView) -> None:
    switch = mcast_lab.switch("here", snooping=True)
    (rx,) = _hosts(mcast_lab, switch, "rx")
    channel = mcast_lab.channel()
    rx.receiver(channel)
    with pytest.raises(
        MdbTimeout, match=r"no entry for 239\.1\.2\.3 at eth0 of rx after 0\.01 s; here has Snooping"
    ) as e:
        switch.wait_for_entry("239.1.2.3", rx, timeout=0.01)
    assert f"\n  {channel.group} at eth0 of rx: exclude, " in str(e.value)
    with pytest.raises(MdbTimeout, match=r"still an entry for .* at eth0 of rx after 0\.01 s"):
        switch.wait_until_gone(channel, rx, timeout=0.01)
    with pytest.raises(InterfaceError, match="host nobody is not on link here; there is eth0 of rx"):
        switch.wait_for_entry(channel, "nobody")
    with pytest.raises(InterfaceError, match="eth9 of host rx is not on link here"):
        switch.wait_until_gone(channel, "rx", "eth9")


@both_families
def test_a_port_that_does_not_flood(mcast_lab: LabView, family: str) -> None:
    switch = mcast_lab.switch()
    tx, rx, other = _hosts(mcast_lab, switch, "tx", "rx", "other")
    assert switch.port(other).flood
    switch.port(other).flood = False
    assert not switch.port(other).flood
    receiver = rx.receiver(mcast_lab.channel(family))
    with switch.count(receiver.channel) as count:
        tx.sender(receiver.channel).send(b"x")
        receiver.recv()
        assert [count.sent(switch.port(host)) for host in (rx, other)] == [1, 0]


@both_families
def test_fast_leave_asks_nobody(mcast_lab: LabView, family: str) -> None:
    switch = mcast_lab.switch(snooping=True, timers=Timers(last_member_interval=25))
    (rx,) = _hosts(mcast_lab, switch, "rx")
    switch.port(rx).fast_leave = True
    assert switch.port(rx).fast_leave
    receiver = rx.receiver(mcast_lab.channel(family))
    receiver.close()
    switch.wait_until_gone(receiver.channel, rx)


def test_a_port_with_a_router_gets_everything(mcast_lab: LabView) -> None:
    switch = mcast_lab.switch(snooping=True)
    tx, router = _hosts(mcast_lab, switch, "tx", "router")
    port = switch.port(router)
    assert port.multicast_router == "learned"
    for which, expected in (("always", 1), ("never", 0)):
        port.multicast_router = which
        assert port.multicast_router == which
        channel = mcast_lab.channel()
        with switch.count(channel) as count:
            tx.sender(channel).send(b"x")
            fence = router.receiver(mcast_lab.channel())
            tx.sender(fence.channel).send(b"fence")
            fence.recv()
            assert count.sent(port) == expected
    with pytest.raises(ValueError, match="multicast_router 'yes' is not one of never, learned, always"):
        port.multicast_router = "yes"


def test_settings_are_what_the_kernel_has(mcast_lab: LabView) -> None:
    timers = Timers(
        query_interval=2,
        startup_query_interval=1.5,
        query_response_interval=0.2,
        last_member_interval=0.3,
        membership_interval=4.5,
        querier_interval=5,
    )
    switch = mcast_lab.switch(snooping=True, timers=timers, igmp_version=2, mld_version=1)
    for expected in (timers, COMPRESSED):
        state = bridge.link_state(switch.connection, switch.index)
        found = {name: bridge.option(state, name) for name in vars(expected)}
        assert found == vars(expected)
        assert switch.settings.timers == expected
        switch.set(timers=COMPRESSED)
    for name, value in (("snooping", 1), ("querier", 1), ("igmp_version", 2), ("mld_version", 1)):
        assert bridge.option(bridge.link_state(switch.connection, switch.index), name) == value
    switch.set(igmp_version=3, querier=False, snooping=False)
    for name, value in (("snooping", 0), ("querier", 0), ("igmp_version", 3), ("mld_version", 1)):
        assert bridge.option(bridge.link_state(switch.connection, switch.index), name) == value


def test_new_settings_begin_with_a_query(mcast_lab: LabView) -> None:
    switch = mcast_lab.switch(snooping=True)
    (rx,) = _hosts(mcast_lab, switch, "rx")
    with rx.inside(), socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP) as sock:
        sock.settimeout(10)
        for version, length in ((2, 8), (3, 12)):  # RFC 3376 section 7.1
            switch.set(igmp_version=version)
            while True:
                packet = sock.recv(1000)
                message = packet[4 * (packet[0] & 15) :]
                if (message[0], len(message)) == (0x11, length):
                    break


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"igmp_version": 1}, "igmp_version 1 is not 2 or 3"),
        ({"mld_version": 3}, "mld_version 3 is not 1 or 2"),
        ({"querier": True}, "querier=True needs snooping=True"),
    ],
)
def test_settings_that_cannot_be(mcast_lab: LabView, options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mcast_lab.switch(**options)  # type: ignore[arg-type]
    switch = mcast_lab.switch()
    with pytest.raises(ValueError, match=message):
        switch.set(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "least"),
    [("query_interval", 0.99, "1"), ("query_response_interval", 0.05, "0.1"), ("membership_interval", "3", "0.01")],
)
def test_intervals_that_the_kernel_would_change(name: str, value: object, least: str) -> None:
    with pytest.raises(ValueError, match=f"{name} {value!r} is not a number of seconds from {least} to 86400"):
        Timers(**{name: value})  # type: ignore[arg-type]


def test_a_strict_switch_floods_at_no_time(mcast_lab: LabView) -> None:
    switch = mcast_lab.switch(snooping=True, querier=False, strict=True)
    tx, rx, other = _hosts(mcast_lab, switch, "tx", "rx", "other")
    for family in ("ipv4", "ipv6"):
        receiver = rx.receiver(mcast_lab.channel(family))
        assert receiver.evidence.startswith("MDB entry")
        with switch.count(receiver.channel) as count:
            for number, querier in enumerate((False, True, False, True), 1):
                switch.set(querier=querier)
                assert switch.settings.querier == querier
                switch.wait_for_entry(receiver.channel, rx)
                tx.sender(receiver.channel).send(b"x")
                receiver.recv()
                assert [count.sent(switch.port(host)) for host in (rx, other)] == [number, 0]


def test_switches_are_named_and_belong_to_one_network(mcast_lab: LabView) -> None:
    named, unnamed = mcast_lab.switch("core"), mcast_lab.switch()
    assert (str(named), unnamed.name) == ("core", "switch1")
    with pytest.raises(InterfaceError, match="link core is there already; name another one, or none"):
        mcast_lab.switch("core")
    host = mcast_lab.host("two", interfaces={"eth0": "core", "eth1": unnamed})
    assert [port.host for port in (*named.ports, *unnamed.ports)] == [host, host]
    assert unnamed.port("two").interface == "eth1"
    with Lab() as lab:
        lab.link()
        with pytest.raises(InterfaceError, match="link core is not, or no longer, in this network; it has lan"):
            lab.host(interfaces={"eth0": named})


def test_nothing_of_a_switch_is_left() -> None:
    with Lab() as lab:
        for _ in range(3):
            switch = lab.switch(snooping=True)
            lab.host("a", interfaces={"eth0": switch}).receiver(lab.channel())
            lab.remove_link(switch)
            lab.remove(lab.host("a"))
            assert switch.ports == () or switch.name not in lab._links
        with lab.switch_namespace:
            names = {name for _, name in socket.if_nameindex()}
        assert not {name for name in names if name.startswith(("switch", "probe"))}


def test_a_switch_that_cannot_be_made_leaves_nothing(mcast_lab: LabView, monkeypatch: pytest.MonkeyPatch) -> None:
    with Lab() as lab:

        def refuse(self: Switch, family: str) -> bool:
            raise OSError(family)

        with monkeypatch.context() as patch:
            patch.setattr(Switch, "_prunes", refuse)
            with pytest.raises(OSError, match="ipv4"):
                lab.switch("x", snooping=True)
        with lab.switch_namespace:
            assert [name for _, name in socket.if_nameindex()] == ["lo"]
        lab.switch("x", snooping=True)


def test_counts_are_exact_whatever_else_is_on_the_wire(mcast_lab: LabView) -> None:
    switch = mcast_lab.switch(snooping=True, timers=COMPRESSED, igmp_version=2)  # reports go to the group itself
    tx, rx, noise = _hosts(mcast_lab, switch, "tx", "rx", "noise")
    receiver = rx.receiver(mcast_lab.channel())
    elsewhere = Channel(receiver.channel.group, receiver.channel.port ^ 1)
    sender, other = tx.sender(receiver.channel), noise.sender(elsewhere)
    before = switch.port(rx).counters()
    with switch.count(receiver.channel) as count, switch.count(elsewhere) as others:
        for _ in range(100):
            sender.send(b"x")
            other.send(b"noise")
        receiver.expect(100)
        assert count.received(switch.port(tx)) == count.sent(switch.port(rx)) == 100
        assert others.received(switch.port(noise)) == others.sent(switch.port(rx)) == 100
        assert count.sent(switch.port(noise)) == 0
    difference = switch.port(rx).counters() - before
    assert difference.sent >= 200
    assert difference.sent_bytes >= 200 * (14 + 20 + 8 + 1)
    assert difference.dropped == 0


def test_what_was_lost_before_it_was_counted_is_an_error(mcast_lab: LabView) -> None:
    switch = mcast_lab.switch()
    (tx,) = _hosts(mcast_lab, switch, "tx")
    sender = tx.sender(mcast_lab.channel())
    with switch.count(sender.channel) as count:
        for _ in range(100_000):  # more than root's buffer of 32 MiB holds
            sender.send(b"")
        with pytest.raises(CountError, match=r"[0-9]+ frames were lost before they were counted for 239\.255\."):
            count.received(switch.port(tx))
