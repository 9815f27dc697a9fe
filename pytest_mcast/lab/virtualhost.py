"""A host of a virtual network: a network namespace with interfaces on links."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.echo import EchoResponder
from pytest_mcast.core.errors import InterfaceError, MissingCapability
from pytest_mcast.core.interfaces import Interface
from pytest_mcast.core.receiver import Receiver
from pytest_mcast.hosts import Host
from pytest_mcast.wire import Injector, TapControl

from . import netlink
from .namespace import Namespace
from .programs import Program, Programs

if TYPE_CHECKING:
    from types import TracebackType

    from .port import Port

__all__ = ["VirtualHost", "prepare", "write_sysctl"]

_Listener = TypeVar("_Listener", Receiver, EchoResponder)

# What a verdict relies on, whatever the machine's defaults are (a new namespace copies them, ip-sysctl):
# no reverse-path filter, no duplicate address detection, no addresses or routes but ours.
_SYSCTLS = {
    "ipv4/conf/{}/rp_filter": "0",
    "ipv6/conf/{}/disable_ipv6": "0",
    "ipv6/conf/{}/accept_dad": "0",
    "ipv6/conf/{}/accept_ra": "0",
    "ipv6/conf/{}/router_solicitations": "0",
}


def prepare(namespace: Namespace, sysctls: Mapping[str, str] | None = None) -> netlink.Netlink:
    """Make a new namespace fit for multicast, before there is any link but loopback, and return a socket to it."""
    wanted = {path.format(which): value for path, value in _SYSCTLS.items() for which in ("all", "default")}
    wanted.update(sysctls or {})
    with namespace:
        for path, value in wanted.items():
            write_sysctl(path, value)
        connection = netlink.Netlink()
    connection.run(
        netlink.link(1, up=True),
        # IPv6 multicast over loopback needs a route of type local; its metric leaves the choice to real links.
        netlink.route("ff00::/8", index=1, kind="local", table=255, metric=4096),
    )
    return connection


def write_sysctl(path: str, value: str) -> None:
    """Set a sysctl of the calling thread's namespace, as far as there is such a thing and it is not read-only."""
    file = Path("/proc/sys/net", path)
    try:
        file.write_text(value)
    except FileNotFoundError:  # no IPv6, no packet filter for bridges
        return
    except OSError:
        # Read-only in a container. Addresses come without DAD all the same, by their own flags; but what would change a
        # verdict must be as it should be.
        found = file.read_text().strip()
        if path.endswith(("rp_filter", "disable_ipv6")) and found != value:
            name = "net." + path.replace("/", ".")
            raise MissingCapability(
                "namespaces",
                f"/proc/sys is read-only, and {name} is {found}",
                "make it writable: docker run --security-opt systempaths=unconfined",
            ) from None


class VirtualHost(Host):
    """A virtual host; ``Lab.host()`` makes them. Its default interface is its first."""

    def __init__(self, name: str, namespace: Namespace, connection: netlink.Netlink) -> None:
        super().__init__(name)
        self.namespace = namespace
        self._connection = connection
        self._names: list[str] = []
        self._programs: Programs | None = None
        self._touched = False
        self._interface: Interface | None = None
        self._control: TapControl | None = None
        self._injectors: dict[str, Injector] = {}
        #: Where it is plugged in, by the number of its interface.
        self.plugged: dict[int, Port] = {}

    @property
    def interface(self) -> Interface:
        """The first interface of the host; looked up again once somebody may have changed it."""
        if self._interface is None or self._touched:
            self._interface = self.find(self._names[0] if self._names else "lo")
        return self._interface

    def find(self, what: str | int) -> Interface:
        """Find an interface of this host; see ``Interface.find``."""
        with self.inside():
            return Interface.find(what)

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
        """What sees all that comes in here, from the first call of a test on; raises ``MissingCapability``."""
        if self._control is None:
            with self.inside():
                self._control = _with_packet_sockets(lambda: TapControl(str(self)))
        self._control.name = str(self)
        self._control.switch_on()
        return self._control

    def receiver(self, channel: Channel, **options: Any) -> Receiver:
        """Open a ready receiver here, and a tap beside it; see ``Receiver`` for options and errors."""
        try:
            control = self.control  # before the receiver, so that nothing gets past it
        except MissingCapability:  # then ``expect_nothing`` will say so
            return self._until_ready(super().receiver(channel, **options))
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
        if name not in self._injectors:
            with self.inside():
                self._injectors[name] = _with_packet_sockets(lambda: Injector(name))
        return self._injectors[name]

    def inject(self, *frames: bytes, interface: str | None = None) -> None:
        """Send frames, Ethernet header and all, out of an interface (default: the first)."""
        injector = self.injector(interface)
        for frame in frames:
            injector.inject(frame)

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
    ) -> Program:
        """Start a program in this host.

        ``ready`` is a pattern of an output line that is waited for, ``timeout`` seconds at the most. The program sees
        empty directories of its own in place of those in ``private``, a /proc of the host's programs and a /sys of its
        interfaces; it inherits the descriptors in ``keep``. It ends with the host, whatever it does. Raises ``ProgramError`` when it does not become ready.
        """
        self._touched = True
        if self._programs is None:
            self._programs = Programs(self.namespace)
        program = self._programs.start(
            command, private=private, stdin=stdin, environment=environment, directory=directory, keep=keep
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
            if self._control is not None:
                stack.callback(self._control.switch_off)
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
            self.close_endpoints()
            self._injectors, self._control = {}, None

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


_Socket = TypeVar("_Socket", Injector, TapControl)


def _with_packet_sockets(open_it: Callable[[], _Socket]) -> _Socket:
    try:
        return open_it()
    except PermissionError as error:
        reason, remedy = f"this process may not open packet sockets ({error})", "give it CAP_NET_RAW"
        raise MissingCapability("packets", reason, remedy) from error
    except OSError as error:
        if error.errno not in (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT):
            raise
        reason, remedy = f"this kernel has no packet sockets ({error})", "run: sudo modprobe af_packet"
        raise MissingCapability("packets", reason, remedy) from error
