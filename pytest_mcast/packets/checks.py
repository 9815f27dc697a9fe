"""What no frame can say, found early and told clearly."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from .headers import ExtensionHeader

if TYPE_CHECKING:
    from .build import Packet

__all__ = ["WORDS", "check_packet", "check_word", "is_word"]

_IPV4_HEADER, _LARGEST = 20, 65535
_IP_FIELDS = {
    "ipv4": ("chksum", "flags", "frag", "id", "ihl", "len", "proto", "tos", "ttl", "version"),
    "ipv6": ("fl", "hlim", "nh", "plen", "tc", "version"),
}
_WORD = re.compile("[a-z][a-z-]*")  # stands for an address, such as "other": the prober knows which
_MAC = re.compile("([0-9a-f]{2}:){5}[0-9a-f]{2}")
_RANGES = {
    "ttl": 255,
    "port": _LARGEST,
    "source_port": _LARGEST,
    "traffic_class": 255,
    "flow_label": 0xFFFFF,
    "identification": 0xFFFFFFFF,
    "ethertype": _LARGEST,
    "tag_type": _LARGEST,
}


#: The words there are, by the field of a packet.
WORDS = {
    "source": ("other", "receiver", "group"),
    "group": ("other", "receiver", "same-mac", "solicited-node"),
    "port": ("other",),
    "mac": ("broadcast", "group", "other", "receiver"),
    "source_mac": ("receiver",),
}


def check_word(name: str, value: str) -> None:
    """Raise ``ValueError`` for a word that says nothing of this field."""
    if not is_word(value) or value in WORDS.get(name, ()):
        return
    others = ", ".join(other for other, words in WORDS.items() if value in words)
    there = f"there is another {others}" if others else f"it may be {', '.join(WORDS.get(name, ())) or 'no word'}"
    raise ValueError(f"{name}={value!r} says nothing; {there}")


def is_word(value: str) -> bool:
    """Say whether a value stands for an address, such as ``other``."""
    return _WORD.fullmatch(value) is not None


def check_packet(packet: Packet) -> dict[str, str]:
    """Return the addresses of a packet in canonical form; raises ``ValueError`` for what no frame can say."""
    for name in WORDS:
        if isinstance(word := getattr(packet, name), str):
            check_word(name, word)
    addresses = _check_addresses(packet)
    for name, highest in _RANGES.items():
        value = getattr(packet, name)
        if value is not None and not isinstance(value, str) and not 0 <= value <= highest:
            raise ValueError(f"{name}={value!r} is not from 0 to {highest}")
    if isinstance(packet.port, str) and not is_word(packet.port):
        raise ValueError(f"port={packet.port!r} is neither a number from 0 to 65535 nor a word")
    for name in ("checksum", "ip_checksum"):
        _check_checksum(name, getattr(packet, name))
    for name in ("udp_length", "ip_length"):
        _check_length(name, getattr(packet, name))
    _check_fragments(packet)
    room = _LARGEST - 8 - (_IPV4_HEADER if packet.family == "ipv4" and packet.fragment is None else 0)
    if not 0 <= packet.size <= room:
        raise ValueError(f"size={packet.size!r} is not from 0 to {room} bytes")
    if any(not 0 <= vid <= 0xFFFF for vid in packet.vlan):
        raise ValueError(f"vlan={packet.vlan!r} is not made of numbers of 16 bits: 3 of priority, 1, and 12 of the VID")
    _check_headers(packet)
    return addresses


def _check_addresses(packet: Packet) -> dict[str, str]:
    addresses = {}
    for name in ("source", "group"):
        text = getattr(packet, name)
        if text is not None and not is_word(text):
            addresses[name] = str(ipaddress.ip_address(text))
    if len({":" in address for address in addresses.values()}) == 2:
        raise ValueError(f"source {packet.source} and group {packet.group} are of different families")
    for name in ("mac", "source_mac"):
        mac = getattr(packet, name)
        if mac is not None and not _MAC.fullmatch(mac) and not is_word(mac):
            raise ValueError(f"{name}={mac!r} is no Ethernet address, such as '02:00:00:00:00:01'")
    return addresses


def _check_checksum(name: str, value: object) -> None:
    number = 0 if value is None or value == "bad" else value
    if not isinstance(number, int) or not 0 <= number <= _LARGEST:
        raise ValueError(f"{name}={value!r} is neither 'bad' nor a number from 0 to 65535 nor None")


def _check_length(name: str, value: object) -> None:
    if value is None or (isinstance(value, str) and re.fullmatch(r"[+-]\d+", value)):
        return
    if not isinstance(value, int) or not 0 <= value <= _LARGEST:
        raise ValueError(f"{name}={value!r} is neither a number from 0 to 65535 nor a difference such as '-5' nor None")


def _check_fragments(packet: Packet) -> None:
    for name, size in (("fragment", packet.fragment), ("first_fragment", packet.first_fragment)):
        if isinstance(size, int) and (size < 8 or size % 8):
            raise ValueError(f"{name}={size!r} is not a multiple of 8 from 8 upwards")
    if packet.fragment is None and (packet.order or packet.first_fragment):
        raise ValueError("an order and a first fragment belong to fragments: name their size as well")
    if isinstance(packet.order, str) and packet.order != "reversed":
        raise ValueError(f"order={packet.order!r} is neither 'reversed' nor numbers of fragments")


def _check_headers(packet: Packet) -> None:
    family = packet.family
    if family is None:
        return
    wrong = [one for one in packet.options if isinstance(one, ExtensionHeader) != (family == "ipv6")]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is not for {family}: IPv4 has options (bytes), IPv6 has extension headers")
    if family == "ipv4" and sum(map(len, packet.options)) > 40:  # type: ignore[arg-type]  # they are bytes
        raise ValueError(f"{sum(map(len, packet.options))} bytes of options are more than the 40 of IPv4")  # type: ignore[arg-type]
    unknown = [name for name, _ in packet.ip_fields if name not in _IP_FIELDS[family]]
    if unknown:
        raise ValueError(f"{family} has no field {unknown[0]!r}; it has {', '.join(_IP_FIELDS[family])}")
    only = [("ip_checksum", "ipv4", packet.ip_checksum is not None), ("dont_fragment", "ipv4", packet.dont_fragment)]
    only.append(("flow_label", "ipv6", bool(packet.flow_label)))
    for name, where, used in only:
        if used and family != where:
            raise ValueError(f"{name} is for {where}, and this is {family}")
