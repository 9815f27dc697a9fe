"""Settings of a receiver's host that look like a cause and are none: the doctor says nothing of them."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from pytest_mcast import Channel, LabView
from pytest_mcast.core import FAMILIES
from pytest_mcast.doctor import Observation, Party, diagnose
from pytest_mcast.doctor.checks import damage, filtering, receiving, sources

from ..support.programs import needs
from .shell import sh

# Those of the receiver's host: others say, and are right, that what is asked for was read already.
CHECKS = (*receiving.CHECKS, *sources.CHECKS, *filtering.CHECKS, *damage.CHECKS)
_ACCEPT = "ct state established,related accept; c ct state invalid drop; c udp dport {port} accept; c counter drop"
_RULES = {
    "a usual firewall": ("input", "drop", _ACCEPT),
    "rules for others": ("input", "accept", "udp dport 5 drop; c {ip} daddr {other} drop; c meta l4proto tcp reject"),
    "a rate that is not reached": ("input", "accept", "limit rate over 1000/second drop"),
    "a counter that has not counted": ("input", "accept", "meta mark 7 counter drop"),
    "what nobody understands": ("prerouting", "accept", "meta mark 7 drop"),
    "a reverse path that is there": ("prerouting", "accept", "fib saddr . iif oif missing drop"),
    "another interface": ("ingress device lo", "drop", "accept"),
}


@needs("nft")
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("what", _RULES)
def test_a_firewall_that_lets_them_pass(mcast_lab: LabView, family: str, what: str) -> None:
    place, policy, rules = _RULES[what]
    table = "netdev t" if place.startswith("ingress") else "inet t"
    ip, other = ("ip", "239.9.9.9") if family == "ipv4" else ("ip6", "ff15::9")
    channel = mcast_lab.channel(family)
    first, *more = rules.format(ip=ip, other=other, port=channel.port).split("; ")
    lines = [
        f"add table {table}",
        f"add chain {table} c {{ type filter hook {place} priority 0; policy {policy}; }}",
        f"add rule {table} c {first}",
        *(f"add rule {table} {rule}" for rule in more),
    ]
    _nothing_is_said(mcast_lab, "nft -f - <<'END'\n" + "\n".join(lines) + "\nEND", channel)


@pytest.mark.parametrize(
    "command",
    [
        "sysctl -qw net.ipv4.conf.all.rp_filter=1",
        "ip link add br0 type bridge; ip link set br0 up",
        "ip link set eth0 multicast off",
        "ip link set eth0 mtu 1400",
        "ip route add blackhole 192.0.2.0/24",
    ],
)
def test_settings_that_do_no_harm(mcast_lab: LabView, command: str) -> None:
    _nothing_is_said(mcast_lab, command, mcast_lab.channel("ipv4"))


def _nothing_is_said(lab: LabView, command: str, channel: Channel) -> None:
    """Send a datagram, which arrives, and ask the doctor as if it had been lost."""
    tx, rx = lab.host("tx"), lab.host("rx")
    sh(rx, command)
    with ExitStack() as stack:
        observation = stack.enter_context(Observation(tx, rx))
        receiver = stack.enter_context(rx.receiver(channel))
        sender = stack.enter_context(tx.sender(channel))
        sender.send(b"hello")
        receiver.recv()
        parties = Party(tx, [sender.socket], "eth0"), Party(rx, [receiver.subscription.socket], "eth0")
        flow = observation.flow(channel, sender=parties[0], receiver=parties[1], call="receive", size=5)
    diagnosis = diagnose(flow, CHECKS)
    assert not diagnosis.findings, "\n".join(diagnosis.lines(limit=100))
