"""Words that stand for addresses in a crafted datagram: another source than the receiver's, the receiver's own, and so on."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pytest_mcast.core.channels import Channel, group_mac
from pytest_mcast.core.groups import ChannelPicker

from .checks import WORDS, check_word

if TYPE_CHECKING:
    from pytest_mcast.core.interfaces import Interface

    from .build import Packet
    from .places import Place

__all__ = ["Words", "neighbour_address"]

_OTHER_MAC = "02:6d:63:ff:ff:fe"  # locally administered, unicast, nobody's


def neighbour_address(address: str, taken: tuple[str, ...], *, near: bool = False) -> str:
    """Return another address on the same link, or with ``near`` one that differs in the last octet only."""
    known = ipaddress.ip_address(address)
    changes = (0x3E, 0x5E) if near else (0x7F00, 0x3F00)
    return next(text for change in changes if (text := str(type(known)(int(known) ^ change))) not in taken)


class Words:
    """What the words stand for, always the same for one receiver on a host; another source is none of ``taken``."""

    def __init__(
        self,
        channel: Channel,
        legitimate: Packet,
        host: Place,
        interface: Interface,
        taken: tuple[str, ...],
        *,
        near: bool,
    ) -> None:
        self._channel = channel
        self._legitimate = legitimate
        self._host = host
        self._interface = interface
        self._taken = taken
        self._near = near
        self._known: dict[tuple[str, str], Any] = {}
        self._other: Channel | None = None

    def resolved(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields with addresses in place of words; raises ``ValueError`` for a word that says nothing."""
        found = dict(changes)
        for name, value in changes.items():
            if name in WORDS and isinstance(value, str) and value in WORDS[name]:
                found[name] = self._look_up(name, value)
            elif isinstance(value, str) and (name in WORDS or value == "other"):
                check_word(name, value)
        if changes.get("group") == "receiver" and found.get("mac") is None:
            found["mac"] = self._look_up("mac", "receiver")
        return found

    def _look_up(self, name: str, word: str) -> Any:
        if (name, word) not in self._known:
            meanings: dict[tuple[str, str], Callable[[], Any]] = {
                ("source", "other"): self._other_source,
                ("source", "receiver"): self._own_address,
                ("source", "group"): lambda: self._channel.group,
                ("group", "other"): lambda: self._other_channel().group,
                ("group", "receiver"): self._own_address,
                ("group", "same-mac"): self._same_mac,
                ("group", "solicited-node"): self._solicited_node,
                ("port", "other"): lambda: self._other_channel().port,
                ("mac", "broadcast"): lambda: "ff:ff:ff:ff:ff:ff",
                ("mac", "group"): lambda: group_mac(self._channel.group),
                ("mac", "other"): lambda: _OTHER_MAC,
                ("mac", "receiver"): self._own_mac,
                ("source_mac", "receiver"): self._own_mac,
            }
            self._known[name, word] = meanings[name, word]()
        return self._known[name, word]

    def _other_source(self) -> str:
        return neighbour_address(self._legitimate.source or "", self._taken, near=self._near)

    def _own_address(self) -> str:
        return self._interface.address(self._channel.family, self._channel.scope)

    def _own_mac(self) -> str:
        return self._host.injector(self._interface.name).mac

    def _same_mac(self) -> str:
        """Return a group that has the Ethernet address of the receiver's (RFC 1112 section 6.4, RFC 2464 section 7)."""
        group = ipaddress.ip_address(self._channel.group)
        different = 1 << 23 if isinstance(group, ipaddress.IPv4Address) else 1 << 40
        return str(type(group)(int(group) ^ different))

    def _solicited_node(self) -> str:
        """Return the group that the receiver's host is in with its address, unasked (RFC 4291 section 2.7.1)."""
        own = ipaddress.ip_address(self._own_address())
        if own.version == 4:
            raise ValueError("group='solicited-node' is for IPv6")
        return str(ipaddress.IPv6Address(int(ipaddress.IPv6Address("ff02::1:ff00:0")) | int(own) & 0xFFFFFF))

    def _other_channel(self) -> Channel:
        channel = self._channel
        scope = None if channel.family == "ipv4" else channel.scope
        picker = ChannelPicker(secrets.token_bytes(8))
        with self._host.inside():
            while self._other is None:
                other = picker.pick(channel.family, scope, source=channel.source, interface=self._interface)
                if other.group != channel.group and other.port != channel.port:
                    self._other = other
        return self._other
