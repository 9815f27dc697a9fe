"""``pytest-mcast run [--] COMMAND``: any program in a private network."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from pytest_mcast.core import MissingCapability

if TYPE_CHECKING:
    from argparse import _SubParsersAction

__all__ = ["add_parser", "run"]


def add_parser(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the sub-command."""
    parser = commands.add_parser(
        "run",
        help="run a program in a private network with a virtual interface and a switch",
        description="Runs COMMAND in a private network: loopback, and eth0 on a switch, IPv4 and IPv6. No root needed.",
    )
    parser.add_argument(
        "command", nargs=argparse.REMAINDER, metavar="[--] COMMAND", help="the program and its arguments"
    )
    parser.set_defaults(run=run, usage=parser.format_usage())


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code; 2 without one, 4 without a network, 127 when it cannot be started."""
    from pytest_mcast.lab.private import enter_private_network

    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        print(f"{options.usage}pytest-mcast run: which COMMAND?", file=sys.stderr)
        return 2
    try:
        network = enter_private_network({"eth0": None})
    except MissingCapability as missing:
        print(f"pytest-mcast run: no private network: {missing.reason}; {missing.remedy}", file=sys.stderr)
        return 4
    # We stay, because the switch lives as long as we do; a program that closes all descriptors would lose it.
    process: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def hand_on(number: int, _: object) -> None:
        if process is None:
            early.append(number)
        else:
            process.send_signal(number)

    # Handlers, and before the program starts, so that no signal is lost: exec sets them back, unlike SIG_IGN.
    for name in ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGCONT"):
        signal.signal(getattr(signal, name), hand_on)
    for name in ("SIGINT", "SIGQUIT"):  # the terminal sends them to the program as well
        signal.signal(getattr(signal, name), lambda *_: None)
    try:
        process = subprocess.Popen(command)
    except OSError as error:
        print(f"pytest-mcast run: cannot start {command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    for number in early:
        process.send_signal(number)
    code = process.wait()
    network.close()
    return 128 - code if code < 0 else code  # as a shell tells the signal that ended it
