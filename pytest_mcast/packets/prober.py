"""Sends crafted datagrams to receivers, and establishes what they made of them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.errors import Delivered, NoVerdict
from pytest_mcast.core.receiver import Receiver
from pytest_mcast.core.verdicts import Receives, read_all, read_until
from pytest_mcast.hosts import Host, LocalHost
from pytest_mcast.lab import VirtualHost
from pytest_mcast.wire import Counters

from .build import Packet
from .cases import Case, case
from .crafter import DYNAMIC_PORT, Crafter
from .expectations import Expectation
from .explain import DropReasons, describe_frames
from .marks import mark_of
from .places import places
from .raw import Raw, is_scapy, raw
from .shot import Shot, all_seen
from .subject import Outcome, Subject
from .verdict import ProbeVerdict
from .words import Words, neighbour_address

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Prober"]

_FENCES, _GRACE = 3, 0.2  # where a datagram can be lost or overtaken; seconds
_LEGITIMATE = Packet()


class Prober:
    """Probes a receiver on ``receiver_host`` with datagrams crafted on ``sender_host``.

    Each probe is followed by a fence, a legitimate datagram by the same packet socket, fragmented if the probe is; the
    control is the tap of the receiver's host. ``interface`` of the sender is the one that leads there (default: its
    first). ``timeout`` (seconds) is spent only when there will be no verdict. ``beside`` are more receivers on that host,
    each of which gets a verdict as well. ``drops`` says why the kernel has dropped something, where that is permitted.

    A receiver is anything with ``channel`` and ``recv(timeout)``. It may say what it can observe: ``fields``, some of
    source, source_port, group, port, interface, ttl, payload, length (default: all); and ``max_size``, how many bytes of a
    payload it gives.

    Hosts are virtual ones, or this machine by an interface from which frames get to the receiver's; then a datagram may be
    lost or overtaken, the fence is sent three times, and the evidence is weak. Raises ``MissingCapability`` where there is
    no way, ``ValueError`` when both are the same host, or when a receiver shows too little of what it receives.
    """

    def __init__(
        self,
        receiver: Receives,
        sender_host: Host,
        receiver_host: Host,
        *,
        interface: str | None = None,
        timeout: float = 5.0,
        beside: Sequence[Receives] = (),
        drops: DropReasons | None = None,
    ) -> None:
        self.receiver = receiver
        self.channel = channel = receiver.channel
        self.timeout = Deadline(timeout).seconds or 0.0
        self._stack = ExitStack()
        try:
            sender, self._host = places(sender_host, receiver_host, interface, self._stack)
            injector = sender.injector(interface)
            out = sender.find(interface) if interface else sender.interface
            self._interface = getattr(receiver, "interface", None) or self._host.interface
            self._inject = injector.inject
            self._control = self._host.control
            with self._host.inside():
                self._counters = Counters()
            self._stack.callback(self._counters.close)
        except BaseException:  # whatever it is: let go, and pass it on
            self._stack.close()
            raise
        self._drops = drops
        # The interface that leads to the receiver's host: that of its switch, or over a cable the sender's.
        plugged = self._host.plugged.get(self._interface.index) if isinstance(self._host, VirtualHost) else None
        self._last_hop = out.name if plugged is None else plugged.device
        # Whether what was sent has been processed when the call that sent it returns.
        self._immediate = self._control.immediate and isinstance(sender_host, VirtualHost)
        self._grace = 0.0 if self._immediate else min(_GRACE, self.timeout)
        # On one machine our own address would be the receiver's as well, from which nothing can come.
        one_machine = isinstance(sender_host, LocalHost) and isinstance(receiver_host, LocalHost)
        taken = (*out.addresses, *self._interface.addresses) if one_machine else self._interface.addresses

        port = DYNAMIC_PORT + secrets.randbelow(16384)

        def legitimate(wanted: Channel) -> Packet:
            source = wanted.source or out.address(wanted.family, wanted.scope)
            if one_machine and wanted.source is None:
                source = neighbour_address(source, taken, near=True)
            return Packet(
                source=source,
                source_port=port,
                group=wanted.group,
                port=wanted.port,
                source_mac=injector.mac,
                mtu=out.mtu,
            )

        #: The datagram that the receiver must deliver; probes differ from it.
        self.legitimate = legitimate(channel)
        self._run = secrets.randbits(32)
        self._subjects = [
            Subject(one, legitimate(one.channel), self._run, self._interface.index) for one in (receiver, *beside)
        ]
        words = Words(channel, self.legitimate, self._host, self._interface, taken, near=one_machine)
        marks = all(subject.sight.marks for subject in self._subjects)
        self._crafter = Crafter(self.legitimate, words, self._run, marks=marks)
        self._neighbours: dict[Channel, Receiver] = {}

    def __call__(
        self,
        what: str | Case | Packet | Raw | bytes | Callable[[Packet], Any] | Any = None,
        *,
        neighbour: bool = False,
        expect: Expectation | None = None,
        **changes: Any,
    ) -> ProbeVerdict:
        """Send one probe and return the verdict.

        ``what`` is an edge case or its id, a datagram (``udp()``), a frame as bytes, a packet of scapy's, or a function that
        makes one of these of the legitimate datagram. ``changes`` are fields of ``Packet`` in which the probe differs
        from that, such as ``source="10.0.0.1"``, ``ttl=0`` or ``port="other"``. With a ``neighbour``, another receiver on
        the same host gets it. ``expect`` is what ``check()`` of the verdict looks for.

        Raises ``NoVerdict`` when nothing is proved, ``Delivered`` when an earlier probe turns up (again),
        ``LookupError`` for an unknown case, ``ValueError`` for what cannot be sent.
        """
        edge = case(what) if isinstance(what, str) else what if isinstance(what, Case) else None
        if edge is not None:
            self._check_fits(edge)
            expect = expect or (None if changes else edge.expectation)
            changes, neighbour, what = {**edge.changes, **changes}, neighbour or edge.neighbour, edge.packet
        if callable(what) and not isinstance(what, (Packet, Raw)) and not is_scapy(what):
            what = what(self.legitimate)
        prefix = "" if edge is None else f"{edge.id}: "
        beside = None
        if what is None or isinstance(what, Packet):
            packet = self._crafter.complete(what or _LEGITIMATE, changes)
            beside = self._neighbour(packet) if neighbour else None
            shot = self._crafter.shot(packet, prefix)
        elif changes or neighbour:
            raise ValueError(f"{what!r} is sent as it is: it has no fields to change, and no neighbour")
        else:
            shot = self._crafter.raw_shot(what if isinstance(what, Raw) else raw(what), prefix)
        return self._probe(shot, beside, expect)

    def close(self) -> None:
        """Close the neighbours; before, see that nothing turns up late. Again is no error.

        Raises ``Delivered`` when a probe was delivered (again) after its verdict, ``NoVerdict`` when a last fence is lost.
        """
        with self._stack:
            if all(subject.is_member for subject in self._subjects) and any(one.judged for one in self._subjects):
                fences, outcomes = self._send(None)
                # What was delivered is proved, whatever becomes of this fence.
                unproved = any(not delivered for one in self._subjects for _, delivered in one.judged.values())
                if unproved and any(outcome.arrived is None for outcome in outcomes):
                    raise self._no_verdict("a last fence did not arrive", None, None, fences[0].name)
                self._forget()

    def _probe(self, shot: Shot, beside: Receiver | None, expect: Expectation | None) -> ProbeVerdict:
        control = self._control
        control.pull()
        if beside is not None:
            read_all(beside, Deadline(self.timeout))  # room for what it is to get
        mark = None if self._drops is None else self._drops.mark()
        fences, outcomes = self._send(shot)
        sighting = control.find(all_seen(shot.frames))
        main, fence = outcomes[0], fences[0].name
        verdict = "delivered" if main.found else "not delivered" if main.arrived is not None else "no verdict"
        first, last = shot.frames[0], fences[0].frames[0]
        control.comment(lambda frame: frame[14:] in first, f"probe {shot.name}: {verdict}")
        control.comment(
            lambda frame: frame[14:] in last, f"fence: {'it has' if main.arrived else 'it has not'} arrived"
        )
        silent = next((each for each, one in zip(self._subjects, outcomes, strict=True) if not _heard(one)), None)
        if silent is not None:
            where = "" if silent is self._subjects[0] else f" at {silent!r}"
            raise self._no_verdict(f"the fence did not arrive{where} within {self.timeout:g} s", shot, sighting, fence)
        if not all(outcome.found for outcome in outcomes):  # that it was delivered needs no other evidence
            if sighting is None:
                raise self._no_verdict("the control has not seen it", shot, sighting, fence)
            if beside is not None and not self._got(beside, shot.number):
                raise self._no_verdict(f"{beside!r}, which wants it, has not got it", shot, sighting, fence)
        reasons = () if self._drops is None or main.found else tuple(self._drops.reasons_since(mark, self._last_hop))
        seen = sighting or f"{control} did not see it"
        seen += f", and {beside!r} got it" if beside is not None and not main.found else ""
        counted = cache(self._count)
        verdicts = []
        for subject, outcome, its_fence in zip(self._subjects, outcomes, fences, strict=True):
            if self._immediate or not outcome.found:
                subject.judged[shot.number] = shot.name, bool(outcome.found)
            verdicts.append(
                ProbeVerdict(
                    bool(outcome.found),
                    shot.name,
                    outcome.found,
                    seen,
                    its_fence.name + (" did not arrive" if outcome.arrived is None else ", arrived after it"),
                    repr(subject),
                    ("fence",),
                    strong=self._immediate,
                    expected=None if expect is None else expect.delivered,
                    expectation=expect,
                    shot=shot,
                    sight=subject.sight,
                    reasons=reasons,
                    counted=counted,
                )
            )
        return replace(verdicts[0], beside=tuple(verdicts[1:])) if len(verdicts) > 1 else verdicts[0]

    def _send(self, probe: Shot | None) -> tuple[list[Shot], list[Outcome]]:
        """Send a probe and the fences; return for each receiver its fence and what it has delivered."""
        fragmented = probe is not None and len(probe.frames) > probe.copies
        if probe is not None:
            self._send_frames(probe)
        sent: dict[Packet, Shot] = {}
        for subject in self._subjects:
            if subject.legitimate not in sent:
                sent[subject.legitimate] = fence = self._crafter.fence(subject.legitimate, fragmented=fragmented)
                for _ in range(1 if self._immediate else _FENCES):
                    self._send_frames(fence)
        fences = [sent[subject.legitimate] for subject in self._subjects]
        deadline = Deadline(self.timeout)
        outcomes = [
            subject.read(fence, probe, deadline, grace=self._grace)
            for subject, fence in zip(self._subjects, fences, strict=True)
        ]
        late = next((outcome.late for outcome in outcomes if outcome.late is not None), None)
        if late is not None:
            raise Delivered(late)
        return fences, outcomes

    def _send_frames(self, shot: Shot) -> None:
        try:
            for frame in shot.frames:
                self._inject(frame)
        except OSError as error:
            raise self._no_verdict(f"it could not be sent: {error}", shot, None, "none was sent") from error

    def _check_fits(self, edge: Case) -> None:
        family, mode = self.channel.family, self.channel.mode
        if family not in edge.families or mode not in edge.modes:
            kinds = f"{' or '.join(edge.families)}, {' or '.join(edge.modes)}"
            raise ValueError(f"the case {edge.id} is for {kinds}; {self.channel} is {family}, {mode}")

    def _neighbour(self, packet: Packet) -> Receiver:
        """Return a receiver beside the one that is probed, which wants the packet."""
        same_source = packet.source == self.legitimate.source
        group, port = packet.group or "", packet.port if isinstance(packet.port, int) else 0
        channel = Channel.unchecked(group, port, self.channel.source if same_source else None)
        if channel not in self._neighbours:
            beside = self._host.receiver(channel, interface=self._interface, timeout=self.timeout)
            self._neighbours[channel] = self._stack.enter_context(beside)
        return self._neighbours[channel]

    def _got(self, beside: Receiver, number: int) -> bool:
        mine = (self._run, number)
        deadline = Deadline(self.timeout)
        return read_until(beside, lambda one: mark_of(one.payload) == mine, deadline, wait=False)[1] is not None

    def _count(self) -> str:
        """Say what the kernel of the receiver's host has counted since the prober was opened; nothing once it is closed."""
        moved = self._counters.summary()
        return f"counters of {self._control.name} since the prober was opened: {moved}" if moved else ""

    def _no_verdict(self, reason: str, shot: Shot | None, sighting: str | None, fence: str) -> NoVerdict:
        control = sighting or f"{self._control} did not see it"
        name = "nothing" if shot is None else shot.name
        lines = [f"no verdict: {reason}", f"sent: {name}", f"control: {control}", f"fence: {fence}"]
        lines.append(f"receiver: {self.receiver!r}")
        if isinstance(self.receiver, Receiver) and not self.receiver.closed:
            lines.append(f"receiver: {self.receiver.statistics()}")
        lines += [] if shot is None else describe_frames(shot.frames)
        return NoVerdict("\n".join([*lines, *self._control.account()]))

    def _forget(self) -> None:
        for subject in self._subjects:
            subject.judged.clear()

    def __enter__(self) -> Prober:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exception is not None:
            self._forget()  # it failed already
        self.close()


def _heard(outcome: Outcome) -> bool:
    """Say whether there is a verdict: the fence has arrived, or the probe itself."""
    return outcome.arrived is not None or bool(outcome.found)
