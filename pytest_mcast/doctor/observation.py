"""Watches hosts, cheaply, so that there is something to compare with when a datagram is lost; then tells what is known."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.errors import HostError
from pytest_mcast.core.system import LINUX
from pytest_mcast.evidence import Pulse, Reading, Snapshot, take_snapshot
from pytest_mcast.hosts import Host, RemoteHost

from .counters import changes_between
from .describing import Joinable, describe_socket
from .facts import Facts
from .flow import Apart, Changes, End, Flow, Segment
from .holders import with_holders
from .moment import Moment, endpoints_of, fleeting, fleeting_of_switches, inodes_of
from .own_sockets import opened_here, own_sockets

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
        """The interface that is meant; empty when nobody can say any more which one that was."""
        try:
            return self.interface or self.host.interface.name
        except OSError:
            if self.host.gone:
                return ""
            raise

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
        """Count on one more host, from now on; again is no error. Remote hosts are not counted on, nor one that is gone."""
        if host not in self._pulses and not isinstance(host, RemoteHost) and not host.gone:
            with host.inside():
                pulse = Pulse()
            try:
                self._marks[host] = pulse.read()
            except BaseException:  # whatever it is: let go, and pass it on
                pulse.close()
                raise
            self._pulses[host] = pulse
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

    def moment(self, hosts: Iterable[Host], stale: Iterable[int] = (), about: object = None) -> Moment:
        """Keep what is gone as soon as sockets are closed, of these hosts but for those that are gone; nothing far away is asked.

        ``stale`` are the inodes of sockets of the user's that are of no interest, ``about`` is the endpoint that is of most.
        """
        readings = {host: fleeting(host) for host in hosts if not host.gone}
        endpoints = [found for host in readings for found in endpoints_of(host, readings[host], about)]
        own = opened_here()
        endpoints += own_sockets(readings, own, inodes_of(readings).union(stale))
        changes = {host: self.changes(host) for host in readings}
        names = {host: str(host) for host in readings}
        return Moment(tuple(endpoints), readings, changes, fleeting_of_switches(readings), names, own)

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
        changed = {
            host: self.changes(host) if moment is None else moment.changes.get(host, Changes(None)) for host in hosts
        }
        facts: dict[Host, Facts] = {}
        if moment is not None:
            facts = {host: _since(host, channel, moment) for host in hosts}
        origin = None if sender is None else self._end(sender, channel, facts, changed)
        destination = None if receiver is None else self._end(receiver, channel, facts, changed)
        if destination is not None and getattr(error, "errno", None) == errno.EADDRINUSE and not _remote(receiver):
            destination = with_holders(destination, channel.port, () if moment is None else moment.own)
        if moment is not None:  # a host may be another's by now
            origin, destination = (
                _named(end, party, moment) for end, party in ((origin, sender), (destination, receiver))
            )
        known = {
            **_of_sender(origin, channel),
            **({} if sender is None or receiver is None else _between(sender, receiver, moment)),
            **known,
        }
        return Flow(channel, origin, destination, call=call, error=error, **known)

    def _end(self, party: Party, channel: Channel, facts: dict[Host, Facts], changed: Mapping[Host, Changes]) -> End:
        host = party.host
        if host not in facts:
            facts[host] = _facts_now(host, channel)
        with nullcontext() if host.gone else host.inside():
            joinable = Joinable(facts[host].snapshot.readings)
            sockets = tuple(
                each if isinstance(each, Mapping) else describe_socket(each, joinable, channel.group)
                for each in party.sockets
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


def _remote(party: Party | None) -> bool:
    return party is not None and isinstance(party.host, RemoteHost)


def _since(host: Host, channel: Channel, moment: Moment) -> Facts:
    """Return what is read now, and what was kept at a moment; only that of a host that is gone."""
    return _with(_facts_now(host, channel), moment.readings.get(host, {}))


def _facts_now(host: Host, channel: Channel) -> Facts:
    """Read what there is to read; nothing of a host that is gone, or lost."""
    if host.gone:
        return _nothing("the host is gone")
    try:
        return facts_of(host, _asked(channel))
    except HostError as error:
        return _nothing(str(error).partition("\n")[0])


def _nothing(why: str) -> Facts:
    from pytest_mcast.evidence.linux import READERS

    names = (*READERS, "route_to", "namespace")
    return Facts(Snapshot("linux", {name: Reading(refused=why) for name in names}))


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
    if link.namespace.closed or ports[1].link.namespace.closed:
        return {}
    if link is not ports[1].link:
        routers = (each.host for each in link.ports if _routes_multicast(each.host))
        return {"apart": Apart(str(link), str(ports[1].link), tuple(sorted({str(host) for host in routers})))}
    with link.namespace:
        facts = Facts(Snapshot.from_json(take_snapshot()))
    if moment is not None:
        facts = _with(facts, moment.switches.get(link.namespace.descriptor, {}))
    impaired, wire_lost = _impaired(ports[0], ports[1])
    devices = ports[0].bridge_device, ports[1].bridge_device
    return {"segment": Segment(str(link), facts, f"switch{link.number}", *devices, impaired, wire_lost)}


def _impaired(sender: Port, receiver: Port) -> tuple[tuple[str, ...], int]:
    """Say what impairs the cables between two ports, a line each, and how many datagrams that has lost on this way."""
    cables = [(port, port.impaired) for port in (sender, receiver) if port.impaired is not None]
    lines = tuple(f"the cable of {port.host} is impaired on purpose: {cable.impairment}" for port, cable in cables)
    judges = [cable.from_host if port is sender else cable.to_host for port, cable in cables]
    return lines, sum(len(judge.lost) + len(judge.corrupted) + judge.overrun for judge in judges)


def _port(party: Party) -> Port | None:
    """Return where the interface of a party is plugged in; None when that is not a switch, or it is gone."""
    if not LINUX:
        return None
    from pytest_mcast.lab import VirtualHost

    host = party.host
    if not isinstance(host, VirtualHost) or host.gone:
        return None
    with host.inside():
        try:
            return host.plugged.get(socket.if_nametoindex(party.interface_name))
        except OSError:
            return None


def _routes_multicast(host: Host) -> bool:
    """Whether there is a multicast router in a host: one that the kernel forwards for (/proc/net/ip_mr_vif)."""
    if host.gone:
        return False
    with host.inside():
        for name in ("ip_mr_vif", "ip6_mr_vif"):
            try:
                lines = Path("/proc/thread-self/net", name).read_text("ascii").splitlines()
            except OSError:  # the kernel cannot
                continue
            if len(lines) > 1:  # the first is the heading
                return True
    return False
