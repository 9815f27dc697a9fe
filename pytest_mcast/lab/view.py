"""A lab for one test, on hosts that are used again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.errors import InterfaceError

from .direct import DirectLink
from .drawing import draw
from .lab import Lab
from .link import Link
from .router import Router
from .snooping import Timers
from .switch import Switch
from .virtualhost import VirtualHost

if TYPE_CHECKING:
    from types import TracebackType

    from pytest_mcast.hosts import Host
    from pytest_mcast.wire import Listener

__all__ = ["HostPool", "LabView"]


class HostPool:
    """Idle hosts of a lab with one interface, eth0, on the link lan."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        lab.link().shared = True
        self._idle: list[VirtualHost] = []

    def take(self) -> VirtualHost:
        """Return an idle host, or a new one."""
        return self._idle.pop() if self._idle else self.lab.host()

    def give_back(self, host: VirtualHost) -> None:
        """Close what was opened in the host and keep it, or discard it when somebody's code has been inside, or closed it.

        Only endpoints that we have closed ourselves leave nothing behind for certain; a new host costs less than the
        look at every address, route, rule and sysctl that would tell.
        """
        try:
            host.close_endpoints()
        except BaseException:  # whatever it is: let go, and pass it on
            self.lab.remove(host)
            raise
        if host.touched or host.gone:
            self.lab.remove(host)
        else:
            host.name = "idle"  # its last reports may go out while another host has its name
            self._idle.append(host)


class LabView:
    """The part of a lab that belongs to one test: hosts under names of the test's own, returned when it ends."""

    def __init__(self, pool: HostPool, arrival: Callable[[VirtualHost], None] | None = None) -> None:
        self._pool = pool
        self._arrival = arrival  # is told of each host before the test gets it
        self._hosts: dict[str, VirtualHost] = {}
        self._stack = ExitStack()
        self._stack.callback(pool.lab.close_captures)
        self._links: set[str] = set()

    def link(self, name: str = "lan") -> Link:
        """Return the link of that name; see ``Lab.link``. All but ``lan`` are the test's own."""
        link = self._pool.lab.link(name)
        if name != "lan" and name not in self._links:
            self._links.add(name)
            self._stack.callback(self._pool.lab.remove_link, link)
        return link

    def switch(
        self,
        name: str | None = None,
        *,
        snooping: bool = False,
        querier: bool | None = None,
        strict: bool = False,
        igmp_version: int = 3,
        mld_version: int = 2,
        timers: Timers | None = None,
    ) -> Switch:
        """Make a link of the test's own whose switch can snoop; see ``Lab.switch``."""
        switch = self._pool.lab.switch(
            name,
            snooping=snooping,
            querier=querier,
            strict=strict,
            igmp_version=igmp_version,
            mld_version=mld_version,
            timers=timers,
        )
        self._links.add(switch.name)
        self._stack.callback(self._pool.lab.remove_link, switch)
        return switch

    def host(
        self,
        name: str | None = None,
        *,
        interfaces: Mapping[str, str | Link] | None = None,
        macs: Mapping[str, str] | None = None,
    ) -> VirtualHost:
        """Return the host of that name; made if there is none, or new when there is no name. See ``Lab.host``."""
        if name is not None and name in self._hosts:
            return self._hosts[name].checked(interfaces)
        if interfaces is None and macs is None:
            host = self._pool.take()
            self._stack.callback(self._pool.give_back, host)
        else:
            for link in (interfaces or {}).values():
                if isinstance(link, str):
                    self.link(link)
            host = self._pool.lab.host(interfaces=interfaces, macs=macs)
            self._stack.callback(self._pool.lab.remove, host)
        host.shared = frozenset(nic for nic, link in (interfaces or {"eth0": "lan"}).items() if str(link) == "lan")
        self._adopt(host, name)
        return host

    def router(self, name: str | None = None, *, interfaces: Mapping[str, str | Link]) -> Router:
        """Make a multicast router of the test's own; see ``Lab.router``."""
        if name is not None and name in self._hosts:
            raise InterfaceError(f"there is a host {name} already; name another one, or none")
        for link in interfaces.values():
            if isinstance(link, str):
                self.link(link)
        router = self._pool.lab.router(interfaces=interfaces)
        self._stack.callback(self._pool.lab.remove, router)
        router.shared = frozenset(nic for nic, link in interfaces.items() if str(link) == "lan")
        self._adopt(router, name, "router")
        return router

    def _adopt(self, host: VirtualHost, name: str | None, prefix: str = "host") -> None:
        if name is None:
            name = next(name for name in map(f"{prefix}{{}}".format, itertools.count(1)) if name not in self._hosts)
        host.name = name
        self._hosts[host.name] = host
        if self._arrival is not None:
            self._arrival(host)

    def hosts(self, count: int, *, link: Link | str = "lan") -> list[VirtualHost]:
        """Return that many hosts that the test has not used yet, with eth0 on a link."""
        return [self.host(interfaces=None if str(link) == "lan" else {"eth0": link}) for _ in range(count)]

    def direct(self, first: str | None = None, second: str | None = None) -> tuple[VirtualHost, VirtualHost]:
        """Make two new hosts with a cable between them, and no switch; see ``Lab.direct``."""
        for name in (first, second):
            if name is not None and (name in self._hosts or first == second):
                raise InterfaceError(f"there is a host {name} already; name another one, or none")
        ends = self._pool.lab.direct()
        for host, name in zip(ends, (first, second), strict=True):
            self._stack.callback(self._pool.lab.remove, host)
            self._adopt(host, name)
        return ends

    def listen(self, link: Link | str = "lan") -> Listener:
        """Hear all reports and queries of IGMP and MLD on a link from now on, in a host of its own; see ``Listener``."""
        return self.host(f"listener on {link}", interfaces=None if str(link) == "lan" else {"eth0": link}).listen()

    def channel(self, family: str = "ipv4", *, source: Host | str | None = None, scope: str | None = None) -> Channel:
        """Return a channel that nobody else uses; source-specific when there is a ``source``, host or address."""
        return self._pool.lab.channel(family, source=source, scope=scope)

    def draw(self) -> str:
        """Draw the network of this test as text; see ``Lab.draw``."""
        hosts = set(self._hosts.values())
        ours = [
            link
            for link in self._pool.lab.links
            if link.name in self._links or (isinstance(link, DirectLink) and hosts.issuperset(link.ends))
        ]
        return draw(ours, self._hosts.values())

    def close(self) -> None:
        """Return the hosts; an error of an endpoint or program of theirs is raised."""
        self._hosts.clear()
        self._stack.close()

    def __enter__(self) -> LabView:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
