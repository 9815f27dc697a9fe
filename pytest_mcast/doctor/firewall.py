"""Which rules and policies of nftables stop a packet: those that must, and those that may.

What is read is the list ``nftables`` of ``nft -j list ruleset`` (libnftables-json(5)); ``Facts.firewall()`` returns it. A
match that is not understood is never guessed: what it guards may stop the packet. Each base chain is judged for itself, so
that all that is in the way is named, not only the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from shlex import quote
from typing import Any

from .nft_matching import Packet, Sets, elements_of, matches
from .nft_words import rule_words

__all__ = ["BRIDGED", "INCOMING", "OUTGOING", "Packet", "Stop", "stops"]

Listing = Sequence[Mapping[str, Any]]

#: Where a packet passes on its way in, in order; on its way out; and through a bridge.
INCOMING = ("ingress", "prerouting", "input")
OUTGOING = ("output", "postrouting", "egress")
BRIDGED = ("bridge prerouting", "bridge forward", "bridge postrouting")

_PRIORITIES = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "out": 100, "srcnat": 100}
# What sorts out some packets and not others, whatever is in them.
_LIMITING = frozenset({"ct count", "limit", "meter", "quota"})
# What does something with the packet and lets the rest of the rule have it.
_HARMLESS = frozenset({"comment", "ct helper", "dup", "flow", "last", "log", "mangle", "notrack", "set"})
_ACCEPTING = frozenset({"accept", "masquerade", "snat"})
# After these nobody can say what becomes of the packet.
_DIVERTING = frozenset({"dnat", "fwd", "queue", "redirect", "synproxy", "tproxy"})
_VERDICTS = _ACCEPTING | _DIVERTING | {"continue", "drop", "goto", "jump", "reject", "return"}
_DEEPEST = 16  # NFT_JUMP_STACK_SIZE


@dataclass(frozen=True)
class Stop:
    """What stops a packet: a rule, or the policy of a chain (then ``handle`` is None).

    ``sure``: it must, because all that leads to it was understood; else it may. ``limited``: it stops some and not others,
    by a rate, a quota or chance. ``packets`` is what the rule's counter says, None when it has none.
    """

    place: str
    family: str
    table: str
    chain: str
    handle: int | None
    action: str
    words: str
    sure: bool
    limited: bool = False
    packets: int | None = None

    def __str__(self) -> str:
        return f"{self.family} {self.table} {self.chain}: {self.words}"

    def accepting(self, selector: str) -> str:
        """Return the command that accepts some packets (``Packet.selector``) right before they are stopped here."""
        chain = f"{self.family} {quote(self.table)} {quote(self.chain)}"
        if self.handle is None:
            return f"nft add rule {chain} {selector} accept"
        return f"nft insert rule {chain} handle {self.handle} {selector} accept"


def stops(listing: Listing, packet: Packet, *places: str) -> tuple[Stop, ...]:
    """Return what stops the packet, or may, at these places (``INCOMING``, ...), in their order.

    The places of a bridge have names of their own, such as ``bridge forward``.
    """
    if any("notrack" in statement for each in listing for statement in each.get("rule", {}).get("expr", ())):
        packet = replace(packet, states=packet.states | {"untracked"})
    return tuple(
        stop for place in places for chain in _chains(listing, place) for stop in _judge(listing, chain, packet)
    )


def _chains(listing: Listing, place: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the base chains at a place, in the order in which they are passed."""
    layer, _, hook = place.rpartition(" ")
    families = ("bridge",) if layer else ("netdev", "inet") if hook in ("ingress", "egress") else ("ip", "ip6", "inet")
    asleep = {_name(each["table"]) for each in listing if "dormant" in each.get("table", {}).get("flags", ())}
    chains = [each["chain"] for each in listing if "chain" in each]
    chains = [chain for chain in chains if (chain["family"], chain["table"]) not in asleep]
    found = [chain for chain in chains if chain.get("hook") == hook and chain["family"] in families]
    return [(place, chain) for chain in sorted(found, key=_priority)]


def _name(table: Mapping[str, Any]) -> tuple[str, str]:
    return table["family"], table["name"]


def _priority(chain: Mapping[str, Any]) -> int:
    priority = chain.get("prio", 0)
    return priority if isinstance(priority, int) else _PRIORITIES.get(priority, 0)


def _judge(listing: Listing, at: tuple[str, Mapping[str, Any]], packet: Packet) -> Iterator[Stop]:
    place, chain = at
    family: str = chain["family"]
    if {"ip": "ipv4", "ip6": "ipv6"}.get(family, packet.family) != packet.family:
        return
    start = _Reached(sure=True)
    if place in ("ingress", "egress"):
        mine = packet.incoming if place == "ingress" else packet.outgoing
        devices = chain.get("dev")  # nft before 1.0.7 does not tell
        devices = [devices] if isinstance(devices, str) else devices
        if devices and mine is not None and mine not in devices:
            return
        start = _Reached(sure=bool(devices) and mine is not None)
    walk = _Walk(listing, place, packet, chain)
    left = walk.through(chain["name"], start)
    yield from walk.found
    if left is not None and chain.get("policy") == "drop":
        name = chain["name"]
        yield Stop(place, family, chain["table"], name, None, "drop", "policy drop", left.sure, left.limited)


@dataclass(frozen=True)
class _Reached:
    """That a packet gets somewhere: for sure or maybe, and whether that depends on a rate or on chance."""

    sure: bool
    limited: bool = False


@dataclass
class _Matched:
    """How a packet has got through a rule until now: for sure or maybe, and what the rule's counter says."""

    at: _Reached
    sure: bool = True
    limited: bool = False
    packets: int | None = None

    def doubt(self, *, limited: bool = False) -> None:
        self.sure = False
        self.limited = self.limited or limited

    @property
    def inside(self) -> _Reached:
        """How it gets to what the rule does."""
        return _Reached(self.at.sure and self.sure, self.at.limited or self.limited)

    @property
    def past(self) -> _Reached | None:
        """How it gets to the next rule, when what this one does ends the way."""
        return None if self.sure else _Reached(sure=False, limited=self.at.limited or self.limited)


class _Walk:
    """The way of one packet through one base chain and those that it jumps to; ``found`` is what stops it."""

    def __init__(self, listing: Listing, place: str, packet: Packet, base: Mapping[str, Any]) -> None:
        self.found: list[Stop] = []
        self._place = place
        self._packet = packet
        owner = base["family"], base["table"]
        mine = [
            (kind, what)
            for each in listing
            for kind, what in each.items()
            if (what.get("family"), what.get("table")) == owner
        ]
        self._rules = [what for kind, what in mine if kind == "rule"]
        self._counters = {what["name"]: what.get("packets") for kind, what in mine if kind == "counter"}
        self._sets: Sets = {what["name"]: what for kind, what in mine if kind in ("set", "map")}
        self._ends = 0  # how many rules may have ended the way until now
        self._depth = 0

    def through(self, chain: str, arrives: _Reached) -> _Reached | None:
        """Walk a chain; return how the packet gets out of it, back to where it has jumped from; None if it does not."""
        ends, returned = self._ends, False
        now: _Reached | None = arrives
        self._depth += 1
        for rule in self._rules if self._depth <= _DEEPEST else ():
            if now is not None and rule["chain"] == chain:
                now, back = self._rule(rule, now)
                returned = returned or back
        self._depth -= 1
        if now is None and not returned:
            return None
        if self._ends == ends:  # nothing but jumps and returns
            return arrives
        return _Reached(sure=False, limited=(now or arrives).limited)

    def _rule(self, rule: Mapping[str, Any], at: _Reached) -> tuple[_Reached | None, bool]:
        """Return how the packet gets to the next rule (None: not at all), and whether it may leave the chain here."""
        matched, unknown = _Matched(at), False
        for statement in rule.get("expr", ()):
            ((name, what),) = statement.items()
            if name == "xt":
                name = _extension(what)
            if name == "counter":
                matched.packets = what.get("packets") if isinstance(what, Mapping) else self._counters.get(what)
            elif name == "match":
                answer = matches(what, self._packet, self._place, self._sets)
                if answer is False:
                    return at, False
                if answer is None:
                    matched.doubt(limited="numgen" in str(what["left"]))
            elif name in _LIMITING or (name == "set" and "limit" in str(what.get("stmt"))):
                matched.doubt(limited=True)
            elif name == "vmap":
                return self._map(rule, what, matched)
            elif name in _VERDICTS:
                return self._verdict(rule, name, what, matched)
            elif name not in _HARMLESS:
                matched.doubt()
                unknown = True
        if unknown:  # it may have been a verdict
            self._ends += 1
            return _Reached(sure=False, limited=at.limited), False
        return at, False

    def _map(self, rule: Mapping[str, Any], vmap: Mapping[str, Any], matched: _Matched) -> tuple[_Reached | None, bool]:
        now: _Reached | None = matched.at
        returned = False
        pairs = elements_of(vmap["data"], self._sets)
        if pairs is None:
            self._ends += 1
            return _Reached(sure=False, limited=matched.at.limited), True
        for key, verdict in pairs:
            answer = matches({"left": vmap["key"], "op": "==", "right": key}, self._packet, self._place, self._sets)
            if answer is False or now is None:
                continue
            ((name, what),) = verdict.items()
            each = _Matched(now, matched.sure and answer is True, matched.limited, matched.packets)
            now, back = self._verdict(rule, name, what, each)
            returned = returned or back
        return now, returned

    def _verdict(
        self, rule: Mapping[str, Any], name: str, what: Any, matched: _Matched
    ) -> tuple[_Reached | None, bool]:
        if name == "continue":
            return matched.at, False
        if name == "return":
            return matched.past, True
        if name in ("jump", "goto"):
            ends = self._ends
            left = self.through(what["target"], matched.inside)
            if name == "goto":
                return matched.past, left is not None
            if self._ends == ends:
                return matched.at, False
            return left or matched.past, False
        self._ends += 1
        if name not in _ACCEPTING:
            sure = name in ("drop", "reject") and matched.inside.sure
            where = rule["family"], rule["table"], rule["chain"], rule["handle"]
            limited = matched.inside.limited
            self.found.append(Stop(self._place, *where, name, rule_words(rule), sure, limited, matched.packets))
        return matched.past, False


def _extension(what: Any) -> str:
    """Return what an extension of iptables is here: nft does not say what it does."""
    known = {"REJECT": "reject", "LOG": "log"}
    return known.get(what.get("name", ""), "unknown") if isinstance(what, Mapping) else "unknown"
