"""One run of a cell: its steps, one after the other, and what must never be delivered."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.errors import ChannelError, McastError, NotReceived
from pytest_mcast.core.verdicts import read_until
from pytest_mcast.cores import CoreFailure

from .checks import BesideControl, Fence, SwitchControl, TapControl, Took, Unwanted, beside, judge, other_member, probe
from .delivery import Delivery
from .ends import BuiltInOrigin, Member, Origin, ProgramOrigin, open_member
from .heard import join_again, unblock
from .lossy import WireControl
from .outcomes import Excused, Unready
from .payloads import Payloads, bursts
from .routes import Routes
from .wires import Wires

if TYPE_CHECKING:
    from pytest_mcast.cores import ExternalSender, ReceiveCore

    from .checks import Control
    from .model import Cell, Step
    from .stage import Stage, Station
    from .story import Story

__all__ = ["CellRun"]

_BEACONS = 10.0  # seconds, at the least, for a network to be ready
_INTERVAL = 0.2  # seconds until the next beacon
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
        self._member: Member | None = None
        self._joined = False
        self._blocked: set[str] = set()
        self._up = True
        self._shaken = False  # the link was down: nothing is sure to get through
        self._sure: set[str] = set()  # hosts whose datagrams do
        self._early: list[Unwanted] = []  # what was sent before anybody had joined
        self._early_strong = True
        self._others: dict[str, BuiltInOrigin] = {}
        self._routes = Routes(cell, stage)
        self.channel = self._pick()
        self._payloads = Payloads(cell.size, str(self.channel))
        others = [stage.station(step.origin) for step in cell.steps if step.origin]
        self._wires = Wires(stage, self._routes, receiver, {one.name: one for one in (sender, *others)})
        self._delivery = Delivery(
            cell, story, self.channel, self._payloads, self._routes, self._wires, stage.world.timeout
        )

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
        """Whether nothing that the sender sends can be lost or overtaken on the way."""
        return self._is_strong(self.sender)

    def _is_strong(self, station: Station) -> bool:
        """Say the same of what another host sends."""
        return station.is_near(self.receiver) and not self._wires

    def _is_unsure(self, station: Station) -> bool:
        """Say whether it is not known yet that what a host sends gets through at all."""
        return station.name not in self._sure and (self._shaken or not station.is_near(self.receiver))

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
                self.story.evidence += self._wires.open(self.channel, self._stack)
                self._open_routes()
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
        ttl = self._routes.ttl(self.sender)
        if self._program is not None:
            return ProgramOrigin(self._program, self.sender, self.channel, ttl=ttl, timeout=self._timeout)
        more = {} if self.cell.loopback is None else {"loopback": self.cell.loopback}
        if self.cell.loopback is False or self._routes.stops(self.sender):
            return BuiltInOrigin(self.sender, self.channel, self._stack, timeout=self._timeout, ttl=ttl, **more)
        return self._legitimate

    @cached_property
    def _legitimate(self) -> BuiltInOrigin:
        """A sender of ours with the right to send, for beacons and fences."""
        ttl = self._routes.safe_ttl(self.sender)
        return BuiltInOrigin(self.sender, self.channel, self._stack, timeout=self._timeout, ttl=ttl)

    def _other(self, name: str) -> BuiltInOrigin:
        if name not in self._others:
            station = self._stage.station(name)
            ttl = self._routes.ttl(station)
            self._others[name] = BuiltInOrigin(station, self.channel, self._stack, timeout=self._timeout, ttl=ttl)
        return self._others[name]

    def _pick(self) -> Channel:
        scope = self._routes.scope
        source = self.sender.source(self.cell.family, scope) if self.cell.mode == "ssm" else None
        try:
            return self._stage.pick(self.receiver, self.cell.family, scope, source)
        except ChannelError as error:
            raise Excused("unsupported", str(error)) from None

    def _open_routes(self) -> None:
        """Have the routers forward what is sent in this cell; where any source is received, the sender's way is for any."""
        asm = self.cell.mode == "asm"
        self._routes.open(self.sender, self.channel, self._stack, any_source=asm)
        others = [step.origin for step in self.cell.steps if step.origin not in ("", self.sender.name)]
        for name in dict.fromkeys(others):
            self._routes.open(self._stage.station(name), self.channel, self._stack)
        self.story.evidence += self._routes.evidence()

    # Steps.

    def _step(self, step: Step) -> None:
        if step.action == "send":
            origin = self._told_apart(step) if step.origin else self._origin
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
        self.story.note(
            self.receiver.name, f"joined {self.channel} on {member.station.interface.name}, ready by {member.evidence}"
        )
        if self._early:
            self._judge_early(member)

    def _change(self, step: Step) -> None:
        member, name = self._needed(), self.receiver.name
        if step.action in ("join", "leave"):
            if step.action == "join" and self._up:
                join_again(self.receiver, self.channel, lambda: member.change("join"))
            else:
                member.change(step.action)
            self._joined = step.action == "join"
            self._blocked.clear()
            self.story.note(name, "joined again" if self._joined else "left")
            return
        station = self._stage.station(step.source) if step.source else self.sender
        source = station.source(self.cell.family, self._routes.scope)
        if step.action == "unblock" and self._up:
            unblock(self.receiver, self.channel, source, lambda: member.change("unblock", source))
        else:
            member.change(step.action, source)
        (self._blocked.add if step.action == "block" else self._blocked.discard)(source)
        self.story.note(name, f"{step.action}ed {source}")

    def _told_apart(self, step: Step) -> BuiltInOrigin:
        """Return the sender on another host; raises ``Unready`` if what it sends is as what it must be told from."""
        origin = self._other(step.origin)
        address = origin.address
        if step.arrives and address in self._blocked:
            what = "which is blocked"
        elif not step.arrives and address == self.channel.source:
            what = f"the source of {self.channel}"
        else:
            return origin
        raise Unready(f"{step}: {step.origin} sends from {address}, {what}; give the hosts addresses of their own")

    def _link(self, *, up: bool) -> None:
        port = self.receiver.port
        assert port is not None  # _check in runner has seen to that
        if up:
            port.up()
            self._shaken = True  # IPv6 multicast takes a while
            self._sure.clear()
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
        member, station = self._needed(), origin.station
        if self._is_unsure(station):
            stopped = self._routes.stops(station)
            self._await_beacon(
                member, origin if isinstance(origin, BuiltInOrigin) and not stopped else self._legitimate
            )
        self._delivery.expect(step, origin, member, self._fence, self._nudge, strong=self._is_strong(station))

    def _nudge(self) -> None:
        """Send what nobody waits for."""
        self._legitimate.send([self._payloads.beacon])

    def _await_beacon(self, member: Member, origin: BuiltInOrigin) -> list[bytes]:
        """Have something of a host get through; return the payloads that were delivered before."""
        deadline = Deadline(max(_BEACONS, self._timeout))
        station, mine = origin.station, self._payloads.beacon
        passed: list[bytes] = []
        count = 0
        while True:
            count += 1
            sent = origin.send([mine])
            if sent[0] is not None:
                self.story.sent(station.name, sent[0], here=not station.remote)
            before, found = read_until(member, lambda one: one.payload.startswith(mine), Deadline(_INTERVAL))
            passed += [one.payload for one in before]
            if found is not None:
                self._sure.add(station.name)
                whose = "" if station is self.sender else f" of {station.name}"
                self.story.note(member.station.name, f"beacon {count}{whose} received")
                self.story.evidence.append(f"ready by beacon {count}{whose}, which was received")
                return passed
            if deadline.passed():
                where = f"{member.station.interface.name} of {member.station.name}"
                raise NotReceived(
                    f"none of {count} beacons for {self.channel} from {station.name} reached {where} "
                    f"within {deadline.seconds:g} s"
                )

    # What must not.

    def _keep_out(self, step: Step, origin: Origin, why: str) -> None:
        member = self._member
        if stops := self._routes.stops(origin.station):
            why += f"with {stops}, "
        whom = f" from {step.origin}" if step.origin else ""
        what = f"{why}{step.count} datagrams{whom}"
        strong = self.strong and self._is_strong(origin.station)
        if member is None:
            self._early.append(self._send_in_vain(step, origin, what, self._control(origin, why, self._stack)))
            self._early_strong &= strong
            return
        if self._is_unsure(self.sender) and self._can_fence():
            self._await_beacon(member, self._legitimate)
        with ExitStack() as stack:
            unwanted = self._send_in_vain(step, origin, what, self._control(origin, why, stack))
            fence = self._fence(stack, strong=strong)
            self.story.evidence.append(judge(unwanted, member, fence, timeout=self._timeout))
        self.story.note(self.receiver.name, f"{what} not delivered")

    def _send_in_vain(self, step: Step, origin: Origin, what: str, control: Control) -> Unwanted:
        program = isinstance(origin, ProgramOrigin)
        payloads = self._payloads.make(step.count, same=program)
        for burst in [payloads] if program else bursts(payloads):
            self._delivery.send(origin, burst)
            control.pull()
        if isinstance(control, WireControl):
            return control.unwanted(what, payloads, Deadline(self._timeout + self._wires.slack))
        return Unwanted.sent(what, payloads, control, Deadline(self._timeout))

    def _judge_early(self, member: Member) -> None:
        """Show that what was sent before the receiver joined is not delivered."""
        passed: list[bytes] = []
        if self._is_unsure(self.sender) and self._can_fence():
            passed = self._await_beacon(member, self._legitimate)
        payloads = tuple(payload for one in self._early for payload in one.payloads)
        sightings = tuple(sighting for one in self._early for sighting in one.sightings)
        what = f"{len(payloads)} datagrams sent before it joined"
        unwanted = Unwanted(what, payloads, sightings, all(one.strong for one in self._early))
        with ExitStack() as stack:
            fence = self._fence(stack, strong=self._early_strong)
            self.story.evidence.append(judge(unwanted, member, fence, timeout=self._timeout, before=passed))
        self._early.clear()

    def _can_fence(self) -> bool:
        source = self.sender.source(self.cell.family, self._routes.scope)
        return self._joined and self._up and source not in self._blocked

    def _fence(self, stack: ExitStack, *, strong: bool) -> Fence:
        if self._can_fence():
            return Fence(self._legitimate, strong=strong, slack=self._slack)
        # Another receiver on the host gets it, from where the link still leads.
        receiver, sender = self.receiver, self.sender
        options = receiver.options()
        if not self._up:
            assert receiver.virtual is not None
            options, sender = {"interface": receiver.virtual.find("lo")}, receiver
        scope = self._routes.scope if self._routes.way(sender) else None
        channel = self._stage.pick(receiver, self.cell.family, scope, interface=options.get("interface"))
        self._routes.open(sender, channel, stack)
        opened = stack.enter_context(receiver.host.receiver(channel, timeout=self._timeout, **options))
        witness = Member(opened, receiver, channel, "builtin", opened.evidence)
        if self._up:
            options = {"ttl": self._routes.safe_ttl(sender)} if self._routes.way(sender) else {}
        origin = BuiltInOrigin(sender, channel, stack, timeout=self._timeout, **options)
        return Fence(origin, strong=strong, witness=witness, slack=self._slack)

    @property
    def _slack(self) -> float | None:
        return self._wires.slack if self._wires else None

    def _control(self, origin: Origin, why: str, stack: ExitStack) -> Control:
        station = origin.station
        if not self.virtual:
            if why or self._member is None:  # one beside it would have joined before it
                return Took()
            channel = Channel.unchecked(
                self.channel.group,
                self.channel.port,
                station.source(self.cell.family, self._routes.scope) if self.channel.source else None,
            )
            return BesideControl(self.receiver, channel, stack, timeout=self._timeout)
        # What does not leave the sender's link, or its host's, is seen where it begins.
        port = station.port if why or self._wires else self._routes.last_port(station)
        if port is not None and (why or not self._up or self._prunes):
            return SwitchControl(port, self.channel, stack)
        tap = TapControl(self.receiver, self.channel)
        return WireControl(tap, self._wires, station, self._nudge) if self._wires else tap

    def _never(self, member: Member) -> None:
        """Show what is never delivered."""
        ssm = self.cell.mode == "ssm"
        if self.virtual and not self.alone:
            cases = ["group.other", "ssm.wrong-source"] if ssm else ["group.other"]
            place = self._routes.last(self.sender)
            timeout, nudge = self._timeout + self._wires.slack, self._nudge if self._wires else None
            self.story.evidence += probe(member, *place, cases, timeout=timeout, nudge=nudge)
            return
        if self._is_unsure(self.sender):
            self._await_beacon(member, self._legitimate)
        with ExitStack() as stack:
            fence = self._fence(stack, strong=self.strong)
            picked = self._stage.pick(self.receiver, self.cell.family, self._routes.scope, self.channel.source)
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
