"""A multicast router of a virtual network: a host that forwards, by entries that the test sets."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pytest_mcast.core.channels import FAMILIES
from pytest_mcast.core.deadline import Deadline

from . import netlink
from .mroute import Forwarding, RouteCounters, Upcall
from .namespace import Namespace
from .virtualhost import VirtualHost

if TYPE_CHECKING:
    from pytest_mcast.hosts import Host

__all__ = ["Router"]


class Router(VirtualHost):
    """A host that forwards multicast between its interfaces, by static entries; ``Lab.router()`` makes them.

    It forwards nothing by itself, asks for no memberships and speaks no routing protocol: for that, start a daemon in an
    ordinary host.
    """

    def __init__(self, name: str, namespace: Namespace, connection: netlink.Netlink) -> None:
        super().__init__(name, namespace, connection)
        self._forwarding: dict[str, Forwarding] = {}
        self._upcalls: list[Upcall] = []

    def route(
        self,
        group: str,
        incoming: str,
        outgoing: Iterable[str] | Mapping[str, int],
        *,
        source: Host | str | None = None,
    ) -> None:
        """Forward a group that comes in by an interface out of others; from one source, or from any.

        ``outgoing`` may map names to the least TTL that goes out there (a packet leaves with one less than it came with).
        A packet that comes in by another interface is dropped (RPF): one of these is counted, as those of a ``source`` are by
        any; one that comes by a third interface to an entry of any source waits like one that has no entry. Replaces the entry if there is one. Raises ``ValueError`` for what cannot be an entry, and
        ``MissingCapability``.
        """
        family = _family(group)
        thresholds = dict(outgoing) if isinstance(outgoing, Mapping) else dict.fromkeys(outgoing, 1)
        wrong = [f"{name}: {ttl!r}" for name, ttl in thresholds.items() if not 1 <= ttl <= 254]
        if wrong:
            raise ValueError(f"the least TTL of {', '.join(wrong)} is not from 1 to 254")
        if family == "ipv6" and set(thresholds.values()) - {1}:
            raise ValueError("IPv6 has no least hop limit for each entry; give the names of the interfaces only")
        self._of(family).add(self._address(source, group), group, incoming, thresholds)
        self.touch()

    def forward(self, family: str) -> None:
        """Begin to forward: what has no entry yet waits for one from now on. ``route()`` does it, too."""
        self._of(family)

    def unroute(self, group: str, incoming: str, *, source: Host | str | None = None) -> None:
        """Take an entry away; raises ``OSError`` (ENOENT) when there is none."""
        self._of(_family(group)).delete(self._address(source, group), group, incoming)

    def counters(self, group: str, *, source: Host | str | None = None) -> RouteCounters:
        """Return what an entry has forwarded and refused up to now; raises ``OSError`` (EADDRNOTAVAIL) when there is none."""
        return self._of(_family(group)).counters(self._address(source, group), group)

    def wait_for_upcall(self, group: str, kind: str = "unresolved", timeout: float = 5.0) -> Upcall:
        """Wait until the kernel asks about a group: ``unresolved`` or ``wrong interface``; raises ``TimeoutError``.

        At most one question every 3 s about wrong interfaces is asked for one entry (MFC_ASSERT_THRESH).
        """
        for upcall in self._upcalls:
            if (upcall.kind, upcall.group) == (kind, group):
                self._upcalls.remove(upcall)
                return upcall
        for upcall in self._of(_family(group)).upcalls(Deadline(timeout)):
            if (upcall.kind, upcall.group) == (kind, group):
                return upcall
            self._upcalls.append(upcall)  # for who asks later: the kernel does not repeat it
        raise TimeoutError(f"{self} was not asked about {group} ({kind}) within {timeout:g} s")

    def _of(self, family: str) -> Forwarding:
        """Return the forwarding of a family, which is switched on at first use with all interfaces there are then."""
        if family not in self._forwarding:
            with self.inside():
                forwarding = self._forwarding[family] = Forwarding(family)
            with self.inside():
                for interface in self.interfaces:
                    if not interface.loopback:
                        forwarding.add_interface(interface.name)
        return self._forwarding[family]

    def _address(self, source: Host | str | None, group: str) -> str | None:
        return source if source is None or isinstance(source, str) else source.source(_family(group))

    def close(self) -> None:
        """Stop forwarding, and let go of the namespace; again is no error."""
        with ExitStack() as stack:
            stack.callback(super().close)
            for forwarding in self._forwarding.values():
                stack.callback(forwarding.close)
            self._forwarding.clear()


def _family(group: str) -> str:
    address = ipaddress.ip_address(group)
    if not address.is_multicast:
        raise ValueError(f"{group!r} is no multicast group")
    return FAMILIES[address.version == 6]
