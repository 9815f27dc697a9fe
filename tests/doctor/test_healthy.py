"""Fifty random networks that work: a datagram arrives, the doctor finds nothing, and the trace reaches every hop."""

from __future__ import annotations

import random
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

import pytest

from pytest_mcast import Channel, LabView, Receiver, VirtualHost
from pytest_mcast.core import FAMILIES, MODES
from pytest_mcast.doctor import Observation, Party, diagnose
from pytest_mcast.doctor.trace import MARK, trace
from pytest_mcast.lab import Link, netlink
from tests.doctor.scene import PlainReceiver, Receives

NETWORKS = 50
_MTUS = (1280, 1400, 1492, 1500, 4000, 9000)
_SIZES = (1, 64, 1000, 1452, 1473, 3000, 9000, 20000)
_WAIT = 5.0  # seconds for what arrives at once


@dataclass
class Network:
    """A random one: the links, the hosts and what is done to them, in words for who has to look into it."""

    lab: LabView
    dice: random.Random
    family: str
    mode: str
    done: list[str] = field(default_factory=list)

    def say(self, what: str) -> None:
        self.done.append(what)

    def maybe(self, chance: float = 0.5) -> bool:
        return self.dice.random() < chance

    def link(self, number: int) -> Link:
        """Make a link: a flat one, or a switch with or without snooping."""
        name = f"link{number}"
        kind = self.dice.choice(["flat", "switch", "snooping", "strict"])
        if kind == "flat":
            link = self.lab.link(name)
        else:
            snooping = kind != "switch"
            link = self.lab.switch(name, snooping=snooping, strict=kind == "strict")
        mtu = self.dice.choice(_MTUS)
        if mtu != 1500:
            link.set_mtu(mtu)
        self.say(f"{name}: {kind}, mtu {mtu}")
        return link

    def host(self, name: str, first: Link, others: list[Link]) -> VirtualHost:
        """Make a host on a link, perhaps on a second one, too; the first is its default."""
        interfaces = {"eth0": first}
        if others and self.maybe():
            interfaces["eth1"] = self.dice.choice(others)
        self.say(f"{name}: {', '.join(f'{nic} on {link}' for nic, link in interfaces.items())}")
        return self.lab.host(name, interfaces=interfaces)


def _addresses(network: Network, host: VirtualHost) -> None:
    index = host.interface.index
    number = network.dice.randrange(2, 200)
    # After the first ones, so that nobody sends from these.
    host.configure(netlink.address(index, f"172.20.{number}.2", 24), netlink.address(index, f"fd00:{number:x}::2", 64))
    network.say(f"{host}: more addresses")


def _routes(network: Network, host: VirtualHost) -> None:
    index = host.interface.index
    host.configure(
        netlink.route("198.51.100.0/24", index=index),
        netlink.route("239.0.0.0/8", index=index),
        netlink.route("2001:db8::/32", index=index),
    )
    network.say(f"{host}: more routes")


_RULES = (
    "chain c { type filter hook input priority 0; policy accept; udp dport 9 drop; ip protocol tcp drop; }",
    "chain c { type filter hook input priority 0; policy drop; meta l4proto { udp, igmp, icmpv6 } accept; }",
    "chain c { type filter hook output priority 0; policy accept; counter; }",
    "chain c { type filter hook forward priority 0; policy drop; }",
    "chain c { type nat hook postrouting priority 100; ip daddr 198.51.100.0/24 masquerade; }",
    "chain d { return; }; chain c { type filter hook input priority 0; ip saddr 192.0.2.0/24 drop; jump d; }",
)


def _firewall(network: Network, host: VirtualHost) -> None:
    rule = network.dice.choice(_RULES)
    with host.inside():
        subprocess.run(["nft", f"table inet t {{ {rule}; }}"], check=True, timeout=10)
    host.touch()
    network.say(f"{host}: firewall {rule}")


def _reverse_path(network: Network, host: VirtualHost) -> None:
    value = network.dice.choice("012")
    with host.inside():
        for name in ("all", "eth0"):
            with open(f"/proc/sys/net/ipv4/conf/{name}/rp_filter", "w", encoding="ascii") as file:
                file.write(value)
    host.touch()
    network.say(f"{host}: rp_filter {value}")


_HARMLESS: tuple[Callable[[Network, VirtualHost], None], ...] = (_addresses, _routes, _firewall, _reverse_path)


def _plain(host: VirtualHost, channel: Channel, *, exact: bool) -> PlainReceiver:
    """Open a receiver as users write it: on the wildcard address or on the group."""
    index = host.interface.index
    ipv6 = channel.family == "ipv6"
    with host.inside():
        sock = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if ipv6:
        sock.bind((channel.group if exact else "::", channel.port, 0, index if exact else 0))
        group = socket.inet_pton(socket.AF_INET6, channel.group)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group + struct.pack("=i", index))
    else:
        sock.bind((channel.group if exact else "", channel.port))
        group = socket.inet_aton(channel.group)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack("=4s4si", group, bytes(4), index))
    return PlainReceiver(sock)


def _receiver(network: Network, host: VirtualHost, channel: Channel) -> Receives:
    # A plain one does not wait for the switch, which has to hear of it before it is sent to.
    floods = all(not getattr(port.link, "prunes", False) for port in host.plugged.values())
    if channel.mode == "asm" and floods and network.maybe():
        exact = network.maybe()
        network.say(f"{host}: a plain socket on {'the group' if exact else 'the wildcard address'}")
        return _plain(host, channel, exact=exact)
    return host.receiver(channel)


def _neighbours(network: Network, stack: ExitStack, host: VirtualHost, channel: Channel) -> None:
    """Have other sockets at the same port, for another group, and one that is no member of any."""
    other = replace(network.lab.channel(channel.family), port=channel.port)
    neighbour = _plain(host, other, exact=True)
    stack.callback(neighbour.close)
    network.say(f"{host}: a neighbour at the same port")


@contextmanager
def _foreign(network: Network, host: VirtualHost, channel: Channel) -> Iterator[None]:
    """Have another host send, before and after: to another group at the same port, and to another port of the group."""
    port = channel.port + 1 if channel.port < 65535 else channel.port - 1
    channels = (replace(network.lab.channel(channel.family), port=channel.port), Channel.unchecked(channel.group, port))
    network.say(f"{host}: foreign traffic")
    with ExitStack() as stack:
        senders = [stack.enter_context(host.sender(each)) for each in channels]
        for sender in senders:
            sender.send(b"foreign")
        yield
        for sender in senders:
            sender.send(b"foreign")


def _payload(receiver: Receives) -> bytes:
    datagram = receiver.recv(_WAIT)
    return datagram if isinstance(datagram, bytes) else bytes(datagram.payload)


def _socket(receiver: Receives) -> socket.socket:
    if isinstance(receiver, PlainReceiver):
        return receiver.socket
    assert isinstance(receiver, Receiver)
    sock = receiver.subscription.socket
    assert sock is not None
    return sock


def _build(network: Network) -> tuple[VirtualHost, list[VirtualHost], list[VirtualHost]]:
    """Return a sender, its receivers and others."""
    dice = network.dice
    if network.maybe(0.15):
        network.say("a direct link")
        tx, rx = network.lab.direct("tx", "rx0")
        mtu = dice.choice(_MTUS)
        if mtu != 1500:
            link = next(link for link in network.lab._pool.lab._links.values() if tx in getattr(link, "ends", ()))
            link.set_mtu(mtu)
            network.say(f"mtu {mtu}")
        return tx, [rx], []
    first, *others = [network.link(number) for number in range(dice.choice([1, 1, 2, 3]))]
    tx = network.host("tx", first, others)
    receivers = [network.host(f"rx{number}", first, others) for number in range(dice.choice([1, 1, 2, 3]))]
    beside = [network.host(f"by{number}", first, others) for number in range(dice.choice([0, 1, 2]))]
    if network.maybe(0.25):
        network.say("the sender receives as well")
        receivers.append(tx)
    return tx, receivers, beside


@pytest.mark.parametrize("seed", range(NETWORKS))
def test_nothing_is_found_where_nothing_is_wrong(mcast_lab: LabView, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - networks are no secrets
    network = Network(mcast_lab, dice, dice.choice(FAMILIES), dice.choice(MODES))
    try:
        _examine(network)
    except BaseException as error:
        error.add_note("\n  ".join([f"seed {seed}, {network.family}-{network.mode}:", *network.done]))
        raise


def _examine(network: Network) -> None:
    dice = network.dice
    tx, receivers, beside = _build(network)
    for host in dict.fromkeys((tx, *receivers)):
        for change in _HARMLESS:
            if network.maybe(0.25):
                change(network, host)
    channel = network.lab.channel(network.family, source=tx if network.mode == "ssm" else None)
    size = dice.choice(_SIZES)
    network.say(f"{channel}: {size} bytes")
    with ExitStack() as stack:
        observation = stack.enter_context(Observation(tx, *receivers))
        opened = {}
        for host in receivers:
            if network.maybe(0.3):
                _neighbours(network, stack, host, channel)
            opened[host] = _receiver(network, host, channel)
            stack.callback(opened[host].close)
        sender = stack.enter_context(tx.sender(channel, ttl=dice.choice([1, 2, 64])))
        if beside:
            stack.enter_context(_foreign(network, beside[0], channel))
        payload = dice.randbytes(size)
        sender.send(payload)
        for receiver in opened.values():
            assert _payload(receiver) == payload
        flows = []
        for host, receiver in opened.items():
            ends = Party(tx, [sender.socket], "eth0"), Party(host, [_socket(receiver)], "eth0")
            flow = observation.flow(channel, sender=ends[0], receiver=ends[1], call="receive", size=size)
            flows.append((ends, flow))  # before the traces, which are traffic
        for ends, flow in flows:
            found = trace(channel, *ends, size=size)
            hops = [f"{hop.name}: {hop.reached} ({hop.evidence})" for hop in found.hops]
            assert all(hop.reached for hop in found.hops), "\n".join(hops)
            for known in (flow, replace(flow, trace=found)):
                diagnosis = diagnose(known)
                assert not diagnosis.findings, "\n".join(diagnosis.lines(limit=100))
        for receiver in opened.values():  # each of them has got all
            for _ in flows:
                assert _payload(receiver).startswith(MARK)
