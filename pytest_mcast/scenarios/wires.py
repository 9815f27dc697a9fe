"""The impaired cables of a cell: laid while it runs, and asked what has become of each datagram."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .impairments import CHOICES, Chosen, ImpairmentSpec
from .network import show_router

if TYPE_CHECKING:
    from pytest_mcast.core.channels import Channel
    from pytest_mcast.lab import ImpairedCable, Router, VirtualHost
    from pytest_mcast.lab.port import Port
    from pytest_mcast.wire.impairment import Choice, Fate

    from .routes import Routes
    from .stage import Stage, Station

__all__ = ["Wires"]

_WORDS = {"loss": "lost", "duplicate": "doubled", "reorder": "delivered after the next one", "corrupt": "changed"}


@dataclass
class _Watch:
    """What one direction of a cable has done to the datagrams of a channel, by their payloads; it is told by the wire's thread."""

    name: str
    to: tuple[str, int]
    came: Counter[bytes] = field(default_factory=Counter)
    went: Counter[bytes] = field(default_factory=Counter)  # whole ones only
    happened: dict[str, list[bytes]] = field(default_factory=lambda: {name: [] for name in CHOICES})
    holds: bool = False  # one that comes after the next one, which has not come yet

    def __call__(self, frame: bytes, fate: Fate) -> None:
        """Take note of a datagram."""
        from pytest_mcast.wire import seen

        if fate.late or fate.copies:
            self.holds = fate.late
        datagram = seen(frame)
        if datagram is None or datagram.destination != self.to:
            return
        payload = datagram.payload
        whole = fate.frame == frame
        if whole:
            self.went[payload] += fate.copies
        for name, so in zip(CHOICES, (not fate.copies, fate.copies > 1, fate.late, not whole), strict=True):
            if so:
                self.happened[name].append(payload)
        self.came[payload] += 1  # last: who sees it finds the rest


class Wires:
    """The impaired cables over which something goes in one run of a cell; false where there are none."""

    def __init__(self, stage: Stage, routes: Routes, receiver: Station, senders: Mapping[str, Station]) -> None:
        self._stage = stage
        self._receiver = receiver
        self._routes = routes
        self._ways = {name: tuple(self._places(sender)) for name, sender in senders.items()}
        self._cables: dict[tuple[str, str], ImpairedCable] = {}
        self._watches: dict[tuple[str, str, str], _Watch] = {}
        specs = [spec for way in self._ways.values() for *_, spec in way]
        #: Seconds by which datagrams may overtake each other, or be late.
        self.slack = sum(spec.delay[1] for spec in specs)

    def __bool__(self) -> bool:
        return any(self._ways.values())

    def open(self, channel: Channel, stack: ExitStack) -> list[str]:
        """Lay the cables until the stack is closed, and return the evidence: what they are to do; raises ``MissingCapability``."""
        lines = {}
        for host, interface, direction, spec in (each for way in self._ways.values() for each in way):
            key = host.name, interface
            if key not in self._cables:
                self._cables[key] = cable = self._lay(host, interface, spec, stack)
                lines[key] = f"the cable of {host} is impaired ({spec}), by {cable.method}"
            judge = getattr(self._cables[key], direction)
            watch = _Watch(
                f"the cable {'to' if direction == 'to_host' else 'from'} {host}", (channel.group, channel.port)
            )
            judge.watch = self._watches.setdefault((*key, direction), watch)
        return list(lines.values())

    def arrivals(self, sender: Station, payload: bytes, copies: int) -> int | None:
        """Return how many of the ``copies`` of a payload that a host sent come in, whole, at the receiver's; None: not known yet."""
        for watch in self._on_the_way(sender):
            if watch.came[payload] < copies:
                return None
            copies = watch.went[payload]
        return copies

    def holds(self, sender: Station) -> bool:
        """Whether a datagram waits for the next one, which it is to come after."""
        return any(watch.holds for watch in self._on_the_way(sender))

    def account(self, sender: Station, payloads: Sequence[bytes]) -> list[str]:
        """Say what has happened to what a host sent, by its numbers; of datagrams that are all alike, how often."""
        numbers = {payload: str(number) for number, payload in enumerate(payloads, 1)}
        alike = len(numbers) < len(payloads)
        lines = []
        for watch in self._on_the_way(sender):
            words = []
            for name, found in watch.happened.items():
                mine = [numbers[payload] for payload in found if payload in numbers]
                if mine:
                    which = f"{len(mine)} of {len(payloads)}" if alike else _listed(mine)
                    words.append(f"{_WORDS[name]}: {which}")
            if words:
                lines.append(f"by {watch.name} {', '.join(words)}")
        return lines

    def _on_the_way(self, sender: Station) -> list[_Watch]:
        return [self._watches[host.name, nic, direction] for host, nic, direction, _ in self._ways[sender.name]]

    def _places(self, sender: Station) -> Iterator[tuple[VirtualHost, str, str, ImpairmentSpec]]:
        """Yield the impaired cables from a host to the receiver's: whose, the interface, and in which direction."""
        receiver = self._receiver
        if sender is receiver or sender.virtual is None or receiver.virtual is None:
            return
        places: list[tuple[VirtualHost, str, str]] = [(sender.virtual, sender.interface.name, "from_host")]
        for hop in self._routes.way(sender):
            router = self._stage.router(hop.router)
            places += [(router, hop.incoming, "to_host"), (router, hop.outgoing, "from_host")]
        places.append((receiver.virtual, receiver.interface.name, "to_host"))
        for host, interface, direction in places:
            spec = self._stage.impairment(host, interface)
            if spec is not None:
                yield host, interface, direction, spec

    def _lay(self, host: VirtualHost, interface: str, spec: ImpairmentSpec, stack: ExitStack) -> ImpairedCable:
        port = _port(host, interface)
        # The switch forgets what it knew of the port, now and when the cable is whole again.
        stack.callback(show_router, port)
        cable = port.link.impair(
            host,
            interface,
            **{name: _choice(getattr(spec, name)) for name in CHOICES},
            delay=spec.delay,
            rate=spec.rate,
            seed=spec.seed,
        )
        stack.enter_context(cable)
        show_router(port)
        return cable


def _port(host: VirtualHost | Router, interface: str) -> Port:
    return host.plugged[host.find(interface).index]


def _choice(chosen: Chosen) -> Choice:
    from pytest_mcast.lab import Every, Exactly

    if not isinstance(chosen, tuple):
        return chosen
    word, numbers = chosen
    return Every(*numbers) if word == "every" else Exactly(*numbers)


def _listed(numbers: Sequence[str]) -> str:
    most = 20
    more = f" and {len(numbers) - most} more" if len(numbers) > most else ""
    return ", ".join(numbers[:most]) + more
