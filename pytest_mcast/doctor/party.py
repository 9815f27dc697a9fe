"""One end of a flow, and what can be read of its host, now or at a moment."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.errors import HostError
from pytest_mcast.evidence import Reading, Snapshot, take_snapshot
from pytest_mcast.hosts import Host, RemoteHost

from .facts import Facts
from .moment import Moment

__all__ = ["Party", "facts_now", "facts_of", "facts_since", "with_readings"]


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


def facts_since(host: Host, channel: Channel, moment: Moment) -> Facts:
    """Return what is read now, and what was kept at a moment; only that of a host that is gone."""
    return with_readings(facts_now(host, channel), moment.readings.get(host, {}))


def facts_now(host: Host, channel: Channel) -> Facts:
    """Read what there is to read; nothing of a host that is gone, or lost."""
    if host.gone:
        return _nothing("the host is gone")
    try:
        return facts_of(host, _groups_of(channel))
    except HostError as error:
        return _nothing(str(error).partition("\n")[0])


def _nothing(why: str) -> Facts:
    from pytest_mcast.evidence.linux import READERS

    names = (*READERS, "route_to", "namespace")
    return Facts(Snapshot("linux", {name: Reading(refused=why) for name in names}))


def with_readings(facts: Facts, readings: Mapping[str, Reading]) -> Facts:
    """Return the facts with some readings in place of theirs."""
    return Facts(Snapshot(facts.system, {**facts.snapshot.readings, **readings}))


def _groups_of(channel: Channel) -> list[str]:
    """Return what the routes are asked for: the group; and the source, which reverse path filters look for."""
    return [channel.group] if channel.source is None else [channel.group, channel.source]
