"""Runs one cell."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.errors import InterfaceError, McastError, MissingCapability

from .cellrun import CellRun
from .outcomes import Excused, Unready
from .story import CellResult, Story

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from pytest_mcast.cores import ExternalSender, ReceiveCore
    from pytest_mcast.hosts import Host
    from pytest_mcast.wire import Listener, Membership, Message

    from .model import Cell, Party
    from .stage import Stage, Station

__all__ = ["run"]

_REPORTED = 1.0  # seconds in which a virtual host has reported a change, which takes it some milliseconds


def run(
    cell: Cell, stage: Stage, story: Story | None = None, *, arrival: Callable[[Host], object] | None = None
) -> CellResult:
    """Run a cell and return what it has shown; ``story`` has that also when it fails, ``arrival`` is told of each host first.

    Raises ``AssertionError`` (``NotReceived``, ``Delivered``, ``CoreFailure``) when something was not as it should be,
    ``Excused`` when the cell is not to be run here, ``MissingCapability``, and what says nothing about the cell:
    ``NoVerdict``, ``HostError``, ``Unready``.
    """
    story = story or Story(cell)
    if cell.planned is not None:
        raise Excused("planned", cell.planned)
    sender, receiver = stage.station(cell.sender.host), stage.station(cell.receiver.host)
    others = [stage.station(step.origin) for step in cell.steps if step.origin]
    senders = {station.name: station for station in (sender, *others)}
    if arrival is not None:
        for station in {**senders, receiver.name: receiver}.values():
            arrival(station.host)
    for capability in cell.requires:
        stage.world.require(capability, sender.host, receiver.host)
    core, program = _implementations(cell, stage, sender, receiver)
    _check(cell, sender, receiver, core, program)
    _check_network(cell, stage, list(senders.values()), receiver)
    with _Ears(stage, receiver, cell, story) as ears:
        _run(cell, stage, story, sender, receiver, core, program, ears)
    return story.result()


def _run(
    cell: Cell,
    stage: Stage,
    story: Story,
    sender: Station,
    receiver: Station,
    core: ReceiveCore | None,
    program: ExternalSender | None,
    ears: _Ears,
) -> None:
    try:
        try:
            made = CellRun(cell, stage, story, sender, receiver, core, program)
            ears.channel = made.channel
            if core is not None and receiver.virtual is not None:
                with suppress(MissingCapability):  # it is only to say what came in
                    _ = receiver.virtual.control
            made.run(ears.listen, ears.explain)
        except (InterfaceError, OSError) as error:
            if isinstance(error, McastError) and not isinstance(error, InterfaceError):
                raise
            if not stage.scenario.paths.between(sender.spec, receiver.spec):  # over routers nothing gets by itself
                stage.world.need(sender.host, receiver.host, cell.family, cell.mode)  # it may be the environment's
            raise
        if story.old:
            story.evidence.append(f"{receiver.name} reported {story.reported}, in which there are no sources")
    finally:
        if core is not None or program is not None:
            stage.sweep(sender)
            if receiver is not sender:
                stage.sweep(receiver)


def _implementations(
    cell: Cell, stage: Stage, sender: Station, receiver: Station
) -> tuple[ReceiveCore | None, ExternalSender | None]:
    subjects, known, kind = stage.world.subjects, stage.scenario.subjects, (cell.family, cell.mode)
    sends, receives = cell.sender.subject, cell.receiver.subject
    return (
        None if receives is None else subjects.receiver(known[receives], *kind, receiver),
        None if sends is None else subjects.sender(known[sends], *kind, sender),
    )


def _check(
    cell: Cell, sender: Station, receiver: Station, core: ReceiveCore | None, program: ExternalSender | None
) -> None:
    """Raise ``Excused`` when an implementation or a host cannot do what the cell needs."""
    actions = [step.action for step in cell.steps]

    def unsupported(party: Party, what: str) -> Excused:
        return Excused("unsupported", f"{party} {what}")

    if core is not None:
        can, fields = core.capabilities, core.capabilities.fields
        if ("leave" in actions or actions.count("join") > 1) and not can.rejoins:
            raise unsupported(cell.receiver, f"cannot leave and join again: {core.name} does not")
        if {"block", "unblock"} & set(actions) and not can.filters:
            raise unsupported(cell.receiver, f"cannot block a source: {core.name} does not")
        if "payload" not in fields:
            raise unsupported(cell.receiver, f"cannot be judged: {core.name} does not tell the payload")
        if cell.ttl is not None and "ttl" not in fields and receiver.virtual is None:
            raise unsupported(cell.receiver, f"cannot show a TTL: {core.name} tells none")
    if cell.loopback is False and program is not None:
        raise unsupported(cell.sender, f"cannot switch loopback off: {program.name} is not told")
    if cell.loopback is False and sender is receiver and sender.interface.loopback:
        what = f"cannot keep it from itself: what goes out by {sender.interface.name} comes in by it"
        raise unsupported(cell.sender, what)


def _check_network(cell: Cell, stage: Stage, senders: Sequence[Station], receiver: Station) -> None:
    """Raise ``Unready`` or ``MissingCapability`` when there is no way to the receiver from one of those that send."""
    kind = receiver.spec.kind
    for station in senders:
        if station.spec.kind != kind and "virtual" in (station.spec.kind, kind):
            raise Unready(
                f"no network leads from {station.name}, which is {station.spec.kind}, to {receiver.name}, which is "
                f"{kind}: virtual hosts are connected to each other only"
            )
    for station in senders:
        if station.spec.kind == kind == "local":
            stage.world.need(station.host, receiver.host, cell.family, cell.mode)


class _Ears:
    """What the receiver's host reports in a cell."""

    def __init__(self, stage: Stage, station: Station, cell: Cell, story: Story) -> None:
        self.channel: Channel | None = None
        self._stage = stage
        self._station = station
        self._family = cell.family
        self._story = story
        self._listener: Listener | None = None
        if station.virtual is not None and not station.interface.loopback:
            with suppress(MissingCapability):  # it is evidence that is nice to have
                self._listener = station.virtual.listen()
        self._addresses = frozenset(station.interface.addresses)
        self._told = 0
        self._versions: set[str] = set()  # of the reports for the group of this cell

    def __enter__(self) -> _Ears:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._listener is not None:
            self._listener.close()

    def listen(self) -> None:
        """Tell the story what was heard, and of which version it was; waits if that is not known yet."""
        channel, station = self.channel, self._station
        if self._listener is None or channel is None:
            self._story.reported = self._kernels()
            return
        if not self._stage.version(station, self._family) and channel.scope != "interface-local":
            self._wait(channel.group, _REPORTED)
        self._tell()

    def explain(self) -> None:
        """Do the same for a cell that has failed: wait for its own report, and take the account of the host."""
        channel, station = self.channel, self._station
        if channel is None:
            return
        self._wait(channel.group, _REPORTED / 2)
        self.listen()
        joined = station.host.memberships(channel.group, station.interface.name)
        lines = [f"joined on {station.name}, as its kernel has it: {', '.join(map(_in_words, joined)) or 'nothing'}"]
        if station.virtual is not None:
            lines += station.virtual.control.account()
        self._story.account = lines

    def _wait(self, group: str, seconds: float) -> None:
        """Wait for the report of the host itself for a group."""
        if self._listener is not None:
            self._listener.wait_for(
                lambda message: self._is_mine(message) if group in _groups(message) else [], Deadline(seconds)
            )

    def _tell(self) -> None:
        assert self._listener is not None
        messages = self._listener.messages
        for message in messages[self._told :]:
            if self._is_mine(message) and self.channel is not None and self.channel.group in _groups(message):
                self._versions.add(message.name)
                self._story.heard(self._station.name, message)
        self._told = len(messages)
        if self._versions:
            # The oldest: a host that has fallen back to MLDv1 may still send what was due in MLDv2, and never the reverse.
            self._stage.heard(self._station, self._family, min(self._versions))
        self._story.reported = self._stage.version(self._station, self._family)

    def _is_mine(self, message: Message) -> list[int]:
        wanted = "mld" if self._family == "ipv6" else "igmp"
        is_report = hasattr(message, "records")
        return [0] if is_report and message.protocol == wanted and message.source in self._addresses else []

    def _kernels(self) -> str:
        """Return the version that is in force as the kernel has it; empty where it does not tell."""
        from pytest_mcast.core.versions import protocol_version
        from pytest_mcast.hosts import RemoteHost

        host, name = self._station.host, self._station.interface.name
        if isinstance(host, RemoteHost):
            version = host.protocol_version(self._family, name)
        else:
            with host.inside():
                version = protocol_version(self._family, name)
        protocol = "MLD" if self._family == "ipv6" else "IGMP"
        return f"{protocol}v{version} (kernel)" if version else ""


def _in_words(one: Membership) -> str:
    sources = [
        f" {word} {', '.join(sorted(them))}" for word, them in (("of", one.sources), ("but", one.blocked)) if them
    ]
    return f"{one.group}{''.join(sources)} ({one.mode})"


def _groups(message: Message) -> set[str]:
    return {record.group for record in getattr(message, "records", ())}
