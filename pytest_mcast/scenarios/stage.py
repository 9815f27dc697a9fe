"""The hosts of a scenario file, made real: once per file and process, and used by all its cells."""

from __future__ import annotations

import itertools
import platform
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_mcast.core.errors import InterfaceError

from .network import FLAT, build_link, interfaces_of, set_sysctls, show_router
from .outcomes import Excused, Unready

if TYPE_CHECKING:
    from pytest_mcast.core.channels import Channel
    from pytest_mcast.core.groups import ChannelPicker
    from pytest_mcast.core.interfaces import Interface
    from pytest_mcast.hosts import Host, RemoteHost
    from pytest_mcast.lab import Lab, Link, Router, VirtualHost
    from pytest_mcast.lab.port import Port

    from .impairments import ImpairmentSpec
    from .model import HostSpec, Scenario
    from .subjects import Subjects

__all__ = ["Stage", "Station", "World"]

_SYSTEMS = {"linux": "linux", "darwin": "macos", "win32": "windows"}
_FACTS = ("system", "release", "python", "machine")
_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class World:
    """Where scenario files are run: what all of them share.

    ``lab`` gives the virtual network, ``local`` this machine by an interface (None: the one that was chosen elsewhere);
    ``need`` raises ``MissingCapability`` unless datagrams of a kind get from host to host (``Unready``, if one is remote),
    ``require`` unless there is a capability: a kind of channel from host to host, another one on this machine. ``timeout`` in seconds is for one datagram, or one proof.
    """

    lab: Callable[[], Lab]
    subjects: Subjects
    picker: ChannelPicker
    local: Callable[[str | None], Host]
    remote: Callable[[HostSpec], RemoteHost]
    need: Callable[[Host, Host, str, str], None]
    require: Callable[[str, Host, Host], None]
    timeout: float = 5.0


@dataclass(frozen=True)
class Station:
    """A host of a file with the interface that it uses; ``virtual`` is the same host, if it is a virtual one."""

    spec: HostSpec
    host: Host
    interface: Interface
    virtual: VirtualHost | None = None

    @property
    def name(self) -> str:
        """Its name in the file."""
        return self.spec.name

    @property
    def remote(self) -> bool:
        """Whether it is another machine, with a clock of its own."""
        return self.spec.kind == "remote"

    @property
    def port(self) -> Port | None:
        """Where its interface is plugged in; None if that is no virtual one, or loopback."""
        return None if self.virtual is None else self.virtual.plugged.get(self.interface.index)

    def is_near(self, other: Station) -> bool:
        """Whether what is sent here gets there at once, or at the latest when routers have forwarded it: no network of others is between."""
        return self is other or (self.virtual is not None and other.virtual is not None)

    def source(self, family: str, scope: str | None) -> str:
        """Return the address that its datagrams to groups of this family and scope come from."""
        return self.interface.address(family, scope or "link-local")

    def options(self) -> dict[str, Any]:
        """Return what tells an endpoint the interface; a remote host knows it."""
        return {} if self.remote else {"interface": self.interface}


class Stage:
    """The hosts and links of one file. They are made when they are first asked for, and end with ``close()``."""

    def __init__(self, scenario: Scenario, world: World) -> None:
        self.scenario = scenario
        self.world = world
        self._stack = ExitStack()
        self._links: dict[str, Link] = {}
        self._routers: dict[str, Router] = {}
        self._stations: dict[str, Station] = {}
        self._remotes: dict[str, RemoteHost] = {}
        self._facts: dict[str, dict[str, str]] = {}  # of remote hosts
        self._unready: dict[str, str] = {}  # virtual hosts that cannot be made, and why
        self._versions: dict[tuple[str, str], str] = {}

    def station(self, name: str) -> Station:
        """Return a host of the file.

        Raises ``Excused`` when there is no such machine yet, or when it is another one than this; ``HostError``, ``Unready``
        and ``MissingCapability``.
        """
        if name not in self._stations:
            spec = self.scenario.hosts[name]
            self._stations[name] = self._make(spec)
        return self._stations[name]

    def router(self, name: str) -> Router:
        """Return a router of the file."""
        if name not in self._routers:
            interfaces = self.scenario.routers[name].interfaces
            router = self.world.lab().router(interfaces={nic: self._link(link) for nic, link in interfaces.items()})
            self._stack.callback(self.world.lab().remove, router)
            router.name = name
            self._routers[name] = router
            for port in router.plugged.values():
                show_router(port)
        return self._routers[name]

    def draw(self) -> str:
        """Draw the network of the file as text, by its names, once all of it has been made; see ``Lab.draw``.

        Raises as ``station``.
        """
        from pytest_mcast.lab.drawing import draw

        links = {self._link(name): name for name in self.scenario.links}
        routers = [self.router(name) for name in self.scenario.routers]
        stations = [self.station(spec.name) for spec in self.scenario.hosts.values() if spec.kind == "virtual"]
        return draw(links, [*routers, *(one.virtual for one in stations if one.virtual is not None)], links)

    def impairment(self, host: VirtualHost, interface: str) -> ImpairmentSpec | None:
        """Return what happens on the cable of a host or router of the file; None where nothing does."""
        port = host.plugged.get(host.find(interface).index)
        names = [name for name, link in self._links.items() if port is not None and link is port.link]
        return self.scenario.links[names[0]].impair.get(host.name) if names else None

    def pick(
        self,
        station: Station,
        family: str,
        scope: str | None = None,
        source: str | None = None,
        interface: Interface | None = None,
    ) -> Channel:
        """Return a channel that nobody uses, with a port that is free on a host; raises ``ChannelError``."""
        if station.remote:
            return self._remotes[station.name].pick(family, scope, source=source)
        with station.host.inside():
            return self.world.picker.pick(family, scope, source=source, interface=interface or station.interface)

    def version(self, station: Station, family: str) -> str:
        """Return the version of IGMP or MLD in which a virtual host was last heard to report; empty if it was not yet."""
        return self._versions.get((station.name, family), "")

    def heard(self, station: Station, family: str, version: str) -> None:
        """Remember the version."""
        self._versions[station.name, family] = version

    def sweep(self, station: Station) -> None:
        """End the programs of a virtual host, and what they have left."""
        if station.virtual is not None:
            station.virtual.close_endpoints()

    def facts(self, name: str) -> dict[str, str]:
        """Say what a host is, as far as it is known: kind, interface; a real one's system, release, python, machine.

        What a virtual host runs on is not its own: the next run may have it on another machine.
        """
        spec = self.scenario.hosts[name]
        facts = {"kind": spec.kind}
        station = self._stations.get(name)
        if station is None:
            return {**facts, **({"notes": spec.notes} if spec.notes else {})}
        facts["interface"] = station.interface.name
        if station.remote:
            # Not its process: records of several runs are of one host, and their facts are to agree.
            facts |= {"remote": spec.remote, **{key: self._facts[name][key] for key in _FACTS}}
        elif station.virtual is None:
            facts |= {"system": platform.system(), "release": platform.release(), "python": platform.python_version()}
            facts |= {"machine": platform.machine()}
        if spec.sysctl:
            facts["sysctl"] = ", ".join(f"{key}={value}" for key, value in spec.sysctl.items())
        return {**facts, **({"notes": spec.notes} if spec.notes else {})}

    def facts_of_subject(self, name: str, host: str) -> dict[str, str]:
        """Say what a subject is, as far as it is known; its version is that on this host."""
        return self.world.subjects.facts(self.scenario.subjects[name], self._stations.get(host))

    def close(self) -> None:
        """Let go of everything; again is no error."""
        for things in (self._stations, self._routers, self._links, self._remotes):
            things.clear()
        self._stack.close()

    def _make(self, spec: HostSpec) -> Station:
        if spec.kind == "planned":
            raise Excused("planned", spec.reason or f"there is no {spec.name} yet")
        here = _SYSTEMS.get(sys.platform, sys.platform)
        if spec.system and spec.system != here:
            raise Excused(
                "not-run", f"{spec.name} is a {spec.system} machine, and this is {here}: another run's business"
            )
        if spec.kind == "virtual":
            if spec.name in self._unready:
                raise Unready(self._unready[spec.name])
            return self._virtual(spec)
        try:
            return self._real(spec)
        except InterfaceError as error:
            raise Unready(f"host {spec.name}: {error}") from None

    def _real(self, spec: HostSpec) -> Station:
        if spec.kind == "local":
            host = self.world.local(spec.interface)
            return Station(spec, host, host.interface)
        if spec.name not in self._remotes:  # one that could not be reached says so again at once
            self._remotes[spec.name] = self.world.remote(spec)
            self._stack.callback(self._remotes[spec.name].close)
        remote = self._remotes[spec.name]
        self._facts[spec.name] = remote.facts()
        return Station(spec, remote, remote.interface)

    def _virtual(self, spec: HostSpec) -> Station:
        lab = self.world.lab()
        plugged = interfaces_of(spec)
        host = lab.host(interfaces={name: self._link(link) for name, link in plugged.items()})
        host.name = spec.name
        try:
            set_sysctls(host, spec.sysctl)
        except Unready as unready:  # and will be for each cell
            lab.remove(host)
            self._unready[spec.name] = str(unready)
            raise
        self._stack.callback(lab.remove, host)
        return Station(spec, host, host.find(spec.interface or next(iter(plugged), "lo")), host)

    def _link(self, name: str) -> Link:
        if name not in self._links:
            spec = self.scenario.links.get(name, FLAT)
            lab = self.world.lab()
            if spec == FLAT:  # nobody has said anything about it
                return lab.link(FLAT.name)
            self._links[name] = link = build_link(lab, spec, f"{name} ({self.scenario.path.name}, {next(_NUMBERS)})")
            self._stack.callback(lab.remove_link, link)
        return self._links[name]
