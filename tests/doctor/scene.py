"""A scene: a sender and a receiver that work, until something is broken; and the proof that the doctor names it."""

from __future__ import annotations

import secrets
import socket
import struct
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Any, Protocol

from pytest_mcast import Channel, InterfaceError, LabView, NotReceived, Receiver, Sender, VirtualHost
from pytest_mcast.doctor import Diagnosis, Finding, Observation, Party, Unwanted, diagnose
from pytest_mcast.lab import Link, bridge, netlink

from .shell import sh

# How long a datagram is waited for that is to be lost. In a lab everything is over when send() returns, but for timers.
SHORT = 0.05


class Receives(Protocol):
    """What takes datagrams: a plain socket in a test's own wrapping, or a ``Receiver``."""

    def recv(self, timeout: float | None = None) -> Any:
        """Return the next datagram (its ``payload``, or the bytes); raises ``NotReceived`` or ``TimeoutError``."""

    def close(self) -> None:
        """Close it."""


class PlainReceiver:
    """A receiver as users write it: a plain socket, which a test has set up."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock

    def recv(self, timeout: float | None = None) -> bytes:
        """Return the next datagram; raises ``TimeoutError``."""
        self.socket.settimeout(timeout)
        return self.socket.recv(65535)

    def close(self) -> None:
        """Close it."""
        self.socket.close()


class Sends(Protocol):
    """What sends a datagram from a socket: a plain one, or a ``Sender``."""

    socket: socket.socket

    def send(self, payload: bytes) -> object:
        """Send one datagram; raises ``OSError``."""

    def close(self) -> None:
        """Close it."""


class PlainSender:
    """A sender as users write it: a plain socket, which a test has set up, and an address to send to."""

    def __init__(self, sock: socket.socket, to: tuple[Any, ...]) -> None:
        self.socket = sock
        self._to = to

    def send(self, payload: bytes) -> object:
        """Send one datagram; raises ``OSError``."""
        return self.socket.sendto(payload, self._to)

    def close(self) -> None:
        """Close it."""
        self.socket.close()


@dataclass
class Scene:
    """Two virtual hosts and what they do. A break changes anything here, or runs commands on the hosts."""

    lab: LabView
    family: str = "ipv4"
    mode: str = "asm"
    link: Link | None = None
    #: Options of the receiver and of the sender, that a break sets and a cure of the code corrects.
    receiver_options: dict[str, Any] = field(default_factory=dict)
    sender_options: dict[str, Any] = field(default_factory=dict)
    payload_size: int = 32
    #: The interface that is meant, of both.
    interface: str = "eth0"
    #: More interfaces of the receiver, by name, and their links.
    more_interfaces: dict[str, str] = field(default_factory=dict)
    #: Whether the doctor is told which socket receives.
    shows_socket: bool = True
    #: Sockets that a break leaves open, in the way of others.
    held: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.link = self.link or self.lab.link("scene")  # a link of our own: it is broken
        interfaces = {"eth0": self.link}
        self.tx: VirtualHost = self.lab.host("tx", interfaces=interfaces)
        self.rx: VirtualHost = self.lab.host("rx", interfaces={**interfaces, **self.more_interfaces})
        source = self.tx.source(self.family) if self.mode == "ssm" else None
        self.channel: Channel = self.lab.channel(self.family, source=source)
        #: What opens the receiver and the sender; a break may put something else here.
        self.open_receiver: Callable[[], Receives] = self._receiver
        self.open_sender: Callable[[], Sends] = self._sender
        #: What is to be undone in the end: all switches are in one namespace, which other tests use too.
        self.at_end = ExitStack()
        #: What is open now.
        self.receiver: Receives | None = None
        self.sender: Sends | None = None
        #: How many datagrams have come that were not waited for.
        self.received = 0

    def _receiver(self) -> Receiver:
        return self.rx.receiver(self.channel, **self.receiver_options)

    def _sender(self) -> Sender:
        return self.tx.sender(self.channel, **self.sender_options)

    def sh(self, host: VirtualHost, command: str) -> None:
        """Run a shell command on a host; it must succeed. Returns when its links that are up can be used."""
        sh(host, command)
        with host.inside():
            there = netlink.Netlink()
            indexes = [index for index, _ in socket.if_nameindex()]
        with closing(there):
            up = {index for index in indexes if _is_up(bridge.link_state(there, index))}
            for index, port in host.plugged.items():
                if index not in up or not _is_up(bridge.link_state(port.link.connection, port.index)):
                    continue
                port.link.connection.wait_until_up(port.index)
                there.wait_until_up(index)

    @property
    def switch(self) -> Link:
        """The switch that both are plugged into."""
        assert self.link is not None
        return self.link

    def sh_on_switch(self, command: str) -> None:
        """Run a shell command where the switch is; it must succeed. Returns when those who are plugged in can use it."""
        sh(self.switch.namespace, command)
        for port in self.switch.ports:
            if _is_up(bridge.link_state(self.switch.connection, port.index)):
                port.up()

    def works(self) -> None:
        """See that a datagram arrives; with sockets that are opened anew."""
        diagnosis = self._exchange(5.0)
        assert diagnosis is None, "\n".join(diagnosis.lines(limit=100))

    def fails(self) -> Diagnosis:
        """See that none does, and return what the doctor says."""
        diagnosis = self._exchange(SHORT)
        assert diagnosis is not None, "it was delivered: nothing was broken"
        return diagnosis

    def _exchange(self, timeout: float) -> Diagnosis | None:
        """Open receiver and sender, send one datagram, and wait for it; return the diagnosis if that fails."""
        payload = secrets.token_bytes(self.payload_size)
        call = ""
        self.received = 0
        with Observation(self.tx, self.rx) as observation:
            try:
                call = "join"
                self.receiver = self.open_receiver()
                call = "open"
                self.sender = self.open_sender()
                call = "send"
                self.sender.send(payload)
                call = "receive"
                while _payload(self.receiver.recv(timeout)) != payload:
                    self.received += 1
            except (OSError, InterfaceError, NotReceived) as error:
                return _sound(diagnose(self._flow(observation, call, error)))
            finally:
                for endpoint in (self.receiver, self.sender):
                    if endpoint is not None:
                        endpoint.close()
                self.receiver = self.sender = None
        return None

    def _flow(self, observation: Observation, call: str, error: BaseException) -> Any:
        sockets = [] if self.receiver is None or not self.shows_socket else [_socket(self.receiver)]
        return observation.flow(
            self.channel,
            sender=Party(self.tx, [] if self.sender is None else [self.sender.socket], self.interface),
            receiver=Party(self.rx, sockets, self.interface),
            call=call,
            error=error,
            size=self.payload_size,
            sent=getattr(self.sender, "count", None),  # a plain socket does not count
            received=self.received,
        )

    def delivers(self, stray: Stray, host: VirtualHost) -> Diagnosis | None:
        """Send a stray datagram and then a proper one, which arrives; return what the doctor says if both do."""
        payload = secrets.token_bytes(self.payload_size)
        with ExitStack() as stack, Observation(self.rx, host) as observation:
            receiver = self.receiver = self.open_receiver()
            stack.callback(receiver.close)
            unwanted, sender = stray.sends(self, host), self.open_sender()
            stack.callback(unwanted.close)
            stack.callback(sender.close)
            unwanted.send(payload[::-1])
            sender.send(payload)
            found = [_payload(receiver.recv(5.0))]
            while found[-1] != payload:
                found.append(_payload(receiver.recv(5.0)))
            if found == [payload]:
                return None
            assert found == [payload[::-1], payload]
            flow = observation.flow(
                self.channel,
                sender=Party(host, [unwanted.socket]),
                receiver=Party(self.rx, [_socket(receiver)], "eth0"),
                unwanted=Unwanted(unwanted.channel.group, unwanted.source[0].partition("%")[0], stray.interface),
            )
            return _sound(diagnose(flow))

    def cure(self, finding: Finding) -> None:
        """Run the command of a finding where it says."""
        assert finding.command, f"{finding.check}: no command; the break must bring its cure"
        if finding.place == "switch":
            self.sh_on_switch(finding.command)
        else:
            self.sh({"sender": self.tx, "receiver": self.rx}[finding.place], finding.command)


@dataclass(frozen=True)
class Break:
    """Something that is broken: what breaks it, which check must name it, and, if that is no command, what cures it.

    ``scene`` makes the scene, if it is not the usual one. ``healthy`` is False where there is no healthy state first.
    ``certain`` is False for a cause of which the doctor cannot be sure: then it names nothing as certain, and this first.
    None: it is sure only if the host sends nothing else meanwhile, and IPv6 does at times (DAD, MLD).
    """

    id: str
    check: str
    breaks: Callable[[Scene], object]
    cure: Callable[[Scene], object] | None = None
    scene: Callable[[LabView], Scene] = Scene
    healthy: bool = True
    certain: bool | None = True
    #: Programs that it takes; without them it is skipped.
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stray:
    """A datagram that a receiver should not get: which check must say why it does, who sends it, and what keeps it off.

    ``host`` sends it, by ``sends``; it comes in on ``interface``. ``receiver`` opens what gets it.
    """

    id: str
    check: str
    receiver: Callable[[Scene], Receives]
    cure: Callable[[Scene], object]
    host: Callable[[Scene], VirtualHost] = lambda scene: scene.tx
    sends: Callable[[Scene, VirtualHost], Sender] = lambda scene, host: host.sender(
        scene.channel, **scene.sender_options
    )
    interface: str = "eth0"
    scene: Callable[[LabView], Scene] = Scene


def prove_unwanted(lab: LabView, stray: Stray) -> Diagnosis:
    """See that it is delivered, that the doctor says exactly why, and that only the proper one is after the cure."""
    scene = stray.scene(lab)
    scene.open_receiver = lambda: stray.receiver(scene)
    host = stray.host(scene)
    diagnosis = scene.delivers(stray, host)
    assert diagnosis is not None, "it was not delivered"
    said = "\n".join([*diagnosis.lines(limit=100), *(f"{k}: {v}" for k, v in diagnosis.unchecked.items())])
    assert [finding.check for finding in diagnosis.findings] == [stray.check], said or "nothing was found"
    assert diagnosis.findings[0].confidence == "certain"
    stray.cure(scene)
    assert scene.delivers(stray, host) is None
    return diagnosis


def prove(lab: LabView, broken: Break) -> Diagnosis:
    """Break it, see that the doctor names exactly that as certain, follow the cure, and see that it works again."""
    scene = broken.scene(lab)
    with scene.at_end:
        return _prove(scene, broken)


def _prove(scene: Scene, broken: Break) -> Diagnosis:
    if broken.healthy:
        scene.works()
    broken.breaks(scene)
    diagnosis = scene.fails()
    said = "\n".join([*diagnosis.lines(limit=100), *(f"{k}: {v}" for k, v in diagnosis.unchecked.items())])
    certain = [finding.check for finding in diagnosis.findings if finding.confidence == "certain"]
    if broken.certain is None:
        assert set(certain) <= {broken.check}, said
    else:
        assert certain == [broken.check] * broken.certain, said or "nothing was found"
    assert diagnosis.findings, "nothing was found"
    finding = diagnosis.findings[0]
    assert finding.check == broken.check, said
    assert len(diagnosis.lines()) <= 25
    if broken.cure is not None:
        assert not finding.command, "a cure that is a command is run as it is"
        broken.cure(scene)
    else:
        scene.cure(finding)
    scene.works()
    return diagnosis


def _is_up(state: bytes) -> bool:
    """Whether the link is switched on (struct ifinfomsg, IFF_UP)."""
    return bool(struct.unpack_from("=8xI", state)[0] & 1)


def _payload(datagram: Any) -> bytes:
    return datagram if isinstance(datagram, bytes) else datagram.payload


def _sound(diagnosis: Diagnosis) -> Diagnosis:
    """Return a diagnosis of which no check has died, which users are only told among what could not be looked at."""
    broken = [reason for reason in diagnosis.unchecked.values() if reason.startswith("the check failed")]
    assert not broken, broken
    return diagnosis


def _socket(receiver: Any) -> socket.socket:
    return receiver.socket if isinstance(receiver, PlainReceiver) else receiver.subscription.socket
