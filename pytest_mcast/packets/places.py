"""Where crafted datagrams come from and go to: virtual hosts, and interfaces of this machine."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any, Protocol

from pytest_mcast.core.errors import MissingCapability
from pytest_mcast.hosts import Host, LocalHost
from pytest_mcast.lab import VirtualHost
from pytest_mcast.wire import Injector, TapControl, with_packet_sockets

if TYPE_CHECKING:
    from pytest_mcast.core.channels import Channel
    from pytest_mcast.core.interfaces import Interface
    from pytest_mcast.core.receiver import Receiver

__all__ = ["Place", "places"]


class Place(Protocol):
    """A host as a prober needs it."""

    @property
    def interface(self) -> Interface:
        """Its interface when none is named."""

    @property
    def control(self) -> TapControl:
        """What sees all that comes in."""

    def find(self, what: str | int) -> Interface:
        """Find one of its interfaces."""

    def injector(self, interface: str | None = None) -> Injector:
        """Return what sends frames out of an interface (default: its interface)."""

    def inside(self) -> AbstractContextManager[object]:
        """Return what it is entered with."""

    def receiver(self, channel: Channel, **options: Any) -> Receiver:
        """Open a receiver there."""


class _Local:
    """An interface of this machine: packet sockets of its own, and a control whose evidence is weak."""

    def __init__(self, host: LocalHost, stack: ExitStack) -> None:
        self._host = host
        self._stack = stack
        self._injectors: dict[str, Injector] = {}
        self._control: TapControl | None = None
        self.inside = host.inside
        self.receiver = host.receiver
        self.find = type(host.interface).find

    @property
    def interface(self) -> Interface:
        return self._host.interface

    @property
    def control(self) -> TapControl:
        if self._control is None:
            self._control = control = with_packet_sockets(lambda: TapControl(str(self._host.interface)))
            self._stack.callback(control.close)
            control.immediate = False
            control.switch_on()
        return self._control

    def injector(self, interface: str | None = None) -> Injector:
        name = interface or self._host.interface.name
        if name not in self._injectors:
            self._injectors[name] = injector = with_packet_sockets(lambda: Injector(name))
            self._stack.callback(injector.close)
        return self._injectors[name]


def places(sender: Host, receiver: Host, interface: str | None, stack: ExitStack) -> tuple[Place, Place]:
    """Return both hosts as a prober needs them; what is opened for that is closed with ``stack``.

    Raises ``MissingCapability`` where a packet cannot come from one to the other, ``ValueError`` for one host.
    """
    if sender is receiver and isinstance(sender, VirtualHost):
        raise ValueError(f"a host cannot send crafted packets to itself: {sender} is sender and receiver")
    if isinstance(sender, LocalHost) and isinstance(receiver, LocalHost):
        out = interface or sender.interface.name
        if out == receiver.interface.name:
            raise _cannot(out)
    return _place(sender, stack), _place(receiver, stack)


def _place(host: Host, stack: ExitStack) -> Place:
    if isinstance(host, VirtualHost):
        return host
    if not isinstance(host, LocalHost) or host.interface.loopback:
        raise _cannot(host.interface.name)
    return _Local(host, stack)


def _cannot(interface: str) -> MissingCapability:
    return MissingCapability(
        "packets",
        f"{interface} of this machine cannot carry a packet that only another host could send",
        "run pytest with --mcast-lab",
    )
