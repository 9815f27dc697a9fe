"""``pytest-mcast lab [FILE]``: virtual hosts to play with, until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_mcast.core import MissingCapability

if TYPE_CHECKING:
    from argparse import _SubParsersAction

__all__ = ["add_parser", "run"]


def add_parser(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the sub-command."""
    parser = commands.add_parser(
        "lab",
        help="build virtual hosts on a switch, say how to enter them, and keep them until Ctrl-C",
        description="Builds virtual hosts on a switch and keeps them until Ctrl-C; then nothing is left. No root needed.",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("file", nargs="?", metavar="FILE", help="scenario file (*.mcast.yaml): its virtual hosts")
    what.add_argument("--hosts", type=_count, metavar="N", help="that many hosts (default: 2)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Build, print, wait for a signal; return 0, 2 for a file that is no good, 4 where there can be no network."""
    from pytest_mcast.lab.entering import directions
    from pytest_mcast.lab.private import enter_private_network

    try:
        hosts = _hosts(options)
    except ValueError as error:
        print(f"pytest-mcast lab: {error}", file=sys.stderr)
        return 2
    try:
        with _signals_blocked() as wait:
            network = enter_private_network({})
            try:
                for name, interfaces in hosts.items():
                    print("\n".join(directions(network.lab.host(name, interfaces=interfaces))))
                print("Ctrl-C ends it.", flush=True)
                wait()
            finally:
                network.close()
    except MissingCapability as missing:
        print(f"pytest-mcast lab: no virtual network: {missing.reason}; {missing.remedy}", file=sys.stderr)
        return 4
    return 0


@contextmanager
def _signals_blocked() -> Iterator[Callable[[], object]]:
    """Give a function that waits for a signal to end; one that comes earlier is not lost, nor hits us on the way."""
    if sys.platform == "win32":  # where there will be no network either
        yield lambda: None
    else:
        ends = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ends)
        try:
            yield lambda: signal.sigwait(ends)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _hosts(options: argparse.Namespace) -> dict[str, dict[str, str]]:
    """Return the interfaces of each host, by name, with their links; raises ``ValueError``."""
    if options.file is None:
        return {f"host{number}": {"eth0": "lan"} for number in range(1, (options.hosts or 2) + 1)}
    from pytest_mcast.scenarios import ScenarioError, load

    try:
        scenario = load(Path(options.file))
    except (OSError, ScenarioError) as error:
        raise ValueError(str(error)) from None
    found = {
        spec.name: dict(sorted(spec.interfaces.items(), key=lambda one: one[0] != spec.interface))  # that one first
        for spec in scenario.hosts.values()
        if spec.kind == "virtual"
    }
    if not found:
        kinds = ", ".join(f"{spec.name} is {spec.kind}" for spec in scenario.hosts.values())
        raise ValueError(f"{options.file}: no virtual host in it: {kinds}")
    return found


def _count(text: str) -> int:
    number = int(text) if text.isdigit() else 0
    if not 0 < number <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of hosts from 1 to 1000")
    return number
