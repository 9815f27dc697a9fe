"""Random networks that work, by the dice of one seed: links, hosts, what is beside the way, and sockets of every kind."""

from __future__ import annotations

import random
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_mcast import Channel, LabView, Receiver, Sender, VirtualHost
from pytest_mcast.core.views import WithFences
from pytest_mcast.lab import Link, netlink

from .scene import PlainReceiver, Receives

__all__ = ["Network", "payload_of", "socket_of"]

_MTUS = (1280, 1400, 1492, 1500, 4000, 9000)
_SCOPES = {"ipv4": (None, "admin-local", "organization-local"), "ipv6": (None, "site-local", "global")}
_WAIT = 5.0  # seconds for what arrives at once
_IPV6_MULTICAST_ALL, _IP_MULTICAST_ALL = 29, 49  # linux/in6.h, linux/in.h


@dataclass
class Network:
    """One of them; ``done`` says in words what it is, for who has to look into it."""

    lab: LabView
    dice: random.Random
    family: str
    mode: str
    done: list[str] = field(default_factory=list)

    def say(self, what: str) -> None:
        self.done.append(what)

    def maybe(self, chance: float = 0.5) -> bool:
        return self.dice.random() < chance

    def build(self) -> tuple[VirtualHost, list[VirtualHost], list[VirtualHost]]:
        """Return a sender, its receivers and others; with what is beside the way."""
        tx, receivers, others = self._direct() if self.maybe(0.15) else self._switched()
        for host in dict.fromkeys((tx, *receivers)):
            for change in _HARMLESS:
                if self.maybe(0.2):
                    change(self, host)
        return tx, receivers, others

    def channel(self, tx: VirtualHost) -> Channel:
        """Return a channel of some scope, from the sender if it has a source."""
        # There is one scope only for IPv4 with a source.
        scope = self.dice.choice(_SCOPES[self.family]) if (self.family, self.mode) != ("ipv4", "ssm") else None
        source = tx if self.mode == "ssm" else None
        return self.lab.channel(self.family, source=source, scope=scope)

    def receiver(self, host: VirtualHost, channel: Channel) -> Receives:
        """Open one of ours, or a plain socket as users write it."""
        # A plain one does not wait for the switch, which has to hear of it before it is sent to.
        floods = not any(getattr(port.link, "prunes", False) for port in host.plugged.values())
        if channel.mode == "asm" and floods and self.maybe():
            exact, strict = self.maybe(), self.maybe()
            where = "the group" if exact else "the wildcard address"
            self.say(f"{host}: a plain socket on {where}{', MULTICAST_ALL 0' if strict else ''}")
            return _plain(host, channel, exact=exact, strict=strict)
        options: dict[str, Any] = {}
        if self.maybe(0.2):
            options["receive_buffer"] = 1 << 18
        return host.receiver(channel, **options)

    def sender(self, host: VirtualHost, channel: Channel) -> Sender:
        """Open a sender with options that do no harm."""
        options: dict[str, Any] = {"ttl": self.dice.choice([1, 2, 64]), "dscp": self.dice.choice([0, 46])}
        self.say(f"{host}: sends with {options}")
        return host.sender(channel, **options)

    def neighbour(self, stack: ExitStack, host: VirtualHost, channel: Channel) -> None:
        """Have another socket at the same port, for another group."""
        other = replace(self.lab.channel(channel.family), port=channel.port)
        stack.callback(_plain(host, other, exact=True, strict=False).close)
        self.say(f"{host}: a neighbour at the same port")

    @contextmanager
    def foreign(self, host: VirtualHost, channel: Channel) -> Iterator[None]:
        """Have another host send, before and after: to another group at the same port, and to another port of the group."""
        port = channel.port + 1 if channel.port < 65535 else channel.port - 1
        group = replace(self.lab.channel(channel.family), port=channel.port)
        self.say(f"{host}: foreign traffic")
        with ExitStack() as stack:
            senders = [
                stack.enter_context(host.sender(each)) for each in (group, Channel.unchecked(channel.group, port))
            ]
            for sender in senders:
                sender.send(b"foreign")
            yield
            for sender in senders:
                sender.send(b"foreign")

    def noise(self, stack: ExitStack, tx: VirtualHost, host: VirtualHost, channel: Channel) -> None:
        """Have counters move for what is not the flow's: others' full queues, closed ports, groups that nobody wants."""
        other = self.lab.channel(channel.family)
        full = _plain(host, other, exact=True, strict=False)
        stack.callback(full.close)
        full.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        with tx.sender(other) as sender, tx.sender(self.lab.channel(channel.family)) as unwanted:
            for _ in range(8):
                sender.send(bytes(800))
                unwanted.send(b"nobody is there")
        with tx.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"closed", (host.interface.ipv4[0], 9))
        self.say(f"{host}: noise")

    def _direct(self) -> tuple[VirtualHost, list[VirtualHost], list[VirtualHost]]:
        tx, rx = self.lab.direct("tx", "rx0")
        mtu = self.dice.choice(_MTUS)
        for host in (tx, rx):
            host.configure(netlink.mtu(host.interface.index, mtu))
        self.say(f"a direct link, mtu {mtu}")
        return tx, [rx], []

    def _switched(self) -> tuple[VirtualHost, list[VirtualHost], list[VirtualHost]]:
        first, *others = [self._link(number) for number in range(self.dice.choice([1, 1, 2, 3]))]
        tx = self._host("tx", first, others)
        receivers = [self._host(f"rx{number}", first, others) for number in range(self.dice.choice([1, 1, 2, 3]))]
        beside = [self._host(f"by{number}", first, others) for number in range(self.dice.choice([0, 1, 2]))]
        if self.maybe(0.25):
            self.say("the sender receives as well")
            receivers.append(tx)
        return tx, receivers, beside

    def _link(self, number: int) -> Link:
        """Make a link: a flat one, or a switch with or without snooping."""
        name = f"link{number}"
        kind = self.dice.choice(["flat", "switch", "snooping", "strict"])
        version = self.dice.choice([2, 3]) if self.mode == "asm" else 3
        if kind == "flat":
            link = self.lab.link(name)
        else:
            snooping = kind != "switch"
            link = self.lab.switch(
                name, snooping=snooping, strict=kind == "strict", igmp_version=version, mld_version=version - 1
            )
        mtu = self.dice.choice(_MTUS)
        if mtu != 1500:
            link.set_mtu(mtu)
        self.say(f"{name}: {kind}, mtu {mtu}, IGMPv{version}")
        return link

    def _host(self, name: str, first: Link, others: list[Link]) -> VirtualHost:
        """Make a host on a link, perhaps on a second one, too; the first is its default."""
        interfaces = {"eth0": first}
        if others and self.maybe():
            interfaces["eth1"] = self.dice.choice(others)
        self.say(f"{name}: {', '.join(f'{nic} on {link}' for nic, link in interfaces.items())}")
        return self.lab.host(name, interfaces=interfaces)


def payload_of(receiver: Receives) -> bytes:
    """Return the payload of the next datagram, also of one that a receiver of ours keeps to itself."""
    datagram = (WithFences(receiver) if isinstance(receiver, Receiver) else receiver).recv(_WAIT)
    return datagram if isinstance(datagram, bytes) else bytes(datagram.payload)


def socket_of(receiver: Receives) -> socket.socket:
    """Return the socket of a receiver of any kind."""
    if isinstance(receiver, PlainReceiver):
        return receiver.socket
    assert isinstance(receiver, Receiver)
    sock = receiver.subscription.socket
    assert sock is not None
    return sock


def _plain(host: VirtualHost, channel: Channel, *, exact: bool, strict: bool) -> PlainReceiver:
    """Open a receiver as users write it: on the wildcard address or on the group."""
    index = host.interface.index
    ipv6 = channel.family == "ipv6"
    with host.inside():
        sock = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if ipv6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL, not strict)
        sock.bind((channel.group if exact else "::", channel.port, 0, index if exact else 0))
        group = socket.inet_pton(socket.AF_INET6, channel.group)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group + struct.pack("=i", index))
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, not strict)
        sock.bind((channel.group if exact else "", channel.port))
        group = socket.inet_aton(channel.group)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack("=4s4si", group, bytes(4), index))
    return PlainReceiver(sock)


def _run(host: VirtualHost, *command: str) -> None:
    host.touch()
    with host.inside():
        subprocess.run(command, check=True, timeout=10)


def _set(host: VirtualHost, **values: str) -> None:
    host.touch()
    with host.inside():
        for name, value in values.items():
            with open(f"/proc/sys/net/{name.replace('__', '/')}", "w", encoding="ascii") as file:
                file.write(value)


def _addresses(network: Network, host: VirtualHost) -> None:
    index, number = host.interface.index, network.dice.randrange(2, 200)
    # After the first ones, so that nobody sends from these.
    host.configure(netlink.address(index, f"172.20.{number}.2", 24), netlink.address(index, f"fd00:{number:x}::2", 64))
    network.say(f"{host}: more addresses")


def _routes(network: Network, host: VirtualHost) -> None:
    index = host.interface.index
    host.configure(
        *(netlink.route(to, index=index) for to in ("198.51.100.0/24", "239.0.0.0/8", "2001:db8::/32", "ff15::/16"))
    )
    network.say(f"{host}: more routes")


_RULES = (
    "chain c { type filter hook input priority 0; policy accept; udp dport 9 drop; ip protocol tcp drop; }",
    "chain c { type filter hook input priority 0; policy drop; meta l4proto { udp, igmp, icmpv6 } accept; }",
    "chain c { type filter hook input priority 0; policy drop; pkttype multicast accept; pkttype host accept; }",
    "chain c { type filter hook output priority 0; policy accept; counter; }",
    "chain c { type filter hook output priority 0; policy accept; ip daddr 224.0.1.0/24 drop; ip6 daddr ff05::2 drop; }",
    "chain c { type filter hook forward priority 0; policy drop; }",
    "chain c { type nat hook postrouting priority 100; ip daddr 198.51.100.0/24 masquerade; }",
    "chain d { return; }; chain c { type filter hook input priority 0; ip saddr 192.0.2.0/24 drop; jump d; }",
)


def _firewall(network: Network, host: VirtualHost) -> None:
    rule = network.dice.choice(_RULES)
    _run(host, "nft", f"table inet t {{ {rule}; }}")
    network.say(f"{host}: firewall {rule}")


def _reverse_path(network: Network, host: VirtualHost) -> None:
    value = network.dice.choice("012")
    _set(host, ipv4__conf__all__rp_filter=value, ipv4__conf__eth0__rp_filter=value)
    network.say(f"{host}: rp_filter {value}")


def _forwarding(network: Network, host: VirtualHost) -> None:
    _set(host, ipv4__ip_forward="1")
    network.say(f"{host}: forwards")


def _other_family_off(network: Network, host: VirtualHost) -> None:
    if network.family == "ipv4":
        _set(host, ipv6__conf__all__disable_ipv6="1")
        network.say(f"{host}: no IPv6")


def _spare_interfaces(network: Network, host: VirtualHost) -> None:
    """Have some that are down, without carrier or without an address."""
    _run(host, "ip", "link", "add", "spare0", "type", "veth", "peer", "name", "spare1")
    if network.maybe():
        _run(host, "ip", "link", "set", "spare0", "up")
    network.say(f"{host}: spare interfaces")


def _forced_version(network: Network, host: VirtualHost) -> None:
    if network.mode == "asm":
        _set(host, ipv4__conf__eth0__force_igmp_version="2", ipv6__conf__eth0__force_mld_version="1")
        network.say(f"{host}: IGMPv2 and MLDv1 forced")


def _limits(network: Network, host: VirtualHost) -> None:
    _set(host, ipv4__igmp_max_memberships="100", ipv4__igmp_max_msf="40")
    network.say(f"{host}: other limits")


_HARMLESS: tuple[Callable[[Network, VirtualHost], None], ...] = (
    _addresses,
    _routes,
    _firewall,
    _reverse_path,
    _forwarding,
    _other_family_off,
    _spare_interfaces,
    _forced_version,
    _limits,
)
