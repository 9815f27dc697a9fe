"""``pytest-mcast doctor``: what works on this machine, by trying, and what keeps the rest from working."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_mcast.core import Interface, InterfaceError, McastError
from pytest_mcast.core.lines import discard
from pytest_mcast.core.system import LINUX
from pytest_mcast.doctor import CAPABILITIES
from pytest_mcast.doctor.printable import printable

from . import doctor_to

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from pytest_mcast.doctor.machine import Health
    from pytest_mcast.doctor.machine_words import Line

__all__ = ["add_parser", "run"]

_COLOURS = {"heading": "1", "good": "32", "bad": "31", "doubtful": "33"}  # ECMA-48: SGR
_NO_READER = 141  # as a shell says of who was ended by SIGPIPE
_NARROWEST, _WIDEST = 40, 100


def add_parser(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the sub-command."""
    parser = commands.add_parser(
        "doctor",
        help="say which kinds of multicast work here, and what would make the others work",
        description=(
            "Tries every capability on loopback, or on the interface named, and looks for what is wrong with this machine. "
            "Exit code 1 if something is missing or broken."
        ),
    )
    parser.add_argument("--iface", metavar="NAME|INDEX|ADDRESS", help="interface to try (default: loopback)")
    parser.add_argument(
        "--wait",
        type=_seconds,
        default=5.0,
        metavar="SECONDS",
        help="how long to listen for queriers (default: 5; 130 proves that there is none)",
    )
    parser.add_argument(
        "--require",
        metavar="NAMES",
        type=_names,
        default=(),
        help=f"what alone decides the exit code: all, or some of {', '.join(CAPABILITIES)}",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document: readings, verdicts, findings")
    parser.add_argument(
        "--from", dest="document", type=Path, metavar="FILE", help="report on such a document; try nothing here"
    )
    parser.add_argument(
        "--color", choices=("auto", "always", "never"), default="auto", help="colours (default: on a terminal)"
    )
    doctor_to.add_arguments(parser)
    parser.set_defaults(run=run)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds, 0 or more")
    return value


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in (*CAPABILITIES, "all"):
            raise argparse.ArgumentTypeError(f"{name!r} is none of: all, {', '.join(CAPABILITIES)}")
    return names


def run(options: argparse.Namespace) -> int:
    """Print the report; return 0 when everything works, 1 when not, 2 for a wrong interface or document."""
    if options.to is not None:
        return doctor_to.run_pair(options)
    # A document may have been damaged anywhere: it is data that somebody else has written.
    damage = (LookupError, TypeError, AttributeError, RecursionError) if options.document else ()
    try:
        health = _recorded(options.document) if options.document else _here(options.iface, options.wait)
        lines = _lines(health, options)
    except (OSError, ValueError, McastError) as error:
        origin = "--from: " if options.document else "--iface: " if isinstance(error, InterfaceError) else ""
        print(printable(f"pytest-mcast doctor: {origin}{_reason(error)}"), file=sys.stderr)
        return 2
    except damage as error:
        words = printable(f"{type(error).__name__}: {error}")
        print(f"pytest-mcast doctor: --from: the document is damaged ({words})", file=sys.stderr)
        return 2
    try:
        print("\n".join(lines), flush=True)
    except BrokenPipeError:  # who reads it has seen enough
        discard(sys.stdout)
        return _NO_READER
    return int(health.ill(options.require))


def _lines(health: Health, options: argparse.Namespace) -> list[str]:
    if options.json:
        return [json.dumps(health.to_json(), indent=2)]
    from pytest_mcast.doctor.machine_words import words

    coloured = _coloured(options.color)
    return [_shown(line, coloured=coloured) for line in words(health, _width())]


def _reason(error: Exception) -> str:
    if LINUX and not os.path.exists("/proc/self"):
        return f"/proc is not mounted, and without it this machine cannot be looked at ({error})"
    return str(error)


def _recorded(path: Path) -> Health:
    from pytest_mcast.doctor.machine import judge

    document: Any = json.loads(path.read_text("utf-8"))
    return judge(document)


def _here(name: str | None, wait: float) -> Health:
    from pytest_mcast.doctor.machine import look_at_machine

    if name is not None:
        return look_at_machine(Interface.find(name), wait=wait)
    loopback = next((interface for interface in Interface.all() if interface.loopback), None)
    if loopback is None:
        raise InterfaceError("there is no loopback interface; name another one")
    return look_at_machine(loopback, wait=wait)


def _width() -> int:
    try:
        columns = os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError):  # a file, a pipe, or what a test has put there
        columns = 80
    return min(max(columns or 80, _NARROWEST), _WIDEST)


def _coloured(choice: str) -> bool:
    """Whether to print colours; https://no-color.org for the variable."""
    if choice != "auto":
        return choice == "always"
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _shown(line: Line, *, coloured: bool) -> str:
    code = _COLOURS.get(line.style) if coloured else None
    return line.text if code is None else f"\033[{code}m{line.text}\033[0m"
