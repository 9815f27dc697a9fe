"""Many subscriptions on one port: each gets exactly its own, whichever the groups, sources, interfaces and processes."""

from __future__ import annotations

import inspect
import itertools
import json
import socket
import sys
from typing import Any

import pytest

from pytest_mcast import Channel, Context, Datagram, LabView, Sender, Subscription, VirtualHost

PORT = 5000
FLOWS = 20  # of each source, on each interface, to each group
LINKS = {"nic0": "left", "nic1": "right"}
GROUPS = {"ipv4": ("239.255.7.1", "239.255.7.2"), "ipv6": ("ff12::8000:1", "ff12::8000:2")}
SSM_GROUP = {"ipv4": "232.1.2.3", "ipv6": "ff32::8000:3"}

# A subscription as plain data, for another process: group, source, interface.
Wanted = tuple[str, str | None, str]


def receive_all(wanted: list[Wanted], port: int, sources: int) -> list[list[str]]:
    """Receive with one context until each subscription has the last datagram of each source; return what each got."""
    from pytest_mcast import Channel, Context

    with Context() as context:
        for group, source, interface in wanted:
            context.join(context.add(Channel(group, port, source), interface))
        print("ready", flush=True)  # noqa: T201 - the other process waits for it
        return finish(context, sources)


def finish(context: Context, sources: int) -> list[list[str]]:
    """Receive from the subscriptions that have joined."""
    got: dict[Any, list[str]] = {subscription: [] for subscription in context}
    open_ends = sum(1 if subscription.channel.source else sources for subscription in got)
    while open_ends:
        arrived = context.receive(30)
        assert arrived is not None, f"{open_ends} are not at their end: {got}"
        payload = arrived[1].payload.decode()
        if payload == "end":
            open_ends -= 1
        else:
            got[arrived[0]].append(f"{payload} from {arrived[1].source[0]} port {arrived[1].source[1]}")
    assert context.drain() == []
    return [sorted(each) for each in got.values()]


PROGRAM = f"""
import json, sys

from pytest_mcast import Context

{inspect.getsource(finish).replace("dict[Any, list[str]]", "dict")}
{inspect.getsource(receive_all).replace("list[Wanted]", "list")}
print(json.dumps(receive_all(*json.loads(sys.argv[1]))))
"""


class Network:
    """A host with two interfaces, and two sources that have two as well."""

    def __init__(self, lab: LabView) -> None:
        self.rx = lab.host("rx", interfaces=LINKS)
        self.sources = [lab.host(name, interfaces=LINKS) for name in ("one", "two")]
        self.sent: dict[tuple[str, str, str], list[str]] = {}  # by group, source address and interface

    def address(self, host: VirtualHost, family: str, interface: str) -> str:
        return host.find(interface).address(family)

    def wanted(self, family: str) -> list[Wanted]:
        """Two groups from any source and one from each source, all on each of the interfaces."""
        any_source: list[Wanted] = [(group, None, nic) for group in GROUPS[family] for nic in LINKS]
        return any_source + [
            (SSM_GROUP[family], self.address(host, family, nic), nic) for host in self.sources for nic in LINKS
        ]

    def send(self, family: str) -> None:
        """Send all flows, and then the end of each."""
        ends: list[Sender] = []
        for group, host, nic in itertools.product((*GROUPS[family], SSM_GROUP[family]), self.sources, LINKS):
            source = self.address(host, family, nic)
            channel = Channel(group, PORT, source if group == SSM_GROUP[family] else None)
            senders = [host.sender(channel, interface=nic) for _ in range(FLOWS)]
            assert len({sender.source for sender in senders}) == FLOWS
            payload = f"{group} by {host.name} on {nic}"
            sent = self.sent.setdefault((group, source, nic), [])
            for sender in senders:
                sender.send(payload.encode())
                sent.append(f"{payload} from {source} port {sender.source[1]}")
            ends.append(senders[0])
        for sender in ends:
            sender.send(b"end")

    def expected(self, wanted: list[Wanted]) -> list[list[str]]:
        """Say what each subscription must get, and nothing besides."""
        return [
            sorted(
                line
                for (to, sender, on), lines in self.sent.items()
                if (to, on) == (group, nic) and source in (None, sender)
                for line in lines
            )
            for group, source, nic in wanted
        ]


@pytest.fixture
def network(mcast_lab: LabView) -> Network:
    return Network(mcast_lab)


def test_of_both_families_in_one_context(network: Network) -> None:
    wanted = network.wanted("ipv4") + network.wanted("ipv6")
    with network.rx:
        context = Context()
        for group, source, nic in wanted:
            context.join(context.add(Channel(group, PORT, source), nic))
    with context:
        network.send("ipv4")
        network.send("ipv6")
        got = finish(context, len(network.sources))
        assert got == network.expected(wanted)
        assert {len(each) for each in got} == {FLOWS, 2 * FLOWS}
        assert context.statistics().rejected == {}  # the kernel has kept the others away


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_in_several_processes(network: Network, family: str) -> None:
    wanted = network.wanted(family)
    # One with all of them, as many as there are subscriptions with one each, and one that shares the port carelessly.
    shares = [wanted, *([one] for one in wanted)]
    careless(network.rx, family)
    programs = [
        network.rx.popen(
            [sys.executable, "-c", PROGRAM, json.dumps([share, PORT, len(network.sources)])], ready="ready", timeout=30
        )
        for share in shares
    ]
    network.send(family)
    for program, share in zip(programs, shares, strict=True):
        assert program.wait(60) == 0, program.stderr
        assert json.loads(program.stdout[-1]) == network.expected(share)


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_with_sockets_that_were_bound_carelessly(network: Network, family: str) -> None:
    """Packet information is all that tells the datagrams apart."""
    wanted = network.wanted(family)
    with network.rx:
        context = Context()
        for group, source, nic in wanted:
            sock = wildcard_socket(family)
            context.join(context.add(Channel(group, PORT, source), nic, sock=sock, receive_buffer=200_000))
    with context:
        network.send(family)
        assert finish(context, len(network.sources)) == network.expected(wanted)
        assert set(context.statistics().rejected) == {"group", "interface"}  # by source the kernel has filtered


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_a_thousand_across_a_wire(mcast_lab: LabView, family: str) -> None:
    rx, tx = mcast_lab.hosts(2)
    group = {"ipv4": "239.255.{}.{}", "ipv6": "ff12::8000:{:02x}{:02x}"}[family]
    with rx, Context() as context:
        for number in range(1000):
            context.join(context.add(Channel(group.format(number // 250, number % 250 + 1), PORT), rx.interface))
        assert {membership.group for membership in rx.memberships()} >= {one.channel.group for one in context}
        for subscription in context:
            with tx, Sender(subscription.channel, tx.interface) as sender:
                sender.send(subscription.channel.group.encode())
        got = dict(arrived(context) for _ in range(1000))
        assert set(got) == set(context)
        assert all(datagram.payload == one.channel.group.encode() for one, datagram in got.items())
        assert context.receive() is None


def arrived(context: Context) -> tuple[Subscription, Datagram]:
    found = context.receive(10)
    assert found is not None
    return found


def wildcard_socket(family: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if family == "ipv6" else socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("", PORT))
    return sock


def careless(host: VirtualHost, family: str) -> None:
    """Start a program that joins everything, everywhere, with a socket that is bound to no address."""
    program = """
import socket, struct, sys
from pytest_mcast import Channel, Context
family, port, *groups = sys.argv[1:]
context = Context()
for name in ("nic0", "nic1"):
    for group in groups:
        sock = socket.socket(socket.AF_INET6 if family == "ipv6" else socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("", int(port)))
        context.join(context.add(Channel.unchecked(group, int(port)), name, sock=sock))
print("ready", flush=True)
while True:
    context.receive(None)
"""
    groups = (*GROUPS[family], SSM_GROUP[family])
    host.popen([sys.executable, "-c", program, family, str(PORT), *groups], ready="ready", timeout=30)
