"""Command line: one sub-command per module of this package."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pytest_mcast import __version__
from pytest_mcast.core.commands import add_parsers

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program with these arguments (default: those of the process) and return its exit code."""
    from . import cores, doctor, lab, report, run

    parser = argparse.ArgumentParser(prog="pytest-mcast", description="Test harness for IP multicast.")
    parser.add_argument("--version", action="version", version=f"pytest-mcast {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    doctor.add_parser(commands)
    cores.add_parser(commands)
    report.add_parser(commands)
    run.add_parser(commands)
    lab.add_parser(commands)
    add_parsers(commands)
    options = parser.parse_args(arguments)
    code: int = options.run(options)
    return code
