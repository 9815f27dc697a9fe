"""A multicast routing daemon that runs in a router: what all of them have in common."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.errors import InterfaceError, MissingCapability, ProgramError
from pytest_mcast.wire.expectations import WantedReport

from .mfc import EVENTS, MfcEntry, RouteTimeout
from .mroute import in_use
from .named import family_of, group_named, source_named
from .netlink import Netlink

if TYPE_CHECKING:
    from pytest_mcast.hosts import Host

    from .programs import Program
    from .router import Router

__all__ = ["RoutingDaemon", "expect_each", "find", "needs_root", "start"]

_Found = TypeVar("_Found")
#: Where daemons are, beside PATH, which ordinary users have without them.
_PLACES = ("/usr/sbin", "/usr/local/sbin", "/sbin")
#: The interface of register messages (PIM).
_REGISTER = "pimreg"
# What they log before they go on without it.
_TAKEN = re.compile("Address already in use|Another multicast routing application")
_WRONG = re.compile(r"on config line \d|Unknown command|\bInvalid (?!argument)|, skipping|Parse error|Syntax error")


class RoutingDaemon:
    """A running daemon; ``Router.smcroute()``, ``pimd()`` and ``frr()`` start them. It ends with its router.

    ``program`` is its process, whose output is the daemon's log. ``member`` is a pattern of what it writes there when it has
    heard of a membership, with ``{channel}`` for ``source,group`` or ``*,group``; empty when it goes by none. ``at_once``: it then
    makes an entry, without a packet that waits for one.
    """

    def __init__(self, router: Router, program: Program, member: str = "", *, at_once: bool = False) -> None:
        self.router = router
        self.program = program
        self._member = member
        self._at_once = at_once

    @property
    def log(self) -> list[str]:
        """The lines it has written up to now."""
        return self.program.output

    def wait_for_member(self, channel: Channel, timeout: float = 5.0) -> None:
        """Wait until its log says that it has heard of a membership: what is sent from then on is forwarded.

        With a daemon that then makes an entry (FRR), until the kernel has that; others make it of the first packet, which
        waits. Raises ``ProgramError`` with the log, ``RouteTimeout``, and ``ValueError`` for a daemon that goes by no memberships.
        """
        if not self._member:
            raise ValueError(f"{self.program.command[0]} goes by static routes, and not by memberships")
        pattern = self._member.format(channel=re.escape(f"{channel.source or '*'},{channel.group}"))
        deadline, seen = Deadline(timeout), 0
        while self.program.wait_for_output(seen, deadline):
            lines = self.program.output[seen:]
            if any(re.search(pattern, line) for line in lines):
                if self._at_once:
                    what = f"no entry forwards {channel} to anywhere, for the member that it has heard of,"
                    wanted = self._wanted(channel.group, channel.source, None, None)
                    self._wait(channel.group, wanted, what, timeout, deadline)
                return
            seen += len(lines)
        what = f"{self.router} has heard of no membership for {channel} in {timeout:g} s"
        raise ProgramError(f"{what}\n{self.program.transcript()}")

    def wait_for_route(
        self,
        group: str,
        interface: str | None = None,
        *,
        source: Host | str | None = None,
        incoming: str | None = None,
        timeout: float = 5.0,
    ) -> MfcEntry:
        """Wait until the kernel has an entry that forwards a group out of an interface, and return it.

        ``interface`` None: out of any but its own. ``source`` None: whatever the source of the entry. ``incoming`` None: from any
        interface of the router, and not from ``pimreg``, by which register messages come in: FRR has new entries begin
        with that for a moment, in which they drop what comes by the interface that they are for. Raises ``RouteTimeout``
        with the entries there are and the end of the log.
        """
        wanted = source_named(source, group)
        came = "" if incoming is None else f" from {incoming}"
        what = f"no entry forwards ({wanted or '*'}, {group}){came} to {interface or 'anywhere'}"
        try:
            return self._wait(group, self._wanted(group, wanted, interface, incoming), what, timeout)
        except RouteTimeout as error:
            if self._member:
                error.wanted = WantedReport.of(Channel.unchecked(group, 0, wanted), None, None, None, None, None)
                error.router, error.interface = self.router, interface
                if self.router.lost is not None:
                    self.router.lost(error)
            raise

    def wait_until_pruned(
        self, group: str, interface: str, *, source: Host | str | None = None, timeout: float = 5.0
    ) -> None:
        """Wait until no entry forwards a group (from a source) out of an interface; raises ``RouteTimeout``.

        That may be for a moment only: where a daemon has taken an entry away that it makes again for the next packet.
        """
        wanted = source_named(source, group)

        def pruned(entries: tuple[MfcEntry, ...]) -> bool:
            return not any(interface in entry.outgoing for entry in _of(entries, group, wanted))

        self._wait(group, pruned, f"({wanted or '*'}, {group}) still goes to {interface}", timeout)

    def close(self) -> None:
        """End it; the kernel then forgets its entries. Again is no error."""
        self.program.stop()

    def _wanted(
        self, group: str, source: str | None, interface: str | None, incoming: str | None
    ) -> Callable[[tuple[MfcEntry, ...]], MfcEntry | None]:
        """Return what finds the entry that ``wait_for_route()`` waits for."""
        by = self.router.names if incoming is None else (incoming,)

        def found(entries: tuple[MfcEntry, ...]) -> MfcEntry | None:
            for entry in _of(entries, group, source):
                if entry.incoming in by and (interface in entry.outgoing if interface else _leads_away(entry)):
                    return entry
            return None

        return found

    def _wait(
        self,
        group: str,
        look: Callable[[tuple[MfcEntry, ...]], _Found | None],
        what: str,
        timeout: float,
        deadline: Deadline | None = None,
    ) -> _Found:
        """Wait until ``look`` finds something in the kernel's entries; ``deadline`` is that of ``timeout`` if it has begun."""
        family = family_of(group)
        deadline = Deadline(timeout) if deadline is None else deadline
        with self.router.inside():
            connection = Netlink()
        with closing(connection) as events:
            events.subscribe(EVENTS[family])  # first, so that no change is missed
            while True:
                entries = self.router.entries(family)
                found = look(entries)
                if found:
                    return found
                if not events.wait(deadline):
                    there = "\n".join(f"  {entry}" for entry in entries) or "  none"
                    raise RouteTimeout(
                        f"{self.router}: {what} after {timeout:g} s\nentries of the kernel:\n{there}\n"
                        f"{self.program.transcript()}"
                    )


def _leads_away(entry: MfcEntry) -> bool:
    """Whether it goes out of another interface than its own, where an entry of any source has that as well."""
    return bool(set(entry.outgoing) - {entry.incoming, _REGISTER})


def _of(entries: Iterable[MfcEntry], group: str, source: str | None) -> list[MfcEntry]:
    group = group_named(group)
    return [entry for entry in entries if entry.group == group and source in (None, entry.source) and entry.resolved]


def start(
    router: Router,
    command: Sequence[str],
    ready: Callable[[Program], object],
    *,
    files: Mapping[str, str],
    private: Sequence[str] = ("/run",),
    member: str = "",
    at_once: bool = False,
) -> RoutingDaemon:
    """Start a daemon with these files and wait until ``ready`` returns; ``member``, ``at_once``: see ``RoutingDaemon``.

    Raises ``ProgramError`` when it does not become ready, or has complaints about its configuration, and
    ``MissingCapability`` when another program has the kernel's forwarding.
    """
    if not router.names:
        raise InterfaceError(f"{router} has no interface: a routing daemon has nothing to do there")
    program = router.popen(command, files=files, private=private)
    try:
        try:
            ready(program)
        finally:
            _check(router, program.output)
    except BaseException:  # whatever it is: let go, and pass it on
        program.stop()
        raise
    return RoutingDaemon(router, program, member, at_once=at_once)


def _check(router: Router, log: Sequence[str]) -> None:
    for line in log:
        if _TAKEN.search(line):
            raise in_use("ipv6" if "IPv6" in line else "ipv4")
    for line in log:
        if _WRONG.search(line):
            raise ProgramError(f"the daemon in {router} goes on without a part of its configuration: {line}")


def find(
    name: str, package: str, *, places: Iterable[str] = (), beside: str | None = None, not_beside: str | None = None
) -> str:
    """Return the path of a daemon; raises ``MissingCapability``, which names the package.

    ``beside``, ``not_beside``: what another program in its directory must be, or must not, because names are not unique.
    """
    places = tuple(places)
    for directory in (*places, *os.get_exec_path(), *_PLACES):
        path = shutil.which(name, path=directory)
        if (
            path is not None
            and (beside is None or shutil.which(beside, path=directory))
            and (not_beside is None or not shutil.which(not_beside, path=directory))
        ):
            return path
    reason = f"there is no program {name!r} on PATH, nor in {', '.join((*places, *_PLACES))}"
    raise MissingCapability("programs", reason, f"run: apt-get install {package}")


def needs_root(name: str) -> None:
    """Raise ``MissingCapability`` for a daemon that starts for user 0 only, whatever this user may do."""
    if os.geteuid() != 0:
        reason = f"{name} starts for the user 0 only, and this is user {os.geteuid()}"
        raise MissingCapability("routing", reason, "run as root, or use FRR, which has no such rule")


def expect_each(program: Program, pattern: str, names: Iterable[str], timeout: float) -> None:
    """Wait for a line of output for each of the names, in any order: what the pattern's first group finds."""
    missing, deadline = set(names), Deadline(timeout)
    while missing:
        missing.discard(program.expect(pattern, deadline.remaining() or 0.0).group(1))
