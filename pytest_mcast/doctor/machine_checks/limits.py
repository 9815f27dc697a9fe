"""Limits of the kernel that are lower than they usually are: how much one socket, or one process, may have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from pytest_mcast.doctor.check import Confidence, Match
from pytest_mcast.doctor.facts import Facts, NotRead
from pytest_mcast.doctor.machine_check import MachineCheck

__all__ = ["CHECKS"]

_LEAST_FILES = 1024  # the usual soft limit


def _below(name: str, usual: int, facts: Facts) -> Iterator[Match]:
    try:
        value = facts.sysctl_int(name)
    except NotRead:
        if "sysctl" in facts.snapshot.readings and facts.snapshot.readings["sysctl"].refused:
            raise
        return  # kept from this network namespace, or this kernel has none
    if value < usual:
        sure: Confidence = "certain" if value == 0 else "possible"
        yield Match(sure, (f"{name}={value}; usual is {usual}",), {"name": name, "value": value, "usual": usual})


def _limit(id: str, name: str, usual: int, sentence: str, reference: str, *, verified: bool = True) -> MachineCheck:  # noqa: A002 - the field's name
    condition: Callable[[Facts], Iterator[Match]] = partial(_below, name, usual)
    return MachineCheck(
        id=id,
        condition=condition,
        sentence=sentence,
        cure="raise the limit",
        command="sysctl -w {name}={usual}",
        reads=(f"sysctl {name}",),
        reference=reference,
        verified=verified,
    )


def _few_files(facts: Facts) -> Iterator[Match]:
    _, hard = facts.read("settings")["open files"]
    if 0 <= hard < _LEAST_FILES:
        yield Match("possible", (f"the hard limit of open files is {hard}",), {"hard": hard})


#: Checks of limits. The usual values are those of net/ipv4/igmp.c, net/ipv6/mcast.c and net/core/sock.c.
CHECKS: tuple[MachineCheck, ...] = (
    _limit(
        "machine.limit-groups",
        "net.ipv4.igmp_max_memberships",
        20,
        "a socket may join no more than {value} IPv4 groups; the next join fails with ENOBUFS",
        "Linux: ip-sysctl.rst, igmp_max_memberships",
    ),
    _limit(
        "machine.limit-sources",
        "net.ipv4.igmp_max_msf",
        10,
        "a socket may name no more than {value} sources of an IPv4 group; the next one fails with ENOBUFS",
        "Linux: ip-sysctl.rst, igmp_max_msf",
    ),
    _limit(
        "machine.limit-sources-ipv6",
        "net.ipv6.mld_max_msf",
        64,
        "a socket may name no more than {value} sources of an IPv6 group; the next one fails with ENOBUFS",
        "Linux: ip-sysctl.rst, mld_max_msf",
        verified=False,  # of the whole machine
    ),
    _limit(
        "machine.limit-buffer",
        "net.core.rmem_max",
        212992,
        "a socket may have a receive buffer of no more than {value} bytes: bursts are lost",
        "socket(7): rmem_max, SO_RCVBUF",
        verified=False,  # of the whole machine
    ),
    _limit(
        "machine.limit-default-buffer",
        "net.core.rmem_default",
        212992,
        "a socket has a receive buffer of {value} bytes unless it asks for more: bursts are lost",
        "socket(7): rmem_default",
        verified=False,  # of the whole machine
    ),
    _limit(
        "machine.limit-options",
        "net.core.optmem_max",
        20480,
        "the kernel keeps no more than {value} bytes of options for a socket: joins fail with ENOBUFS when they are used up",
        "socket(7): optmem_max",
        verified=False,  # of the whole machine
    ),
    MachineCheck(
        id="machine.limit-open-files",
        condition=_few_files,
        sentence="a process may have no more than {hard} open files: so many sockets, and fewer subscriptions",
        cure="raise the hard limit: ulimit -Hn, LimitNOFILE= of systemd, --ulimit nofile= of Docker",
        reads=("settings",),
        reference="getrlimit(2): RLIMIT_NOFILE",
    ),
)
