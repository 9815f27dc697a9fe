"""Sends crafted datagrams to a receiver, and establishes what it made of them."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.errors import Delivered, MissingCapability, NoVerdict
from pytest_mcast.core.groups import ChannelPicker
from pytest_mcast.core.receiver import Receiver
from pytest_mcast.core.verdicts import Receives, Verdict, read_all, read_until
from pytest_mcast.lab import VirtualHost

from .cases import Case, case
from .template import Packet, Template, mark_of, new_mark

if TYPE_CHECKING:
    from types import TracebackType

    from pytest_mcast.core.datagrams import Datagram
    from pytest_mcast.hosts import Host

__all__ = ["Prober"]

_CHANGES = tuple(sorted({one.name for one in fields(Packet)} - {"mac", "mtu"}))


class Prober:
    """Probes one receiver on ``receiver_host`` with datagrams crafted on ``sender_host``.

    Each probe is followed by a fence, a legitimate datagram by the same packet socket and in as many fragments; the
    control is the tap of the receiver's host. ``interface`` of the sender is the one that leads there (default: its
    first). ``timeout`` (seconds) is spent only when there will be no verdict.
    Raises ``MissingCapability`` when the hosts are not two virtual hosts, ``ValueError`` when they are the same.
    """

    def __init__(
        self,
        receiver: Receives,
        sender_host: Host,
        receiver_host: Host,
        *,
        interface: str | None = None,
        timeout: float = 5.0,
    ) -> None:
        if not (isinstance(sender_host, VirtualHost) and isinstance(receiver_host, VirtualHost)):
            local = receiver_host if isinstance(sender_host, VirtualHost) else sender_host
            raise MissingCapability(
                "packets",
                f"{local.interface.name} of this machine cannot carry a packet that only another host could send",
                "run pytest with --mcast-lab",
            )
        if sender_host is receiver_host:
            raise ValueError(f"a host cannot send crafted packets to itself: {sender_host} is sender and receiver")
        channel = receiver.channel
        self.receiver = receiver
        self.channel = channel
        self.timeout = Deadline(timeout).seconds or 0.0
        injector = sender_host.injector(interface)
        out = sender_host.find(interface) if interface else sender_host.interface
        self._host = receiver_host
        self._interface = receiver.interface if isinstance(receiver, Receiver) else receiver_host.interface
        self._inject = injector.inject
        self._control = receiver_host.control
        #: The datagram that the receiver must deliver; probes differ from it.
        self.legitimate = Packet(
            source=channel.source or out.address(channel.family, channel.scope),
            source_port=49152 + secrets.randbelow(16384),
            group=channel.group,
            port=channel.port,
            mac=injector.mac,
            mtu=out.mtu,
        )
        self._run = secrets.randbits(32)
        self._number = 0
        self._identification = secrets.randbits(32)  # fresh for each datagram: fragments of two must never mix
        self._templates: dict[Packet, Template] = {}
        self._neighbours: dict[Channel, Receiver] = {}
        self._others: dict[str, Any] = {}
        self._unproved: dict[int, str] = {}  # what was not delivered, up to now
        self._stack = ExitStack()

    def __call__(self, what: str | Case | None = None, *, neighbour: bool = False, **changes: Any) -> Verdict:
        """Send one probe and return the verdict.

        ``what`` is an edge case or its id; ``changes`` are fields of ``Packet`` in which the probe differs from a
        legitimate datagram, such as ``source="10.0.0.1"``, ``ttl=0`` or ``port="other"``. With a ``neighbour``, another
        receiver on the same host gets it. Raises ``NoVerdict`` when nothing is proved, ``Delivered`` when an earlier
        probe turns up that had not been delivered, ``LookupError`` for an unknown case, ``ValueError`` for a change.
        """
        edge, changed = case(what) if isinstance(what, str) else what, bool(changes)
        if edge is not None:
            self._check_fits(edge)
            changes, neighbour = {**edge.changes, **changes}, neighbour or edge.neighbour
        packet = replace(self.legitimate, **self._resolved(changes))
        beside = self._neighbour(packet) if neighbour else None
        name = f"{edge.id}: {packet}" if edge is not None else str(packet)
        expected = edge.delivered if edge is not None and not changed else None
        return self._probe(name, packet, beside, expected)

    def close(self) -> None:
        """Close the neighbours; before, see that nothing turns up late. Again is no error.

        Raises ``Delivered`` when a probe was delivered after its verdict, ``NoVerdict`` when a last fence is lost.
        """
        with self._stack:
            if self._unproved and self._is_member():
                fence, arrived, _ = self._send(None, self.legitimate)
                if arrived is None:
                    raise self._no_verdict("a last fence did not arrive", "nothing", None, fence)
                self._unproved.clear()

    def _probe(self, name: str, packet: Packet, beside: Receiver | None, expected: bool | None) -> Verdict:
        self._control.pull()
        if beside is not None:
            read_all(beside, Deadline(self.timeout))  # room for what it is to get
        mark = self._next_mark()
        fence_packet = replace(self.legitimate, size=packet.size, fragment=packet.fragment)
        number = self._number
        fence, arrived, found = self._send((packet, mark), fence_packet)
        sighting = self._control.find(lambda frame: mark in frame)
        verdict = "delivered" if found else "not delivered" if arrived is not None else "no verdict"
        self._control.comment(lambda frame: mark in frame, f"probe {name}: {verdict}")
        fence_mark = new_mark(self._run, self._number)
        self._control.comment(
            lambda frame: fence_mark in frame, f"fence: {'it has' if arrived else 'it has not'} arrived"
        )
        if not found:  # that it was delivered needs no other evidence
            missing = (
                f"the fence did not arrive within {self.timeout:g} s"
                if arrived is None
                else "the control has not seen it"
                if sighting is None
                else f"{beside!r}, which wants it, has not got it"
                if beside is not None and not self._got(beside, number)
                else None
            )
            if missing is not None:
                raise self._no_verdict(missing, name, sighting, fence)
            self._unproved[number] = name
        return Verdict(
            bool(found),
            name,
            tuple(found),
            (sighting or f"{self._control} did not see it")
            + (f", and {beside!r} got it" if beside is not None and not found else ""),
            fence + (" did not arrive" if arrived is None else ", arrived after it"),
            repr(self.receiver),
            ("fence",),
            expected=expected,
        )

    def _send(
        self, probe: tuple[Packet, bytes] | None, fence: Packet
    ) -> tuple[str, Datagram | None, Sequence[Datagram]]:
        """Send probe and fence; return the fence in words, the fence as it arrived, and the probe as it did."""
        number = self._number
        if probe is not None:
            self._send_packet(*probe)
        self._send_packet(fence, self._next_mark())
        last = self._run, self._number
        before, arrived = read_until(
            self.receiver, lambda datagram: mark_of(datagram.payload) == last, Deadline(self.timeout)
        )
        found, foreign, late = [], [], None
        for datagram in before:
            run, which = mark_of(datagram.payload) or (None, None)
            if run != self._run or which is None:
                foreign.append(datagram)
            elif probe is not None and which == number:
                found.append(datagram)
            elif which in self._unproved:
                late = f"{self._unproved.pop(which)}\nas {datagram!r}"
        if isinstance(self.receiver, Receiver):
            self.receiver.give_back(foreign)
        if late is not None:
            raise Delivered(f"delivered late, after the verdict was that it was not: {late}")
        return str(fence), arrived, found

    def _send_packet(self, packet: Packet, mark: bytes) -> None:
        if packet not in self._templates:
            self._templates[packet] = Template(packet)
        self._identification += 1
        for frame in self._templates[packet].frames(mark, self._identification):
            self._inject(frame)

    def _next_mark(self) -> bytes:
        self._number += 1
        return new_mark(self._run, self._number)

    def _check_fits(self, edge: Case) -> None:
        family, mode = self.channel.family, self.channel.mode
        if family not in edge.families or mode not in edge.modes:
            kinds = f"{' or '.join(edge.families)}, {' or '.join(edge.modes)}"
            raise ValueError(f"the case {edge.id} is for {kinds}; {self.channel} is {family}, {mode}")

    def _resolved(self, changes: dict[str, Any]) -> dict[str, Any]:
        unknown = [name for name in changes if name not in _CHANGES]
        if unknown:
            raise ValueError(f"a probe has no {', '.join(unknown)}; it has {', '.join(_CHANGES)}")
        return {name: self._other(name) if value == "other" else value for name, value in changes.items()}

    def _other(self, name: str) -> Any:
        """Return another source, group or port than the receiver's, always the same."""
        others: dict[str, Callable[[], Any]] = {
            "source": self._other_source,
            "group": lambda: self._other_channel().group,
            "port": lambda: self._other_channel().port,
        }
        if name not in others:
            raise ValueError(f"{name}='other' says nothing; there is another {', '.join(others)}")
        if name not in self._others:
            self._others[name] = others[name]()
        return self._others[name]

    def _other_source(self) -> str:
        source = ipaddress.ip_address(self.legitimate.source)
        own = self._interface.addresses
        neighbours = (str(type(source)(int(source) ^ number)) for number in (0x7F00, 0x3F00))
        return next(address for address in neighbours if address not in own)  # on the link, but not the receiver's

    def _other_channel(self) -> Channel:
        channel = self.channel
        scope = None if channel.family == "ipv4" else channel.scope
        picker = ChannelPicker(secrets.token_bytes(8))
        with self._host.inside():
            while True:
                other = picker.pick(channel.family, scope, source=channel.source, interface=self._interface)
                if other.group != channel.group and other.port != channel.port:
                    return other

    def _neighbour(self, packet: Packet) -> Receiver:
        """Return a receiver beside the one that is probed, which wants the packet."""
        same_source = packet.source == self.legitimate.source
        channel = Channel.unchecked(packet.group, packet.port, self.channel.source if same_source else None)
        if channel not in self._neighbours:
            beside = self._host.receiver(channel, interface=self._interface, timeout=self.timeout)
            self._neighbours[channel] = self._stack.enter_context(beside)
        return self._neighbours[channel]

    def _got(self, beside: Receiver, number: int) -> bool:
        mine = (self._run, number)
        deadline = Deadline(self.timeout)
        return read_until(beside, lambda one: mark_of(one.payload) == mine, deadline, wait=False)[1] is not None

    def _is_member(self) -> bool:
        return not isinstance(self.receiver, Receiver) or self.receiver.subscription.state == "joined"

    def _no_verdict(self, reason: str, name: str, sighting: str | None, fence: str) -> NoVerdict:
        control = sighting or f"{self._control} did not see it"
        lines = [f"no verdict: {reason}", f"sent: {name}", f"control: {control}", f"fence: {fence}"]
        lines.append(f"receiver: {self.receiver!r}")
        if isinstance(self.receiver, Receiver) and not self.receiver.closed:
            lines.append(f"receiver: {self.receiver.statistics()}")
        return NoVerdict("\n".join([*lines, *self._control.account()]))

    def __enter__(self) -> Prober:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exception is not None:
            self._unproved.clear()  # it failed already
        self.close()
