"""``pytest-mcast doctor --to HOST``: the hop at which datagrams stop between this machine and another one."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import groupby
from typing import TYPE_CHECKING

from pytest_mcast.core import FAMILIES, MODES, ChannelError, HostError, Interface, InterfaceError, MissingCapability
from pytest_mcast.doctor.printable import in_shell, printable, wrapped

if TYPE_CHECKING:
    from pytest_mcast.doctor import Hop, Party
    from pytest_mcast.doctor.path import Leg

__all__ = ["add_arguments", "run_pair"]

_ARRIVED, _LOST, _BAD_ARGUMENT, _NO_HOST, _NO_NETWORK = range(5)
_WIDTH = 80
_MARKS = {True: "yes", False: "NO", None: "?"}
_VIRTUAL = "virtual"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of pair mode."""
    pair = parser.add_argument_group(
        "another host",
        "With --to a datagram of each kind is sent there and back and followed hop by hop. Exit code 0 when all arrive, "
        "1 when one does not, 2 for a wrong argument, 3 when the host cannot be reached, 4 when there can be no virtual "
        "network.",
    )
    pair.add_argument(
        "--to",
        metavar="HOST",
        help="ssh=user@host//python=python3, popen//python=python3.9, or virtual: two virtual hosts, to see how it looks",
    )
    pair.add_argument("--to-iface", metavar="NAME|INDEX|ADDRESS", help="interface of that host (default: the best fit)")
    pair.add_argument("--family", choices=FAMILIES, help="this family only")
    pair.add_argument("--mode", choices=MODES, help="this mode only")
    pair.add_argument("--group", metavar="ADDRESS", help="group to use (default: one of our own)")
    pair.add_argument("--port", type=_port, metavar="N", help="UDP port to use (default: a free one)")
    pair.add_argument("--source", metavar="ADDRESS", help="source to use, by the host that has it (makes the mode ssm)")
    pair.add_argument("--ttl", type=_ttl, default=1, metavar="N", help="TTL or hop limit (default: 1, the link)")
    pair.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS", help="time that a datagram may take (default: 1; virtual: 0.25)"
    )
    pair.add_argument("--snooping", action="store_true", help="with --to virtual: a switch that snoops")


def run_pair(options: argparse.Namespace) -> int:
    """Examine the way between two hosts, both ways, and print it; return the exit code."""
    from pytest_mcast.doctor.path import Wanted, walk

    try:
        kinds = _kinds(options)
        with _parties(options) as (one, two):
            wanted = Wanted(options.group, options.port, options.source, options.ttl)
            legs = list(walk(one, two, kinds, wanted, timeout=options.timeout))
            heading = " and ".join(f"{party.host} ({party.interface_name})" for party in (one, two))
    except (ChannelError, InterfaceError, ValueError) as error:
        return _fail(error, _BAD_ARGUMENT)
    except HostError as error:
        return _fail(error, _NO_HOST)
    except MissingCapability as missing:
        return _fail(f"no virtual network: {missing.reason}; {missing.remedy}", _NO_NETWORK)
    if options.json:
        print(json.dumps({"legs": [leg.to_json() for leg in legs]}, indent=2))
    else:
        print("\n".join(line.rstrip() for line in _text(heading, legs)))
    return _ARRIVED if all(leg.delivered for leg in legs) else _LOST


def _fail(what: object, code: int) -> int:
    print(f"pytest-mcast doctor: {what}", file=sys.stderr)
    return code


def _kinds(options: argparse.Namespace) -> list[str]:
    """Return the kinds that are asked for; raises ``ValueError`` when there is none."""
    from pytest_mcast.core import Channel

    families, modes = [options.family or list(FAMILIES), options.mode or list(MODES)]
    families, modes = ([one] if isinstance(one, str) else one for one in (families, modes))
    if options.source is not None:
        modes = [mode for mode in modes if mode == "ssm"]
    if options.group is not None:
        named = Channel(options.group, 0, options.source or _example(options.group))  # raises ChannelError
        families = [family for family in families if family == named.family]
        if "asm" in modes and _needs_source(options.group):
            modes.remove("asm")
    kinds = [f"{family}-{mode}" for family in families for mode in modes]
    if not kinds:
        raise ValueError("--family, --mode, --group and --source leave no kind of multicast over")
    return kinds


def _example(group: str) -> str:
    return "fe80::1" if ":" in group else "192.0.2.1"


def _needs_source(group: str) -> bool:
    from pytest_mcast.core import Channel

    try:
        Channel(group, 0)
    except ChannelError:
        return True
    return False


@contextmanager
def _parties(options: argparse.Namespace) -> Iterator[tuple[Party, Party]]:
    """Give both ends; raises ``MissingCapability``, ``InterfaceError``, ``HostError``, ``ValueError``."""
    from pytest_mcast.doctor import Party
    from pytest_mcast.hosts import LocalHost, RemoteHost

    with ExitStack() as stack:
        if options.to == _VIRTUAL:
            from pytest_mcast.lab.private import enter_private_network

            network = stack.enter_context(closing(enter_private_network({})))
            link = network.lab.switch("lan", snooping=options.snooping)
            yield tuple(Party(network.lab.host(name, interfaces={"eth0": link})) for name in ("one", "two"))  # type: ignore[misc]
            return
        if options.snooping:
            raise ValueError("--snooping goes with --to virtual")
        far = stack.enter_context(closing(RemoteHost(_name(options.to), options.to, options.to_iface)))
        here = options.iface
        if here is None:
            # Another Python of this machine is not behind a wire.
            local = options.to.startswith("popen")
            here = next(each for each in Interface.all() if each.loopback) if local else Interface.best()
        if options.to_iface is None and options.to.startswith("popen"):
            far = stack.enter_context(closing(RemoteHost(far.name, options.to, LocalHost(here).interface.name)))
        ends = Party(LocalHost(here)), Party(far)
        far.connect()
        yield ends


def _name(specification: str) -> str:
    """Return a short name for a host: the one by which ssh knows it, without user and options."""
    first = specification.partition("//")[0]
    return (
        first.partition("=")[2].split()[-1].rpartition("@")[2]
        if first.startswith("ssh=") and first != "ssh="
        else "far"
    )


def _text(heading: str, legs: Sequence[Leg]) -> Iterator[str]:
    """Say it in lines of at most 80 columns."""
    yield from wrapped(f"one datagram of each kind between {heading}, followed hop by hop", _WIDTH)
    for (sender, receiver), group in groupby(legs, lambda leg: (leg.sender, leg.receiver)):
        there = list(group)
        yield ""
        yield from _table(f"{sender} -> {receiver}", there)
        for alike in _alike(leg for leg in there if not leg.delivered):
            yield ""
            yield from _loss(alike)
    yield ""
    lost = sum(not leg.delivered for leg in legs)
    yield f"all {len(legs)} arrived" if not lost else f"{lost} of {len(legs)} did not arrive"


def _table(title: str, legs: Sequence[Leg]) -> Iterator[str]:
    title, names = printable(title), list(dict.fromkeys(hop.name for leg in legs for hop in leg.trace.hops))
    names.sort(key=lambda name: max(_place(leg, name) for leg in legs))
    first = min(38, max(len(title), *(len(name) + 2 for name in names)) + 2)
    yield title[: first - 1].ljust(first) + "".join(leg.kind.ljust(10) for leg in legs)
    unknown: dict[str, str] = {}
    for name in names:
        cells = []
        for leg in legs:
            hop = next((hop for hop in leg.trace.hops if hop.name == name), None)
            cells.append(_cell(leg, hop))
            if hop is not None and hop.reached is None:
                unknown.setdefault(name, hop.evidence)
        yield printable(f"  {name}")[: first - 1].ljust(first) + "".join(cell.ljust(10) for cell in cells)
    for name, why in unknown.items():
        yield from wrapped(f"? {name}: {why}", _WIDTH - 2, "  ", "    ")


def _place(leg: Leg, name: str) -> int:
    """Return where on the longest way a hop is."""
    found = [number for number, hop in enumerate(leg.trace.hops) if hop.name == name]
    return found[0] if found else -1


def _cell(leg: Leg, hop: Hop | None) -> str:
    """Say whether a hop was reached; after the one where it stopped there is no need to."""
    if hop is None:
        return "-"
    hops, stopped = leg.trace.hops, leg.trace.stopped_at
    after = stopped is not None and hop.reached is False and hops.index(hop) > hops.index(stopped)
    return "-" if after else _MARKS[hop.reached]


def _alike(legs: Iterable[Leg]) -> list[list[Leg]]:
    """Put those together that stop at one hop for the same causes."""
    found: dict[object, list[Leg]] = {}
    for leg in legs:
        stopped = leg.trace.stopped_at
        causes = () if leg.diagnosis is None else tuple((each.check, each.cause) for each in leg.diagnosis.findings)
        found.setdefault((stopped and stopped.name, causes), []).append(leg)
    return list(found.values())


def _loss(legs: Sequence[Leg]) -> Iterator[str]:
    """Say what is wrong with the first, which is the same with the others."""
    leg, *others = legs
    stopped = leg.trace.stopped_at
    to = "" if leg.channel is None else f" ({leg.channel})"
    also = f", and so for {', '.join(other.kind for other in others)}" if others else ""
    where = f"does not get to {stopped.name!r}" if stopped is not None else "is not seen to arrive"
    yield from wrapped(f"{leg.kind} from {leg.sender} to {leg.receiver}{to} {where}{also}", _WIDTH)
    if leg.diagnosis is not None:
        yield from (f"  {line}" for line in leg.diagnosis.lines(width=_WIDTH - 2))
        said = {finding.command for finding in leg.diagnosis.findings}
        for other in others:
            for finding in () if other.diagnosis is None else other.diagnosis.findings:
                if finding.command not in said:  # it has the other group in it
                    said.add(finding.command)
                    yield from wrapped(f"{other.kind} on {finding.where or finding.place}:", _WIDTH, "  cure for ")
                    for line in finding.command.splitlines():
                        yield from in_shell(line, _WIDTH, 10)
    elif stopped is not None:
        yield from wrapped(stopped.evidence, _WIDTH, "  seen: ", "        ")


def _port(text: str) -> int:
    if not (text.isdigit() and 0 < int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 65535")
    return int(text)


def _seconds(text: str) -> float:
    from pytest_mcast.core import Deadline

    try:
        seconds = Deadline(float(text)).seconds
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, such as 0.5") from None
    assert seconds is not None
    return seconds


def _ttl(text: str) -> int:
    if not (text.isdigit() and int(text) < 256):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 255")
    return int(text)
