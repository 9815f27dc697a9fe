"""``pytest-mcast doctor``: what works here, by trying."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pytest_mcast.core import FAMILIES, MODES, Interface, InterfaceError, MissingCapability
from pytest_mcast.doctor import probe_channel, probe_namespaces, probe_packets
from pytest_mcast.hosts import LocalHost

from . import doctor_to

if TYPE_CHECKING:
    from argparse import _SubParsersAction

__all__ = ["add_parser", "run"]


def add_parser(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the sub-command."""
    parser = commands.add_parser(
        "doctor",
        help="say which kinds of multicast work here, and what would make the others work",
        description="Tries every capability on loopback, or on the interface named. Exit code 1 if one is missing.",
    )
    parser.add_argument("--iface", metavar="NAME|INDEX|ADDRESS", help="interface to try (default: loopback)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    doctor_to.add_arguments(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the interfaces and the verdicts; return 0 when everything works, 1 when not, 2 for a wrong interface."""
    if options.to is not None:
        return doctor_to.run_pair(options)
    print("interfaces:")
    for interface in Interface.all():
        flags = ", ".join(flag for flag in ("up", "multicast", "loopback") if getattr(interface, flag))
        addresses = " ".join(interface.addresses) or "no address"
        print(f"  {interface.index:3} {interface.name:12} mtu {interface.mtu:<6} {addresses} ({flags or 'down'})")
    try:
        host = LocalHost(options.iface or next(i for i in Interface.all() if i.loopback))
    except InterfaceError as error:
        print(f"pytest-mcast doctor: --iface: {error}")
        return 2
    print(f"capabilities on {host.interface.name}:")
    verdicts: dict[str, MissingCapability | None] = {
        f"{family}-{mode}": probe_channel(host, host, family, mode, timeout=1.0)
        for family in FAMILIES
        for mode in MODES
    }
    verdicts["namespaces"] = probe_namespaces()
    verdicts["packets"] = probe_packets()
    for name, missing in verdicts.items():
        print(f"  {name:12} {'yes' if missing is None else 'NO: ' + missing.reason}")
        if missing is not None:
            print(f"  {'':12} cure: {missing.remedy}")
    return 1 if any(verdicts.values()) else 0
