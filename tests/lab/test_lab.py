"""Virtual networks: hosts, interfaces, names, addresses, lifetimes."""

from __future__ import annotations

import asyncio
import os
import socket
import threading

import pytest

from pytest_mcast import InterfaceError, Lab, LabView
from pytest_mcast.lab import Namespace, netlink


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_datagrams_cross_the_switch(mcast_lab: LabView, family: str) -> None:
    one, two, three = mcast_lab.hosts(3)
    channel = mcast_lab.channel(family)
    receivers = [host.receiver(channel) for host in (one, two, three)]
    one.sender(channel).send(b"x")
    assert [receiver.recv().source[0] for receiver in receivers] == [one.source(family)] * 3


def test_the_first_datagram_on_a_new_link_arrives() -> None:
    # Without a wait for the link it is lost every now and then, when the machine is busy.
    for _ in range(10):
        with Lab() as lab:
            one, two = lab.hosts(2)
            receiver = two.receiver(lab.channel("ipv6", source=one))
            one.sender(receiver.channel).send(b"x")
            assert receiver.recv().payload == b"x"


def test_interfaces_have_the_names_links_and_macs_asked_for(mcast_lab: LabView) -> None:
    host = mcast_lab.host(interfaces={"veth0": "lan", "veth1": "dmz"}, macs={"veth1": "02:00:5e:10:00:01"})
    names = [interface.name for interface in host.interfaces]
    assert names == ["lo", "veth0", "veth1"]
    assert host.interface.name == "veth0"
    output = host.popen(["ip", "-o", "link", "show", "veth1"])
    assert output.wait() == 0
    assert "02:00:5e:10:00:01" in output.stdout[0]


def test_hosts_on_different_links_do_not_hear_each_other(mcast_lab: LabView) -> None:
    both = mcast_lab.host(interfaces={"eth0": "lan", "eth1": "dmz"})
    other = mcast_lab.host(interfaces={"eth0": "dmz"})
    channel = mcast_lab.channel("ipv6")
    receiver = other.receiver(channel)
    both.sender(channel, interface="eth0").send(b"lan")
    both.sender(channel, interface="eth1").send(b"dmz")
    assert receiver.recv().payload == b"dmz"


def test_unicast_is_forwarded_between_links_and_nowhere_else(mcast_lab: LabView) -> None:
    one = mcast_lab.host(interfaces={"eth0": "lan"})
    other = mcast_lab.host(interfaces={"eth0": "dmz"})
    with other.inside():
        server = socket.create_server((other.source("ipv4"), 0))
    with server, one.inside():
        socket.create_connection(server.getsockname(), timeout=5).close()
        for address in ("192.0.2.1", "2001:db8::1"):
            for _ in range(20):  # the kernel would tell "unreachable" about once a second only
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection((address, 80), timeout=5)


def test_a_host_is_entered_by_thread_and_left_again(mcast_lab: LabView) -> None:
    host = mcast_lab.host()
    names_outside = socket.if_nameindex()
    seen = []

    def look() -> None:
        with host:
            seen.append(socket.if_nameindex())

    with host:
        inside = socket.if_nameindex()
        with host, mcast_lab.host():
            pass
        assert socket.if_nameindex() == inside
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert socket.if_nameindex() == names_outside != inside
    assert seen == [inside]
    with pytest.raises(ZeroDivisionError), host:
        raise ZeroDivisionError
    assert socket.if_nameindex() == names_outside


def test_run_calls_a_function_or_a_coroutine_function_inside(mcast_lab: LabView) -> None:
    host = mcast_lab.host()

    def addresses(extra: str) -> list[str]:
        return [*(name for _, name in socket.if_nameindex()), extra]

    async def loop_of_its_own() -> list[str]:
        await asyncio.get_running_loop().run_in_executor(None, lambda: None)
        return addresses("coroutine")

    assert host.run(addresses, "function") == ["lo", "eth0", "function"]
    assert host.run(loop_of_its_own) == ["lo", "eth0", "coroutine"]


def test_run_works_beside_a_running_loop(mcast_lab: LabView) -> None:
    host = mcast_lab.host()

    async def inner() -> str:
        return host.source("ipv4")

    async def outer() -> str:
        return str(await asyncio.to_thread(host.run, inner))

    assert asyncio.run(outer()) == host.source("ipv4")


def test_run_raises_what_the_function_raises(mcast_lab: LabView) -> None:
    with pytest.raises(ZeroDivisionError):
        mcast_lab.host().run(lambda: 1 // 0)


def test_run_has_a_time_out_that_cancels_a_coroutine(mcast_lab: LabView) -> None:
    started, cancelled = threading.Event(), threading.Event()

    async def endless() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    host = mcast_lab.host()
    task = host.start(endless)
    assert started.wait(5)
    with pytest.raises(TimeoutError, match=r"'endless in host1' goes on after 0\.01 s"):
        task.result(timeout=0.01)
    assert cancelled.wait(5)


def test_what_was_started_is_cancelled_with_the_host(mcast_lab: LabView) -> None:
    ready, ended = threading.Event(), threading.Event()

    async def serve() -> None:
        ready.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    host = mcast_lab.host()
    task = host.start(serve)
    assert ready.wait(5)
    host.close_endpoints()
    assert ended.is_set()
    assert not task.running


def test_a_plain_function_that_goes_on_is_reported(mcast_lab: LabView) -> None:
    release = threading.Event()
    host = mcast_lab.host()
    task = host.start(release.wait)
    with pytest.raises(TimeoutError, match="does not end: a function that waits needs a time-out of its own"):
        task.cancel(timeout=0.01)
    release.set()
    assert task.result() is True


def test_a_mac_of_an_unknown_interface_is_refused(mcast_lab: LabView) -> None:
    with pytest.raises(InterfaceError, match=r"macs names eth7; host host[0-9]+ has eth0"):
        mcast_lab.host(interfaces={"eth0": "lan"}, macs={"eth7": "02:00:00:00:00:01"})


def test_what_the_kernel_refuses_is_said_in_its_words(mcast_lab: LabView) -> None:
    with pytest.raises(netlink.NetlinkError, match=r"cannot make the link port[0-9]+ - a/b: "):
        mcast_lab.host(interfaces={"a/b": "lan"})
    host = mcast_lab.host()
    with pytest.raises(netlink.NetlinkError, match=r"cannot add the address 10\.64\.0\.1/16: .*") as caught:
        host.configure(netlink.address(host.interface.index, "10.64.0.1", 16), netlink.address(999, "10.64.0.1", 16))
    assert caught.value.errno is not None


def test_a_link_that_does_not_come_up_is_an_error(mcast_lab: LabView) -> None:
    host = mcast_lab.host()
    host.configure(netlink.link(host.interface.index, up=False))
    with host.inside():
        connection = netlink.Netlink()
    with pytest.raises(netlink.NetlinkError, match=r"link [0-9]+ is not as it should be after 0\.01 s"):
        connection.wait_until_up(host.interface.index, timeout=0.01)
    connection.close()


def test_names_of_hosts_are_not_given_twice(mcast_lab: LabView) -> None:
    for lab in (mcast_lab, Lab()):
        named = lab.host("host2")
        others = [lab.host(), lab.host()]
        assert [host.name for host in others] == ["host1", "host3"]
        assert lab.host("host2") is named
        with pytest.raises(
            InterfaceError, match="host host2 is there already; its interfaces are eth0, not eth0, eth1"
        ):
            lab.host("host2", interfaces={"eth0": "lan", "eth1": "dmz"})
        lab.close()


def test_links_that_were_removed_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_mcast.lab.lab._LINKS", 4)
    with Lab() as lab:
        for _ in range(2):
            links = [lab.link(f"link{number}") for number in range(4)]
            assert links[-1].addresses(1) == {"10.67.0.1": 16, "fd6d:63:43::1": 64, "fe80::1": 64}
            with pytest.raises(InterfaceError, match="no link more: this network has 4 already"):
                lab.link("more")
            for link in links:
                lab.remove_link(link)


def test_the_last_link_has_valid_addresses() -> None:
    with Lab() as lab:
        link = lab.link()
        link.number = 191
        assert link.addresses(1) == {"10.255.0.1": 16, "fd6d:63:ff::1": 64, "fe80::1": 64}


def test_the_error_of_a_task_that_nobody_asked_is_raised_at_the_end(mcast_lab: LabView) -> None:
    host = mcast_lab.host()

    async def serve() -> None:
        raise ZeroDivisionError

    task = host.start(serve)
    task._thread.join(5)  # or it might be cancelled before it begins
    with pytest.raises(ZeroDivisionError):
        host.close_endpoints()
    with pytest.raises(ZeroDivisionError):
        task.result()
    task.cancel()  # it has been asked for


def test_closing_leaves_no_descriptor() -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    Namespace.create().close()
    before = descriptors()
    with Lab() as lab:
        one, two = lab.hosts(2)
        receiver = one.receiver(lab.channel())
        two.sender(receiver.channel).send(b"x")
        two.popen(["true"]).wait()
        assert descriptors() > before
    assert descriptors() == before
    lab.close()


def test_a_hundred_hosts(mcast_lab: LabView) -> None:
    with Lab() as lab:
        hosts = lab.hosts(100)
        channel = lab.channel("ipv6", source=hosts[0])
        receivers = [host.receiver(channel) for host in hosts]
        hosts[0].sender(channel).send(b"to all")
        assert [receiver.recv().payload for receiver in receivers] == [b"to all"] * 100


def test_the_numbers_of_hosts_that_are_gone_are_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_mcast.lab.lab._PORTS", 3)
    with Lab() as lab:
        one, two, three = lab.hosts(3)
        with pytest.raises(InterfaceError, match="no interface can be added: this network has 3 already"):
            lab.host()
        addresses = set(two.interface.addresses), set(three.interface.addresses)
        lab.remove(two)
        lab.remove(three)
        again = lab.hosts(2)
        assert [set(host.interface.addresses) for host in again] == list(addresses)
        receivers = [host.receiver(lab.channel(family)) for family in ("ipv4", "ipv6") for host in again]
        for receiver in receivers:
            one.sender(receiver.channel).send(b"x")
            assert receiver.recv().payload == b"x"
