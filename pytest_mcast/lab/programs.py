"""Programs in a virtual host: started in its network and in a PID namespace that ends with the host.

Whatever they do, forking twice included, they are gone when the host is, or when this process is, by any signal:
the first process of their PID namespace watches us through a descriptor (pidfd_open(2)), and its end is theirs.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.errors import ProgramError

from .namespace import CLONE_NEWNET, CLONE_NEWPID, Namespace, setns, unshare
from .refusal import refusal

__all__ = ["Program", "ProgramError", "Programs"]

_MOST_LINES = 100_000  # of output that are kept; what comes after them is read and thrown away
_MOST_BYTES = 64 << 20  # the same
_LONGEST_LINE = 1 << 20  # bytes; a longer one is several lines
_LAUNCH = (sys.executable, "-I", "-S", str(Path(__file__).parent / "launch.py"))


class Program:
    """A running program. ``stdout`` and ``stderr`` are the lines up to now, without their line ends."""

    def __init__(self, process: subprocess.Popen[bytes], command: Sequence[str]) -> None:
        self.command = list(command)
        self.stdout: list[str] = []
        self.stderr: list[str] = []
        self._process = process
        self._changed = threading.Condition()
        self._ended = False  # no more output can come
        self._drained = threading.Event()  # the process has ended, and what it wrote has been read
        self._seen = 0
        self._lines: list[str] = []
        self._size = 0
        self._flooded = False
        exited = os.pidfd_open(process.pid)  # now, before anybody can have waited for it
        self._reader = threading.Thread(target=self._read, args=(exited,), name=f"output of {command[0]}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process id, as this process sees it."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, or the negative signal number; None while it runs."""
        return self._process.poll()

    @property
    def output(self) -> list[str]:
        """The lines of both kinds up to now, in the order in which they came."""
        return list(self._lines)

    @property
    def ended(self) -> bool:
        """Whether no more output can come."""
        return self._ended

    @property
    def flooded(self) -> bool:
        """Whether there was so much output (100,000 lines, or 64 MiB) that the rest of it is not kept."""
        return self._flooded

    def wait_for_output(self, seen: int, deadline: Deadline) -> bool:
        """Wait until there are more lines of output, of either kind, than ``seen``; False when none can come, or in time."""
        with self._changed:
            return (
                self._changed.wait_for(
                    lambda: len(self._lines) > seen or self._ended or self._flooded, deadline.remaining()
                )
                and len(self._lines) > seen
            )

    def expect(self, pattern: str | re.Pattern[str], timeout: float = 10.0) -> re.Match[str]:
        """Wait for a line of output (of either kind, not seen before) in which the pattern is found.

        Raises ``ProgramError`` with the output when ``timeout`` seconds pass, or the program ends, without it.
        """
        deadline = Deadline(timeout)
        with self._changed:
            while True:
                while self._seen < len(self._lines):
                    self._seen += 1
                    match = re.search(pattern, self._lines[self._seen - 1])
                    if match:
                        return match
                if self._flooded:
                    raise ProgramError(
                        f"{self.command[0]}: no {pattern!r} in {len(self._lines)} lines\n{self.transcript()}"
                    )
                if self._ended:
                    raise ProgramError(f"{self.command[0]} ended without {pattern!r}\n{self.transcript()}")
                if not self._changed.wait(deadline.remaining()):
                    raise ProgramError(f"{self.command[0]}: no {pattern!r} in {timeout:g} s\n{self.transcript()}")

    def write(self, text: str) -> None:
        """Write to its standard input."""
        if self._process.stdin is None:
            raise ProgramError(f"{self.command[0]} has no standard input; pass stdin=True")
        self._process.stdin.write(text.encode())
        self._process.stdin.flush()

    def wait(self, timeout: float = 10.0) -> int:
        """Wait for the end and return the exit code; raises ``ProgramError`` after ``timeout`` seconds."""
        deadline = Deadline(timeout)
        try:
            code = self._process.wait(deadline.remaining())
        except subprocess.TimeoutExpired:
            raise ProgramError(f"{self.command[0]} goes on after {timeout:g} s\n{self.transcript()}") from None
        self._drained.wait(deadline.remaining())  # not for the end of output: a child of it may hold the pipe open
        return code

    def stop(self, timeout: float = 5.0, number: int = signal.SIGTERM) -> int:
        """Ask it to end by a signal, make it after ``timeout`` seconds (SIGKILL), and return the exit code."""
        self._process.send_signal(number)
        try:
            return self.wait(timeout)
        except ProgramError:
            self._process.kill()
            return self.wait(timeout)

    def kill(self) -> None:
        """End it at once (SIGKILL) and wait for that."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # what it did not read is lost with it
                self._process.stdin.close()

    def forget(self) -> None:
        """Wait for the end of its output, once all that could write it are gone."""
        self.kill()
        self._reader.join(5.0)

    def transcript(self) -> str:
        """Return the command, the last lines of output and the exit code, a line each."""
        lines = [*self._lines[-20:], f"exit code {self._process.poll()}"]
        return "\n".join([" ".join(self.command), *(f"  {line}" for line in lines)])

    def _read(self, exited: int) -> None:
        streams = {self._process.stdout: self.stdout, self._process.stderr: self.stderr}
        rest: dict[IO[bytes] | None, bytes] = dict.fromkeys(streams, b"")
        with selectors.DefaultSelector() as selector, ExitStack() as stack:
            stack.callback(os.close, exited)
            selector.register(exited, selectors.EVENT_READ)
            for stream in streams:
                if stream is not None:
                    stack.enter_context(stream)
                    selector.register(stream, selectors.EVENT_READ, stream)
            while selector.get_map():
                ready = [key for key, _ in selector.select()]
                for key in ready:
                    if key.data is None:
                        continue
                    data = os.read(key.fd, 65536)
                    *whole, rest[key.data] = (rest[key.data] + data).split(b"\n")
                    if len(rest[key.data]) > _LONGEST_LINE:
                        whole, rest[key.data] = [*whole, rest[key.data]], b""
                    if not data:
                        selector.unregister(key.fileobj)
                        whole, rest[key.data] = [rest[key.data]] if rest[key.data] else [], b""
                    self._add(streams[key.data], [line.decode(errors="replace") for line in whole])
                if [key.fd for key in ready] == [exited]:  # and so nothing is left to read
                    selector.unregister(exited)
                    self._drained.set()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _add(self, kept: list[str], lines: list[str]) -> None:
        with self._changed:
            if len(self._lines) > _MOST_LINES or self._size > _MOST_BYTES:
                self._flooded = True
            else:
                self._size += sum(map(len, lines))
                kept.extend(lines)
                self._lines.extend(lines)
            self._changed.notify_all()


class Programs:
    """The programs of one host, and the PID namespace they live in."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._programs: list[Program] = []
        pidfd = os.pidfd_open(os.getpid())
        command = [*_LAUNCH, "init", str(pidfd)]

        def start_init() -> subprocess.Popen[bytes]:
            unshare(CLONE_NEWPID)  # for the children of this thread
            return subprocess.Popen(command, pass_fds=[pidfd], stdin=subprocess.DEVNULL, start_new_session=True)

        try:
            try:
                self._init = _in_a_thread_of_its_own(start_init)
            except PermissionError as error:
                raise refusal(error) from error
            self._pids = os.open(f"/proc/{self._init.pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(pidfd)

    def start(
        self,
        command: Sequence[str],
        *,
        private: Sequence[str],
        stdin: bool,
        environment: Mapping[str, str] | None,
        directory: str | os.PathLike[str] | None,
        keep: Sequence[int],
        files: Mapping[str, str],
    ) -> Program:
        """Start a program; see ``VirtualHost.popen``."""
        texts = _texts(files) if files else None

        def start_program() -> subprocess.Popen[bytes]:
            setns(self._namespace.descriptor, CLONE_NEWNET)
            setns(self._pids, CLONE_NEWPID)
            return subprocess.Popen(
                [*_LAUNCH, "exec", ",".join(private), "-" if texts is None else str(texts), "--", *command],
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                cwd=directory,
                pass_fds=keep if texts is None else [*keep, texts],
                start_new_session=True,  # Ctrl-C is for us
            )

        try:
            process = _in_a_thread_of_its_own(start_program)
        finally:
            if texts is not None:
                os.close(texts)
        program = Program(process, command)
        self._programs.append(program)
        return program

    def close(self) -> None:
        """End all of them, and what they have started."""
        self._init.kill()  # the kernel kills the rest of the PID namespace
        with ExitStack() as stack:
            stack.callback(os.close, self._pids)
            stack.callback(self._init.wait)
            for program in self._programs:
                stack.callback(program.forget)


def _texts(files: Mapping[str, str]) -> int:
    """Return a descriptor from which launch.py reads texts by path; raises ``ValueError`` for a path that is not absolute."""
    wrong = [path for path in files if path != os.path.normpath(path) or not path.startswith("/")]
    if wrong:
        raise ValueError(f"the path of a program's file is absolute and has no detours, not {wrong[0]!r}")
    descriptor = os.memfd_create("files")
    with open(descriptor, "wb", closefd=False) as memory:
        memory.write(json.dumps(dict(files)).encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _in_a_thread_of_its_own(start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    """Call the function in a thread that ends with it.

    A thread whose children are born in another PID namespace can start no threads any more, and an ordinary user cannot
    undo that: the PID namespace of the machine is not his.
    """
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(start).result()
