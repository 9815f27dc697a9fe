"""What a behaviour works with: a core, a network, a kind of channel; and how exact delivery is established."""

from __future__ import annotations

import ipaddress
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.errors import NotReceived, NoVerdict
from pytest_mcast.wire import socket_settings, udp_sockets

from ..protocol import CoreFailure, CoreReceiver, ReceiveCore
from ..records import ReportedDatagram

if TYPE_CHECKING:
    from types import TracebackType

    from pytest_mcast.core.datagrams import Datagram
    from pytest_mcast.core.sender import Sender
    from pytest_mcast.lab import LabView, VirtualHost
    from pytest_mcast.packets.explain import DropReasons

__all__ = ["Bench", "Flows", "Unsupported"]

_SHOWN = 6  # of a list in a message
# What a core does that lacks one of the optional capabilities.
_CANNOT = {
    "rejoins": "it joins once",
    "filters": "it cannot change its sources",
    "idle": "it reads all the time",
    "receive_buffer": "its receive buffer cannot be set",
    "max_size": "the largest payload that it takes cannot be set",
    "counts_drops": "it does not tell what was lost",
}


class Unsupported(Exception):  # noqa: N818 - an outcome, not an error
    """The core does not claim to do this; the text says what."""


@dataclass
class Flows:
    """Several senders to one channel, each from a port of its own, and what they have sent."""

    channel: Channel
    senders: list[Sender]
    payloads: list[bytes] = field(default_factory=list)
    ports: dict[bytes, int] = field(default_factory=dict)  # by payload
    fence: bytes = b""

    def send(self, name: str, size: int = 0) -> None:
        """Send one datagram from each port, of ``size`` bytes at least."""
        for number, sender in enumerate(self.senders):
            payload = f"{name} {number} {secrets.token_hex(8)} ".encode().ljust(size, b".")
            sender.send(payload)
            self.payloads.append(payload)
            self.ports[payload] = sender.source[1]

    def send_fences(self) -> None:
        """Send what comes after all that was sent, from each port: one that gets through says that the rest is over."""
        self.fence = f"fence {secrets.token_hex(8)}".encode()
        for sender in self.senders:
            sender.send(self.fence)


class Bench:
    """One run of one behaviour; what it opens is closed with it. ``timeout`` in seconds is spent in vain only."""

    def __init__(
        self,
        core: ReceiveCore,
        lab: LabView,
        family: str,
        mode: str,
        *,
        timeout: float = 5.0,
        drops: DropReasons | None = None,
    ) -> None:
        self.core = core
        self.lab = lab
        self.family = family
        self.mode = mode
        self.timeout = timeout
        #: What says why the kernel has dropped something, where that is permitted.
        self.drops = drops
        #: What was shown, a line each.
        self.evidence: list[str] = []
        self._stack = ExitStack()

    def need(self, *fields: str) -> None:
        """Raise ``Unsupported`` unless the core tells these fields of a datagram."""
        missing = [name for name in fields if name not in self.core.capabilities.fields]
        if missing:
            raise Unsupported(f"it does not tell the {' and '.join(missing)} of a datagram")

    def channel(self, source: VirtualHost, *, family: str | None = None, interface: str | None = None) -> Channel:
        """Return a new channel of the kind in question (or of another family), from a host if it has a source."""
        family = family or self.family
        if self.mode == "asm":
            return self.lab.channel(family)
        if interface is None:
            return self.lab.channel(family, source=source)
        return self.lab.channel(family, source=source.find(interface).address(family, "link-local"))

    def channel_in(self, groups: str, source: VirtualHost) -> Channel:
        """Return a new channel with one of these groups, such as ``ff0e::/16``; unchecked, for it may be a reserved one."""
        network = ipaddress.ip_network(groups)
        picked = self.lab.channel(self.family)
        number = int(ipaddress.ip_address(picked.group)) & int(network.hostmask) & 0xFFFFFFFF  # a transient one
        group = str(network.network_address + number)
        scope = Channel.unchecked(group, picked.port).scope
        return Channel.unchecked(group, picked.port, source.source(self.family, scope) if self.mode == "ssm" else None)

    def can(self, *capabilities: str) -> None:
        """Raise ``Unsupported`` unless the core has these of the optional ``Capabilities``."""
        for name in capabilities:
            if not getattr(self.core.capabilities, name):
                raise Unsupported(_CANNOT[name])

    def open(
        self, channel: Channel, host: VirtualHost, interface: str | None = None, **options: int | None
    ) -> CoreReceiver:
        """Return a receiver of the core that is ready.

        ``options`` are those that not every core has (None: as it comes): ``receive_buffer`` and ``max_size``, see ``Capabilities``. Raises
        ``Unsupported`` for one that the core has not.
        """
        wanted = {name: value for name, value in options.items() if value is not None}
        self.can(*wanted)
        _ = host.control  # sees from here on what comes in
        receiver = self.core.open(channel, host, interface=interface, timeout=self.timeout, **wanted)
        return self._stack.enter_context(receiver)

    def flows(self, channel: Channel, host: VirtualHost, count: int = 1, **options: str) -> Flows:
        """Return that many senders on a host."""
        return Flows(channel, [host.sender(channel, **options) for _ in range(count)])

    def expect_exactly(
        self, receivers: Mapping[CoreReceiver, Flows], host: VirtualHost, *, ordered: bool = False
    ) -> None:
        """Establish that each receiver on a host has delivered what its flows have sent, once each, and nothing else.

        Raises ``CoreFailure``, which names the flows that are missing, and ``NoVerdict`` when the tap of the host has not
        seen them come in either.
        """
        for flows in {id(flows): flows for flows in receivers.values()}.values():
            flows.send_fences()
        complaints = []
        for receiver, flows in receivers.items():
            got, arrived = self._read(receiver, flows.fence)
            complaint = self._compare(receiver, flows, got, host, arrived=arrived, ordered=ordered)
            if complaint:
                complaints.append(complaint)
        if complaints:
            raise CoreFailure("wrong", "\n".join([*complaints, *_sockets(receivers, host)]))
        number = sum(len(flows.payloads) for flows in receivers.values())
        self.evidence.append(f"{number} datagrams delivered once each, and no other")

    def _read(self, receiver: CoreReceiver, fence: bytes) -> tuple[list[Datagram], bool]:
        deadline = Deadline(self.timeout)
        got: list[Datagram] = []
        while True:
            try:
                datagram = receiver.recv(deadline.remaining())
            except NotReceived:
                return got, False
            if datagram.payload == fence:
                return got, True
            if not datagram.payload.startswith(b"fence "):  # of an earlier look
                got.append(datagram)

    def _compare(
        self,
        receiver: CoreReceiver,
        flows: Flows,
        got: Sequence[Datagram],
        host: VirtualHost,
        *,
        arrived: bool,
        ordered: bool,
    ) -> str:
        payloads = [_whole(datagram, flows.payloads) for datagram in got]
        wanted, have = Counter(flows.payloads), Counter(payloads)
        missing, extra = list((wanted - have).elements()), list((have - wanted).elements())
        for payload in missing:
            if not _has_come(host, payload):
                account = "\n".join(host.control.account())
                raise NoVerdict(f"{payload!r} to {flows.channel} has not come to {host}\n{account}")
        if missing:
            ports = sorted({flows.ports[payload] for payload in missing})
            return (
                f"{receiver!r}: {len(missing)} of {len(flows.payloads)} datagrams were lost, which the tap of {host} saw "
                f"come in: {_some([f'port {port}' for port in ports])} of {len(flows.senders)} ports of {flows.channel}"
                + ("" if arrived else "; nor did a datagram sent after them arrive")
            )
        if extra:
            return f"{receiver!r} delivered {len(extra)} datagrams that it should not, or twice: {_some(list(map(repr, extra)))}"
        if not arrived:
            return f"{receiver!r} did not deliver a datagram that was sent last"
        if ordered and payloads != flows.payloads:
            return f"{receiver!r} delivered in another order than was sent"
        return ""

    def close(self) -> None:
        """Close the receivers; raises what one of them has to complain about."""
        self._stack.close()

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(exception_type, exception, traceback)


def _whole(datagram: Datagram, sent: Sequence[bytes]) -> bytes:
    """Return the payload of a datagram, of which a program may tell the beginning only."""
    told = datagram.payload
    if not isinstance(datagram, ReportedDatagram) or not datagram.truncated:
        return told
    return next((one for one in sent if one.startswith(told) and datagram.length in (None, len(one))), told)


def _sockets(receivers: Iterable[CoreReceiver], host: VirtualHost) -> Iterator[str]:
    """Say how the sockets are bound and set, which often is the cause."""
    with host.inside():
        for receiver in receivers:
            port = receiver.channel.port
            pid = getattr(receiver, "pid", None)
            found = list(map(str, udp_sockets(port)) if pid is None else socket_settings(pid, port))
            yield from (f"socket: {one}" for one in found[:_SHOWN])
            if pid is None:  # they are all the same process's
                return


def _has_come(host: VirtualHost, payload: bytes) -> bool:
    return host.control.find(lambda frame: payload in frame) is not None


def _some(items: Sequence[str]) -> str:
    more = len(items) - _SHOWN
    return ", ".join(items[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
