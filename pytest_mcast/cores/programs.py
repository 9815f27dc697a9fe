"""What receivers and senders that are programs of their own have in common: finding them, their version, their command."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING

from pytest_mcast.core.errors import MissingCapability, ProgramError
from pytest_mcast.hosts import RemoteHost

from .description import Description
from .protocol import CoreFailure

if TYPE_CHECKING:
    from pytest_mcast.core.channels import Channel
    from pytest_mcast.core.interfaces import Interface
    from pytest_mcast.hosts import RemoteProgram
    from pytest_mcast.lab import VirtualHost
    from pytest_mcast.lab.programs import Program

__all__ = ["DescribedProgram", "ending", "explain"]

_SHOWN = 12  # lines of output in an error


class DescribedProgram:
    """A program on this machine as a description has it."""

    def __init__(self, description: Description) -> None:
        self.description = description

    @property
    def name(self) -> str:
        """Its name in tables and messages."""
        return self.description.name

    @functools.cached_property
    def path(self) -> Path:
        """The file that is run on this machine; raises ``MissingCapability`` when there is none."""
        return Path(self._found(shutil.which, "on PATH")).absolute()  # as it was found: programs look at their name

    @functools.cached_property
    def version(self) -> str:
        """The version of what is run, "unknown" if the description does not say how to find it.

        Raises ``MissingCapability`` when the program is missing, ``CoreFailure`` when the version is not where it
        should be.
        """
        return self._version(self.path.resolve(), _read, _output)

    def path_on(self, host: object) -> PurePath:
        """Return the file that is run on a host; raises ``MissingCapability`` when there is none."""
        if not isinstance(host, RemoteHost):
            return self.path
        return PurePosixPath(self._found(host.which, f"on PATH of {host}"))

    def version_on(self, host: object) -> str:
        """Return the version of what is run on a host; see ``version``."""
        if not isinstance(host, RemoteHost):
            return self.version
        real = PurePosixPath(host.real_path(str(self.path_on(host))))
        return self._version(real, host.read_text, lambda words: _remote_output(host, words))

    def _found(self, which: Callable[[str], str | None], where: str) -> str:
        program = self.description.program.format_map({"directory": self.description.directory})
        found = which(program)
        if found is None:
            raise self._missing(program, where)
        return found

    def _missing(self, program: str, where: str) -> MissingCapability:
        cure = self.description.install or f"install {program}, and have it on PATH"
        return MissingCapability("programs", f"there is no program {program!r} for {self.name} {where}", cure)

    def _version(self, real: PurePath, read: Callable[[str], str], output: Callable[[list[str]], str]) -> str:
        version = self.description.version
        if version is None:
            return "unknown"
        places = {"bin": str(real.parent), "directory": str(self.description.directory)}
        where = (version.file or " ".join(version.command)).format_map(places)
        try:
            if version.file is not None:
                text = read(where)
            else:
                text = output([word.format_map(places) for word in version.command])
        except (OSError, subprocess.TimeoutExpired, ProgramError) as error:
            first = version.command[0] if version.command else "/"
            if isinstance(error, FileNotFoundError) and "/" not in first:  # a shell's command that runs it, maybe
                raise self._missing(first, "on PATH, which is to tell its version") from None
            raise CoreFailure("rubbish", f"the version of {self.name} cannot be read from {where}: {error}") from None
        match = version.pattern.search(text)
        if match is None:
            text = f"the version of {self.name} is not in {where}: nothing there fits {version.pattern.pattern!r}"
            raise CoreFailure("rubbish", text)
        return match["version"]

    def check(self, channel: Channel, host: object) -> VirtualHost | RemoteHost:
        """Return the host; raises ``MissingCapability`` when it cannot run programs, ``CoreFailure`` for a channel of another kind."""
        _ = self.path_on(host)
        if channel.family not in self.description.families or channel.mode not in self.description.modes:
            kinds = f"{' and '.join(self.description.families)}, {' and '.join(self.description.modes)}"
            raise CoreFailure(
                "unsupported", f"{self.name} is for {kinds}, and {channel} is {channel.family} {channel.mode}"
            )
        if isinstance(host, RemoteHost):
            return host
        from pytest_mcast.lab import VirtualHost

        if not isinstance(host, VirtualHost):
            reason = f"{self.name} is a program, which runs in a virtual or remote host, and {host} is neither"
            raise MissingCapability("namespaces", reason, "run pytest with --mcast-lab, or use hosts of mcast_lab")
        return host

    def start(
        self, host: VirtualHost | RemoteHost, channel: Channel, interface: Interface, **more: object
    ) -> Program | RemoteProgram:
        """Start it on a host for a channel on an interface."""
        words, environment = self.command(channel, interface, host, **more)
        return host.popen(words, environment=environment)

    def command(
        self, channel: Channel, interface: Interface, host: object = None, **more: object
    ) -> tuple[list[str], dict[str, str]]:
        """Return the words of the command for a channel on an interface of a host, and its environment.

        On a remote host that is what is added to the environment there.
        """
        path = self.path_on(host)
        if isinstance(host, RemoteHost):
            real, around = host.real_path(str(path)), {}
        else:
            real, around = str(self.path.resolve()), dict(os.environ)
        scope = channel.scope if channel.family == "ipv6" else "link-local"
        values: Mapping[str, object] = {
            "group": channel.group,
            "port": channel.port,
            "source": channel.source or "",
            "interface": interface.name,
            "index": interface.index,
            "address": interface.address(channel.family, scope),
            "directory": self.description.directory,
            "bin": str(PurePath(real).parent),
            **more,
        }
        words = [word.format_map(values) for word in self.description.words({channel.family, channel.mode})]
        environment = {name: text.format_map(values) for name, text in self.description.environment.items()}
        return [str(path), *words[1:]], {**around, **environment}

    def failure(self, kind: str, text: str, program: Program | RemoteProgram | None = None) -> CoreFailure:
        """Return the error with that sentence, what the program itself says was wrong, and its output."""
        said = None if program is None else self._said(program)
        return CoreFailure(
            "refused" if said and kind in ("died", "not ready") else kind,
            f"{self.name}: {said or text}"
            + ("" if program is None else f"{f' ({text})' if said else ''}\n{explain(program)}"),
        )

    def _said(self, program: Program | RemoteProgram) -> str | None:
        pattern: re.Pattern[str] | None = self.description.error
        if pattern is not None:
            for line in [*program.stderr, *program.stdout]:
                match = pattern.search(line)
                if match:
                    return match["error"] if "error" in pattern.groupindex else match[0]
        return None


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8", errors="replace")


def _output(words: list[str]) -> str:
    run = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=30, check=False)
    return run.stdout + run.stderr


def _remote_output(host: RemoteHost, words: list[str]) -> str:
    with contextlib.closing(host.popen(words)) as program:
        program.wait(30)
        return "\n".join([*program.stdout, *program.stderr])


def ending(code: int) -> str:
    """Say in words how a program has ended: with which exit code, or by which signal."""
    if code >= 0:
        return f"exit code {code}"
    return signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"


def explain(program: Program | RemoteProgram) -> str:
    """Return the command, and the last lines of both kinds of output."""
    lines = ["command: " + " ".join(program.command)]
    for what, output in (("stderr", program.stderr), ("stdout", program.stdout)):
        left_out = max(0, len(output) - _SHOWN)
        lines.append(f"{what}: " + ("nothing" if not output else f"{left_out} lines, then" if left_out else ""))
        lines += [f"  {line[:160]}" for line in output[-_SHOWN:]]
    return "\n".join(line.rstrip() for line in lines)
