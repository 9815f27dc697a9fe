"""Network interfaces: what there is, and which one is meant."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple, Union

from . import system
from .errors import InterfaceError

__all__ = ["Interface"]


@dataclass(frozen=True)
class Interface:
    """A network interface as it was when it was looked up.

    ``addresses`` are IPv4 and IPv6 addresses as text, without prefix length and zone; ``mtu`` is in bytes.
    """

    name: str
    index: int
    addresses: Tuple[str, ...]
    mtu: int
    up: bool
    multicast: bool
    loopback: bool

    @classmethod
    def all(cls) -> List[Interface]:
        """List the interfaces of the calling thread's network namespace, in the order of their index."""
        return [
            cls(raw.name, raw.index, tuple(raw.addresses), raw.mtu, raw.up, raw.multicast, raw.loopback)
            for raw in system.interface_table()
        ]

    @classmethod
    def find(cls, what: Union[str, int, Interface]) -> Interface:
        """Find one by name, by index, or by one of its addresses (``10.0.0.1``, ``fe80::1%eth0``, ``fe80::1%3``).

        An ``Interface`` is returned as it is. A name wins over an index that is written the same. Raises ``InterfaceError``, which lists what there is.
        """
        if isinstance(what, Interface):
            return what
        interfaces = cls.all()
        text = str(what)
        for interface in interfaces:
            if interface.name == text:
                return interface
        if text.isascii() and text.isdigit():
            for interface in interfaces:
                if interface.index == int(text):
                    return interface
            raise InterfaceError(f"no interface has the index {text}; {_listing(interfaces)}")
        address, _, zone = text.partition("%")
        try:
            wanted = str(ipaddress.ip_address(address))
        except ValueError:
            raise InterfaceError(f"no interface is named {text!r}; {_listing(interfaces)}") from None
        found = [interface for interface in interfaces if wanted in interface.addresses]
        if zone:
            found = [interface for interface in found if zone in (interface.name, str(interface.index))]
        if not found:
            raise InterfaceError(f"no interface has the address {text}; {_listing(interfaces)}")
        if len(found) > 1:
            names = ", ".join(f"{wanted}%{interface.name}" for interface in found)
            raise InterfaceError(f"several interfaces have the address {text}; say which: {names}")
        return found[0]

    @classmethod
    def best(cls, family: Optional[str] = None) -> Interface:
        """Return the interface best fit for multicast: up, MULTICAST flag, addresses of both families, no loopback.

        ``family`` (``ipv4`` or ``ipv6``) must be there when it is given. Loopback is the last resort; the lowest
        index decides between equals. Raises ``InterfaceError`` when not even that fits.
        """
        interfaces = cls.all()
        usable = [
            interface
            for interface in interfaces
            if interface.up
            and (interface.multicast or interface.loopback)
            and (any(family in (None, "ipv6" if ":" in address else "ipv4") for address in interface.addresses))
        ]
        if not usable:
            raise InterfaceError(f"no interface is up, able to multicast and has an address; {_listing(interfaces)}")
        return min(usable, key=lambda i: (i.loopback, -bool(i.ipv4) - bool(i.ipv6), i.index))

    @property
    def ipv4(self) -> Tuple[str, ...]:
        """The IPv4 addresses."""
        return self._of("ipv4")

    @property
    def ipv6(self) -> Tuple[str, ...]:
        """The IPv6 addresses, without zone."""
        return self._of("ipv6")

    def address(self, family: str, scope: str = "link-local") -> str:
        """Return the address to send from to a group of this family and scope.

        For IPv6 its scope fits the group's (RFC 6724 section 5, rule 2): a link-local one for link-local groups,
        a wider one for wider groups, where there is a choice. Raises ``InterfaceError`` when there is none.
        """
        candidates = self._of(family)
        if not candidates:
            raise InterfaceError(
                f"interface {self.name} has no {family} address, only {', '.join(self.addresses) or 'none'}"
            )
        if family == "ipv6" and not self.loopback:
            narrow = scope in ("interface-local", "link-local")
            fitting = [a for a in candidates if ipaddress.IPv6Address(a).is_link_local == narrow]
            return (fitting or list(candidates))[0]
        return candidates[0]

    def _of(self, family: str) -> Tuple[str, ...]:
        return tuple(address for address in self.addresses if (":" in address) == (family == "ipv6"))

    def __str__(self) -> str:
        return self.name


def _listing(interfaces: Sequence[Interface]) -> str:
    rows = [f"{i.name} (index {i.index}, {', '.join(i.addresses) or 'no address'})" for i in interfaces]
    return "there are: " + "; ".join(rows) if rows else "there are none"
