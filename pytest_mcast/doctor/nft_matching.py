"""Whether a match of nftables is true for a packet: yes, no, or nobody can tell (None).

The shapes are those of libnftables-json(5). What is not known here, or not known of the packet, is None.
"""

from __future__ import annotations

import fnmatch
import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["Packet", "Sets", "elements_of", "matches"]

#: Named sets and maps of a table, by name.
Sets = Mapping[str, Mapping[str, Any]]

_NUMBERS = {"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "ipv6-icmp": 58, "icmpv6": 58, "sctp": 132}
_MLD = "{ mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report }"


@dataclass(frozen=True)
class Packet:
    """What rules may ask about a packet; None is what is not known.

    ``protocol`` is udp, igmp or ipv6-icmp; ``message`` the type of an IGMP or ICMPv6 message by nft's name
    (``membership-report-v3``, ``mld2-listener-report``); ``length`` in bytes with the IP header; ``incoming`` and
    ``outgoing`` are interfaces; ``states`` what connection tracking may take it for: new, as a group never answers; ``routed``
    whether there is a route to its source, ``routed_back`` whether by the interface that it comes in by. It is one that
    nothing is wrong with.
    """

    family: str
    destination: str
    protocol: str = "udp"
    source: str | None = None
    port: int | None = None
    source_port: int | None = None
    ttl: int | None = None
    length: int | None = None
    message: str | None = None
    incoming: str | None = None
    outgoing: str | None = None
    states: frozenset[str] = frozenset({"new"})
    routed: bool | None = None
    routed_back: bool | None = None

    @property
    def selector(self) -> str:
        """What selects such packets in a rule."""
        layer = "ip" if self.family == "ipv4" else "ip6"
        if self.protocol == "igmp":
            return "ip protocol igmp"
        if self.protocol == "ipv6-icmp":
            return f"icmpv6 type {_MLD}"
        port = "" if self.port is None else f" udp dport {self.port}"
        return f"{layer} daddr {self.destination}{port}"

    @property
    def selector_of_fragments(self) -> str:
        """What selects such packets and all their fragments: ports are only in the first."""
        return replace(self, port=None).selector


class _Unknown(Exception):  # noqa: N818 - no error: nobody can tell
    pass


class _Absent(Exception):  # noqa: N818 - no error: such a packet has no such field, so that no match is true
    pass


def matches(match: Mapping[str, Any], packet: Packet, place: str, sets: Sets) -> bool | None:
    """Return whether the match is true for the packet at a place such as ``input``; None when nobody can tell."""
    operator = match.get("op", "==")
    left, right = match.get("left"), match.get("right")
    try:
        if isinstance(left, Mapping) and "concat" in left:
            answer = _any(_row(left["concat"], element, packet, place) for element in _elements(right, sets))
        else:
            value = _value(left, packet, place)
            if operator in ("<", ">", "<=", ">="):
                return _ordered(operator, value, right)
            answer = _is_in(value, list(_elements(right, sets)))
    except _Absent:
        return False
    except _Unknown:
        return None
    if operator not in ("==", "!=", "in"):
        return None
    return answer if operator != "!=" or answer is None else not answer


def elements_of(data: Any, sets: Sets) -> list[Any] | None:
    """Return the pairs of key and verdict of a verdict map, named or not; None when it is not known."""
    try:
        return list(_elements(data, sets))
    except _Unknown:
        return None


def _elements(right: Any, sets: Sets) -> Iterator[Any]:
    if isinstance(right, str) and right.startswith("@"):
        if right[1:] not in sets:
            raise _Unknown
        yield from _unwrapped(sets[right[1:]].get("elem", ()))
    elif isinstance(right, Mapping) and "set" in right:
        elements = right["set"]
        yield from _unwrapped(elements if isinstance(elements, list) else [elements])
    elif isinstance(right, list):
        yield from _unwrapped(right)
    else:
        yield right


def _unwrapped(elements: Iterable[Any]) -> Iterator[Any]:
    """Yield elements without their time-outs and counters."""
    for element in elements:
        if isinstance(element, Mapping) and "elem" in element:
            yield element["elem"]["val"]
        elif isinstance(element, list) and element and isinstance(element[0], Mapping) and "elem" in element[0]:
            yield [element[0]["elem"]["val"], *element[1:]]
        else:
            yield element


def _is_in(value: Any, elements: list[Any]) -> bool | None:
    if not isinstance(value, frozenset):
        return _any(_same(value, element) for element in elements)
    # It is one of these; in a list there may be numbers and ranges, of which nobody can say which state they are.
    names = {element for element in elements if isinstance(element, str)}
    if value <= names or "*" in names:
        return True
    return None if value & names or len(names) < len(elements) else False


def _any(answers: Iterable[bool | None]) -> bool | None:
    found: bool | None = False
    for answer in answers:
        if answer:
            return True
        if answer is None:
            found = None
    return found


def _row(parts: list[Any], element: Any, packet: Packet, place: str) -> bool | None:
    """Return whether all parts of a concatenation are those of the element."""
    wanted = element.get("concat") if isinstance(element, Mapping) else None
    if wanted is None or len(wanted) != len(parts):
        return None
    found: bool | None = True
    for part, each in zip(parts, wanted, strict=True):
        try:
            answer = _is_in(_value(part, packet, place), [each])
        except _Unknown:
            answer = None
        if answer is False:
            return False
        found = None if answer is None else found
    return found


def _same(value: Any, element: Any) -> bool | None:
    """Return whether a value is an element: a value, a prefix, a range, or a pattern of an interface's name."""
    if element == "*":
        return True
    try:
        if isinstance(element, Mapping):
            if "prefix" in element:
                prefix = element["prefix"]
                return ipaddress.ip_address(value) in ipaddress.ip_network(
                    (prefix["addr"], prefix["len"]), strict=False
                )
            if "range" in element:
                low, high = (_comparable(each) for each in element["range"])
                # nft writes two comparisons of one field (> 200, < 1400) as != 1400-200.
                return bool(low <= _comparable(value) <= high) if low <= high else None
            return None
        if isinstance(element, str) and element.endswith("*"):
            return fnmatch.fnmatchcase(str(value), element)
        return bool(_comparable(value) == _comparable(element))
    except (TypeError, ValueError):
        return None


def _ordered(operator: str, value: Any, right: Any) -> bool | None:
    try:
        one, other = _comparable(value), _comparable(right)
        return bool({"<": one < other, ">": one > other, "<=": one <= other, ">=": one >= other}[operator])
    except (TypeError, ValueError):
        return None


def _comparable(value: Any) -> Any:
    """Return a number for what has one (protocols), an address for what is one, else the value."""
    if isinstance(value, str):
        if value in _NUMBERS:
            return _NUMBERS[value]
        if "." in value or ":" in value:
            try:
                return ipaddress.ip_address(value)
            except ValueError:  # an Ethernet address, an interface's name
                return value.lower()
    return value


def _value(left: Any, packet: Packet, place: str) -> Any:
    """Return what the left side of a match is for the packet; raises ``_Unknown``, ``_Absent``."""
    if not isinstance(left, Mapping) or len(left) != 1:
        raise _Unknown
    ((kind, what),) = left.items()
    if kind == "payload":
        return _known(_field(what.get("protocol"), what.get("field"), packet))
    if kind == "meta":
        return _known(_meta(what["key"], packet, place))
    if kind == "ct" and what.get("key") == "state":
        if place in ("ingress", "egress"):  # before the flow is known, or after it was forgotten
            raise _Unknown
        return frozenset({"untracked"}) if packet.protocol == "ipv6-icmp" else packet.states
    if kind == "fib" and (what.get("result"), what.get("flags")) == ("type", ["daddr"]):
        return "multicast"
    if kind == "fib" and what.get("result") == "oif" and "saddr" in (flags := what.get("flags", [])):
        return _known(packet.routed_back if "iif" in flags else packet.routed)  # it is compared with exists, missing
    raise _Unknown


def _known(value: Any) -> Any:
    if value is None:
        raise _Unknown
    return value


def _field(protocol: str | None, field: str | None, packet: Packet) -> Any:
    """Return a field of a header, None when it is not known; raises ``_Absent`` for a packet without such a header."""
    mine = {"ip": packet.family == "ipv4", "ip6": packet.family == "ipv6", "ether": True, "th": True}
    if protocol not in (*mine, "udp", "igmp", "icmp", "icmpv6", "tcp", "udplite", "sctp", "dccp", "arp", "vlan"):
        return None
    if not mine.get(protocol, _NUMBERS.get(protocol) == _NUMBERS[packet.protocol]):
        raise _Absent
    headers = 20 if packet.family == "ipv4" else 40
    layer_2 = {"type": "ip" if packet.family == "ipv4" else "ip6", "daddr": _ethernet(packet.destination)}
    layer_3 = {
        "daddr": packet.destination,
        "saddr": packet.source,
        "protocol": packet.protocol,
        "nexthdr": packet.protocol if packet.protocol == "udp" else None,  # MLD has a hop-by-hop header before it
        "ttl": packet.ttl,
        "hoplimit": packet.ttl,
        "length": None if packet.length is None else packet.length - (headers if packet.family == "ipv6" else 0),
        "version": 4 if packet.family == "ipv4" else 6,
    }
    layer_4 = {
        "dport": packet.port,
        "sport": packet.source_port,
        "length": None if packet.length is None else packet.length - headers,
        "type": packet.message,
    }
    layers: Mapping[str, Mapping[str, Any]] = {"ether": layer_2, "ip": layer_3, "ip6": layer_3}
    return layers.get(protocol, layer_4).get(field or "")


def _meta(key: str, packet: Packet, place: str) -> Any:
    coming = place.endswith(("ingress", "prerouting", "input", "forward"))
    going = place.endswith(("egress", "postrouting", "output", "forward"))
    values = {
        "l4proto": packet.protocol,
        "nfproto": packet.family,
        "protocol": "ip" if packet.family == "ipv4" else "ip6",
        "length": packet.length,
        "pkttype": "multicast" if coming else None,  # Measured (Linux 6.18): what leaves is of another type
        "iif": packet.incoming if coming else None,
        "iifname": packet.incoming if coming else None,
        "oif": packet.outgoing if going else None,
        "oifname": packet.outgoing if going else None,
    }
    return values.get(key)


def _ethernet(group: str) -> str:
    """Return the Ethernet address of a group (RFC 1112 section 6.4, RFC 2464 section 7)."""
    packed = ipaddress.ip_address(group).packed
    address = (
        bytes((0x33, 0x33, *packed[-4:])) if len(packed) == 16 else bytes((1, 0, 0x5E, packed[1] & 127, *packed[2:]))
    )
    return address.hex(":")
