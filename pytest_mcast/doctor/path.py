"""Pair mode: from one host to another and back, for each kind of multicast, and what stops it on the way."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.errors import ChannelError, HostError, InterfaceError, McastError
from pytest_mcast.core.groups import ChannelPicker
from pytest_mcast.core.interfaces import Interface
from pytest_mcast.hosts import Host, RemoteHost

from .diagnosis import Diagnosis, diagnose
from .flow import Changes, End, Flow, Hop, Trace
from .observation import Observation
from .party import Party
from .trace import trace

if TYPE_CHECKING:
    from pytest_mcast.core.receiver import Receiver
    from pytest_mcast.core.sender import Sender

__all__ = ["Leg", "Wanted", "walk", "way"]


@dataclass(frozen=True)
class Wanted:
    """What is sent: group, port and source, where they are named (the source by the host that has it); TTL or hop limit."""

    group: str | None = None
    port: int | None = None
    source: str | None = None
    ttl: int = 1

    def channel(self, kind: str, sender: Party, receiver: Party) -> Channel:
        """Return the channel of a kind such as ``ipv4-ssm``; raises ``ChannelError``, ``InterfaceError``."""
        family, _, mode = kind.partition("-")
        scope = "link-local" if self.group is None else Channel.unchecked(self.group, 0).scope
        source = None
        if mode == "ssm":
            interface = _interface(sender)
            source = self.source if self.source in interface.addresses else interface.address(family, scope)
        picked = _pick(receiver, family, source)
        return Channel(self.group or picked.group, self.port or picked.port, source)


@dataclass(frozen=True)
class Leg:
    """What became of a datagram of one kind from one host to the other; the diagnosis only if it did not arrive."""

    kind: str
    sender: str
    receiver: str
    channel: Channel | None
    trace: Trace
    diagnosis: Diagnosis | None = None

    @property
    def delivered(self) -> bool:
        """Whether it has arrived."""
        return self.diagnosis is None and bool(self.trace.delivered)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        stopped, diagnosis = self.trace.stopped_at, self.diagnosis
        return {
            "kind": self.kind,
            "from": self.sender,
            "to": self.receiver,
            "channel": None if self.channel is None else str(self.channel),
            "delivered": self.delivered,
            "stopped_at": None if stopped is None else stopped.name,
            "hops": [{"name": hop.name, "reached": hop.reached, "evidence": hop.evidence} for hop in self.trace.hops],
            "findings": [] if diagnosis is None else [asdict(each) for each in diagnosis.findings],
            "unchecked": {} if diagnosis is None else dict(diagnosis.unchecked),
        }


def walk(
    one: Party, two: Party, kinds: Sequence[str], wanted: Wanted, *, timeout: float | None = None
) -> Iterator[Leg]:
    """Go from one to the other for each kind, then back; raises ``HostError`` for a remote host that is lost."""
    for sender, receiver in ((one, two), (two, one)):
        for kind in kinds:
            yield way(sender, receiver, kind, wanted, timeout=timeout)


def way(sender: Party, receiver: Party, kind: str, wanted: Wanted, *, timeout: float | None = None) -> Leg:
    """Send one datagram of a kind, follow it, and if it does not arrive say why.

    ``timeout`` (seconds) is spent only then. Raises ``HostError`` for a remote host that is lost.
    """
    names = str(sender.host), str(receiver.host)
    try:
        channel = wanted.channel(kind, sender, receiver)
    except (ChannelError, HostError):
        raise
    except (OSError, McastError) as error:
        return Leg(kind, *names, None, _nowhere("sender's socket", error))
    with ExitStack() as stack:
        attempt = _Attempt(stack, channel, sender, receiver)
        found = attempt.make(wanted, timeout)
        diagnosis = None if found.delivered else diagnose(attempt.flow(found))
    return Leg(kind, *names, channel, found, diagnosis)


class _Attempt:
    """One datagram, with what is opened for it; closed with the stack."""

    def __init__(self, stack: ExitStack, channel: Channel, sender: Party, receiver: Party) -> None:
        self._stack = stack
        self._channel = channel
        self._parties = sender, receiver
        self._call = ""
        self._error: BaseException | None = None
        self._sent = 0
        self._origin: Sender | None = None
        self._member: Receiver | None = None
        self._observation = stack.enter_context(Observation(sender.host, receiver.host))

    def make(self, wanted: Wanted, timeout: float | None) -> Trace:
        """Open both ends and send."""
        sender, receiver = self._parties
        try:
            self._call = "join"
            self._member = receiver.host.receiver(self._channel, interface=receiver.interface_name)
            self._stack.enter_context(self._member)
            self._call = "open"
            self._origin = sender.host.sender(self._channel, interface=sender.interface_name, ttl=wanted.ttl)
            self._stack.enter_context(self._origin)
        except HostError:
            raise
        except (OSError, McastError) as error:
            self._error = error
            return _nowhere("receiver's socket" if self._call == "join" else "sender's socket", error)
        self._call = "receive"
        return trace(self._channel, sender, receiver, through=self, into=self._member, timeout=timeout)

    def send(self, payload: bytes) -> None:
        """Send one for the trace, and take note of what is refused."""
        assert self._origin is not None
        try:
            self._origin.send(payload)
        except OSError as error:
            self._call, self._error = "send", error
            raise
        self._sent += 1

    def flow(self, found: Trace) -> Flow:
        """Return what is known about it."""
        sender, receiver = self._parties
        sockets = [] if self._origin is None or isinstance(sender.host, RemoteHost) else [self._origin.socket]
        taken = [] if self._member is None or isinstance(receiver.host, RemoteHost) else [_socket(self._member)]
        known: dict[str, Any] = {}
        if self._origin is not None:
            known = {"source": self._origin.source[0], "ttl": self._origin.ttl, "loopback": self._origin.loopback}
        flow = self._observation.flow(
            self._channel,
            sender=replace(sender, sockets=sockets),
            receiver=replace(receiver, sockets=taken),
            call=self._call,
            error=self._error,
            sent=self._sent,
            received=0,
            trace=found,
            **known,
        )
        # Nobody else has counted on a remote host.
        return replace(
            flow,
            sender=_counted(flow.sender, sender, found.sender_changes),
            receiver=_counted(flow.receiver, receiver, found.receiver_changes),
        )


def _nowhere(name: str, error: BaseException) -> Trace:
    return Trace((Hop(name, False, f"it cannot be opened: {error}"),), Changes(None), Changes(None))


def _counted(end: End | None, party: Party, changes: Changes) -> End | None:
    return replace(end, changes=changes) if end is not None and isinstance(party.host, RemoteHost) else end


def _socket(receiver: Receiver) -> Any:
    return receiver.subscription.socket


def _pick(receiver: Party, family: str, source: str | None) -> Channel:
    host: Host = receiver.host
    if isinstance(host, RemoteHost):
        return host.pick(family, source=source)
    with host.inside():
        return ChannelPicker(secrets.token_bytes(8)).pick(family, source=source, interface=_interface(receiver))


def _interface(party: Party) -> Interface:
    name = party.interface_name
    for interface in party.host.interfaces:
        if interface.name == name:
            return interface
    raise InterfaceError(f"{party.host} has no interface {name} any more")
