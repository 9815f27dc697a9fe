"""The two ends of a cell: what receives and what sends, whichever implementation it is."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.datagrams import Datagram, Sent
from pytest_mcast.core.verdicts import Receives
from pytest_mcast.cores import FIELDS, CoreFailure, ExternalSender
from pytest_mcast.cores.records import length_of

from .outcomes import Unready

if TYPE_CHECKING:
    from pytest_mcast.cores import ReceiveCore

    from .stage import Station

__all__ = ["BuiltInOrigin", "Member", "Origin", "ProgramOrigin", "open_member"]


_REFUSED = {errno.EMSGSIZE, errno.EINVAL}  # what they are about is the datagram, not the network


class Member:
    """The receiver of a cell, which has joined; ``evidence`` is what shows that it has."""

    def __init__(self, receiver: Any, station: Station, channel: Channel, name: str, evidence: str) -> None:
        #: What can be probed: a ``Receiver``, that of a core, or a proxy of one on another machine.
        self.receiver: Receives = receiver
        self.station = station
        self.channel = channel
        self.name = name
        self.evidence = evidence
        self.fields: frozenset[str] = getattr(receiver, "fields", frozenset(FIELDS))
        self.max_size: int | None = getattr(receiver, "max_size", None)

    def recv(self, timeout: float | None = None) -> Datagram:
        """Return the next datagram; raises ``NotReceived`` after ``timeout`` seconds."""
        return self.receiver.recv(timeout)

    def change(self, action: str, *arguments: str) -> None:
        """Leave, join, block or unblock; raises as the receiver."""
        owner: Any = self.receiver if hasattr(self.receiver, action) else self.receiver.subscription  # type: ignore[attr-defined] # of a Receiver
        getattr(owner, action)(*arguments)

    def is_it(self, datagram: Datagram, payload: bytes) -> bool:
        """Say whether a datagram has that payload, as far as is told of it."""
        if datagram.truncated:
            return payload.startswith(datagram.payload)
        return datagram.payload == payload

    def faults(self, datagram: Datagram, right: dict[str, Any]) -> list[str]:
        """Say in words what is told of a datagram otherwise than it is, field by field; what is None in ``right`` may be anything."""
        payload: bytes = right["payload"]
        told = {
            "source": datagram.source[0],
            "source_port": datagram.source[1],
            "group": datagram.destination,
            "port": datagram.port,
            "interface": datagram.interface_index,
            "ttl": datagram.ttl,
            "length": length_of(datagram),
        }
        found = [
            f"{name.replace('_', ' ')} {told[name]} instead of {right[name]}"
            for name in told
            if name in self.fields and None not in (told[name], right.get(name)) and told[name] != right[name]
        ]
        if "payload" in self.fields and not self.is_it(datagram, payload):
            found.append(f"payload {datagram.payload[:32]!r} instead of {payload[:32]!r}")
        return found


def open_member(
    core: ReceiveCore | None, station: Station, channel: Channel, stack: ExitStack, *, timeout: float
) -> Member:
    """Open the receiver of a core (None: of this package) on a host, and wait until it is ready; closed with ``stack``."""
    if core is None:
        receiver: Any = stack.enter_context(station.host.receiver(channel, timeout=timeout, **station.options()))
        return Member(receiver, station, receiver.channel, "builtin", receiver.evidence)
    opened = stack.enter_context(core.open(channel, station.host, interface=station.interface.name, timeout=timeout))
    evidence = opened.ready(max(10.0, timeout))
    if station.port is not None:
        entry = station.port.wait_until_ready(channel)
        evidence += f", {entry}" if entry else ""
    return Member(opened, station, channel, core.name, evidence)


class Origin(Protocol):
    """What sends in a cell."""

    @property
    def station(self) -> Station:
        """Where it is."""

    def send(self, payloads: Sequence[bytes]) -> list[Sent | None]:
        """Send datagrams; returns what a socket of ours knows of each."""


class BuiltInOrigin:
    """The sender of this package, on whatever host."""

    def __init__(self, station: Station, channel: Channel, stack: ExitStack, *, timeout: float, **options: Any) -> None:
        self.station = station
        self._sender = stack.enter_context(
            station.host.sender(channel, timeout=timeout, **{**station.options(), **options})
        )

    @property
    def address(self) -> str:
        """Where its datagrams come from."""
        return self._sender.source[0]

    def send(self, payloads: Sequence[bytes]) -> list[Sent | None]:
        """Send datagrams; raises ``CoreFailure`` when the system refuses one, and ``Unready`` when its network carries none."""
        sent: list[Sent | None] = []
        for payload in payloads:
            try:
                sent.append(self._sender.send(payload))
            except OSError as error:
                what = f"{len(payload)} bytes to {self._sender.channel} from {self._sender.interface.name}"
                if error.errno in _REFUSED:
                    raise CoreFailure("refused", f"the system refuses to send {what}: {error.strerror}") from error
                said = f"host {self.station.name} cannot send {what}: {error.strerror or error}"
                raise Unready(f"{said}; look at its addresses, routes and firewall") from error
        return sent


class ProgramOrigin:
    """A sender that is a program, run once for datagrams of one payload."""

    def __init__(self, sender: ExternalSender, station: Station, channel: Channel, *, ttl: int, timeout: float) -> None:
        self.station = station
        self.name = sender.name
        self._program = sender
        self._channel = channel
        self._ttl = ttl
        self._timeout = max(10.0, timeout)

    def send(self, payloads: Sequence[bytes]) -> list[Sent | None]:
        """Send datagrams that are all the same; raises ``CoreFailure`` and ``MissingCapability``."""
        self._program.send(
            self._channel,
            self.station.host,
            payload=payloads[0].decode(),
            count=len(payloads),
            ttl=self._ttl,
            interface=self.station.interface.name,
            timeout=self._timeout,
        )
        return [None] * len(payloads)
