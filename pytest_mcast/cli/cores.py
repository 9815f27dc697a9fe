"""``pytest-mcast cores``: what receive cores and senders do."""

from __future__ import annotations

import argparse
import fnmatch
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_mcast.core import McastError, MissingCapability

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from pytest_mcast.cores import ReceiveCore
    from pytest_mcast.cores.behaviours import Behaviour
    from pytest_mcast.cores.runner import Result
    from pytest_mcast.cores.sending import SendingProgram
    from pytest_mcast.lab.view import HostPool

__all__ = ["add_parser", "run"]


def add_parser(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the sub-command."""
    parser = commands.add_parser(
        "cores",
        help="look at what receive cores do, in virtual hosts, and print a table of behaviour by core",
        description="Looks at the behaviours of receive cores and senders in virtual hosts. No root needed. Exit code 1 "
        "if a core does what is not known of it: a failure that is new, or a pass where one is known.",
    )
    parser.add_argument(
        "cores",
        nargs="*",
        metavar="CORE",
        help="NAME, module:attribute or FILE.yaml of receivers and senders (default: all that are in the package)",
    )
    parser.add_argument("-k", metavar="PATTERN", default="*", help="behaviours, such as 'several.*' (default: all)")
    parser.add_argument("--list", action="store_true", help="list cores and behaviours, and do nothing")
    parser.add_argument("--require", action="store_true", help="a program that is not there is a failure")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write a document with the tables, too")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Look, and print; return 0, 1 for what is not known of a core, 2 for what is not there, 4 without a network."""
    from pytest_mcast.cores.behaviours import BEHAVIOURS
    from pytest_mcast.cores.sending import SENDING
    from pytest_mcast.lab.private import enter_private_network
    from pytest_mcast.lab.view import HostPool
    from pytest_mcast.report.cores import core_document, core_table

    titles = {**{one.id: one.title for one in BEHAVIOURS}, **{name: title for name, (title, _) in SENDING.items()}}
    if options.list:
        return _list(titles)
    try:
        receivers, senders = _find(options.cores)
    except McastError as error:
        return _refuse(str(error))
    chosen = [one for one in BEHAVIOURS if receivers and fnmatch.fnmatch(one.id, options.k)]
    chosen_of_senders = [name for name in SENDING if senders and fnmatch.fnmatch(name, options.k)]
    if not chosen and not chosen_of_senders:
        ids = [*(one.id for one in BEHAVIOURS if receivers), *(SENDING if senders else ())]
        return _refuse(f"-k {options.k!r} fits no behaviour; there are {', '.join(ids)}")
    if options.write is not None and not options.write.absolute().parent.is_dir():
        return _refuse(f"--write {str(options.write)!r}: there is no such directory")
    receiving: list[Result] = []
    sending: list[Result] = []
    try:
        network = enter_private_network({})
    except MissingCapability as missing:
        print(f"pytest-mcast cores: no virtual network: {missing.reason}; {missing.remedy}", file=sys.stderr)
        return 4
    try:
        pool = HostPool(network.lab)
        receiving.extend(_receiving(receivers, chosen, pool))
        sending.extend(_sending(senders, chosen_of_senders, pool))
    finally:
        network.close()
    for results in (receiving, sending):
        if results:
            print("\n".join(["", *core_table(results, titles)]))
    if options.write is not None:
        text = "\n".join(core_document(_command(options), receiving, sending, titles)) + "\n"
        try:
            options.write.write_text(text, encoding="utf-8")
        except OSError as error:
            return _refuse(f"--write {str(options.write)!r}: {error.strerror}")
    return _verdict([*receiving, *sending], required=options.require)


def _refuse(text: str) -> int:
    print(f"pytest-mcast cores: {text}", file=sys.stderr)
    return 2


def _command(options: argparse.Namespace) -> str:
    """Return what was typed, as far as it decides what is in the document."""
    pattern = [] if options.k == "*" else ["-k", options.k]
    return shlex.join(["pytest-mcast", "cores", *options.cores, *pattern, "--write", str(options.write)])


def _find(names: Sequence[str]) -> tuple[list[ReceiveCore], list[SendingProgram]]:
    """Return the receivers and the senders of these names."""
    from pytest_mcast.cores import ExternalSender, find_any, shipped_cores, shipped_senders
    from pytest_mcast.cores.sending import BuiltInSender

    if not names:
        return [make() for make in shipped_cores().values()], [
            BuiltInSender(),
            *(make() for make in shipped_senders().values()),
        ]
    receivers: list[ReceiveCore] = []
    senders: list[SendingProgram] = []
    for name in names:
        found = find_any(name)
        if isinstance(found, ExternalSender):
            senders.append(found)
        else:
            receivers.append(found)
    return receivers, senders


def _list(titles: dict[str, str]) -> int:
    from pytest_mcast.cores import shipped_cores, shipped_senders

    for what, names in (("receivers", list(shipped_cores())), ("senders", ["builtin", *shipped_senders()])):
        print(f"{what}: {', '.join(names)}")
    print("behaviours:")
    for name, title in titles.items():
        print(f"  {name:22} {title}")
    return 0


def _receiving(cores: Sequence[ReceiveCore], behaviours: Sequence[Behaviour], pool: HostPool) -> Iterator[Result]:
    from pytest_mcast.cores.runner import run_core

    for core in cores if behaviours else ():
        print(f"{core.name} ...", file=sys.stderr, flush=True)
        yield from run_core(core, behaviours, pool)


def _sending(senders: Sequence[SendingProgram], behaviours: Sequence[str], pool: HostPool) -> Iterator[Result]:
    from pytest_mcast.cores.sending import run_sender

    for sender in senders if behaviours else ():
        print(f"{sender.name} (sender) ...", file=sys.stderr, flush=True)
        yield from run_sender(sender, pool, behaviours=behaviours)


def _verdict(results: Sequence[Result], *, required: bool) -> int:
    surprising = [result for result in results if result.surprising]
    absent = {result.core: result.reason for result in results if result.outcome == "skipped"}
    for result in surprising:
        print(f"\nnot known: {result}")
    for name, reason in absent.items():
        print(f"\nabsent: {name}: {reason}")
    known = sum(result.outcome == "fail" and not result.surprising for result in results)
    passed = sum(result.outcome == "pass" and not result.surprising for result in results)
    print(f"\n{passed} passed, {known} failed as is known, {len(surprising)} not as is known, {len(absent)} absent")
    return 1 if surprising or (required and absent) else 0
