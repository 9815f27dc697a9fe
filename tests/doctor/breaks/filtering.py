"""What is broken by the firewall of the receiver's host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.doctor.scene import Break, Scene, Sends

from .receiving import ipv6

_IP = {"ipv4": "ip", "ipv6": "ip6"}


def _table(place: str, *rules: str, policy: str = "accept", family: str = "inet") -> Callable[[Scene], None]:
    """Return what gives the receiver's host a chain at a place, with rules."""

    def breaks(scene: Scene) -> None:
        names = {"ip": _IP[scene.family], "group": scene.channel.group, "port": scene.channel.port}
        names["source"] = scene.tx.source(scene.family)
        lines = [
            f"add table {family} mine",
            f"add chain {family} mine ours {{ type filter hook {place} priority 0; policy {policy}; }}",
            f"add chain {family} mine more",
            *(f"add rule {family} mine {rule.format(**names)}" for rule in rules),
        ]
        scene.sh(scene.rx, "nft -f - <<'END'\n" + "\n".join(lines) + "\nEND")

    return breaks


# As many distributions have it.
_USUAL = (
    "ours ct state vmap {{ established : accept, related : accept, invalid : drop }}",
    "ours iif lo accept",
    "ours meta l4proto {{ icmp, ipv6-icmp, igmp }} accept",
    "ours tcp dport 22 accept",
)


def _used_up(scene: Scene) -> None:
    """Have a limit that is used up by the first datagram."""
    _table("input", "ours {ip} daddr {group} limit rate over 1/hour burst 1 packets counter drop")(scene)
    open_sender = scene.open_sender

    def open_and_send() -> Sends:
        sender = open_sender()
        sender.send(b"the first")
        scene.open_sender = open_sender
        return sender

    scene.open_sender = open_and_send


def _reverse_path(scene: Scene) -> None:
    """Drop what would not be answered by where it came in, as firewalld does for IPv6, and take the routes away."""
    source, prefix = ("192.0.2.1", 32) if scene.family == "ipv4" else ("2001:db8::1", 128)  # RFC 5737, RFC 3849
    scene.sh(scene.tx, f"ip address add {source}/{prefix} dev eth0 {'nodad' if scene.family == 'ipv6' else ''}")
    scene.sender_options["source"] = source
    scene.sh(scene.rx, f"ip {'-6' if scene.family == 'ipv6' else '-4'} route del default")
    _table("prerouting", "ours fib saddr . iif oif missing drop")(scene)


_NFT = ("nft",)


def _broken(place: str, *rules: str, policy: str = "accept", family: str = "inet") -> dict[str, Any]:
    return {"breaks": _table(place, *rules, policy=policy, family=family), "needs": _NFT}


_INPUT_POLICY = _broken("input", policy="drop")
_USUAL_POLICY = _broken("input", *_USUAL, policy="drop")
_BY_PORT = _broken("input", "ours udp dport {port} counter drop")
_BY_SOURCE = _broken("input", "ours {ip} saddr {{ {source} }} drop")
_BY_TYPE = _broken("prerouting", "ours meta pkttype multicast drop")
_FURTHER_ON = _broken("input", 'ours iifname "eth*" jump more', "more {ip} daddr {group} counter log drop")
_INGRESS_POLICY = _broken("ingress device eth0", policy="drop", family="netdev")
_INGRESS_RULE = _broken("ingress device eth0", "ours udp dport {port} drop", family="netdev")
_REJECT = _broken("input", *_USUAL, "ours reject")

BREAKS = (
    Break("policy of input", "firewall.policy", **_INPUT_POLICY),
    Break("a usual firewall", "firewall.policy", **_USUAL_POLICY),
    Break("a usual firewall, ipv6", "firewall.policy", **_USUAL_POLICY, scene=ipv6),
    Break("policy of prerouting", "firewall.policy", **_broken("prerouting", policy="drop")),
    Break("policy of ingress, ipv6", "firewall.policy", **_INGRESS_POLICY, scene=ipv6),
    Break("rule by port", "firewall.drop", **_BY_PORT),
    Break("rule by port, ipv6", "firewall.drop", **_BY_PORT, scene=ipv6),
    Break("rule by source, ipv6", "firewall.drop", **_BY_SOURCE, scene=ipv6),
    Break("rule by type", "firewall.drop", **_BY_TYPE),
    Break("rule further on", "firewall.drop", **_FURTHER_ON),
    Break("rule at ingress", "firewall.drop", **_INGRESS_RULE),
    Break("reverse path rule", "firewall.drop", _reverse_path, needs=_NFT),
    Break("reverse path rule, ipv6", "firewall.drop", _reverse_path, scene=ipv6, needs=_NFT),
    Break("reject", "firewall.reject", **_REJECT),
    Break("reject, ipv6", "firewall.reject", **_REJECT, scene=ipv6),
    Break("rate", "firewall.limit", _used_up, needs=_NFT),
    Break("rate, ipv6", "firewall.limit", _used_up, scene=ipv6, certain=False, needs=_NFT),
    Break("not understood", "firewall.unclear", **_broken("input", "ours meta iifgroup 0 counter drop")),
)
