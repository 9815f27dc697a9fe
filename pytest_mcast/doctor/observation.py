"""Watches hosts, cheaply, so that there is something to compare with when a datagram is lost; then tells what is known."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_mcast.core.channels import Channel
from pytest_mcast.evidence import Pulse
from pytest_mcast.hosts import Host, RemoteHost

from .between import between
from .counters import changes_between
from .describing import Joinable, describe_socket
from .facts import Facts, NotRead
from .flow import Changes, End, Flow
from .forwarding import forwarding_between
from .holders import with_holders
from .moment import Moment, endpoints_of, fleeting, fleeting_of_switches, impaired_cables, inodes_of
from .own_sockets import opened_here, own_sockets
from .party import Party, facts_now, facts_since
from .sends import Sends

if TYPE_CHECKING:
    from types import TracebackType


__all__ = ["Observation"]


class Observation:
    """Counts on hosts from now on, or from the last ``mark()``; to be closed."""

    def __init__(self, *hosts: Host) -> None:
        self.sends = Sends()
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

        ``stale`` are the inodes of sockets of the user's that are of no interest, ``about`` is the endpoint that is of
        most. What was sent by whom is known of ``sends``, if somebody has started that.
        """
        readings = {host: fleeting(host) for host in hosts if not host.gone}
        endpoints = [found for host in readings for found in endpoints_of(host, readings[host], about)]
        own = opened_here()
        endpoints += own_sockets(readings, own, inodes_of(readings).union(stale), self.sends.found())
        changes = {host: self.changes(host) for host in readings}
        names = {host: str(host) for host in readings}
        return Moment(
            tuple(endpoints),
            readings,
            changes,
            switches=fleeting_of_switches(readings),
            cables=impaired_cables(readings),
            forwarding=forwarding_between(readings),
            names=names,
            own=own,
            stale=tuple(stale),
        )

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
            facts = {host: facts_since(host, channel, moment) for host in hosts}
        origin = None if sender is None else self._end(sender, channel, facts, changed)
        destination = None if receiver is None else self._end(receiver, channel, facts, changed)
        if destination is not None and getattr(error, "errno", None) == errno.EADDRINUSE and not _remote(receiver):
            own, stale = ((), ()) if moment is None else (moment.own, moment.stale)
            destination = with_holders(destination, channel.port, own, stale)
        if moment is not None:  # a host may be another's by now
            origin, destination = (
                _named(end, party, moment) for end, party in ((origin, sender), (destination, receiver))
            )
        report = call == "report"
        known = {
            **_of_sender(origin, channel),
            **({} if sender is None or receiver is None else between(sender, receiver, channel, moment, report=report)),
            **known,
        }
        return Flow(channel, origin, destination, call=call, error=error, **known)

    def _end(self, party: Party, channel: Channel, facts: dict[Host, Facts], changed: Mapping[Host, Changes]) -> End:
        host = party.host
        if host not in facts:
            facts[host] = facts_now(host, channel)
        with nullcontext() if host.gone else host.inside():
            joinable = Joinable(facts[host].snapshot.readings)
            sockets = tuple(
                each if isinstance(each, Mapping) else describe_socket(each, joinable, channel.group)
                for each in party.sockets
            )
        return End(str(host), facts[host], changed[host], party.interface_name, sockets)

    def close(self) -> None:
        """Let go of the hosts; again is no error."""
        self.sends.stop()
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


def _named(end: End | None, party: Party | None, moment: Moment) -> End | None:
    return None if end is None or party is None else replace(end, name=moment.names.get(party.host, end.name))


def _of_sender(end: End | None, channel: Channel) -> dict[str, Any]:
    """Return what the sender's socket tells: where its datagrams come from, and how."""
    if end is None or not end.sockets:
        return {}
    options = end.sockets[0]
    source = options.get("local", ["", 0])[0]
    found = {"ttl": options.get("multicast_ttl"), "loopback": bool(options.get("multicast_loop", 1))}
    if source not in ("", "0.0.0.0", "::"):  # noqa: S104 - that is what is looked for
        found["source"] = source.partition("%")[0]
    elif chosen := _chosen_by_kernel(end, channel):
        found["source"] = chosen
    elif channel.source is not None:
        found["source"] = channel.source
    return found


def _chosen_by_kernel(end: End, channel: Channel) -> str | None:
    """Return the address that a socket sends from which is bound to none; None when nobody can be sure.

    That is what the route says, unless the socket names an interface; of the index that it may have been given an IPv4 socket
    does not tell, so that there must be one interface only.
    """
    options = end.sockets[0]
    if options.get("device") or options.get("multicast_interface") not in (0, "0.0.0.0"):  # noqa: S104 - that is none
        return None
    try:
        links = [each for each in end.facts.links() if "up" in each["flags"] and "loopback" not in each["flags"]]
        route = end.facts.route_to(channel.group)
    except NotRead:
        return None
    source: str | None = route.get("source") if len(links) == 1 and links[0]["name"] == route.get("interface") else None
    return source
