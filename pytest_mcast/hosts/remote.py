"""Another machine, by ssh, or another Python on this one: receivers and senders there, used as those on this machine."""

from __future__ import annotations

import atexit
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_mcast.core.errors import HostError, MissingCapability
from pytest_mcast.core.interfaces import Interface

from .endpoints import RemoteReceiver, RemoteSender
from .host import Host, Task
from .programs import RemoteProgram
from .specification import Specification

if TYPE_CHECKING:
    from pytest_mcast.core.channels import Channel
    from pytest_mcast.core.echo import EchoResponder
    from pytest_mcast.wire import Membership

    from .connection import Connection

__all__ = ["RemoteHost"]


class RemoteHost(Host):
    """A machine that has nothing but Python 3.9 or later: nothing is installed there, and no file is written.

    ``specification`` is that of execnet: ``ssh=user@host//python=python3`` (in front of the host there may be options of
    ssh; ``//ssh_config=FILE`` as well), or ``popen//python=python3.9`` for another Python on this machine. ``interface`` is a
    name, index or address there; None for the one that fits multicast best.

    It is connected at first use, by a process that the calling thread starts (in its network namespace), and remains so
    until ``close()``. Each use raises ``HostError`` when there is no connection within ``connect_timeout`` seconds, or
    when it is lost: after ``silence`` seconds without a sign of life at the latest, and then the other end closes
    everything by itself. A host that was lost is connected anew at the next use; one that could not be reached is not.
    Raises ``ValueError`` for a specification of another kind.
    """

    def __init__(
        self,
        name: str,
        specification: str,
        interface: str | int | None = None,
        *,
        connect_timeout: float = 15.0,
        silence: float = 20.0,
    ) -> None:
        super().__init__(name)
        self.specification = Specification.parse(specification)
        self._wanted = interface
        self._interface: Interface | None = None
        self._connect_timeout = connect_timeout
        self._silence = silence
        self._connection: Connection | None = None
        self._unreachable: HostError | None = None
        self._connecting = threading.Lock()

    def connect(self) -> None:
        """Connect, if there is no connection; everything else does it, too."""
        self._connected()

    def facts(self) -> dict[str, str]:
        """Say what the machine is: ``system``, ``release``, ``machine``, ``python``, ``executable`` and ``pid``."""
        return dict(self._connected().facts)

    @property
    def interfaces(self) -> list[Interface]:
        """The interfaces of the machine as they are now, loopback included."""
        found: list[Interface] = self._function("pytest_mcast.core.interfaces:Interface.all")
        return found

    @property
    def interface(self) -> Interface:
        """The interface that was named, else the one that fits best; as it was at first use."""
        if self._interface is None:
            self._interface = (
                self._function("pytest_mcast.core.interfaces:Interface.best")
                if self._wanted is None
                else self.find(self._wanted)
            )
        return self._interface

    def find(self, what: str | int) -> Interface:
        """Find an interface of the machine; see ``Interface.find``."""
        found: Interface = self._function("pytest_mcast.core.interfaces:Interface.find", what)
        return found

    def memberships(self, group: str | None = None, interface: str | None = None) -> frozenset[Membership]:
        """Return what the kernel has joined there; see ``Host.memberships``."""
        found: frozenset[Membership] = self._function("pytest_mcast.wire.memberships:memberships", group, interface)
        return found

    def snapshot(self, groups: Sequence[str] = ()) -> dict[str, Any]:
        """Return what the machine says about itself, for the doctor; see ``evidence.take_snapshot``."""
        found: dict[str, Any] = self._function("pytest_mcast.evidence.snapshot:take_snapshot", list(groups))
        return found

    def watch(self, group: str, mark: bytes) -> int:
        """Watch there what comes of datagrams that have a mark, and return the number of the watch; see ``evidence.Watch``."""
        number: int = self._function("pytest_mcast.evidence.watching:begin", group, mark)
        return number

    def watched(self, number: int, timeout: float = 0.0) -> dict[str, Any]:
        """End a watch and return what it has seen, after ``timeout`` seconds if nothing comes in; see ``Watch.read``."""
        function = "pytest_mcast.evidence.watching:finish"
        found: dict[str, Any] = self._connected().call(
            "function", function, number, timeout, waits=True, timeout=timeout
        )
        return found

    def protocol_version(self, family: str, interface: str | None = None) -> int | None:
        """Return the version of IGMP (or MLD) that the kernel there uses on an interface (default: the host's).

        None where it does not tell; see ``core.versions`` for what does.
        """
        version: int | None = self._function(
            "pytest_mcast.core.versions:protocol_version", family, interface or self.interface.name
        )
        return version

    def pick(self, family: str, scope: str | None = None, *, source: str | None = None) -> Channel:
        """Return a channel with a group of its own and a port that is free there; see ``ChannelPicker.pick``."""
        channel: Channel = self._connected().call("pick", family, scope, source, self.interface)
        return channel

    def receiver(self, channel: Channel, **options: Any) -> RemoteReceiver:
        """Open a ready receiver there; see ``Receiver`` for options (all but ``sock``) and errors.

        With port 0 the system there picks one that is free. The time stamps of its datagrams are None.
        """
        options.setdefault("interface", self.interface)
        timeout = options.pop("timeout", 5.0)
        connection = self._connected()
        opened = connection.call("receiver", channel, options)
        receiver = self.keep(RemoteReceiver(connection, opened, timeout))
        receiver.host = self
        return receiver

    def sender(self, channel: Channel, **options: Any) -> RemoteSender:
        """Open a sender there; see ``Sender`` for options and errors."""
        options.setdefault("interface", self.interface)
        connection = self._connected()
        opened = connection.call("sender", channel, options)
        sender = self.keep(RemoteSender(connection, channel, opened, options.get("timeout", 5.0)))
        sender.host = self
        return sender

    def which(self, program: str) -> str | None:
        """Return the path of a program on ``PATH`` there, None if there is none."""
        found: str | None = self._function("shutil:which", program)
        return found

    def real_path(self, path: str) -> str:
        """Return the path without symbolic links there."""
        return str(self._function("os.path:realpath", path))

    def read_text(self, path: str) -> str:
        """Return what is in a file there; raises ``OSError``."""
        return str(self._function("pytest_mcast.core.agent:read_text", path))

    def popen(
        self,
        command: Sequence[str],
        *,
        ready: str | re.Pattern[str] | None = None,
        timeout: float = 10.0,
        stdin: bool = False,
        environment: Mapping[str, str] | None = None,
        directory: str | None = None,
    ) -> RemoteProgram:
        """Start a program there; ``environment`` is added to what there is.

        ``ready`` is a pattern of an output line that is waited for, ``timeout`` seconds at the most. It ends with the
        connection. Raises ``ProgramError`` when it does not become ready, ``OSError`` when it cannot be started.
        """
        connection = self._connected()
        options = {"environment": dict(environment or {}), "directory": directory, "stdin": stdin}
        program = self.keep(RemoteProgram(connection, command, connection.call("program", list(command), options)))
        if ready is not None:
            program.expect(ready, timeout)
        return program

    def echo(self, channel: Channel, **_: Any) -> EchoResponder:
        """Raise ``MissingCapability``: echo responders are threads of this process."""
        raise self._not_there(f"an echo responder for {channel}")

    def start(self, function: Callable[..., Any], *_: Any) -> Task:
        """Raise ``MissingCapability``: functions of this process run on this machine."""
        raise self._not_there(f"the function {getattr(function, '__name__', function)!r}")

    def close(self) -> None:
        """Close what was opened there and end the connection; again is no error. The next use connects again."""
        self.close_endpoints()
        with self._connecting:
            connection, self._connection = self._connection, None
            self._interface = self._unreachable = None
            if connection is not None:
                atexit.unregister(connection.kill)
                connection.close()

    def _function(self, name: str, *arguments: Any) -> Any:
        return self._connected().call("function", name, *arguments)

    def _connected(self) -> Connection:
        with self._connecting:
            if self._unreachable is not None:
                raise HostError(*self._unreachable.args)
            if self._connection is not None and self._connection.failure is not None:
                atexit.unregister(self._connection.kill)
                self._connection.close()
                self._connection = self._interface = None
            if self._connection is None:
                from .connection import Connection  # with all that few processes ever need

                try:
                    made = Connection(self.name, self.specification, self._connect_timeout, self._silence)
                except HostError as error:
                    self._unreachable = HostError(*error.args)
                    raise self._unreachable from None
                atexit.register(made.kill)
                self._connection = made
            return self._connection

    def _not_there(self, what: str) -> MissingCapability:
        return MissingCapability("local", f"{what} does not run on {self}, a remote host", "use a host on this machine")
