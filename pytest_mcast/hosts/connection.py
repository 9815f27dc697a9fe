"""The connection to an agent on a remote host: a Python that was started there, by ssh or on this machine.

It ends when the process that leads to it ends, when a call is not answered in time, or when nothing at all was heard for a
while; the agent at the other end notices the same by itself.
"""

from __future__ import annotations

import itertools
import subprocess
import threading
import time
from collections import deque
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_mcast import core
from pytest_mcast.core.agent import pack, rebuild_error, unpack
from pytest_mcast.core.errors import HostError
from pytest_mcast.core.leader import Leader

from . import far_end
from .pipes import Pipes

if TYPE_CHECKING:
    import execnet

    from .specification import Specification

__all__ = ["Connection"]

_OLDEST = (3, 9)
_WIRE = ("attach", "attributes", "memberships", "rtnetlink", "sockets", "udp")  # of the package wire
_GRACE = 10.0  # seconds that an answer may be late
_ENDING = 3.0  # seconds that the other end has to end by itself
_HELLO = "pytest-mcast "
# Any Python since 2.6 understands this; only one that is new enough goes on with what execnet sends.
_ASK = (
    "import sys\n"
    f"sys.stdout.write('{_HELLO}%d.%d.%d\\n' % tuple(sys.version_info[:3]))\n"
    "sys.stdout.flush()\n"
    f"if sys.version_info >= {_OLDEST}:\n"
    "    exec(eval(sys.stdin.readline()))\n"
)


class _UnfitError(HostError):
    """The Python there is none for us."""


class Connection:
    """A connection; ``facts`` is what the agent says of its machine.

    Raises ``HostError`` when there is none after ``connect_timeout`` seconds. After ``silence`` seconds without a sign of
    life of the other one, either end gives up. What starts the process is started by the calling thread, in its network namespace.
    """

    def __init__(self, name: str, specification: Specification, connect_timeout: float, silence: float) -> None:
        self.name = name
        self._specification = specification
        self._silence = silence
        self._failure: HostError | None = None
        self._numbers = itertools.count(1)
        self._pending: dict[int, Future[tuple[bool, Any]]] = {}
        self._lock = threading.Lock()
        self._woken = threading.Event()  # it is over, or about to be
        self._end_of_input = False
        self._ready: Future[Any] = Future()
        self._heard = time.monotonic()
        self._gateway: execnet.Gateway | None = None
        self._said: deque[str] = deque(maxlen=12)  # lines of standard error
        command = specification.command(connect_timeout, silence)
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for us
            )
        except OSError as error:
            raise HostError(name, f"cannot start {command[0]!r}: {error}", self._remedy()) from None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._leader = Leader(self._process)
        self._pipes = Pipes(name, self._process.stdin, self._process.stdout, self._leader.wait, self.kill)
        self._threads = [threading.Thread(target=self._listen, name=f"stderr of {name}", daemon=True)]
        self._threads[0].start()
        late = threading.Timer(connect_timeout, self.kill)  # whatever waits for the process goes on then
        late.name = f"deadline of {name}"
        late.start()
        try:
            self._channel = self._open()
            self.facts: dict[str, str] = unpack(self._ready.result())
        except BaseException as error:  # whatever it is: let go
            killed = late.finished.is_set()
            if isinstance(error, Exception):
                self._wait_for_the_end()  # which says what was wrong
            self.close()
            if not isinstance(error, Exception) or isinstance(error, _UnfitError):
                raise
            reason = f"no connection in {connect_timeout:g} s" if killed else f"no connection: {self._ended()}"
            raise HostError(name, reason + self._stderr(), self._remedy()) from None
        finally:
            late.cancel()
            late.join()
        # Two, since it may be that nothing can be written any more, and nothing is told either.
        for target, what in ((self._watch, "deadline of"), (self._ping, "signs of life for")):
            self._threads.append(threading.Thread(target=target, name=f"{what} {name}", daemon=True))
            self._threads[-1].start()

    @property
    def failure(self) -> HostError | None:
        """Why there is no connection any more; None while there is one."""
        return self._failure

    def call(self, method: str, *arguments: Any, waits: bool = False, timeout: float | None = 0.0) -> Any:
        """Have the agent do something, which takes ``timeout`` seconds at the most, and return what it returns.

        ``waits`` if others shall be served meanwhile. Raises what it raises there, and ``HostError``.
        """
        number = next(self._numbers)
        answer: Future[tuple[bool, Any]] = Future()
        with self._lock:
            if self._failure is not None:
                raise HostError(*self._failure.args)
            self._pending[number] = answer
        try:
            with suppress(OSError):  # the process is about to end, which ends the wait
                self._channel.send((number, method, pack(arguments), waits))
            limit = None if timeout is None else timeout + _GRACE
            try:
                good, value = answer.result(limit)
            except TimeoutError:
                self._lose(f"no answer in {limit:g} s")
                raise HostError(*self._reason()) from None
        finally:
            self._pending.pop(number, None)
        if good:
            return unpack(value)
        error = rebuild_error(value)
        error.add_note(f"(on host {self.name})")
        raise error

    def drop(self, number: int) -> None:
        """Close something at the other end; what lost the connection, if it is lost, has closed everything."""
        if self._failure is None:
            with suppress(HostError):
                self.call("drop", number)

    def close(self) -> None:
        """End the agent with all that it has open; again is no error."""
        self._lose("the connection was closed", kill=False)
        late = threading.Timer(_ENDING, self.kill)
        late.start()
        self._pipes.close_write()  # which may wait for one who writes, and waits himself
        self._leader.wait()
        late.cancel()
        late.join()
        self._leader.end()
        if self._gateway is not None:
            self._gateway.join(_ENDING)
        else:
            self._pipes.close_read()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(_ENDING)

    def kill(self) -> None:
        """End the process that leads to the agent, which then ends by itself; with what it has started on this machine."""
        self._leader.kill()

    def _open(self) -> execnet.Channel:
        """Have a look at the version, then have execnet take over, and send what is to run there."""
        from execnet.gateway_bootstrap import bootstrap
        from execnet.xspec import XSpec

        self._pipes.write(repr(_ASK).encode() + b"\n")
        assert self._process.stdout is not None  # a pipe
        for line in self._process.stdout:  # a shell may say something before
            _, found, version = line.decode(errors="replace").strip().partition(_HELLO)
            if found:
                break
        else:
            raise EOFError
        if tuple(map(int, version.split("."))) < _OLDEST:
            wanted = ".".join(map(str, _OLDEST))
            raise _UnfitError(
                self.name,
                f"{self._specification} has Python {version}, and {wanted} is needed",
                "install it there, or name another one with //python=",
            )
        self._gateway = gateway = bootstrap(
            self._pipes, XSpec(f"popen//python=python3//execmodel=thread//id={self._process.pid}")
        )
        channel = gateway.remote_exec(far_end)
        channel.setcallback(self._take, endmarker=None)
        channel.send((_sources(), self._silence))
        return channel

    def _take(self, item: Any) -> None:
        """Take what execnet has received, in a thread of its own; None is the end."""
        self._heard = time.monotonic()
        if item is None:
            self._end_of_input = True  # the rest is for a thread that may wait for another one
            self._woken.set()
            with suppress(InvalidStateError):
                self._ready.set_exception(EOFError())
        elif isinstance(item, dict):
            self._ready.set_result(item)
        else:
            number, good, value = item
            answer = self._pending.get(number)
            with suppress(InvalidStateError):  # it has just been lost
                if answer is not None:  # nobody waits any more for one that is too late
                    answer.set_result((good, value))

    def _watch(self) -> None:
        """Look for signs of life of the other end, as long as there is a connection."""
        while not self._woken.wait(self._silence / 4):
            if time.monotonic() - self._heard > self._silence:
                self._lose(f"no answer for {self._silence:g} s")
        if self._end_of_input:
            self._lose("", ended=True)

    def _ping(self) -> None:
        """Have the other end hear of us, and answer."""
        while not self._woken.wait(self._silence / 4):
            with suppress(OSError):  # the end of input comes next
                self._channel.send((0, "ping", (), False))

    def _listen(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            for line in stream:
                self._said.append(line.decode(errors="replace").rstrip())

    def _lose(self, reason: str, *, ended: bool = False, kill: bool = True) -> None:
        """Have the connection end, once, and tell all who wait for an answer."""
        if ended:  # and so nothing has to be waited for long
            self._wait_for_the_end()
        elif kill:
            self.kill()
        with self._lock:
            if self._failure is not None:
                return
            why = f"the connection was lost: {self._ended()}{self._stderr()}" if ended else reason
            self._failure = HostError(self.name, why, self._remedy())
            waiting = list(self._pending.values())
        self._woken.set()
        for answer in waiting:
            with suppress(InvalidStateError):  # it has just been answered
                answer.set_exception(HostError(*self._failure.args))

    def _reason(self) -> tuple[Any, ...]:
        assert self._failure is not None
        return self._failure.args

    def _wait_for_the_end(self) -> None:
        self._leader.wait(_ENDING)
        self._threads[0].join(_ENDING)

    def _ended(self) -> str:
        program = "ssh" if self._specification.ssh is not None else self._specification.python
        code = self._leader.poll()
        if code == 127 and program == "ssh":  # the shell's, POSIX
            return f"{self._specification} has no program {self._specification.python!r}"
        return f"{program} has closed it" if code is None else f"{program} ended with exit code {code}"

    def _stderr(self) -> str:
        return f" ({' / '.join(tuple(self._said))})" if self._said else ""

    def _remedy(self) -> str:
        return f"see that this works, and asks for nothing: {self._specification.trial}"


def _sources() -> dict[str, str]:
    """Return the source of what runs at the other end: ``core``, ``evidence``, and what they read the kernel with."""
    package = Path(core.__file__).parent.parent
    files = {
        "pytest_mcast.__init__": package / "__init__.py",
        **{f"pytest_mcast.core.{path.stem}": path for path in (package / "core").glob("*.py")},
        **{f"pytest_mcast.evidence.{path.stem}": path for path in (package / "evidence").glob("*.py")},
        **{f"pytest_mcast.wire.{name}": package / "wire" / f"{name}.py" for name in _WIRE},
    }
    return {"pytest_mcast.wire.__init__": "", **{name: path.read_text("utf-8") for name, path in files.items()}}
