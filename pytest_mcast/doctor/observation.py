"""Watches hosts, cheaply, so that there is something to compare with when a datagram is lost; then tells what is known."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.system import LINUX
from pytest_mcast.evidence import Pulse, Reading, Snapshot, take_snapshot
from pytest_mcast.hosts import Host, RemoteHost

from .asking import ask
from .counters import changes_between
from .facts import Facts
from .flow import Apart, Changes, End, Flow, Segment
from .holders import with_holders
from .moment import Moment, endpoints_of, fleeting, fleeting_of_switches, own_sockets

if TYPE_CHECKING:
    from types import TracebackType

    from pytest_mcast.lab.port import Port

__all__ = ["Observation", "Party", "facts_of"]


@dataclass(frozen=True)
class Party:
    """One end of a flow: a host, the interface meant (default: the host's), and the sockets of the code under test.

    A socket that is closed by now is given as what ``evidence.socket_options`` said of it.
    """

    host: Host
    sockets: Sequence[socket.socket | Mapping[str, Any]] = ()
    interface: str | None = None

    @property
    def interface_name(self) -> str:
        """The interface that is meant."""
        return self.interface or self.host.interface.name

    @property
    def open_sockets(self) -> list[socket.socket]:
        """The sockets that are still open."""
        return [each for each in self.sockets if isinstance(each, socket.socket) and each.fileno() >= 0]


def facts_of(host: Host, groups: Sequence[str] = ()) -> Facts:
    """Read everything there is to read of a host, and its routes to some groups; raises ``HostError`` for a remote one that is lost."""
    if isinstance(host, RemoteHost):
        data: dict[str, Any] = host.snapshot(groups)
    else:
        with host.inside():
            data = take_snapshot(groups)
    return Facts(Snapshot.from_json(data))


class Observation:
    """Counts on hosts from now on, or from the last ``mark()``; to be closed."""

    def __init__(self, *hosts: Host) -> None:
        self._pulses: dict[Host, Pulse] = {}
        self._marks: dict[Host, Mapping[str, str]] = {}
        try:
            for host in hosts:
                self.add(host)
        except BaseException:  # whatever it is: let go, and pass it on
            self.close()
            raise

    @property
    def hosts(self) -> list[Host]:
        """The hosts that are counted on."""
        return list(self._pulses)

    def add(self, host: Host) -> None:
        """Count on one more host, from now on; again is no error. Remote hosts are not counted on."""
        if host not in self._pulses and not isinstance(host, RemoteHost):
            with host.inside():
                self._pulses[host] = Pulse()
            self._marks[host] = self._pulses[host].read()
            host.ends.append(partial(self.discard, host))  # its files would keep the namespace

    def discard(self, host: Host) -> None:
        """Count on a host no more; again is no error."""
        self._marks.pop(host, None)
        if host in self._pulses:
            self._pulses.pop(host).close()

    def mark(self, *hosts: Host) -> None:
        """Count from now on, on all hosts or on these."""
        for host in hosts or self._pulses:
            if host in self._pulses:
                self._marks[host] = self._pulses[host].read()

    def moment(self, hosts: Iterable[Host], process: Host | None = None, stale: Iterable[int] = ()) -> Moment:
        """Keep what is gone as soon as sockets are closed, of these hosts; ``process`` is that which this process is itself.

        ``stale`` are the inodes of sockets that are of no interest.
        """
        readings = {host: fleeting(host) for host in hosts}
        endpoints = [found for host in readings for found in endpoints_of(host, _memberships(readings[host]))]
        if process in readings and process is not None:
            known = {endpoint.options.get("inode", 0) for endpoint in endpoints}
            endpoints += own_sockets(process, _memberships(readings[process]), known.union(stale))
        changes = {host: self.changes(host) for host in readings}
        names = {host: str(host) for host in readings}
        return Moment(tuple(endpoints), readings, changes, fleeting_of_switches(readings), names)

    def changes(self, host: Host) -> Changes:
        """Return what has been counted on a host since the mark."""
        if host not in self._pulses:
            return Changes(None)
        return Changes(changes_between(self._marks[host], self._pulses[host].read()))

    def flow(
        self,
        channel: Channel,
        *,
        sender: Party | None = None,
        receiver: Party | None = None,
        call: str = "",
        error: BaseException | None = None,
        moment: Moment | None = None,
        **known: Any,
    ) -> Flow:
        """Gather what is known of datagrams from a sender to a receiver; ``known`` are more fields of ``Flow``.

        What was kept at a ``moment`` is taken from there.
        """
        hosts = {party.host for party in (sender, receiver) if party is not None}
        changed = {host: self.changes(host) if moment is None else moment.changes[host] for host in hosts}
        facts: dict[Host, Facts] = {}
        if moment is not None:
            facts = {host: _since(host, channel, moment) for host in hosts}
        origin = None if sender is None else self._end(sender, channel, facts, changed)
        destination = None if receiver is None else self._end(receiver, channel, facts, changed)
        if destination is not None and getattr(error, "errno", None) == errno.EADDRINUSE and not _remote(receiver):
            destination = with_holders(destination, channel.port)
        if moment is not None:  # a host may be another's by now
            origin, destination = (
                _named(end, party, moment) for end, party in ((origin, sender), (destination, receiver))
            )
        gone = any(_is_gone(host) for host in hosts)
        known = {
            **_of_sender(origin, channel),
            **({} if sender is None or receiver is None or gone else _between(sender, receiver, moment)),
            **known,
        }
        return Flow(channel, origin, destination, call=call, error=error, **known)

    def _end(self, party: Party, channel: Channel, facts: dict[Host, Facts], changed: Mapping[Host, Changes]) -> End:
        host = party.host
        if host not in facts:
            facts[host] = facts_of(host, _asked(channel))
        sockets = tuple(
            each if isinstance(each, Mapping) else ask(each, channel, facts[host]) for each in party.sockets
        )
        return End(str(host), facts[host], changed[host], party.interface_name, sockets)

    def close(self) -> None:
        """Let go of the hosts; again is no error."""
        with ExitStack() as stack:
            for pulse in self._pulses.values():
                stack.callback(pulse.close)
            self._pulses.clear()

    def __enter__(self) -> Observation:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _memberships(readings: Mapping[str, Reading]) -> list[Mapping[str, Any]]:
    return readings.get("memberships", Reading()).value or []


def _remote(party: Party | None) -> bool:
    return party is not None and isinstance(party.host, RemoteHost)


def _is_gone(host: Host) -> bool:
    """Whether a host of a lab has been closed."""
    namespace = getattr(host, "namespace", None)
    return namespace is not None and namespace.descriptor < 0


def _since(host: Host, channel: Channel, moment: Moment) -> Facts:
    """Return what is read now, and what was kept at a moment; only that of a host that is gone."""
    return _with(_nothing() if _is_gone(host) else facts_of(host, _asked(channel)), moment.readings[host])


def _nothing() -> Facts:
    from pytest_mcast.evidence.linux import READERS

    names = (*READERS, "route_to", "namespace")
    return Facts(Snapshot("linux", {name: Reading(refused="the host is gone") for name in names}))


def _named(end: End | None, party: Party | None, moment: Moment) -> End | None:
    return None if end is None or party is None else replace(end, name=moment.names.get(party.host, end.name))


def _with(facts: Facts, readings: Mapping[str, Reading]) -> Facts:
    return Facts(Snapshot(facts.system, {**facts.snapshot.readings, **readings}))


def _asked(channel: Channel) -> list[str]:
    """Return what the routes are asked for: the group; and the source, which reverse path filters look for."""
    return [channel.group] if channel.source is None else [channel.group, channel.source]


def _of_sender(end: End | None, channel: Channel) -> dict[str, Any]:
    """Return what the sender's socket tells: where its datagrams come from, and how."""
    if end is None or not end.sockets:
        return {}
    options = end.sockets[0]
    source = options.get("local", ["", 0])[0]
    found = {"ttl": options.get("multicast_ttl"), "loopback": bool(options.get("multicast_loop", 1))}
    if source not in ("", "0.0.0.0", "::"):  # noqa: S104 - that is what is looked for
        found["source"] = source.partition("%")[0]
    elif channel.source is not None:
        found["source"] = channel.source
    return found


def _between(sender: Party, receiver: Party, moment: Moment | None) -> dict[str, Any]:
    """Return what is between two virtual hosts: the switch, or that there is none (``Flow.segment``, ``Flow.apart``)."""
    ports = [_port(party) for party in (sender, receiver)]
    if ports[0] is None or ports[1] is None or ports[0] is ports[1]:
        return {}
    link = ports[0].link
    if link is not ports[1].link:
        routers = (each.host for each in link.ports if _routes_multicast(each.host))
        return {"apart": Apart(str(link), str(ports[1].link), tuple(sorted({str(host) for host in routers})))}
    with link.namespace:
        facts = Facts(Snapshot.from_json(take_snapshot()))
    if moment is not None:
        facts = _with(facts, moment.switches.get(link.namespace.descriptor, {}))
    return {"segment": Segment(str(link), facts, f"switch{link.number}", ports[0].device, ports[1].device)}


def _port(party: Party) -> Port | None:
    """Return where the interface of a party is plugged in; None when that is not a switch, or it is gone."""
    if not LINUX:
        return None
    from pytest_mcast.lab import VirtualHost

    host = party.host
    if not isinstance(host, VirtualHost):
        return None
    with host.inside():
        try:
            return host.plugged.get(socket.if_nametoindex(party.interface_name))
        except OSError:
            return None


def _routes_multicast(host: Host) -> bool:
    """Whether there is a multicast router in a host: one that the kernel forwards for (/proc/net/ip_mr_vif)."""
    with host.inside():
        for name in ("ip_mr_vif", "ip6_mr_vif"):
            try:
                lines = Path("/proc/thread-self/net", name).read_text("utf-8", "surrogateescape").splitlines()
            except OSError:  # the kernel cannot
                continue
            if len(lines) > 1:  # the first is the heading
                return True
    return False
