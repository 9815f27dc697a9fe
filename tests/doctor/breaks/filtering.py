"""What is broken by the firewall of the receiver's host."""

from __future__ import annotations

from collections.abc import Callable

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


def _twice(id: str, check: str, breaks: Callable[[Scene], None]) -> tuple[Break, Break]:  # noqa: A002 - as Break has it
    needs = ("nft",)
    return Break(id, check, breaks, needs=needs), Break(f"{id}, ipv6", check, breaks, scene=ipv6, needs=needs)


BREAKS = (
    *_twice("policy of input", "firewall.policy", _table("input", policy="drop")),
    *_twice("a usual firewall", "firewall.policy", _table("input", *_USUAL, policy="drop")),
    *_twice("policy of prerouting", "firewall.policy", _table("prerouting", policy="drop")),
    *_twice("policy of ingress", "firewall.policy", _table("ingress device eth0", policy="drop", family="netdev")),
    *_twice("rule by port", "firewall.drop", _table("input", "ours udp dport {port} counter drop")),
    *_twice("rule by source", "firewall.drop", _table("input", "ours {ip} saddr {{ {source} }} drop")),
    *_twice("rule by type", "firewall.drop", _table("prerouting", "ours meta pkttype multicast drop")),
    *_twice(
        "rule further on",
        "firewall.drop",
        _table("input", 'ours iifname "eth*" jump more', "more {ip} daddr {group} counter log drop"),
    ),
    *_twice(
        "rule at ingress",
        "firewall.drop",
        _table("ingress device eth0", "ours udp dport {port} drop", family="netdev"),
    ),
    *_twice("reject", "firewall.reject", _table("input", *_USUAL, "ours reject")),
    Break("rate", "firewall.limit", _used_up, needs=("nft",)),
    Break("rate, ipv6", "firewall.limit", _used_up, scene=ipv6, certain=False, needs=("nft",)),
    Break("not understood", "firewall.unclear", _table("input", "ours meta iifgroup 0 counter drop"), needs=("nft",)),
)
