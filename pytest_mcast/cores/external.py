"""Receive cores in other programs, in whatever language: started in a virtual or remote host, and believed by what they print."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.errors import MissingCapability, NotReceived, ProgramError, SubscriptionError
from pytest_mcast.hosts import RemoteHost
from pytest_mcast.wire.expectations import WantedReport

from .programs import DescribedProgram, ending, explain
from .protocol import Capabilities, CoreFailure, ExpectedFailure
from .records import Records, ReportedDatagram

if TYPE_CHECKING:
    from types import TracebackType

    from pytest_mcast.core.channels import Channel
    from pytest_mcast.core.interfaces import Interface
    from pytest_mcast.hosts import Host
    from pytest_mcast.lab import VirtualHost
    from pytest_mcast.wire import Listener

__all__ = ["ExternalCore", "ExternalReceiver"]

_KEPT = 100  # lines of output
_STOPPING = 5.0  # seconds that a program has to end by itself


class ExternalCore(DescribedProgram):
    """A receive core that is a program, as a description of the kind ``receiver`` has it."""

    @property
    def capabilities(self) -> Capabilities:
        """What the description says it can do."""
        return Capabilities(self.description.families, self.description.modes, self.description.fields)

    @property
    def expected_failures(self) -> Sequence[ExpectedFailure]:
        """The known findings in the description."""
        return self.description.expected_failures

    def open(
        self, channel: Channel, host: Host, *, interface: str | None = None, timeout: float = 5.0
    ) -> ExternalReceiver:
        """Start it for a channel on an interface (default: the first) of a virtual or remote host; see ``ReceiveCore.open``."""
        return ExternalReceiver(self, channel, self.check(channel, host), interface, timeout)

    def __repr__(self) -> str:
        return f"<ExternalCore {self.name}>"


class ExternalReceiver:
    """One run of a program for one channel.

    It is ready when it says so or, if it never does, when its host reports the membership.
    """

    def __init__(
        self,
        core: ExternalCore,
        channel: Channel,
        host: VirtualHost | RemoteHost,
        interface: str | None,
        timeout: float,
    ) -> None:
        self.channel = channel
        self.interface: Interface = host.interface if interface is None else host.find(interface)
        self.fields = core.description.fields
        #: How many bytes of a payload it tells at the most; None for all.
        self.max_size = core.description.payload_limit
        self.timeout = timeout
        self._core = core
        self._host = host
        self._ready: str | None = None
        self._arrived: deque[ReportedDatagram] = deque()
        self._closed = False
        self._failed = False  # and said so
        self._wire: Listener | None = None
        if core.description.ready is None:
            if isinstance(host, RemoteHost):
                reason = f"{core.name} does not say when it is ready, and nobody hears what {host} reports"
                raise MissingCapability("namespaces", reason, "give it a line that says so, or use a virtual host")
            self._wire = host.listen()
        indexes = {one.name: one.index for one in host.interfaces}
        self._records = [
            (Records(core.description.datagram, channel, indexes, core.description.payload_limit), output)
            for output in ("stdout", "stderr")
        ]
        self._read = {"stdout": 0, "stderr": 0}
        self._program = core.start(host, channel, self.interface)

    @property
    def pid(self) -> int:
        """The process id of the program, as this process sees it, or a remote host."""
        return self._program.pid

    @property
    def output(self) -> list[str]:
        """The last lines of both kinds of output, stderr first."""
        return [*self._program.stderr[-_KEPT:], *self._program.stdout[-_KEPT:]]

    def ready(self, timeout: float = 10.0) -> str:
        """Wait until it is ready and return the evidence; raises ``CoreFailure`` after ``timeout`` seconds."""
        if self._ready is None:
            pattern = self._core.description.ready
            if pattern is None:
                self._ready = self._reported(timeout)
            else:
                self._ready = self._said_so(pattern.pattern, timeout)
        return self._ready

    def recv(self, timeout: float | None = None) -> ReportedDatagram:
        """Return the next datagram; raises ``NotReceived`` after ``timeout`` seconds, ``CoreFailure`` when none can come."""
        deadline = Deadline(self.timeout if timeout is None else timeout)
        if self._closed:
            raise SubscriptionError(f"the receiver of {self.channel} is closed")
        while True:
            flooded, ended = self._program.flooded, self._program.ended  # first: what was printed before counts
            seen = self._pull()
            if self._arrived:
                return self._arrived.popleft()
            if flooded:
                raise self._failure("flooded", f"it has printed more than anybody can want: {seen} lines")
            if ended:
                raise self._failure("died", f"it has ended, with {self._exit()}")
            if not self._program.wait_for_output(seen, deadline) and deadline.passed():
                if self._program.returncode is not None:  # but a child of it holds its output open
                    raise self._failure("died", f"it has ended, with {self._exit()}")
                text = f"no datagram for {self.channel} on {self.interface.name} within {deadline.seconds:g} s"
                raise NotReceived(f"{self._core.name}: {text}\n{explain(self._program)}")

    def close(self) -> None:
        """End it; again is no error. Raises ``CoreFailure`` when it had ended before, or has to be killed, or says it failed."""
        if self._closed:
            return
        self._closed = True
        if self._wire is not None:
            self._wire.close()
        number = signal.Signals[self._core.description.stop]
        if self._program.returncode is not None:
            self._program.stop(_STOPPING)
            if not self._failed:
                raise self._failure("died", f"it had ended by itself, with {self._exit()}")
            return
        code = self._program.stop(_STOPPING, number)
        if self._failed:
            return
        if code == -signal.SIGKILL:
            raise self._failure("killed", f"it went on for {_STOPPING:g} s after {number.name}, and was killed")
        if code not in (0, -number, 128 + number):
            raise self._failure("died", f"it ended with {self._exit()} after {number.name}")

    def __enter__(self) -> ExternalReceiver:
        try:
            self.ready()
        except BaseException:  # whatever it is: let go, and pass it on
            self._failed = True
            self.close()
            raise
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._failed = self._failed or exception is not None
        self.close()

    def __repr__(self) -> str:
        return f"<{self._core.name} {self.channel} on {self.interface.name}>"

    def _pull(self) -> int:
        """Read what is there; return how many lines of output have been read in all."""
        for records, name in self._records:
            output: list[str] = getattr(self._program, name)
            start, end = self._read[name], len(output)
            self._read[name] = end
            try:
                self._arrived.extend(records.feed(output[start:end]))
            except CoreFailure as error:
                raise self._failure(error.kind, str(error)) from None
        return sum(self._read.values())

    def _said_so(self, pattern: str, timeout: float) -> str:
        try:
            self._program.expect(pattern, timeout)
        except ProgramError:
            if self._program.ended:
                raise self._failure("died", f"it ended before it was ready, with {self._exit()}") from None
            if self._program.flooded:
                raise self._failure("flooded", "it printed more than anybody can want before it was ready") from None
            raise self._failure("not ready", f"it did not say {pattern!r} within {timeout:g} s") from None
        return f"it said {pattern!r}"

    def _reported(self, timeout: float) -> str:
        assert self._wire is not None
        report = None
        if self._program.returncode is None:
            ended = os.pidfd_open(self._program.pid)
            try:
                wanted = WantedReport.of(self.channel, self._host, None, None, None, None)
                report = self._wire.wait_for(wanted, Deadline(timeout), use=True, unless=ended)
            finally:
                os.close(ended)
        if report is None:
            if self._program.returncode is not None:
                raise self._failure("died", f"it ended before its host was a member, with {self._exit()}")
            raise self._failure("not ready", f"its host reported no membership within {timeout:g} s")
        return f"its host reported {self.channel}"

    def _exit(self) -> str:
        return ending(self._program.wait(_STOPPING))

    def _failure(self, kind: str, text: str) -> CoreFailure:
        self._failed = True
        return self._core.failure(kind, text, self._program)
