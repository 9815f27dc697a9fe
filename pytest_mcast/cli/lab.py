"""``pytest-mcast lab [FILE]``: virtual hosts to play with, until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_mcast.core import InterfaceError, MissingCapability

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from pytest_mcast.lab import Lab, VirtualHost
    from pytest_mcast.scenarios import Scenario

__all__ = ["add_parser", "run"]


class _FileError(Exception):
    """The file is no good; the text says why."""


def add_parser(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the sub-command."""
    parser = commands.add_parser(
        "lab",
        help="build virtual hosts on a switch, say how to enter them, and keep them until Ctrl-C",
        description="Builds virtual hosts on a switch, or the network of a scenario file, and keeps them until Ctrl-C; "
        "then nothing is left. No root needed.",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "file", nargs="?", metavar="FILE", help="scenario file (*.mcast.yaml): its links, routers and hosts"
    )
    what.add_argument("--hosts", type=_count, metavar="N", help="that many hosts (default: 2)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Build, print, wait for a signal; return 0, 2 for a file that is no good, 4 where there can be no network."""
    from pytest_mcast.lab.entering import directions
    from pytest_mcast.lab.private import enter_private_network

    try:
        with _signals_blocked() as wait:
            scenario = None if options.file is None else _scenario(options.file)
            network = enter_private_network({})
            try:
                for host in _build(scenario, options.hosts or 2, network.lab):
                    print("\n".join(directions(host)))
                print("Ctrl-C ends it.", flush=True)
                wait()
            finally:
                network.close()
    except _FileError as error:
        print(f"pytest-mcast lab: {error}", file=sys.stderr)
        return 2
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


def _scenario(file: str) -> Scenario:
    """Read a file that has virtual hosts; raises ``_FileError``."""
    from pytest_mcast.scenarios import ScenarioError, load

    try:
        scenario = load(Path(file))
    except (OSError, ScenarioError) as error:
        raise _FileError(str(error)) from None
    if not any(spec.kind == "virtual" for spec in scenario.hosts.values()):
        kinds = ", ".join(f"{spec.name} is {spec.kind}" for spec in scenario.hosts.values())
        raise _FileError(f"{file}: no virtual host in it: {kinds}")
    return scenario


def _build(scenario: Scenario | None, count: int, lab: Lab) -> Iterable[VirtualHost]:
    """Make the network of a file, and draw it, or hosts on a switch; return routers and hosts. Raises ``_FileError``."""
    if scenario is None:
        return [lab.host(f"host{number}") for number in range(1, count + 1)]
    from pytest_mcast.lab.drawing import draw
    from pytest_mcast.scenarios import build
    from pytest_mcast.scenarios.outcomes import Unready

    try:
        made = build(scenario, lab).values()
    except (InterfaceError, Unready) as error:
        raise _FileError(f"{scenario.path}: {error}") from None
    print(draw(lab.links, made))
    return made


def _count(text: str) -> int:
    number = int(text) if text.isdigit() else 0
    if not 0 < number <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of hosts from 1 to 1000")
    return number
