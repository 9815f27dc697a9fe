"""A host of a virtual network: a network namespace with interfaces on links."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.echo import EchoResponder
from pytest_mcast.core.errors import InterfaceError, MissingCapability
from pytest_mcast.core.interfaces import Interface
from pytest_mcast.core.receiver import Receiver
from pytest_mcast.hosts import Host
from pytest_mcast.wire import (
    Capture,
    Filter,
    Injector,
    Listener,
    Querier,
    Recorder,
    Tap,
    TapControl,
    Viewpoint,
    hardware_addresses,
    with_packet_sockets,
)
from pytest_mcast.wire.recorder import HOST_FRAMES

from . import netlink
from .ears import Ears
from .namespace import Namespace
from .programs import Program, Programs
from .sysctls import REPORT_INTERVALS, write_sysctl

if TYPE_CHECKING:
    from types import TracebackType

    from .port import Port

__all__ = ["VirtualHost"]

_Listener = TypeVar("_Listener", Receiver, EchoResponder)


class VirtualHost(Host):
    """A virtual host; ``Lab.host()`` makes them. Its default interface is its first."""

    def __init__(self, name: str, namespace: Namespace, connection: netlink.Netlink) -> None:
        super().__init__(name)
        self.namespace = namespace
        #: Numbers of the ports that the lab has connected it to.
        self.ports: list[int] = []
        self._connection = connection
        self._names: list[str] = []
        self._programs: Programs | None = None
        self._touched = False
        self._interface: Interface | None = None
        self._opening = threading.Lock()  # of packet sockets, which several threads may want
        self._control: TapControl | None = None
        self._injectors: dict[str, Injector] = {}
        self._recorder: Recorder | None = None
        #: The interfaces on links that other tests use too; set by ``LabView``.
        self.shared: frozenset[str] = frozenset()
        self._ears = Ears(self, lambda: with_packet_sockets(lambda: Tap(sees_outgoing=True)))
        #: Where it is plugged in, by the number of its interface.
        self.plugged: dict[int, Port] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its interfaces on links, the first first."""
        return tuple(self._names)

    @property
    def gone(self) -> bool:
        """Whether it was closed."""
        return self.namespace.closed

    @property
    def interface(self) -> Interface:
        """The first interface of the host; looked up again once somebody may have changed it."""
        if self._interface is None or (self._touched and not self.gone):
            self._interface = self.find(self._names[0] if self._names else "lo")
        return self._interface

    def find(self, what: str | int) -> Interface:
        """Find an interface of this host; see ``Interface.find``."""
        with self.inside():
            return Interface.find(what)

    def prepare(self, *requests: netlink.Request) -> None:
        """Change the host as its lab does, before anybody has it."""
        self._connection.run(*requests)

    def plug(self, name: str, index: int, *, addresses: Mapping[str, int], gateways: Mapping[str, str]) -> None:
        """Configure an interface that has just been put here: addresses (with prefix length), up, default routes."""
        if name in self._names:
            raise InterfaceError(f"host {self.name} has an interface {name} already")
        self._connection.run(
            netlink.no_automatic_addresses(index),
            *(netlink.address(index, ip, prefix) for ip, prefix in addresses.items()),
            netlink.link(index, up=True),
            # The kernel adds this one too, when it has noticed that the link is ready; nobody waits for that.
            netlink.route("ff00::/8", index=index, kind="multicast", table=255, metric=1024),
            *([] if self._names else [netlink.route(net, gateway=via, index=index) for net, via in gateways.items()]),
        )
        self._names.append(name)
        self._connection.wait_until_up(index)
        self._interface = None

    @property
    def control(self) -> TapControl:
        """What sees all that comes in here, from the first open receiver on; raises ``MissingCapability``."""
        with self._opening:
            if self._control is None:
                with self.inside():
                    self._control = with_packet_sockets(lambda: TapControl(str(self), self.mark))
            self._control.name = str(self)  # a host that is used again may have another one
            self._control.immediate = self.strong
            self._control.switch_on()
            return self._control

    @property
    def strong(self) -> bool:
        """Whether what was sent to it has come in when send(2) returns: no cable of the lab is impaired."""
        return not any(port.link.impaired for port in self.plugged.values())

    def judge_anew(self) -> None:
        """Have proofs here be as strong as the lab allows now."""
        if self._control is not None:
            self._control.immediate = self.strong

    def receiver(self, channel: Channel, **options: Any) -> Receiver:
        """Open a ready receiver here, and a tap beside it; see ``Receiver`` for options and errors."""
        try:
            control = self.control  # before the receiver, so that nothing gets past it
        except MissingCapability as missing:  # ``expect_nothing`` will say so
            receiver = self._until_ready(super().receiver(channel, **options))
            receiver.no_control = missing
            return receiver
        if not any(isinstance(endpoint, Receiver) and not endpoint.closed for endpoint in self._endpoints):
            control.switch_off()  # what others have left is nothing to this one
            control.switch_on()
        receiver = self._until_ready(super().receiver(channel, **options))
        receiver.control = control
        return receiver

    def echo(self, channel: Channel, **options: Any) -> EchoResponder:
        """Start an echo responder here; see ``EchoResponder`` for options and errors."""
        return self._until_ready(super().echo(channel, **options))

    def _until_ready(self, endpoint: _Listener) -> _Listener:
        """Wait until the switch, if it is one that snoops, has heard of the membership."""
        port = self.plugged.get(endpoint.interface.index)
        if port is not None:
            try:
                evidence = port.wait_until_ready(endpoint.channel)
            except BaseException:  # whatever it is: let go, and pass it on
                endpoint.close()
                raise
            if evidence is not None and isinstance(endpoint, Receiver):
                endpoint.evidence = evidence
        return endpoint

    def injector(self, interface: str | None = None) -> Injector:
        """Return the packet socket of an interface (default: the first), opened once; raises ``MissingCapability``."""
        name = interface or self.interface.name
        with self._opening:
            if name not in self._injectors:
                with self.inside():
                    self._injectors[name] = with_packet_sockets(lambda: Injector(name))
            return self._injectors[name]

    def inject(self, *frames: bytes, interface: str | None = None) -> None:
        """Send frames, Ethernet header and all, out of an interface (default: the first)."""
        injector = self.injector(interface)
        for frame in frames:
            injector.inject(frame)

    def capture(self, wanted: Filter = None) -> Capture:
        """Capture what comes in and goes out by all interfaces, from now on; ended at the latest with the test.

        ``wanted`` is a channel, one of ``arp``, ``igmp``, ``ipv4``, ``ipv6``, ``mld``, ``udp``, a function of a frame's
        bytes, or None for everything. Raises ``ValueError`` for another filter, and ``MissingCapability``.
        """
        if self._recorder is None:
            with self.inside():
                self._recorder = with_packet_sockets(lambda: Recorder(HOST_FRAMES))
        ring = self._recorder.ring
        place = Viewpoint(self.name, lambda frame: ring.interface(frame.interface), tuple(self._names), f"{self.name}:")
        return Capture(self._recorder, wanted, place)

    @property
    def captures(self) -> list[Capture]:
        """The captures that are open here."""
        return [] if self._recorder is None else self._recorder.captures

    def mark(self, wanted: Filter, text: str) -> None:
        """Put a comment on the newest frame of that kind in every capture that is open here."""
        for capture in self.captures:
            capture.mark(wanted, text)

    @property
    def identities(self) -> frozenset[str]:
        """What messages of the host are known by: its Ethernet addresses."""
        with self.inside():
            return hardware_addresses()

    def listen(self) -> Listener:
        """Hear all reports and queries of IGMP and MLD from now on, those of this host too; see ``Listener``."""
        return self._ears.listen()

    def tap(self) -> AbstractContextManager[Tap]:
        """Lend a tap that sees what comes in and what goes out here; it is off. Raises ``MissingCapability``."""
        return self._ears.lend()

    def querier(
        self, family: str = "ipv4", *, source: str | None = None, interface: str | None = None, **options: Any
    ) -> Querier:
        """Return a querier that sends out of an interface (default: the first); see ``Querier`` for options.

        Its default source is the address of the interface, link-local for IPv6 (RFC 3810 section 5.1.14).
        """
        return self._ears.querier(family, source, interface, **options)

    def settle(self) -> None:
        """Wait until a new host has reported its own IPv6 groups as often as it does, which takes about 0.1 s.

        Until then MLDv2 may repeat what has just been joined once or twice more than the robustness variable says: the
        kernel reports all groups again when the first link-local address is ready. Raises ``NotReported`` after 10 s.
        """
        self._ears.settle()

    def set_report_interval(self, seconds: float) -> None:
        """Set the unsolicited report interval of all versions, on all interfaces; the host is not used again.

        It is 0.05 s in a lab, where the protocols have 1 s (IGMPv3, MLDv2) and 10 s (older versions). Raises ``MissingCapability`` where the sysctls cannot be written.
        """
        self._touched = True
        with self.inside():
            for name in self._names:
                for path in REPORT_INTERVALS:
                    write_sysctl(path.format(name), str(max(1, round(seconds * 1000))), required=True)

    @property
    def touched(self) -> bool:
        """Whether code of the user's has been inside, so that anything may have changed."""
        return self._touched

    def touch(self) -> None:
        """Have it thrown away after the test: something else than an endpoint of ours has changed it."""
        self._touched = True

    def checked(self, interfaces: Mapping[str, object] | None) -> VirtualHost:
        """Return the host; raises ``InterfaceError`` when other interfaces are asked for than it has."""
        if interfaces is not None and list(interfaces) != self._names:
            has, wanted = ", ".join(self._names) or "none", ", ".join(interfaces) or "none"
            raise InterfaceError(f"host {self.name} is there already; its interfaces are {has}, not {wanted}")
        return self

    def configure(self, *requests: netlink.Request) -> None:
        """Change the host by requests of ``netlink`` (addresses, routes, links); it will not be used again."""
        self._touched = True
        self._connection.run(*requests)

    def popen(
        self,
        command: Sequence[str],
        *,
        ready: str | re.Pattern[str] | None = None,
        timeout: float = 10.0,
        private: Sequence[str] = ("/run",),
        stdin: bool = False,
        environment: Mapping[str, str] | None = None,
        directory: str | os.PathLike[str] | None = None,
        keep: Sequence[int] = (),
        files: Mapping[str, str] | None = None,
    ) -> Program:
        """Start a program in this host.

        ``ready`` is a pattern of an output line that is waited for, ``timeout`` seconds at the most. The program sees
        empty directories of its own in place of those in ``private``, a /proc of the host's programs and a /sys of its
        interfaces; it inherits the descriptors in ``keep``. ``files`` maps absolute paths to texts: to the program they
        are files, in one of ``private`` or in place of a file that is there, and to nobody else. It ends with the host,
        whatever it does. Raises ``ProgramError`` when it does not become ready.
        """
        self._touched = True
        if self._programs is None:
            self._programs = Programs(self.namespace)
        program = self._programs.start(
            command,
            private=private,
            stdin=stdin,
            environment=environment,
            directory=directory,
            keep=keep,
            files=files or {},
        )
        if ready is not None:
            program.expect(ready, timeout)
        return program

    def inside(self) -> Namespace:
        """Enter without leaving a trace."""
        return self.namespace

    def close_endpoints(self) -> None:
        """Close what was opened through the host, cancel what was started, and end its programs."""
        programs, self._programs = self._programs, None
        with ExitStack() as stack:
            stack.callback(self._ears.close_all)
            if self._control is not None:
                stack.callback(self._control.switch_off)
            if self._recorder is not None:
                stack.callback(self._recorder.close_captures)
            if programs is not None:
                stack.callback(programs.close)
            super().close_endpoints()

    def close(self) -> None:
        """Close what was opened here and let go of the namespace; again is no error."""
        with ExitStack() as stack:
            stack.callback(self.namespace.close)
            stack.callback(self._connection.close)
            for injector in self._injectors.values():
                stack.callback(injector.close)
            if self._control is not None:
                stack.callback(self._control.close)
            if self._recorder is not None:
                stack.callback(self._recorder.close)
            stack.callback(self._ears.close)
            while self.ends:
                stack.callback(self.ends.pop())
            self.close_endpoints()
            self._injectors, self._control, self._recorder = {}, None, None

    def __enter__(self) -> VirtualHost:
        self._touched = True
        self.namespace.__enter__()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.namespace.__exit__(exception_type, exception, traceback)
