"""SMCRoute in a router: a daemon with static routes. smcrouted(8), smcroute.conf(5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .daemon import RoutingDaemon, find, needs_root, start
from .named import group_named, lines_named, names_named, source_named

if TYPE_CHECKING:
    from pytest_mcast.hosts import Host

    from .router import Router

__all__ = ["StaticRoute", "start_smcroute"]

_CONFIGURATION = "/run/smcroute.conf"


@dataclass(frozen=True)
class StaticRoute:
    """A route of SMCRoute: a group, from one source or from any, that comes in by an interface goes out by others."""

    group: str
    incoming: str
    outgoing: Sequence[str]
    source: Host | str | None = None

    def line(self) -> str:
        """Return it as a line of smcroute.conf(5); raises ``ValueError`` for what is none."""
        address = source_named(self.source, self.group)
        source = "" if address is None else f"source {address} "
        outgoing = " ".join(names_named(self.outgoing))
        return f"mroute from {self.incoming} {source}group {group_named(self.group)} to {outgoing}"


def start_smcroute(router: Router, routes: Sequence[StaticRoute], *, extra: Sequence[str] = ()) -> RoutingDaemon:
    """Start it, and wait until it is ready; see ``Router.smcroute``."""
    needs_root("smcrouted")
    command = [find("smcrouted", "smcroute"), "-n", "-N", "-l", "debug", "-i", "smcroute", "-f", _CONFIGURATION]
    lines = [f"phyint {name} enable" for name in router.names]
    lines += [route.line() for route in routes]
    files = {_CONFIGURATION: "\n".join([*lines, *lines_named(extra), ""])}
    return start(router, command, lambda program: program.expect("Ready, waiting"), files=files)
