"""What the kernel has joined: /proc/net/igmp, igmp6, mcfilter and mcfilter6 of a network namespace, as values."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import secrets
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pytest_mcast.core import system
from pytest_mcast.core.errors import MissingCapability

__all__ = ["Membership", "memberships"]

# Per-thread files: /proc/net is the main thread's.
_DIRECTORY = Path("/proc/thread-self/net")
_TICK_S = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01  # procfs has timers in these
_LOOPBACK = 1  # the index of lo in every namespace
_IGMP_DEVICE = re.compile(r"(\d+)\s+(\S+)\s*:\s*\d+\s+V(\d)")
_EITHER = "include or exclude"
_ALL_HOSTS = ("224.0.0.1", "ff01::1", "ff02::1")  # the kernel joins these itself
_Rows = dict[tuple[int, str], dict[str, tuple[int, int]]]


@dataclass(frozen=True, init=False)
class Membership:
    """A group that an interface of a host has joined, as the kernel keeps it (RFC 3376 section 3.2).

    ``mode`` is ``include`` when no socket wants other sources than ``sources``, ``exclude`` when at least one does; left
    out, it is what the sources suggest. ``sources`` are those that a socket has asked for, ``blocked`` those that one
    has blocked. With several sources and sockets the kernel's files may not tell the mode: ``include or exclude``,
    which equals neither. What varies is not compared: how many ``users`` (joined sockets, and the kernel itself) there
    are; ``version``, the IGMP version in force on the interface (None for IPv6, where the kernel does not tell); and
    ``pending_s``, in how many seconds a report is due, if a timer of the group runs.
    """

    interface: str
    group: str
    mode: str = ""
    sources: frozenset[str] = frozenset()
    blocked: frozenset[str] = frozenset()
    users: int = field(default=1, compare=False)
    version: int | None = field(default=None, compare=False)
    pending_s: float | None = field(default=None, compare=False)

    def __init__(
        self,
        interface: str,
        group: str,
        mode: str | None = None,
        *,
        sources: Iterable[str] = (),
        blocked: Iterable[str] = (),
        users: int = 1,
        version: int | None = None,
        pending_s: float | None = None,
    ) -> None:
        wanted, unwanted = frozenset(map(_canonical, sources)), frozenset(map(_canonical, blocked))
        mode = mode or ("include" if wanted else "exclude")
        if mode not in ("include", "exclude", _EITHER):
            raise ValueError(f"mode {mode!r} is neither include nor exclude")
        values = (interface, _canonical(group), mode, wanted, unwanted, users, version, pending_s)
        for name, value in zip(self.__dataclass_fields__, values):  # noqa: B905 - remote hosts may have Python 3.9
            object.__setattr__(self, name, value)


def memberships(group: str | None = None, interface: str | None = None) -> frozenset[Membership]:
    """Return the memberships in the calling thread's network namespace, of one group or interface if it is named.

    Without a group there are also the kernel's own: 224.0.0.1, ff01::1, ff02::1 and the solicited-node groups.
    Raises ``MissingCapability`` where the kernel has no such files.
    """
    if group is not None:
        group = _canonical(group)
    found = [
        each for each in (*_ipv4(), *_ipv6()) if group in (None, each.group) and interface in (None, each.interface)
    ]
    return frozenset(found)


class _Opened:
    """A membership with a source on lo, while the files are read; nothing of it gets on any wire.

    Linux 6.18 and before (igmp_mcf_get_first) skip the sources of an interface when the group that was joined last has
    none, unless those of an earlier interface were listed: so one of the first interface must be.
    """

    def __init__(self, group: str, source: str) -> None:
        self.key, self.source = (_LOOPBACK, group), source

    #: Whether it was joined: not where the limits of the machine allow no socket a source (igmp_max_msf, mld_max_msf), or no
    #: group (igmp_max_memberships). The files are what they are then.
    joined = True

    def __enter__(self) -> _Opened:
        family = "ipv6" if ":" in self.source else "ipv4"
        option = system.membership_option("join-source", family, _LOOPBACK, self.key[1], self.source)
        self._socket = socket.socket(socket.AF_INET6 if family == "ipv6" else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            system.set_option(self._socket, option)
        except BaseException as error:  # whatever it is: let go, and pass it on
            self._socket.close()
            if getattr(error, "errno", None) != errno.ENOBUFS:
                raise
            self.joined = False
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def remove(self, rows: _Rows) -> bool:
        """Remove what is ours; return whether it was there, if it was joined."""
        if not self.joined:
            return True
        included, excluded = rows.get(self.key, {}).pop(self.source, (0, 0))
        if included > 1:
            rows[self.key][self.source] = included - 1, excluded
        return included > 0


def _ipv4() -> Iterator[Membership]:
    # (S, 224.0.0.1) is reported nowhere, not even on lo; the other one is for a lo on which there are more groups.
    _read("igmp")  # is there such a thing at all?
    source = f"127.{1 + secrets.randbelow(254)}.{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"
    for group in ("224.0.0.1", f"232.255.{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"):
        with _Opened(group, source) as opened:
            table, rows = _read("igmp"), _filters("mcfilter")
        if opened.remove(rows):
            break
    else:
        raise _missing("mcfilter does not list the source that was joined on lo")
    index, name, version = 0, "", 0
    for line in table:
        if device := _IGMP_DEVICE.match(line):
            index, name, version = int(device[1]), device[2], int(device[3])
        elif index and line[:1].isspace():
            words = line.split()
            group = socket.inet_ntop(socket.AF_INET, struct.pack("=I", int(words[0], 16)))  # as it is in memory
            running, _, ticks = words[2].partition(":")
            users = int(words[1]) - (opened.joined and (index, group) == opened.key)
            pending = int(ticks, 16) * _TICK_S if running == "1" else None
            if users:
                counts = rows.get((index, group), {})
                yield _membership(name, group, counts, users, version, pending, surely=opened.joined)


def _ipv6() -> Iterator[Membership]:
    if not (_DIRECTORY / "igmp6").exists() or not _read("igmp6"):  # no IPv6, or on no interface
        return
    # A group of interface-local scope is not reported (RFC 3810 section 6).
    with _Opened(f"ff31::8000:{secrets.randbelow(0xFFFF) + 1:x}", "::1") as opened:
        table, rows = _read("igmp6"), _filters("mcfilter6")
    if not opened.remove(rows):
        raise _missing("mcfilter6 does not list the source that was joined on lo")
    for line in table:
        index, name, packed, users, flags, ticks = line.split()
        group = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(packed))
        # MAF_TIMER_RUNNING; a timer that is late is a huge number.
        pending = (int(ticks) if int(ticks) < 1 << 32 else 0) * _TICK_S if int(flags, 16) & 0x01 else None
        if not opened.joined or (int(index), group) != opened.key:
            counts = rows.get((int(index), group), {})
            yield _membership(name, group, counts, int(users), None, pending, surely=opened.joined)


def _membership(
    interface: str,
    group: str,
    counts: dict[str, tuple[int, int]],
    users: int,
    version: int | None,
    pending: float | None,
    *,
    surely: bool,
) -> Membership:
    included = [count for count, _ in counts.values() if count]
    blocked = [source for source, (_, count) in counts.items() if count]
    # A socket counts once for every source of its own. So there are at least max(included) sockets in include mode, and
    # no more than all of these together.
    if not surely and not counts and group not in _ALL_HOSTS:  # its sources may just not be listed
        mode = _EITHER
    elif blocked or users > sum(included):
        mode = "exclude"
    else:
        mode = "include" if users == max(included) or len(included) == 1 else _EITHER
    wanted = [source for source, (count, _) in counts.items() if count]
    return Membership(
        interface, group, mode, sources=wanted, blocked=blocked, users=users, version=version, pending_s=pending
    )


def _filters(name: str) -> _Rows:
    """Return, by interface index and group, how many sockets include and exclude each source."""
    rows: _Rows = {}
    for line in _read(name)[1:]:
        index, _, group, source, included, excluded = line.split()  # the name is cut off after 6 characters
        of_group = rows.setdefault((int(index), _address(group)), {})
        of_group[_address(source)] = int(included), int(excluded)
    return rows


def _address(text: str) -> str:
    """Read 0xe8010203 (most significant octet first, unlike /proc/net/igmp) or 32 digits."""
    if text.startswith("0x"):
        return str(ipaddress.IPv4Address(int(text, 16)))
    return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(text))


def _read(name: str) -> list[str]:
    try:
        return (_DIRECTORY / name).read_text("utf-8", "surrogateescape").splitlines()
    except FileNotFoundError:
        raise _missing(f"there is no {_DIRECTORY / name}") from None


def _missing(reason: str) -> MissingCapability:
    return MissingCapability("memberships", reason, "use Linux with CONFIG_IP_MULTICAST")


def _canonical(address: str) -> str:
    return str(ipaddress.ip_address(address))
