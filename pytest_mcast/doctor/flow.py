"""What a diagnosis is about: datagrams of one channel from one end to the other, and all that is known of them."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.errors import InterfaceError

from .facts import Facts, NotRead

__all__ = ["Apart", "Changes", "End", "Flow", "Forwarder", "Hop", "MulticastRoute", "Segment", "Trace", "Unwanted"]


class Changes:
    """What the counters of a host have counted since the mark (``Udp.InErrors``, ``Ip6InMcastPkts``); 0 if not at all."""

    def __init__(self, changes: Mapping[str, int] | None) -> None:
        self._changes = changes

    def __getitem__(self, name: str) -> int:
        if self._changes is None:
            raise NotRead("counters", "nobody has counted since the test began")
        return self._changes.get(name, 0)

    def all(self) -> Mapping[str, int]:
        """Return all that have moved; raises ``NotRead``."""
        if self._changes is None:
            raise NotRead("counters", "nobody has counted since the test began")
        return self._changes


@dataclass(frozen=True)
class End:
    """One end: a host, the interface that is meant, and the sockets that are meant (``evidence.socket_options``)."""

    name: str
    facts: Facts
    changes: Changes
    interface: str
    sockets: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Segment:
    """The switch between two virtual hosts: its facts (it is a bridge of this name), and the ports of both ends."""

    name: str
    facts: Facts
    bridge: str
    sender_port: str
    receiver_port: str
    #: What impairs the cables on purpose, a line for each, and how many datagrams that has lost on this way.
    impaired: tuple[str, ...] = ()
    wire_lost: int = 0


@dataclass(frozen=True)
class MulticastRoute:
    """An entry by which a router forwards the group, from a source or (None) from any; ``words`` are all of it."""

    source: str | None
    incoming: str
    outgoing: tuple[str, ...]
    words: str


@dataclass(frozen=True)
class Forwarder:
    """A multicast router on the sender's link: its interfaces there, and what it has for the group."""

    name: str
    interfaces: tuple[str, ...]
    entries: tuple[MulticastRoute, ...]


@dataclass(frozen=True)
class Apart:
    """That two virtual hosts are on different links: their names, and who on the sender's link routes multicast.

    ``relays`` are the hosts that are on both links: a program there may pass datagrams on. ``forwarders`` are the routers
    with their entries.
    """

    sender: str
    receiver: str
    routers: tuple[str, ...]
    relays: tuple[str, ...] = ()
    forwarders: tuple[Forwarder, ...] = ()
    #: As those of ``Segment``, of routers as well.
    impaired: tuple[str, ...] = ()
    wire_lost: int = 0


@dataclass(frozen=True)
class Hop:
    """A place that a datagram gets to, in words; whether it did (None: nobody can see), and the evidence for that."""

    name: str
    reached: bool | None
    evidence: str


@dataclass(frozen=True)
class Trace:
    """One datagram that was sent once more, and followed: the hops in order, and what the counters have counted for it."""

    hops: tuple[Hop, ...]
    sender_changes: Changes
    receiver_changes: Changes

    @property
    def delivered(self) -> bool | None:
        """Whether it has arrived in the end."""
        return self.hops[-1].reached

    @property
    def stopped_at(self) -> Hop | None:
        """The first hop that it did not reach; None when there is none."""
        return next((hop for hop in self.hops if hop.reached is False), None)


@dataclass(frozen=True)
class Unwanted:
    """A datagram that was delivered and should not have been: where it went, came from, and came in; None: not known."""

    group: str | None = None
    source: str | None = None
    interface: str | None = None


@dataclass(frozen=True)
class Flow:
    """Datagrams that should arrive, or do arrive. What is not known is None.

    ``source`` is where they really come from; ``size`` the largest payload in bytes; ``sent`` and ``received`` how many
    since the mark. ``error`` is what a call failed with, ``call`` which one it was: join, bind (of a plain socket), open (the
    sender), send, receive; or report: that of the receiver was not heard by the sender.
    """

    channel: Channel
    sender: End | None = None
    receiver: End | None = None
    source: str | None = None
    ttl: int | None = None
    loopback: bool | None = None
    size: int | None = None
    sent: int | None = None
    received: int | None = None
    call: str = ""
    error: BaseException | None = field(default=None, compare=False)
    segment: Segment | None = None
    apart: Apart | None = None
    trace: Trace | None = None
    #: Channels that the senders of the test are for, when none is for this one.
    elsewhere: tuple[Channel, ...] = ()
    #: What was delivered and should not have been: that is what is to be explained then.
    unwanted: Unwanted | None = None

    @property
    def errno(self) -> int | None:
        """The errno of the call that failed; None when nothing failed, or for another reason.

        An interface that has no address to send from is what the kernel calls EADDRNOTAVAIL.
        """
        if isinstance(self.error, InterfaceError):
            return errno.EADDRNOTAVAIL
        code: int | None = getattr(self.error, "errno", None)
        return code

    @property
    def refused(self) -> bool:
        """Whether the kernel has refused a call, so that nothing could be lost: that is what is to be explained then."""
        return self.errno is not None and self.call not in ("", "receive")

    @property
    def question(self) -> str:
        """What is to be explained: a refused ``call``, a delivery that is ``unwanted``, or (empty) a loss."""
        return "call" if self.refused else "" if self.unwanted is None else "unwanted"

    @property
    def same_host(self) -> bool:
        """Whether both ends are on one host: of one name, or, whatever it is called from elsewhere, in one network namespace."""
        if self.sender is None or self.receiver is None:
            return False
        if self.sender.name == self.receiver.name:
            return True
        place = self.sender.facts.place()
        return place is not None and place == self.receiver.facts.place()
