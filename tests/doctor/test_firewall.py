"""What is said of a ruleset, and what the kernel does by it: for each rule a datagram is sent."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import subprocess
from dataclasses import replace

import pytest

from pytest_mcast import LabView
from pytest_mcast.doctor.firewall import INCOMING, OUTGOING, Packet, Stop, stops
from pytest_mcast.evidence.firewall import nftables

from ..support.programs import needs

# What the rule does, as far as it can be told, and the rule; {ip}, {group}, {port}, {source}, {wide} are the scene's.
STOPS, PASSES, UNSURE = "stops", "passes", "unsure"
RULES = (
    (STOPS, "drop"),
    (STOPS, "udp dport {port} drop"),
    (PASSES, "udp dport != {port} drop"),
    (STOPS, "udp dport {{ 5, {port} }} drop"),
    (PASSES, "udp dport {{ 5, 7-9 }} drop"),
    (STOPS, "udp dport 1000-65535 drop"),
    (STOPS, "udp dport > 1000 drop"),
    (PASSES, "udp dport < 1000 drop"),
    (PASSES, "tcp dport {port} drop"),
    (STOPS, "th dport {port} drop"),
    (STOPS, "{ip} daddr {group} counter drop"),
    (STOPS, "{ip} daddr {wide} drop"),
    (PASSES, "{ip} daddr != {wide} drop"),
    (STOPS, "{ip} saddr {source} drop"),
    (PASSES, "{ip} saddr != {source} drop"),
    (STOPS, "{ip} saddr . udp dport {{ {source} . {port} }} drop"),
    (PASSES, "{ip} saddr . udp dport {{ {source} . 5 }} drop"),
    (STOPS, "{ip} saddr @known drop"),
    (PASSES, "{ip} saddr != @known drop"),
    (STOPS, "iif eth0 reject"),
    (STOPS, 'iifname "eth*" log drop'),
    (PASSES, "iifname lo drop"),
    (STOPS, "meta pkttype multicast drop"),
    (PASSES, "meta pkttype unicast drop"),
    (STOPS, "meta l4proto {{ igmp, udp }} drop"),
    (PASSES, "meta l4proto {{ igmp, ipv6-icmp }} drop"),
    (STOPS, "meta nfproto {family} drop"),
    (PASSES, "meta nfproto != {family} drop"),
    (STOPS, "fib daddr type multicast drop"),
    (PASSES, "fib saddr . iif oif missing drop"),
    (STOPS, "fib saddr oif exists drop"),
    (PASSES, "ct state established,related drop"),
    (PASSES, "ct state invalid drop"),
    (STOPS, "ct state new,invalid drop"),
    (STOPS, "ct state . udp dport {{ new . {port} }} drop"),
    (PASSES, "ct state . udp dport {{ established . {port}, new . 5 }} drop"),
    (PASSES, "ct state . udp dport {{ new . {port} }} accept; ours drop"),
    (STOPS, "meta length 1-65535 drop"),
    (PASSES, "udp length > 1000 drop"),
    (PASSES, "udp dport {port} accept; ours drop"),
    (STOPS, "jump more; more udp dport {port} drop"),
    (PASSES, "jump more; more return; more drop"),
    (PASSES, "udp dport 5 jump more; more drop"),
    (STOPS, "goto more; more udp dport 5 accept; ours accept", "policy"),
    (PASSES, "goto more; more accept", "policy"),
    (STOPS, "udp dport vmap {{ 5 : accept, {port} : drop }}"),
    (PASSES, "udp dport vmap {{ {port} : accept }}; ours drop"),
    (STOPS, "udp dport vmap {{ {port} : jump more }}; more drop"),
    (PASSES, "iifname vmap {{ lo : drop, eth0 : accept }}", "policy"),
    (STOPS, "iifname vmap {{ lo : accept }}", "policy"),
    (UNSURE, "meta mark 7 accept; ours drop"),
    (UNSURE, "meta mark 0 drop"),
    (UNSURE, "meta mark != 0 accept", "policy"),
    (UNSURE, "limit rate 100/second accept", "policy"),
    (UNSURE, "numgen random mod 2 < 1 drop"),
    (PASSES, "meta mark 0 return"),
    (PASSES, "meta mark 0 jump more; more udp dport 5 drop"),
)


def _ruleset(words: dict[str, object], rule: str, hint: str) -> str:
    policy = "drop" if hint == "policy" else "accept"
    first, *more = rule.format(**words).split("; ")
    kind = "ipv4_addr" if words["ip"] == "ip" else "ipv6_addr"
    return "\n".join(
        (
            "flush ruleset",
            "add table inet mine",
            f"add set inet mine known {{ type {kind}; elements = {{ {words['source']} }}; }}",
            f"add chain inet mine ours {{ type filter hook input priority 0; policy {policy}; }}",
            "add chain inet mine more",
            f"add rule inet mine ours udp dport {words['fence']} accept",
            f"add rule inet mine ours {first}",
            *(f"add rule inet mine {each}" for each in more),
        )
    )


def _nft(text: str) -> None:
    program = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin")
    assert program is not None
    subprocess.run([program, "-f", "-"], input=text, text=True, check=True)


def _said(found: tuple[Stop, ...]) -> str:
    return PASSES if not found else STOPS if any(stop.sure for stop in found) else UNSURE


@needs("nft")
@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_what_is_said_of_a_rule_is_what_the_kernel_does(mcast_lab: LabView, family: str) -> None:
    tx, rx = mcast_lab.host("tx"), mcast_lab.host("rx")
    channel, other = mcast_lab.channel(family), mcast_lab.channel(family)
    receiver, sender = rx.receiver(channel), tx.sender(channel)
    fences, fence = rx.receiver(other), tx.sender(other)
    source = sender.source[0].partition("%")[0]
    words: dict[str, object] = {
        "ip": "ip" if family == "ipv4" else "ip6",
        "family": family,
        "group": channel.group,
        "wide": "224.0.0.0/4" if family == "ipv4" else "ff00::/8",
        "port": channel.port,
        "source": source,
        "fence": other.port,
    }
    packet = Packet(
        *(family, channel.group),
        source=source,
        port=channel.port,
        length=100,
        incoming="eth0",
        routed=True,
        routed_back=True,
    )
    wrong = []
    rx.touch()
    for expected, rule, *hint in RULES:
        if family == "ipv6" and not re.search("{ip}|{wide}|{family}|meta|fib|ct", rule):
            continue  # it is the same
        with rx.inside():
            _nft(_ruleset(words, rule, *(hint or [""])))
            said = _said(stops(nftables(), packet, *INCOMING))
        sender.send(secrets.token_bytes(52))
        fence.send(b"fence")
        fences.recv()  # so that the other one is there, or will never be
        done = STOPS if receiver.receive() is None else PASSES
        if said not in (UNSURE, done) or said != expected:
            wrong.append((rule, said, done))
    assert not wrong


@needs("nft")
@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_a_host_hears_itself_by_the_interface_that_it_sends_out_of(mcast_lab: LabView, family: str) -> None:
    host = mcast_lab.host()
    one, other = mcast_lab.channel(family), mcast_lab.channel(family)
    ours, fences = host.receiver(one), host.receiver(other)
    senders = host.sender(one), host.sender(other)
    host.touch()
    packet = Packet(family, one.group, port=one.port, incoming="eth0")
    for device, passes in (("lo", True), ("eth0", False)):
        rule = f"add rule inet t c iifname {device} meta pkttype multicast udp dport {one.port} drop"
        with host.inside():
            _nft(
                f"flush ruleset; add table inet t; add chain inet t c {{ type filter hook input priority 0; }}; {rule}"
            )
            found = stops(nftables(), packet, *INCOMING)
        for sender in senders:
            sender.send(b"x")
        fences.recv()
        assert (ours.receive() is not None, not found) == (passes, passes)


PACKET = Packet("ipv4", "239.1.2.3", source="192.0.2.1", port=5000, incoming="eth0", outgoing="eth1")
IGMP = Packet("ipv4", "224.0.0.22", "igmp", message="membership-report-v3", outgoing="eth1")


def _rule(chain: str, *statements: dict[str, object], table: str = "mine", family: str = "ip") -> dict[str, object]:
    where = {"family": family, "table": table, "chain": chain, "handle": 7}
    return {"rule": {**where, "expr": list(statements)}}


def _chain(hook: str, *, family: str = "ip", policy: str = "accept", **more: object) -> dict[str, object]:
    known = {"family": family, "table": "mine", "name": hook, "hook": hook, "prio": 0, "policy": policy}
    return {"chain": {**known, **more}}


def _match(left: dict[str, object], right: object) -> dict[str, object]:
    return {"match": {"op": "==", "left": left, "right": right}}


_DROP: dict[str, object] = {"drop": None}
_DPORT: dict[str, object] = {"payload": {"protocol": "udp", "field": "dport"}}


@pytest.mark.parametrize(
    ("devices", "expected"), [("eth0", True), (["eth0", "eth5"], True), ("eth9", None), (None, False)]
)
def test_ingress_is_of_an_interface(devices: object, expected: bool | None) -> None:
    more = {} if devices is None else {"dev": devices}
    listing = [_chain("ingress", family="netdev", policy="drop", **more)]
    assert [stop.sure for stop in stops(listing, PACKET, *INCOMING)] == ([] if expected is None else [expected])
    assert not stops(listing, PACKET, *OUTGOING)


def test_reports_are_no_datagrams() -> None:
    listing = [
        _chain("output"),
        _rule("output", _match({"payload": {"protocol": "ip", "field": "protocol"}}, "igmp"), _DROP),
    ]
    assert not stops(listing, PACKET, *OUTGOING)
    (found,) = stops(listing, IGMP, *OUTGOING)
    assert found.sure
    assert found.accepting(IGMP.selector) == "nft insert rule ip mine output handle 7 ip protocol igmp accept"


def test_bridges_have_places_of_their_own() -> None:
    listing = [_chain("forward", family="bridge"), _rule("forward", _match(_DPORT, 5000), _DROP, family="bridge")]
    assert not stops(listing, PACKET, "forward")
    assert [str(stop) for stop in stops(listing, PACKET, "bridge forward")] == [
        "bridge mine forward: udp dport 5000 drop"
    ]


def test_the_other_family_is_not_meant() -> None:
    assert not stops([_chain("input", family="ip6", policy="drop")], PACKET, *INCOMING)
    assert stops([_chain("input", family="inet", policy="drop")], PACKET, *INCOMING)


def test_what_iptables_has_added_may_match() -> None:
    xt: dict[str, object] = {"xt": {"type": "match", "name": "string"}}
    (found,) = stops([_chain("input"), _rule("input", xt, _DROP)], PACKET, *INCOMING)
    assert not found.sure
    (found,) = stops([_chain("input"), _rule("input", {"xt": {"type": "target", "name": "REJECT"}})], PACKET, *INCOMING)
    assert (found.action, found.sure) == ("reject", True)


def test_counters_with_names_are_read() -> None:
    named = {"counter": {"family": "ip", "table": "mine", "name": "lost", "packets": 9}}
    (found,) = stops([named, _chain("input"), _rule("input", {"counter": "lost"}, _DROP)], PACKET, *INCOMING)
    assert found.packets == 9


def test_an_unknown_port_may_match() -> None:
    listing = [_chain("input"), _rule("input", _match(_DPORT, 5000), _DROP)]
    assert [stop.sure for stop in stops(listing, replace(PACKET, port=None), *INCOMING)] == [False]


def test_flows_that_are_not_tracked_are_not_new() -> None:
    state: dict[str, object] = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "new"}}
    listing = [_chain("input"), _rule("input", state, _DROP)]
    assert [stop.sure for stop in stops(listing, PACKET, *INCOMING)] == [True]
    listing.append(_rule("elsewhere", {"notrack": None}, table="other"))
    assert [stop.sure for stop in stops(listing, PACKET, *INCOMING)] == [False]


@pytest.mark.parametrize("right", [{"range": [1, 2]}, [{"range": [1, 2]}, "established"], [8], ["new", 2]])
def test_a_state_that_is_no_name_may_match(right: object) -> None:
    state: dict[str, object] = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": right}}
    sure = isinstance(right, list) and "new" in right
    assert [stop.sure for stop in stops([_chain("input"), _rule("input", state, _DROP)], PACKET, *INCOMING)] == [sure]


def test_a_dormant_table_stops_nothing() -> None:
    chain = _chain("input", policy="drop")
    table = {"family": "ip", "name": "mine"}
    assert stops([{"table": table}, chain], PACKET, *INCOMING)
    assert not stops([{"table": {**table, "flags": ["dormant"]}}, chain], PACKET, *INCOMING)


def test_it_takes_plain_values() -> None:
    """See that what remote hosts send is understood as well."""
    listing = json.loads(json.dumps([_chain("input", policy="drop")]))
    assert [str(stop) for stop in stops(listing, PACKET, *INCOMING)] == ["ip mine input: policy drop"]
