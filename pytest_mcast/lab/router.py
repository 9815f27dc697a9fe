"""A multicast router of a virtual network: a host that forwards, by entries that the test sets or a daemon."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.errors import InterfaceError

from . import netlink
from .mfc import MfcEntry, read_mfc
from .mroute import KINDS, Forwarding, RouteCounters, Upcall
from .named import check_family, family_of, group_named, source_named, thresholds_named
from .namespace import Namespace
from .sysctls import write_sysctl
from .virtualhost import VirtualHost

if TYPE_CHECKING:
    from pytest_mcast.core.interfaces import Interface
    from pytest_mcast.hosts import Host

    from .daemon import RoutingDaemon
    from .link import Link
    from .smcroute import StaticRoute

__all__ = ["Router"]

_FORWARDING = ("ipv4/ip_forward", "ipv6/conf/all/forwarding")


class Router(VirtualHost):
    """A host that forwards multicast between its interfaces; ``Lab.router()`` makes them.

    It forwards nothing by itself. Either the test sets static entries (``route()``), or a daemon does what it does
    (``smcroute()``, ``pimd()``, ``frr()``): the kernel grants its forwarding to one program at a time.
    """

    def __init__(self, name: str, namespace: Namespace, connection: netlink.Netlink) -> None:
        super().__init__(name, namespace, connection)
        self._forwarding: dict[str, Forwarding] = {}
        self._upcalls: list[Upcall] = []
        #: The daemons that were started here, ended ones as well.
        self.daemons: list[RoutingDaemon] = []

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
        any; one that comes by a third interface to an entry of any source waits like one that has no entry. A host as ``source``
        is the address that it sends to such groups from. Replaces the entry if there is one. Raises ``ValueError`` for what
        cannot be an entry, and ``MissingCapability``.
        """
        family, group, source = family_of(group), group_named(group), source_named(source, group)
        self._of(family).add(source, group, incoming, thresholds_named(outgoing, family))
        self.touch()

    def forward(self, family: str) -> None:
        """Begin to forward: what has no entry yet waits for one from now on. ``route()`` does it, too."""
        self._of(family)

    def unroute(self, group: str, incoming: str, *, source: Host | str | None = None) -> None:
        """Take an entry away; raises ``OSError`` (ENOENT) when there is none."""
        family, group, source = family_of(group), group_named(group), source_named(source, group)
        with self._telling(family, group, source):
            self._of(family).delete(source, group, incoming)

    def counters(self, group: str, *, source: Host | str | None = None) -> RouteCounters:
        """Return what has come for an entry up to now, and by a wrong interface; raises ``OSError`` (EADDRNOTAVAIL) when there is none."""
        family, group, source = family_of(group), group_named(group), source_named(source, group)
        with self._telling(family, group, source):
            return self._of(family).counters(source, group)

    @contextmanager
    def _telling(self, family: str, group: str, source: str | None) -> Iterator[None]:
        """Say which entry there is not, and which there are."""
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EADDRNOTAVAIL):
                raise
            there = ", ".join(map(str, self.entries(family))) or "none"
            text = f"{self} has no entry ({source or '*'}, {group}); there is {there}"
            raise OSError(error.errno, text) from None

    def wait_for_upcall(self, group: str, kind: str = "unresolved", timeout: float = 5.0) -> Upcall:
        """Wait until the kernel asks about a group: ``unresolved`` or ``wrong interface``; raises ``TimeoutError``.

        At most one question every 3 s about wrong interfaces is asked for one entry (MFC_ASSERT_THRESH).
        """
        if kind not in KINDS:
            raise ValueError(f"kind {kind!r} is not one of {', '.join(KINDS)}")
        family, group = family_of(group), group_named(group)
        for upcall in self._upcalls:
            if (upcall.kind, upcall.group) == (kind, group):
                self._upcalls.remove(upcall)
                return upcall
        for upcall in self._of(family).upcalls(Deadline(timeout)):
            if (upcall.kind, upcall.group) == (kind, group):
                return upcall
            self._upcalls.append(upcall)  # for who asks later: the kernel does not repeat it
        raise TimeoutError(f"{self} was not asked about {group} ({kind}) within {timeout:g} s")

    def entries(self, family: str = "ipv4") -> tuple[MfcEntry, ...]:
        """Return the kernel's forwarding entries, whoever has made them, sorted by group and source."""
        check_family(family)
        with self.inside():
            names = dict(socket.if_nameindex())
        return read_mfc(self._connection, family, lambda index: names.get(index, f"interface {index}"))

    def reach(self, link: Link, through: VirtualHost) -> None:
        """Add the unicast routes to a link, through another router on a link of ours: what RPF goes by in a daemon.

        Both forward unicast from then on, as register messages of PIM need. Replaces the routes if there are some. Raises
        ``InterfaceError`` when there is no link that both are on, and for a link that this router is on itself.
        """
        if any(port.link is link for port in self.plugged.values()):
            raise InterfaceError(f"{self} is on link {link} itself, and reaches it without {through}")
        theirs = {port.link: port for port in through.plugged.values()}
        gateway = next((theirs[port.link] for port in self.plugged.values() if port.link in theirs), None)
        if gateway is None:
            raise InterfaceError(f"{self} and {through} are on no link together")
        addresses = {address.version: str(address) for address in _routable(through.find(gateway.interface))}
        networks = [ipaddress.ip_interface(f"{ip}/{length}").network for ip, length in link.addresses(1).items()]
        wanted = [network for network in networks if not network.is_link_local]
        self.configure(*(netlink.route(str(net), gateway=addresses[net.version], replace=True) for net in wanted))
        through.touch()
        for router in (self, through):
            with router.inside():
                for path in _FORWARDING:
                    write_sysctl(path, "1")

    def smcroute(self, *routes: StaticRoute, extra: Sequence[str] = ()) -> RoutingDaemon:
        """Start SMCRoute here with these routes, IPv4 and IPv6; ready when this returns.

        ``extra``: further lines of smcroute.conf(5). Raises ``MissingCapability`` where there is none, and for an
        ordinary user; ``ProgramError`` with its log when it does not start.
        """
        from .smcroute import start_smcroute

        return self._started(start_smcroute(self, routes, extra=extra))

    def pimd(
        self,
        *,
        rp: Host | str | None = None,
        query_interval: int = 2,
        extra: Sequence[str] = (),
        timeout: float = 10.0,
    ) -> RoutingDaemon:
        """Start pimd here (troglobit's): PIM-SM and PIM-SSM, IPv4; ready when this returns.

        ``rp`` is the rendezvous point of all groups outside of 232/8, an address or a host. ``query_interval``: seconds
        between its IGMPv3 queries. ``extra``: further lines of its configuration. Raises like ``smcroute()``.
        """
        from .pimd import start_pimd

        return self._started(start_pimd(self, rp=rp, query_interval=query_interval, extra=extra, timeout=timeout))

    def frr(
        self,
        *,
        rp: Host | str | None = None,
        query_interval: int = 2,
        extra: Sequence[str] = (),
        timeout: float = 10.0,
    ) -> RoutingDaemon:
        """Start zebra and pimd of FRR here: PIM-SM and PIM-SSM, IPv4; ready when this returns.

        Arguments and errors are those of ``pimd()``; an ordinary user can do it where he can build networks.
        """
        from .frr import start_frr

        return self._started(start_frr(self, rp=rp, query_interval=query_interval, extra=extra, timeout=timeout))

    def _started(self, daemon: RoutingDaemon) -> RoutingDaemon:
        self.daemons.append(daemon)
        return daemon

    def _of(self, family: str) -> Forwarding:
        """Return the forwarding of a family, which is switched on at first use with all interfaces there are then."""
        if check_family(family) not in self._forwarding:
            with self.inside(), ExitStack() as stack:
                forwarding = Forwarding(family)
                stack.callback(forwarding.close)
                for interface in self.interfaces:
                    if not interface.loopback:
                        forwarding.add_interface(interface.name)
                stack.pop_all()
            self._forwarding[family] = forwarding
        return self._forwarding[family]

    def close(self) -> None:
        """Stop forwarding, and let go of the namespace; again is no error."""
        with ExitStack() as stack:
            stack.callback(super().close)
            for forwarding in self._forwarding.values():
                stack.callback(forwarding.close)
            self._forwarding.clear()


def _routable(interface: Interface) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    addresses = [ipaddress.ip_address(str(address).partition("%")[0]) for address in interface.addresses]
    return [address for address in addresses if not address.is_link_local]
