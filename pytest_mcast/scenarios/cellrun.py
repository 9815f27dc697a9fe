"""One run of a cell: its steps, one after the other, and what must never be delivered."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.errors import ChannelError, Delivered, McastError, NotReceived
from pytest_mcast.core.verdicts import read_until
from pytest_mcast.cores import CoreFailure
from pytest_mcast.cores.records import length_of

from .checks import BesideControl, Fence, SwitchControl, TapControl, Took, beside, judge, other_member, probe
from .ends import BuiltInOrigin, Member, Origin, ProgramOrigin, open_member
from .outcomes import Excused

if TYPE_CHECKING:
    from pytest_mcast.core.datagrams import Datagram, Sent
    from pytest_mcast.cores import ExternalSender, ReceiveCore

    from .checks import Control
    from .model import Cell, Step
    from .stage import Stage, Station
    from .story import Story

__all__ = ["CellRun"]

_BEACONS = 10.0  # seconds, at the least, for a network to be ready
_INTERVAL = 0.2  # seconds until the next beacon
_BEACON, _END = b"pytest-mcast beacon ", b"pytest-mcast end "
_MARK = 29  # bytes of a payload that are ours alone
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_NOBODY = {"ipv4": "192.0.2.1", "ipv6": "2001:db8::1"}  # RFC 5737, RFC 3849


class CellRun:
    """Runs the steps of a cell between two hosts; ``core`` and ``program`` are None for the receiver and sender of this package."""

    def __init__(
        self,
        cell: Cell,
        stage: Stage,
        story: Story,
        sender: Station,
        receiver: Station,
        core: ReceiveCore | None,
        program: ExternalSender | None,
    ) -> None:
        self.cell = cell
        self.story = story
        self.sender = sender
        self.receiver = receiver
        self._stage = stage
        self._core = core
        self._program = program
        self._timeout = stage.world.timeout
        self._stack = ExitStack()
        self._nonce = secrets.token_hex(8)
        self._count = 0
        self._member: Member | None = None
        self._joined = False
        self._blocked: set[str] = set()
        self._told: set[str] = set()  # evidence of readiness
        self._up = True
        self._unsure = False  # whether what is sent gets through at all
        self._early: list[bytes] = []  # what was sent before anybody had joined
        self._others: dict[str, BuiltInOrigin] = {}
        self.channel = self._pick()

    @property
    def virtual(self) -> bool:
        """Whether both hosts are virtual."""
        return self.sender.virtual is not None and self.receiver.virtual is not None

    @property
    def alone(self) -> bool:
        """Whether the host sends to itself."""
        return self.sender is self.receiver

    @property
    def strong(self) -> bool:
        """Whether nothing can be lost or overtaken on the way."""
        return self.virtual or self.alone

    @property
    def _prunes(self) -> bool:
        """Whether a switch sends the receiver's host only what it has joined."""
        return bool(self.receiver.port and getattr(self.receiver.port.link, "prunes", False))

    def run(self, listen: Callable[[], object], explain: Callable[[], object]) -> None:
        """Run it, and leave nothing open; raises as ``run()`` of this package, having called ``explain`` first.

        ``listen`` is called before the receiver leaves.
        """
        with self._stack:
            try:
                for step in self.cell.steps:
                    self._step(step)
                if self._member is not None and self._joined and self._up and not self._blocked:
                    self._never(self._member)
                listen()
            except (McastError, OSError):
                with suppress(McastError, OSError):  # the failure is the news
                    explain()  # now, before everything is closed
                raise
            finally:
                if self._member is not None:
                    self.story.print(getattr(self._member.receiver, "output", ()))

    # The two ends.

    @cached_property
    def _origin(self) -> Origin:
        ttl = 1 if self.cell.ttl is None else self.cell.ttl
        if self._program is not None:
            return ProgramOrigin(self._program, self.sender, self.channel, ttl=ttl, timeout=self._timeout)
        if self.cell.loopback is False:
            return BuiltInOrigin(self.sender, self.channel, self._stack, timeout=self._timeout, ttl=ttl, loopback=False)
        return self._legitimate

    @cached_property
    def _legitimate(self) -> BuiltInOrigin:
        """A sender of ours with the right to send, for beacons and fences."""
        ttl = 1 if self.cell.ttl is None else self.cell.ttl
        return BuiltInOrigin(self.sender, self.channel, self._stack, timeout=self._timeout, ttl=ttl)

    def _other(self, name: str) -> BuiltInOrigin:
        if name not in self._others:
            station = self._stage.station(name)
            self._others[name] = BuiltInOrigin(station, self.channel, self._stack, timeout=self._timeout)
        return self._others[name]

    def _pick(self) -> Channel:
        source = self.sender.source(self.cell.family, self.cell.scope) if self.cell.mode == "ssm" else None
        try:
            return self._stage.pick(self.receiver, self.cell.family, self.cell.scope, source)
        except ChannelError as error:
            raise Excused("unsupported", str(error)) from None

    # Steps.

    def _step(self, step: Step) -> None:
        if step.action == "send":
            origin = self._other(step.origin) if step.origin else self._origin
            unheard = self.alone and self.cell.loopback is False and not step.origin
            if step.arrives and not unheard:
                self._deliver(step, origin)
            else:
                self._keep_out(step, origin, "with loopback off, " if unheard else "")
        elif step.action == "link":
            self._link(up=step.state == "up")
        elif step.action == "join" and self._member is None:
            self._open()
        else:
            self._change(step)

    def _open(self) -> None:
        member = self._member = open_member(self._core, self.receiver, self.channel, self._stack, timeout=self._timeout)
        self._joined = True
        self._unsure = not self.strong
        self.story.note(
            self.receiver.name, f"joined {self.channel} on {member.station.interface.name}, ready by {member.evidence}"
        )

    def _change(self, step: Step) -> None:
        member, name = self._needed(), self.receiver.name
        if step.action in ("join", "leave"):
            member.change(step.action)
            self._joined = step.action == "join"
            if self._joined and self.receiver.port is not None and self._up:
                self.receiver.port.wait_until_ready(self.channel)
            self._blocked.clear()
            self.story.note(name, "joined again" if self._joined else "left")
            return
        station = self._stage.station(step.source) if step.source else self.sender
        source = station.source(self.cell.family, self.cell.scope)
        member.change(step.action, source)
        (self._blocked.add if step.action == "block" else self._blocked.discard)(source)
        self.story.note(name, f"{step.action}ed {source}")

    def _link(self, *, up: bool) -> None:
        port = self.receiver.port
        assert port is not None  # _check in runner has seen to that
        if up:
            port.up()
            self._unsure = True  # IPv6 multicast takes a while
        else:
            self._stack.callback(port.up)  # whatever happens, the next cell has a link
            port.down()
        self._up = up
        self.story.note(self.receiver.name, f"link {'up' if up else 'down'}")

    def _needed(self) -> Member:
        if self._member is None:
            raise CoreFailure("wrong", "a step needs a receiver, and none has joined")
        return self._member

    # What must arrive.

    def _deliver(self, step: Step, origin: Origin) -> None:
        member = self._needed()
        if self._unsure:
            self._await_beacon(member)
        payloads = self._payloads(step.count, same=isinstance(origin, ProgramOrigin))
        sent = self._send(origin, payloads)
        self._collect(member, payloads, sent)
        how = "" if isinstance(origin, ProgramOrigin) else " in order"
        whom = f" from {step.origin}" if step.origin else ""
        ready = f" (ready by {member.evidence})" if member.evidence not in self._told else ""
        self._told.add(member.evidence)
        self.story.evidence.append(f"{len(payloads)} datagrams{whom} delivered{how}{ready}")
        if self._early:
            self.story.evidence.append(
                f"{len(self._early)} datagrams sent before it joined not delivered: those after it were"
            )
            self._early.clear()

    def _payloads(self, count: int, *, same: bool) -> list[bytes]:
        found: list[bytes] = []
        for _ in range(count):
            if not (same and found):
                self._count += 1
                found.append(self._payload(self._count))
            else:
                found.append(found[0])
        return found

    def _payload(self, number: int) -> bytes:
        size = self.cell.size
        if size is None:
            return f"pytest-mcast {self._nonce} {number} {self.channel}".encode()
        text = f"pytest-mcast {self._nonce} {number} " + _LETTERS * (size // len(_LETTERS) + 1)
        return text[:size].encode()

    def _send(self, origin: Origin, payloads: Sequence[bytes]) -> list[Sent | None]:
        name = origin.station.name
        if isinstance(origin, ProgramOrigin):
            assert self._program is not None
            self.story.note(name, f"{self._program.name} is to send {len(payloads[0])} bytes, {len(payloads)} times")
        sent = origin.send(payloads)
        for one in sent:
            if one is not None:
                self.story.sent(name, one, here=not origin.station.remote)
        return sent

    def _collect(self, member: Member, payloads: Sequence[bytes], sent: Sequence[Sent | None]) -> None:
        deadline = Deadline(self._timeout)
        known = self.channel.source
        for number, (payload, one) in enumerate(zip(payloads, sent, strict=True)):
            try:
                datagram = self._next(member, deadline)
            except NotReceived as error:
                raise self._lost(member, number, len(payloads), error) from None
            source = known if one is None else one.source[0]
            right = {
                "payload": payload,
                "length": len(payload),
                "source": source,
                "source_port": None if one is None else one.source[1],
                "group": self.channel.group,
                "port": self.channel.port,
                "interface": member.station.interface.index,
                "ttl": self._ttl() if self.strong else None,
            }
            faults = member.faults(datagram, right)
            if faults:
                which = f"datagram {number + 1} of {len(payloads)}"
                raise CoreFailure(
                    "wrong", f"{which} was delivered otherwise than it was sent: {'; '.join(faults)}\n{datagram!r}"
                )
        self._look_at_ttl(member, payloads[-1], datagram.ttl)

    def _next(self, member: Member, deadline: Deadline) -> Datagram:
        while True:
            datagram = member.recv(deadline.remaining())
            # What is of a step before is passed over, and on a real network what is not ours.
            ours = self.strong or not self._knows(member) or datagram.payload.startswith(self._payload(0)[:_MARK])
            if ours and not datagram.payload.startswith((_BEACON, _END)):
                here = not member.station.remote
                if self.cell.size is None and any(member.is_it(datagram, early) for early in self._early):
                    raise Delivered(f"delivered, which it must not be: what was sent before it joined\n{datagram!r}")
                self.story.received(member.station.name, datagram, length_of(datagram), here=here)
                return datagram

    def _knows(self, member: Member) -> bool:
        """Whether our payloads can be told from those of others."""
        return "payload" in member.fields and (self.cell.size is None or self.cell.size >= _MARK)

    def _lost(self, member: Member, got: int, count: int, error: NotReceived) -> NotReceived:
        amount = "no datagram" if got == 0 else f"only {got} of {count} datagrams"
        where = f"{member.station.interface.name} of {member.station.name}"
        text = f"{amount} for {self.channel} on {where} within {self._timeout:g} s"
        return NotReceived("\n".join([text, *str(error).splitlines()[1:]]))

    def _ttl(self) -> int:
        return 1 if self.cell.ttl is None else self.cell.ttl

    def _look_at_ttl(self, member: Member, payload: bytes, told: int | None) -> None:
        """Look at the wire, where the receiver does not tell with which TTL a datagram has come."""
        if self.cell.ttl is None:
            return
        evidence = f"TTL {told} on arrival"
        if told is None or "ttl" not in member.fields:
            found = TapControl(member.station, self.channel).ttl(payload)
            if found != self.cell.ttl:
                raise CoreFailure("wrong", f"TTL {found} on arrival, instead of {self.cell.ttl}, as the tap saw it")
            evidence = f"TTL {found} on arrival, as the tap saw it: {member.name} does not tell"
        if evidence not in self.story.evidence:
            self.story.evidence.append(evidence)

    def _await_beacon(self, member: Member) -> None:
        deadline = Deadline(max(_BEACONS, self._timeout))
        mine = _BEACON + self._nonce.encode()
        count = 0
        while True:
            count += 1
            sent = self._legitimate.send([mine])
            if sent[0] is not None:
                self.story.sent(self.sender.name, sent[0], here=not self.sender.remote)
            _, found = read_until(member, lambda one: one.payload.startswith(mine), Deadline(_INTERVAL))
            if found is not None:
                self._unsure = False
                self.story.note(member.station.name, f"beacon {count} received")
                self.story.evidence.append(f"ready by beacon {count}, which was received")
                return
            if deadline.passed():
                where = f"{member.station.interface.name} of {member.station.name}"
                raise NotReceived(
                    f"none of {count} beacons for {self.channel} reached {where} within {deadline.seconds:g} s"
                )

    # What must not.

    def _keep_out(self, step: Step, origin: Origin, why: str) -> None:
        member = self._member
        if member is None:
            self._send(origin, payloads := self._payloads(step.count, same=isinstance(origin, ProgramOrigin)))
            self._early += payloads
            return
        if self._unsure and self._can_fence():
            self._await_beacon(member)
        with ExitStack() as stack:
            control = self._control(origin, why, stack)
            payloads = self._payloads(step.count, same=isinstance(origin, ProgramOrigin))
            self._send(origin, payloads)
            fence = self._fence(stack, strong=self.strong)
            whom = f" from {step.origin}" if step.origin else ""
            what = f"{why}{step.count} datagrams{whom}"
            self.story.evidence.append(judge(what, member, payloads, control, fence, timeout=self._timeout))
        self.story.note(self.receiver.name, f"{what} not delivered")

    def _can_fence(self) -> bool:
        source = self.sender.source(self.cell.family, self.cell.scope)
        return self._joined and self._up and source not in self._blocked

    def _fence(self, stack: ExitStack, *, strong: bool) -> Fence:
        if self._can_fence():
            return Fence(self._legitimate, strong=strong)
        # Another receiver on the host gets it, from where the link still leads.
        receiver, sender = self.receiver, self.sender
        options = receiver.options()
        if not self._up:
            assert receiver.virtual is not None
            options, sender = {"interface": receiver.virtual.find("lo")}, receiver
        channel = self._stage.pick(receiver, self.cell.family, interface=options.get("interface"))
        opened = stack.enter_context(receiver.host.receiver(channel, timeout=self._timeout, **options))
        witness = Member(opened, receiver, channel, "builtin", opened.evidence)
        origin = BuiltInOrigin(sender, channel, stack, timeout=self._timeout, **({} if self._up else options))
        return Fence(origin, strong=strong, witness=witness)

    def _control(self, origin: Origin, why: str, stack: ExitStack) -> Control:
        station = origin.station
        if not self.virtual:
            if why:
                return Took()
            channel = Channel.unchecked(
                self.channel.group,
                self.channel.port,
                station.source(self.cell.family, self.cell.scope) if self.channel.source else None,
            )
            return BesideControl(self.receiver, channel, stack, timeout=self._timeout)
        if station.port is not None and (why or not self._up or self._prunes):
            return SwitchControl(station.port, self.channel, stack)
        return TapControl(self.receiver, self.channel)

    def _never(self, member: Member) -> None:
        """Show what is never delivered."""
        ssm = self.cell.mode == "ssm"
        if self.virtual and not self.alone:
            cases = ["group.other", "ssm.wrong-source"] if ssm else ["group.other"]
            self.story.evidence += probe(member, self.sender, cases, timeout=self._timeout)
            return
        if self._unsure:
            self._await_beacon(member)
        with ExitStack() as stack:
            fence = self._fence(stack, strong=self.strong)
            picked = self._stage.pick(self.receiver, self.cell.family, self.cell.scope, self.channel.source)
            group = Channel.unchecked(picked.group, self.channel.port, self.channel.source)
            self.story.evidence.append(
                beside("group.other", member, self.sender, group, fence, stack, timeout=self._timeout)
            )
            if ssm:
                self.story.evidence.append(self._wrong_source(member, fence, stack))

    def _wrong_source(self, member: Member, fence: Fence, stack: ExitStack) -> str:
        interface, family = self.sender.interface, self.cell.family
        addresses = interface.ipv6 if family == "ipv6" else interface.ipv4
        others = [address for address in addresses if address != self.channel.source]
        if not others and interface.loopback and family == "ipv4":
            others = ["127.0.0.2"]  # all of 127/8 is here
        if others:
            channel = Channel.unchecked(self.channel.group, self.channel.port, others[0])
            return beside("ssm.wrong-source", member, self.sender, channel, fence, stack, timeout=self._timeout)
        if self._core is not None:
            return f"ssm.wrong-source not shown: {self.sender.name} has one address only"
        channel = Channel.unchecked(self.channel.group, self.channel.port, _NOBODY[family])
        other = open_member(None, self.receiver, channel, stack, timeout=self._timeout)
        return other_member(member, other, self._legitimate, strong=self.strong, timeout=self._timeout)
